//go:build linux && amd64

package crash

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// The virtual machine's disk: a file system, and behind it room for notes.
const (
	guestInit = "/init"
	guestDisk = "/dev/vda"

	fileSystemBytes = 32 << 20
	notesBytes      = 1 << 20
	diskBytes       = fileSystemBytes + notesBytes
	noteBytes       = 512

	// guestHash, followed by a release's version, names the variable with the SHA-256 of its image.
	guestHash = "OTA_RELEASE_"
	// guestWrites names the variable that says when the kernel writes what nobody synced.
	guestWrites = "OTA_KERNEL_WRITES"
	// guestDone is the last line of a guest that came to rest.
	guestDone = "guest: at rest"
	// guestOptions make ext4 keep no more promises than it must: unless it was synced, a file may be empty after a power
	// cut although its name is there.
	guestOptions = "noauto_da_alloc,data=writeback"
)

// When a kernel writes what nobody synced: after half a minute, or as soon as it can.
const (
	writesLate  = "late"
	writesEarly = "early"
)

// inGuest tells whether this process is the first one of a virtual machine, which the test binary is as well.
func inGuest() bool { return os.Getpid() == 1 && os.Args[0] == guestInit }

// runGuest is one boot of the machine, from the start of its first process to its reset or its end.
func runGuest() {
	command := unix.LINUX_REBOOT_CMD_RESTART
	rest, err := guestBoot()
	switch {
	case err != nil:
		fmt.Println("guest:", err)
		command = unix.LINUX_REBOOT_CMD_POWER_OFF
	case rest:
		fmt.Println(guestDone)
		command = unix.LINUX_REBOOT_CMD_POWER_OFF
	}
	// Nothing is synced or unmounted: the device must not need that.
	fmt.Println("guest:", unix.Reboot(command))
}

// guestBoot is what a boot loader and a service manager do for the agent. It tells whether the device has come to rest
// with the second release; if not, it is to be reset.
func guestBoot() (rest bool, err error) {
	if err := guestMounts(); err != nil {
		return false, err
	}
	b := &board{lab: labInside(), dir: "/", state: "/flash/state"}
	_, known := os.Stat(b.state)
	if err := b.boot(); err != nil {
		return false, fmt.Errorf("boot: %w", err)
	}
	id, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err := cmp.Or(err, os.WriteFile(b.run("boot_id"), id, 0o644)); err != nil {
		return false, err
	}
	w := &witness{}
	releases := []string{"1", "2"}
	if known == nil {
		releases = releases[1:] // the first one was learned in an earlier boot
	}
	for _, version := range releases {
		if err := offer(b, version); err != nil {
			return false, err
		}
		// The kernel hands what it does not know on its command line to its first process.
		want := published{version: version, sha256: os.Getenv(guestHash + version)}
		s := &story{board: b, want: want, witness: w.note}
		if rest, err = s.runUntilReboot(context.Background()); !rest || err != nil {
			return false, err
		}
	}
	return true, nil
}

// runUntilReboot follows the board until it is at rest or asks for a reboot.
func (s *story) runUntilReboot(ctx context.Context) (rest bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, restWithin)
	defer cancel()
	rest, err = s.runAgent(ctx)
	if err == nil && !rest && !s.board.rebootAsked() {
		err = fmt.Errorf("the agent ended by itself: %v\n%s", statusTexts(s.exits), s.tail())
	}
	return rest, err
}

func guestMounts() error {
	modules, err := filepath.Glob("/modules/*")
	if err != nil {
		return err
	}
	for _, m := range modules { // in the order of their names
		f, err := os.Open(m)
		if err != nil {
			return err
		}
		err = unix.FinitModule(int(f.Fd()), "", 0)
		f.Close()
		if err != nil && !errors.Is(err, unix.EEXIST) {
			return fmt.Errorf("load %s: %w", m, err)
		}
	}
	for _, m := range []struct{ source, where, kind, options string }{
		{"proc", "/proc", "proc", ""},
		{"devtmpfs", "/dev", "devtmpfs", ""},
		{guestDisk, "/flash", "ext4", guestOptions},
	} {
		if err := unix.Mount(m.source, m.where, m.kind, 0, m.options); err != nil {
			return fmt.Errorf("mount %s: %w", m.where, err)
		}
	}
	if os.Getenv(guestWrites) == writesEarly {
		for _, name := range []string{"dirty_writeback_centisecs", "dirty_expire_centisecs"} {
			if err := os.WriteFile("/proc/sys/vm/"+name, []byte("1"), 0o644); err != nil {
				return err
			}
		}
	}
	return os.Setenv("PATH", "/bin")
}

// offer makes the repository the one in which version is the newest release.
func offer(b *board, version string) error {
	link := filepath.Join(b.dir, "repo")
	err := os.Remove(link)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return os.Symlink("repo."+version, link)
}
