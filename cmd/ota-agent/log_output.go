package main

import (
	"io"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// ownStderr gives the log a standard error of its own, whose writes may wait for ever, and leaves the process
// one that never waits: what the runtime writes when it ends the process (a panic, or a service manager's
// SIGABRT) must not keep it from ending. Where w is not standard error it is returned as it is. restore is
// called when the log is closed.
func ownStderr(w io.Writer) (own io.Writer, restore func()) {
	nothing := func() {}
	f, ok := w.(*os.File)
	if !ok || f.Fd() != uintptr(unix.Stderr) {
		return w, nothing
	}
	fd, err := unix.FcntlInt(uintptr(unix.Stderr), unix.F_DUPFD_CLOEXEC, unix.Stderr+1)
	if err != nil {
		return w, nothing
	}
	restore = nothing
	var stat unix.Stat_t
	if err := unix.Fstat(unix.Stderr, &stat); err == nil {
		switch stat.Mode & unix.S_IFMT {
		case unix.S_IFIFO, unix.S_IFCHR:
			reopenStderr()
		case unix.S_IFSOCK:
			// A socket can't be opened anew, so the flag counts for all who share it. As a rule nobody does:
			// a service manager makes one for each service, and hooks get pipes. The log's own writes wait
			// all the same, since os.File polls.
			if flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFL, 0); err == nil && flags&unix.O_NONBLOCK == 0 && unix.SetNonblock(fd, true) == nil {
				restore = func() { _ = unix.SetNonblock(unix.Stderr, false) }
			}
		}
	}
	return os.NewFile(uintptr(fd), f.Name()), restore
}

// reopenStderr puts the same pipe or terminal in the place of standard error, opened such that a write to it
// never waits. The flag is not just set, since it would count for all who share the open file, the log and a
// shell among them. Where it can't be opened, as a pipe without a reader, things stay as they are.
func reopenStderr() {
	fd, err := unix.Open("/proc/self/fd/"+strconv.Itoa(unix.Stderr), unix.O_WRONLY|unix.O_NONBLOCK|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if err != nil {
		return
	}
	defer unix.Close(fd)
	_ = unix.Dup3(fd, unix.Stderr, 0)
}
