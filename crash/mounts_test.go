//go:build linux && amd64

package crash

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"
)

// mountsApart is set for a process that has its own mounts.
const mountsApart = "OTA_CRASH_MOUNTS"

// ownMounts starts this program once more in a mount namespace of its own, if it may: whatever a test mounts is gone with
// it, however it ends.
func ownMounts() {
	if os.Getenv(mountsApart) != "" {
		return
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if unix.Unshare(unix.CLONE_NEWNS) != nil { // not root: the tests that mount something are skipped
		return
	}
	self, err := os.Executable()
	err = errors.Join(err, unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""))
	if err == nil {
		err = unix.Exec(self, os.Args, append(os.Environ(), mountsApart+"=1"))
	}
	fmt.Fprintln(os.Stderr, "start again with own mounts:", err)
	os.Exit(1)
}

// needsLoop skips the test where no disk image can be mounted.
func needsLoop(t *testing.T) {
	t.Helper()
	if os.Getenv(mountsApart) == "" {
		t.Skip("SKIPPED, a disk image can't be mounted: run it as root")
	}
	control, err := os.OpenFile("/dev/loop-control", os.O_RDWR, 0)
	if err != nil {
		t.Skipf("SKIPPED, a disk image can't be mounted without loop devices: %v", err)
	}
	control.Close()
}

// mountImage mounts a file that holds an ext4 file system at dir, through a loop device that goes when it is unmounted.
func mountImage(image, dir string) (err error) {
	file, err := os.OpenFile(image, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer file.Close()
	loop, err := attach(file)
	if err != nil {
		return fmt.Errorf("find a loop device: %w", err)
	}
	defer loop.Close()
	if err := unix.Mount(loop.Name(), dir, "ext4", 0, guestOptions); err != nil {
		return fmt.Errorf("mount the disk after the cut: %w", err)
	}
	return nil
}

// attach gives a file a free loop device. Another process may be faster to take one: then the next is tried.
func attach(file *os.File) (*os.File, error) {
	control, err := os.OpenFile("/dev/loop-control", os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	defer control.Close()
	for range 20 {
		n, err := unix.IoctlRetInt(int(control.Fd()), unix.LOOP_CTL_GET_FREE)
		if err != nil {
			return nil, err
		}
		loop, err := os.OpenFile(fmt.Sprintf("/dev/loop%d", n), os.O_RDWR, 0)
		if err != nil {
			return nil, err
		}
		config := &unix.LoopConfig{Fd: uint32(file.Fd()), Info: unix.LoopInfo64{Flags: unix.LO_FLAGS_AUTOCLEAR}}
		copy(config.Info.File_name[:], filepath.Base(file.Name()))
		err = unix.IoctlLoopConfigure(int(loop.Fd()), config)
		if err == nil {
			return loop, nil
		}
		loop.Close()
		if !errors.Is(err, unix.EBUSY) {
			return nil, err
		}
	}
	return nil, unix.EBUSY
}

// unmount waits for what died a moment ago to let go.
func unmount(dir string) error {
	err := unix.EBUSY
	for n := 0; n < 200 && err == unix.EBUSY; n++ {
		if e := unix.Unmount(dir, 0); e == nil {
			return nil
		} else if err = e.(unix.Errno); err == unix.EBUSY {
			unix.Nanosleep(&unix.Timespec{Nsec: 5e6}, nil)
		}
	}
	return fmt.Errorf("unmount %s: %w", dir, err)
}
