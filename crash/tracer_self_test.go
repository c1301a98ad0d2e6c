//go:build linux && amd64

package crash

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// traceShell runs a script below dir with faults.
func traceShell(t *testing.T, dir, script string, faults ...fault) *tracer {
	t.Helper()
	out, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	must(t, err)
	defer out.Close()
	tr := &tracer{dirs: []string{dir}, hooks: true, faults: faults}
	must(t, tr.start([]string{"/bin/sh", "-c", "cd " + dir + " && " + script}, os.Environ(), out))
	<-tr.done
	must(t, tr.err)
	return tr
}

func listing(t *testing.T, dir string) string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	must(t, err)
	var names []string
	for _, e := range entries {
		b, err := os.ReadFile(filepath.Join(dir, e.Name()))
		must(t, err)
		names = append(names, e.Name()+"="+strings.TrimSpace(string(b)))
	}
	return strings.Join(names, " ")
}

// The tracer strikes at exactly the call that it says, also in a child of the program, and nothing happens after it.
func TestTracerStrikesExactly(t *testing.T) {
	const script = "echo one >a; mv a b; rm b; echo two >c"
	// What is there after each call.
	states := []string{"", "a=", "a=one", "b=one", "", "c=", "c=two"}
	names := []string{"openat", "write", "renameat2", "unlinkat", "openat", "write"}
	for n := 1; n <= len(names); n++ {
		for _, x := range []struct {
			how  how
			want string
		}{{diesBefore, states[n-1]}, {diesAfter, states[n]}} {
			dir := shortDir(t)
			tr := traceShell(t, dir, script, fault{at: n, how: x.how})
			calls, struck := tr.seen()
			if got := listing(t, dir); got != x.want || struck != 1 || len(calls) != n || calls[n-1].name != names[n-1] {
				t.Errorf("%s %d: %q is there, want %q; calls %v", x.how, n, got, x.want, calls)
			}
		}
	}
}

// A call that is made to fail is not made, and the program sees the error.
func TestTracerFailsACall(t *testing.T) {
	dir := shortDir(t)
	tr := traceShell(t, dir, "echo one >a; mv a b || echo $? >c", fault{at: 3, how: fails, with: unix.ENOSPC})
	calls, _ := tr.seen()
	if got := listing(t, dir); got != "a=one c=1" {
		t.Errorf("%q is there; calls %v", got, calls)
	}
	failed := slices.IndexFunc(calls, func(c call) bool { return c.errno == unix.ENOSPC })
	if failed != 2 || calls[2].agent || !calls[0].agent || calls[1].bytes != 4 {
		t.Errorf("calls %+v", calls)
	}
}

// Of two faults each strikes its own call.
func TestTracerStrikesTwice(t *testing.T) {
	dir := shortDir(t)
	tr := traceShell(t, dir, "echo one >a; mv a b || echo two >c; echo three >d",
		fault{at: 5, how: diesBefore}, fault{at: 3, how: fails, with: unix.EIO})
	calls, struck := tr.seen()
	if got := listing(t, dir); got != "a=one c=" || struck != 2 || calls[2].errno != unix.EIO || tr.status.Signal() != unix.SIGKILL {
		t.Errorf("%q is there, %d faults struck; calls %v", got, struck, calls)
	}
}

// A file that is mapped for writing is noticed.
func TestTracerSeesMappings(t *testing.T) {
	args := [6]uint64{0, 4096, unix.PROT_READ | unix.PROT_WRITE, unix.MAP_SHARED, ^uint64(0), 0}
	if !kinds[unix.SYS_MMAP].changes(0, args) {
		t.Error("a shared, writable mapping of a file does not count as a change")
	}
	args[3] = unix.MAP_PRIVATE
	if kinds[unix.SYS_MMAP].changes(0, args) {
		t.Error("a private mapping counts as a change")
	}
}
