package storage

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// The disk is full when the database or the floors file must be made again: the reserve is there for that day.
func TestRecoveryGivesUpTheReserve(t *testing.T) {
	for _, lost := range []string{databaseName, floorsName} {
		for _, full := range []op{opCreate, opWrite, opCommit, opSync} {
			t.Run(lost+", "+string(full), func(t *testing.T) {
				dir := fastDir(t)
				s := openT(t, dir)
				must(t, s.Commit(lifeChange(3)))
				must(t, s.Close())
				must(t, os.WriteFile(filepath.Join(dir, lost), []byte("x"), 0o600))
				reserve := true
				s, err := open(dir, Options{}, &disk{hook: func(s step, do func() error) error {
					switch {
					case s.name == reserveName:
						reserve = reserve && s.op != opRemove
					case s.op == full && reserve:
						return &os.PathError{Op: string(s.op), Path: s.name, Err: syscall.ENOSPC}
					}
					return do()
				}})
				must(t, err)
				if st := loadT(t, s); len(st.Recovered) != 1 || st.Floors.RootVersion != 3 {
					t.Errorf("state: %+v", st)
				}
				must(t, s.Close())
			})
		}
	}
}

// The same where bbolt and the kernel say so themselves.
func TestRecoveryOnAFullDisk(t *testing.T) {
	for _, lost := range []string{databaseName, floorsName} {
		t.Run(lost, func(t *testing.T) {
			dir := t.TempDir()
			if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=16m"); err != nil {
				t.Skipf("no tmpfs can be mounted (run as root, on Linux): %v", err)
			}
			t.Cleanup(func() { syscall.Unmount(dir, syscall.MNT_DETACH) })
			s := openT(t, dir)
			must(t, s.Commit(lifeChange(3)))
			must(t, s.Close())
			must(t, os.WriteFile(filepath.Join(dir, lost), []byte("x"), 0o600))
			fill(t, filepath.Join(dir, "log"))
			s = openT(t, dir)
			if s.dir.has(reserveName) || len(loadT(t, s).Recovered) != 1 {
				t.Error("the reserve was kept, or nothing was recovered")
			}
			must(t, s.Close())
		})
	}
}

// fill leaves no block free.
func fill(t *testing.T, path string) {
	t.Helper()
	f, err := os.Create(path)
	must(t, err)
	defer f.Close()
	for _, n := range []int{1 << 16, pageSize} {
		for err = nil; err == nil; {
			_, err = f.Write(make([]byte, n))
		}
	}
}

// The reserve is a comfort: a store that is whole opens and commits where there can't be one.
func TestNoRoomForAReserve(t *testing.T) {
	for _, says := range []error{syscall.ENOSPC, syscall.EDQUOT, syscall.EACCES} {
		dir := fastDir(t)
		s := openT(t, dir)
		must(t, s.Commit(lifeChange(3)))
		must(t, s.dir.remove(reserveName))
		must(t, s.Close())
		s, err := open(dir, Options{}, &disk{hook: func(s step, do func() error) error {
			if s.name == reserveName {
				return &os.PathError{Op: string(s.op), Path: s.name, Err: says}
			}
			return do()
		}})
		must(t, err)
		must(t, s.Commit(lifeChange(4)))
		must(t, s.Close())
	}
}
