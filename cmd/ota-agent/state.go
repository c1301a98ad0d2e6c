package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ota-agent/ota-agent/agent/files"
)

const (
	// mountsFile lists what is mounted in this process's namespace. A poll of it wakes when that changes.
	mountsFile = "/proc/self/mountinfo"
	// mountsBytesMax bounds it: thousands of mounts.
	mountsBytesMax = 1 << 20
	// strayEvery is how often the state directory is looked at where the kernel does not tell of mounts.
	strayEvery = time.Minute
)

// preflightState refuses to begin where what must hold the state is not there. A database that is made
// without it begins empty: the agent forgets what it rejected, and a release that does not mount the
// partition looks like a fresh device.
func preflightState(s settings) error {
	if s.stateMount == "" {
		return nil
	}
	err := present(s.stateMount)
	if err == nil {
		return nil
	}
	return s.wrong(exitStateMount, "state_mount", fmt.Errorf("what holds the state is not there: %w", err),
		"mount it before the agent starts (RequiresMountsFor= in its unit), or correct the line; nothing was made in "+s.state)
}

// present says that neither a mount nor a marker is at path, or returns nil. A directory must have something
// mounted on it; anything else need only be there.
func present(path string) error {
	info, err := os.Stat(path)
	if err != nil || !info.IsDir() {
		return err
	}
	real, err := filepath.EvalSymlinks(path)
	if err != nil {
		return err
	}
	mounts, err := files.Read(mountsFile, mountsBytesMax)
	if err != nil {
		return fmt.Errorf("can't tell whether something is mounted on %s: %w", path, err)
	}
	for line := range strings.Lines(string(mounts)) {
		if fields := strings.Fields(line); len(fields) > 4 && unescaped(fields[4]) == real {
			return nil
		}
	}
	return fmt.Errorf("nothing is mounted on the directory %s", path)
}

// unescaped is a path of mountsFile, in which the kernel writes white space and backslashes as three octal digits.
func unescaped(path string) string {
	var b strings.Builder
	for i := 0; i < len(path); i++ {
		if path[i] == '\\' && i+4 <= len(path) {
			if n, err := strconv.ParseUint(path[i+1:i+4], 8, 8); err == nil {
				b.WriteByte(byte(n))
				i += 3
				continue
			}
		}
		b.WriteByte(path[i])
	}
	return b.String()
}

// watchState ends with astray's error as soon as the state directory is another one than the one that is
// open. It looks when the kernel says that a mount has changed, so it costs an idle device nothing. It ends
// with nil when ctx does.
func watchState(ctx context.Context, astray func() error, log *slog.Logger) error {
	changes, err := mountChanges(ctx)
	if err != nil {
		log.Info("the kernel does not tell of mounts, so the state directory is looked at now and then", "every", strayEvery, "err", err)
	}
	tick := time.NewTicker(strayEvery)
	defer tick.Stop()
	if err == nil {
		tick.Stop()
	}
	for {
		if err := astray(); err != nil {
			return err
		}
		select {
		case <-changes:
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
}

// mountChanges sends when what is mounted has changed, until ctx ends.
func mountChanges(ctx context.Context) (<-chan struct{}, error) {
	mounts, err := unix.Open(mountsFile, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	stop, err := unix.Eventfd(0, unix.EFD_CLOEXEC)
	if err != nil {
		unix.Close(mounts)
		return nil, err
	}
	changes := make(chan struct{}, 1)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			fds := []unix.PollFd{{Fd: int32(mounts), Events: unix.POLLPRI}, {Fd: int32(stop), Events: unix.POLLIN}}
			if _, err := unix.Poll(fds, -1); err != nil && !errors.Is(err, unix.EINTR) || fds[1].Revents != 0 {
				return
			}
			if fds[0].Revents&(unix.POLLERR|unix.POLLPRI) != 0 {
				select {
				case changes <- struct{}{}:
				default: // one that waits to be seen stands for this one, too
				}
			}
		}
	}()
	context.AfterFunc(ctx, func() {
		_, _ = unix.Write(stop, []byte{1, 0, 0, 0, 0, 0, 0, 0})
		<-ended
		unix.Close(mounts)
		unix.Close(stop)
	})
	return changes, nil
}
