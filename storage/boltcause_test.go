package storage

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/ota-agent/ota-agent/agent"
	"github.com/ota-agent/ota-agent/verifier"
)

// A database that can't grow says why: here its file can't be made longer, since it is no longer open for writing.
func TestFailureToGrowKeepsItsCause(t *testing.T) {
	dir := fastDir(t)
	s := openT(t, dir)
	must(t, s.db.settle()) // which writes, too, and would find it out
	readOnly, err := os.Open(filepath.Join(dir, databaseName))
	must(t, err)
	defer readOnly.Close()
	must(t, unix.Dup3(int(readOnly.Fd()), int(s.db.file.Fd()), unix.O_CLOEXEC))
	c := fullChange(1)
	for n := range int64(8) { // together they need more room than the file has
		c.Metadata.Put = append(c.Metadata.Put, verifier.Document{
			Key: verifier.Key{Role: verifier.Root, Version: 10 + n}, Bytes: make([]byte, 60<<10),
		})
	}
	err = s.Commit(c)
	wantReason(t, err, agent.ReasonStore)
	if !errors.Is(err, syscall.EINVAL) { // what the kernel says of such a file
		t.Errorf("the cause is lost: %v", err)
	}
}

// A full disk is called that, also where bbolt turned it into text; the reserve is given up for it; and no later failure
// inherits the cause.
func TestLoggedCauseIsTheError(t *testing.T) {
	c := newBoltCauses()
	described := errors.New("file resize error")
	err := c.behind(func() error {
		c.Errorf("truncating file failed, size: %d, error: %v", 1, &os.PathError{Op: "truncate", Path: databaseName, Err: syscall.ENOSPC})
		c.Errorf("committing failed: %v", described)
		return described
	})
	wantReason(t, problem("commit", err), agent.ReasonDiskFull)
	if !isFull(err) || !errors.Is(err, described) || err.Error() != described.Error() {
		t.Errorf("%v", err)
	}
	c.Errorf("%v", syscall.EIO)
	if err := c.behind(func() error { return described }); err != described {
		t.Errorf("a later failure inherits the cause: %v", err)
	}
}
