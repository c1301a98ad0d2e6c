package storage

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/ota-agent/ota-agent/agent"
)

// A state directory that is a link to a partition which did not mount is called that: "file exists" sends a
// person looking for a file.
func TestDanglingStateLinkIsNamed(t *testing.T) {
	for name, path := range map[string]string{"the directory itself": "state", "a directory above": "state/below/it"} {
		base := fastDir(t)
		target := filepath.Join(base, "data", "ota")
		must(t, os.Symlink(target, filepath.Join(base, "state")))
		_, err := Open(filepath.Join(base, path), Options{})
		wantReason(t, err, agent.ReasonStore)
		if text := err.Error(); !strings.Contains(text, "symbolic link") || !strings.Contains(text, target) || strings.Contains(text, "exists") {
			t.Errorf("%s: %v", name, err)
		}
		if left := listing(t, base); len(left) != 1 {
			t.Errorf("%s: it made %v", name, left)
		}
		must(t, os.MkdirAll(target, 0o700)) // the partition is there
		must(t, second(Open(filepath.Join(base, path), Options{})))
	}
}

// Something else comes to lie at the store's path while it is open: a partition that mounts late, or a
// directory that was put there. What is committed from then on nobody would find again, so nothing is.
func TestAStoreWhoseDirectoryIsCoveredCommitsNothing(t *testing.T) {
	cover := map[string]func(t *testing.T, path string){
		"by a mount": func(t *testing.T, path string) {
			if err := unix.Mount("tmpfs", path, "tmpfs", 0, "size=1m"); err != nil {
				t.Skipf("mounting needs root: %v", err)
			}
			t.Cleanup(func() { must(t, unix.Unmount(path, unix.MNT_DETACH)) })
		},
		"by another directory": func(t *testing.T, path string) {
			must(t, os.Rename(path, path+".old"))
			must(t, os.Mkdir(path, 0o700))
		},
		"by nothing": func(t *testing.T, path string) { must(t, os.Rename(path, path+".old")) },
	}
	for name, covered := range cover {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(fastDir(t), "state")
			s := openT(t, path)
			must(t, s.Commit(lifeChange(3)))
			must(t, s.Astray())
			covered(t, path)
			wantReason(t, s.Astray(), agent.ReasonStore)
			before := s.Counters()
			wantReason(t, s.Commit(lifeChange(4)), agent.ReasonStore)
			if after := s.Counters(); after != before {
				t.Errorf("it wrote: %+v, then %+v", before, after)
			}
			wantReason(t, second(s.Load()), agent.ReasonStore) // the process has to end
		})
	}
}

// A state that begins where nothing was is known as such for as long as its database lives; one that replaces
// a lost database is not.
func TestANewStateIsKnownAsNew(t *testing.T) {
	dir := fastDir(t)
	s := openT(t, dir)
	for range 2 { // neither a commit nor a start ends it
		if !loadT(t, s).New {
			t.Error("the state began empty and does not say so")
		}
		must(t, s.Commit(lifeChange(3)))
		must(t, s.Close())
		s = openT(t, dir)
	}
	if !loadT(t, s).New {
		t.Error("the state began empty and does not say so any more")
	}
	must(t, s.Close())
	must(t, os.WriteFile(filepath.Join(dir, databaseName), []byte("garbage"), 0o600))
	s = openT(t, dir)
	if st := loadT(t, s); st.New || len(st.Recovered) == 0 {
		t.Errorf("the database was lost, and the state calls itself new: %t, recovered %v", st.New, st.Recovered)
	}
	must(t, s.Close())
	must(t, os.Remove(filepath.Join(dir, databaseName)))
	for name := range listing(t, dir) {
		if strings.Contains(name, "corrupt") {
			must(t, os.Remove(filepath.Join(dir, name)))
		}
	}
	if s = openT(t, dir); loadT(t, s).New { // the floors are there
		t.Error("only the database is missing, and the state calls itself new")
	}
}
