package storage

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"

	bolterrors "go.etcd.io/bbolt/errors"
	"golang.org/x/sys/unix"

	"github.com/ota-agent/ota-agent/agent"
)

var (
	errNotRegular = errors.New("not a regular file")
	errNoAllocate = errors.New("the file system can't reserve blocks")
)

// isAbsent reports whether err says that there is no such file.
func isAbsent(err error) bool { return errors.Is(err, fs.ErrNotExist) }

// isFull reports whether err says that the file system, or our share of it, is used up.
func isFull(err error) bool { return errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) }

// A cause is what kind of error stands behind a failure, and what a person can do about it.
type cause struct {
	is     func(error) bool
	reason agent.Reason
	advice string
}

func errno(list ...error) func(error) bool {
	return func(err error) bool {
		for _, e := range list {
			if errors.Is(err, e) {
				return true
			}
		}
		return false
	}
}

func causes() []cause {
	return []cause{
		{isFull, agent.ReasonDiskFull, "free some space on that file system, or make it larger"},
		{errno(unix.EROFS), agent.ReasonReadOnly,
			"mount the file system for writing; if it was, the kernel log says why it no longer is"},
		{errno(unix.EACCES, unix.EPERM), agent.ReasonStore,
			"run the agent as the user who owns the state directory, and see that nothing else changed its modes"},
		{errno(append(corruptErrnos(), unix.EIO)...), agent.ReasonStore,
			"the medium or its file system fails: see the kernel log, check the file system, replace the medium"},
		{errno(unix.ELOOP), agent.ReasonStore,
			"a symbolic link lies where a file or directory of the agent belongs, and is not followed: remove it"},
		{errno(unix.ENOTDIR, unix.EISDIR, errNotRegular), agent.ReasonStore,
			"something else lies where a file or directory of the agent belongs: move it away"},
		{errno(bolterrors.ErrMaxSizeReached), agent.ReasonStore,
			"the database has reached its largest size: restart the agent, which makes it smaller where it can"},
		{errno(bolterrors.ErrTimeout), agent.ReasonLocked,
			"another program has the database open: end it, or ask the running agent through its socket"},
	}
}

// problem makes an error of this package's own work fit to show: what was being done, to which file, what to
// do. Problems pass through as they are.
func problem(act string, err error) error {
	if err == nil {
		return nil
	}
	if p, ok := errors.AsType[*agent.Problem](err); ok {
		return p
	}
	reason, advice := agent.ReasonStore, "see the kernel log, and restart the agent: it checks and repairs its store then"
	for _, c := range causes() {
		if c.is(err) {
			reason, advice = c.reason, c.advice
			break
		}
	}
	return &agent.Problem{Reason: reason, Text: oneLine(act + ": " + err.Error() + "; " + advice), Err: err}
}

// refuse is a Problem that names no system error.
func refuse(reason agent.Reason, format string, args ...any) error {
	return &agent.Problem{Reason: reason, Text: oneLine(fmt.Sprintf(format, args...))}
}

// beyond is how Commit refuses what is beyond a bound.
func beyond(format string, args ...any) error {
	return &agent.Problem{Reason: agent.ReasonLimit, Text: oneLine(fmt.Sprintf(format, args...)), Err: agent.ErrNothingWritten}
}

func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }

func isDamaged(err error) bool { return errors.Is(err, errDamaged) }
