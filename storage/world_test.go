package storage

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// errCrash is what a test's hook panics with: the process died.
var errCrash = errors.New("the process died here")

// A world runs a store on a real directory, breaks one step of it, and knows what a disk would still hold if
// the power had gone: a file's bytes as of its last fsync, a directory's entries as of its last fsync.
type world struct {
	t   *testing.T
	dir string

	steps  int // steps seen
	failAt int // the step to break, from 1; 0: none
	mode   mode
	err    error // what a failing step says
	broken *step // what was broken

	entries  map[string]map[string]uint64 // directory → name → inode, as last synced
	contents map[uint64][]byte            // inode → bytes, as last synced
}

// A mode is how a step is broken.
type mode string

const (
	failsWithout mode = "fails, no effect"
	failsWith    mode = "fails, took effect"
	diesBefore   mode = "process dies before"
	diesAfter    mode = "process dies after"
)

func newWorld(t *testing.T, dir string) *world {
	return &world{t: t, dir: dir, err: syscall.EIO,
		entries: map[string]map[string]uint64{"": {}}, contents: map[uint64][]byte{}}
}

// disk is a disk whose steps pass through w.
func (w *world) disk() *disk { return &disk{hook: w.hook} }

func (w *world) hook(s step, do func() error) error {
	w.steps++
	if w.steps != w.failAt {
		err := do()
		w.took(s)
		return err
	}
	w.broken = &s
	if w.mode == failsWith || w.mode == diesAfter {
		if err := do(); err != nil {
			return err
		}
		w.took(s)
	}
	if w.mode == diesBefore || w.mode == diesAfter {
		panic(errCrash)
	}
	return &os.PathError{Op: string(s.op), Path: s.name, Err: w.err}
}

// took records what a step made durable.
func (w *world) took(s step) {
	path := filepath.Join(w.dir, s.name)
	switch s.op {
	case opCreate:
		w.contents[inode(w.t, path)] = nil // an inode's number may come back
	case opSync, opCommit:
		b, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) {
			return // unlinked while open
		}
		if err != nil {
			w.t.Fatal(err)
		}
		w.contents[inode(w.t, path)] = b
	case opSyncDir:
		w.entries[s.name] = listing(w.t, path)
	}
}

func inode(t *testing.T, path string) uint64 {
	t.Helper()
	info, err := os.Lstat(path)
	if err != nil {
		t.Fatal(err)
	}
	return info.Sys().(*syscall.Stat_t).Ino
}

func listing(t *testing.T, dir string) map[string]uint64 {
	t.Helper()
	names := map[string]uint64{}
	list, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range list {
		names[e.Name()] = inode(t, filepath.Join(dir, e.Name()))
	}
	return names
}

// adopt takes what is there as durable.
func (w *world) adopt(name string) {
	w.entries[name] = listing(w.t, filepath.Join(w.dir, name))
	for base, ino := range w.entries[name] {
		path := filepath.Join(name, base)
		if isDirectory(filepath.Join(w.dir, path)) {
			w.adopt(path)
			continue
		}
		b, err := os.ReadFile(filepath.Join(w.dir, path))
		must(w.t, err)
		w.contents[ino] = b
	}
}

// powerCut makes the directory as a disk may hold it after the power went. With r nil, all that was not synced
// is lost; else each size and sector is as it was last synced, or as it was last written, and so are the names,
// together: a rename is atomic.
func (w *world) powerCut(r *rand.Rand) string {
	to := fastDir(w.t)
	w.cutDir(to, "", r, r != nil && r.IntN(2) == 0)
	return to
}

func (w *world) cutDir(to, name string, r *rand.Rand, namesKept bool) {
	entries := w.entries[name]
	now := listing(w.t, filepath.Join(w.dir, name))
	if namesKept {
		entries = now
	}
	for base, ino := range entries {
		path := filepath.Join(name, base)
		if _, isDir := w.entries[path]; isDir || isDirectory(filepath.Join(w.dir, path)) {
			must(w.t, os.Mkdir(filepath.Join(to, path), 0o700))
			w.cutDir(to, path, r, namesKept)
			continue
		}
		b := w.contents[ino]
		if written, err := os.ReadFile(filepath.Join(w.dir, path)); r != nil && err == nil && now[base] == ino {
			b = tear(b, written, r)
		}
		must(w.t, os.WriteFile(filepath.Join(to, path), b, 0o600))
	}
}

func isDirectory(path string) bool {
	info, err := os.Lstat(path)
	return err == nil && info.IsDir()
}

// tear is a file of which some sectors are as synced and others as written.
func tear(synced, written []byte, r *rand.Rand) []byte {
	size := len(synced)
	if r.IntN(2) == 0 {
		size = len(written)
	}
	torn := make([]byte, size)
	for i := 0; i < size; i += 512 {
		end := min(i+512, size)
		from := synced
		if r.IntN(2) == 0 {
			from = written
		}
		if i < len(from) {
			copy(torn[i:end], from[i:min(end, len(from))])
		}
	}
	return torn
}

// fastDir is a directory of the test's own, in memory where the machine has such a place: these tests are many
// times faster there, and what a power cut leaves is worked out, not tried.
func fastDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "ota-agent-test-")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// attempt runs f until it ends or the process dies.
func attempt(f func() error) (err error) {
	defer func() {
		if r := recover(); r != nil && r != errCrash {
			panic(r)
		} else if r != nil {
			err = errCrash
		}
	}()
	return f()
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func wantBytes(t *testing.T, what string, got, want []byte) {
	t.Helper()
	if !bytes.Equal(got, want) {
		t.Errorf("%s: %d bytes, which are not the %d expected", what, len(got), len(want))
	}
}

func (s step) String() string { return fmt.Sprintf("%s %s", s.op, s.name) }
