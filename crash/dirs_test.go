//go:build linux && amd64

package crash

import (
	"os"
	"testing"
)

// memoryDir is a file system in memory on nearly every Linux.
const memoryDir = "/dev/shm"

// shortDir is an empty directory that is removed after the test: in memory if possible, since thousands of fsyncs are
// made, and with a short path, since a Unix socket lies in it.
func shortDir(t *testing.T) string {
	t.Helper()
	where := memoryDir
	if info, err := os.Stat(where); err != nil || !info.IsDir() {
		where = ""
	}
	dir, err := os.MkdirTemp(where, "ota")
	if err != nil {
		dir, err = os.MkdirTemp("", "ota")
	}
	must(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
