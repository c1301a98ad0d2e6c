package storage

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/ota-agent/ota-agent/agent"
)

const (
	ofRecords = "ecords of components are lost"
	ofFloors  = "begins again at its trust anchor"
)

// wantLoss opens dir as each start does until something is committed: what was lost is said by all of them, in this order, and
// by none after.
func wantLoss(t *testing.T, dir string, what ...string) {
	t.Helper()
	for range 2 {
		s := openT(t, dir)
		wantTold(t, s, what)
		must(t, s.Close())
	}
	s, err := OpenReadOnly(dir, Options{})
	must(t, err)
	wantTold(t, s, what)
	must(t, s.Close())
	s = openT(t, dir)
	must(t, s.Commit(agent.Change{Device: &agent.DeviceState{Paused: true}}))
	must(t, s.Close())
	if st := loadT(t, openT(t, dir)); st.Recovered != nil {
		t.Errorf("recovered, after a commit: %q", st.Recovered)
	}
}

func wantTold(t *testing.T, s *Store, what []string) {
	t.Helper()
	told := loadT(t, s).Recovered
	ok := len(told) == len(what)
	for i := range min(len(told), len(what)) {
		ok = ok && strings.Contains(told[i], what[i])
	}
	if !ok {
		t.Errorf("recovered: %q, expected %q", told, what)
	}
}

// A process that dies, or finds the disk full, at any step between finding the database damaged and having a new one.
func TestLossIsToldAfterACrash(t *testing.T) {
	for name, c := range map[string]struct {
		mode   mode
		err    error
		floors bool // are lost, too
	}{
		"killed": {diesAfter, nil, false}, "disk full": {failsWithout, syscall.ENOSPC, false},
		"killed, floors lost": {diesAfter, nil, true}, "disk full, floors lost": {failsWithout, syscall.ENOSPC, true},
	} {
		for at := 1; ; at++ {
			w := newWorld(t, fastDir(t))
			s := openT(t, w.dir)
			must(t, s.Commit(lifeChange(3)))
			must(t, s.dir.remove(reserveName))
			must(t, s.Close())
			must(t, os.WriteFile(filepath.Join(w.dir, databaseName), []byte("x"), 0o600))
			what, stepsMin := []string{ofRecords}, 7
			if c.floors {
				must(t, os.WriteFile(filepath.Join(w.dir, floorsName), []byte("x"), 0o600))
				what, stepsMin = []string{ofFloors, ofRecords}, 15
			}
			w.failAt, w.mode, w.err = at, c.mode, c.err
			err := attempt(func() error {
				s, err := open(w.dir, Options{}, w.disk())
				if err == nil {
					err = s.Close()
				}
				return err
			})
			t.Run(fmt.Sprintf("%s at step %d (%v)", name, at, w.broken), func(t *testing.T) {
				if s, err := OpenReadOnly(w.dir, Options{}); err == nil { // no start has come through yet
					if told := loadT(t, s).Recovered; c.floors && (len(told) != 2 || !strings.Contains(told[0], ofFloors)) {
						t.Errorf("before a start: %q, expected the floors first, and once", told)
					}
					must(t, s.Close())
				}
				wantLoss(t, w.dir, what...)
			})
			if err == nil {
				if at < stepsMin {
					t.Errorf("it took %d steps", at-1)
				}
				break
			}
		}
	}
}

// Where the sentence itself is damaged, the loss is told all the same.
func TestDamagedSentenceOfLoss(t *testing.T) {
	dir := fastDir(t)
	must(t, openT(t, dir).Close())
	must(t, os.Remove(filepath.Join(dir, databaseName)))
	must(t, openT(t, dir).Close())
	tamper(t, dir, bucketStore, keyLost, flipLast)
	wantLoss(t, dir, "the database was lost before")
}

// A database that somebody removed is missed where something shows that there was one.
func TestMissingDatabaseIsTold(t *testing.T) {
	for name, c := range map[string]struct{ remove, told []string }{
		"floors are there":                   {[]string{databaseName}, []string{ofRecords}},
		"one that was set aside":             {[]string{databaseName, floorsName}, []string{ofFloors, ofRecords}},
		"nothing is left, as in a new place": {[]string{databaseName, floorsName, corruptName(1)}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			dir := fastDir(t)
			s := openT(t, dir)
			must(t, s.Commit(lifeChange(3)))
			must(t, s.Close())
			must(t, os.WriteFile(filepath.Join(dir, corruptName(1)), nil, 0o600))
			for _, name := range c.remove {
				must(t, os.Remove(filepath.Join(dir, name)))
			}
			wantLoss(t, dir, c.told...)
		})
	}
}

// Where the floors are gone with every copy of them, that is what is told first, whatever else was lost.
func TestReturnToTheAnchorIsTold(t *testing.T) {
	for name, c := range map[string]struct {
		lose func(t *testing.T, dir string)
		told []string
	}{
		"database damaged": {func(t *testing.T, dir string) {
			must(t, os.WriteFile(filepath.Join(dir, databaseName), []byte("x"), 0o600))
		}, []string{ofFloors, ofRecords}},
		"database damaged a start ago": {func(t *testing.T, dir string) {
			must(t, os.WriteFile(filepath.Join(dir, databaseName), []byte("x"), 0o600))
			must(t, openT(t, dir).Close())
		}, []string{ofFloors, ofRecords}},
		"copy damaged": {func(t *testing.T, dir string) { tamper(t, dir, bucketFloors, keyCopy, flipLast) }, []string{ofFloors}},
	} {
		for how, loseFloors := range map[string]func(path string) error{
			"missing": os.Remove, "damaged": func(path string) error { return os.Truncate(path, 10) },
		} {
			t.Run(name+", floors "+how, func(t *testing.T) {
				dir := fastDir(t)
				s := openT(t, dir)
				must(t, s.Commit(lifeChange(3)))
				must(t, s.Close())
				c.lose(t, dir)
				must(t, loseFloors(filepath.Join(dir, floorsName)))
				if s, err := OpenReadOnly(dir, Options{}); err == nil { // before any start
					wantTold(t, s, c.told)
					must(t, s.Close())
				}
				wantLoss(t, dir, c.told...)
			})
		}
	}
}

// TestLossIsKeptOnce: a start that does not come to the new floors file leaves nothing to write to the next one that does not either.
func TestLossIsKeptOnce(t *testing.T) {
	w := newWorld(t, fastDir(t))
	s := openT(t, w.dir)
	must(t, s.Commit(lifeChange(3)))
	must(t, s.dir.remove(reserveName))
	must(t, s.Close())
	tamper(t, w.dir, bucketFloors, keyCopy, flipLast)
	must(t, os.WriteFile(filepath.Join(w.dir, floorsName), []byte("x"), 0o600))
	for _, commits := range []int{1, 0, 0} {
		n := 0
		_, err := open(w.dir, Options{}, &disk{hook: func(s step, do func() error) error {
			switch {
			case s.op == opCommit:
				n++
			case strings.HasPrefix(s.name, floorsName+"."):
				return syscall.ENOSPC
			}
			return do()
		}})
		wantReason(t, err, agent.ReasonDiskFull)
		if n != commits {
			t.Errorf("%d commits in a start that fails, expected %d", n, commits)
		}
	}
}
