package storage

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/ota-agent/ota-agent/agent"
	"github.com/ota-agent/ota-agent/verifier"
)

// ends runs what must not wait for locks that nobody will ever give back.
func ends(t *testing.T, what string, f func()) {
	t.Helper()
	done := make(chan struct{})
	go func() { f(); close(done) }()
	select {
	case <-done:
	case <-time.After(time.Minute):
		t.Fatalf("%s hangs", what)
	}
}

// A page that can't be read while the agent runs is a fault in the mapped file, wherever bbolt happens to be: here with its
// locks held. Each call says so from then on, nothing is called absent, and the process can end and begin again.
func TestFaultEndsTheDatabase(t *testing.T) {
	document := func(s *Store) error { return second(s.Document(verifier.Key{Role: verifier.Targets})) }
	load := func(s *Store) error { return second(s.Load()) }
	commit := func(s *Store) error { return s.Commit(lifeChange(5)) }
	nothing := func(s *Store) error { return s.Commit(agent.Change{}) }
	for name, first := range map[string]func(s *Store) error{"document": document, "load": load, "commit": commit} {
		t.Run(name, func(t *testing.T) {
			dir := fastDir(t)
			s, err := Open(dir, Options{}) // closed below, or it hangs
			must(t, err)
			must(t, s.Commit(lifeChange(3)))
			must(t, os.Truncate(filepath.Join(dir, databaseName), 0))
			for _, call := range []func(s *Store) error{first, document, load, commit, nothing} {
				ends(t, "a call", func() {
					err := call(s)
					wantReason(t, err, agent.ReasonStore)
					if errors.Is(err, agent.ErrAbsent) {
						t.Errorf("absent: %v", err)
					}
				})
			}
			ends(t, "Close", func() { must(t, s.Close()) })
			s = openT(t, dir)
			if st := loadT(t, s); len(st.Recovered) != 1 || st.Floors.RootVersion != 3 {
				t.Errorf("the next start: %+v", st)
			}
			must(t, s.Close())
		})
	}
}

// The same while the database is being made smaller, at start: each page is looked at again.
func TestFaultWhileCompacting(t *testing.T) {
	dir := fastDir(t)
	mostlyFree(t, dir)
	compacted := false
	ends(t, "Open", func() {
		s, err := open(dir, Options{}, &disk{hook: func(s step, do func() error) error {
			if s.op == opCommit && !compacted {
				compacted = true
				must(t, os.Truncate(filepath.Join(dir, databaseName), 0))
			}
			return do()
		}})
		must(t, err)
		if st := loadT(t, s); len(st.Recovered) != 1 || !compacted {
			t.Errorf("compacted: %t, recovered: %q", compacted, st.Recovered)
		}
		must(t, s.Close())
	})
}
