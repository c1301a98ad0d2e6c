package publish

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
)

// ErrLocked: another publisher works in this directory.
var ErrLocked = errors.New("another ota-repo is at work in this directory")

// lock takes the directory for this process; the kernel gives it back when the process ends, however it ends. The
// file stays: removing it would let a third process lock a new file beside a second one's old one.
func lock(dir string) (*os.File, error) {
	path := filepath.Join(dir, ".lock")
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, secretMode)
	if err != nil {
		return nil, fmt.Errorf("lock %s: %w", dir, err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		if errors.Is(err, syscall.EWOULDBLOCK) {
			err = ErrLocked
		}
		return nil, errors.Join(fmt.Errorf("lock %s: %w", path, err), f.Close())
	}
	return f, nil
}

// unlock gives the directory back by word, not by closing alone: a program that another goroutine starts has a copy
// of f until its own code runs, and a lock ends with its last copy.
func unlock(f *os.File) error {
	return errors.Join(os.NewSyscallError("unlock "+f.Name(), syscall.Flock(int(f.Fd()), syscall.LOCK_UN)), f.Close())
}
