package storage

import (
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/ota-agent/ota-agent/agent"
)

// wantLoss opens dir as each start does until something is committed: that records were lost is said by all of them, and
// by none after.
func wantLoss(t *testing.T, dir string) {
	t.Helper()
	for range 2 {
		s := openT(t, dir)
		if st := loadT(t, s); len(st.Recovered) != 1 || len(st.Records) != 0 {
			t.Errorf("records are lost; recovered: %q", st.Recovered)
		}
		must(t, s.Close())
	}
	s, err := OpenReadOnly(dir, Options{})
	must(t, err)
	if st := loadT(t, s); len(st.Recovered) != 1 {
		t.Errorf("opened for reading; recovered: %q", st.Recovered)
	}
	must(t, s.Close())
	s = openT(t, dir)
	must(t, s.Commit(agent.Change{Device: &agent.DeviceState{Paused: true}}))
	must(t, s.Close())
	if st := loadT(t, openT(t, dir)); st.Recovered != nil {
		t.Errorf("recovered, after a commit: %q", st.Recovered)
	}
}

// A process that dies, or finds the disk full, at any step between finding the database damaged and having a new one.
func TestLossIsToldAfterACrash(t *testing.T) {
	for name, c := range map[string]struct {
		mode mode
		err  error
	}{"killed": {diesAfter, nil}, "disk full": {failsWithout, syscall.ENOSPC}} {
		for at := 1; ; at++ {
			w := newWorld(t, fastDir(t))
			s := openT(t, w.dir)
			must(t, s.Commit(lifeChange(3)))
			must(t, s.dir.remove(reserveName))
			must(t, s.Close())
			must(t, os.WriteFile(filepath.Join(w.dir, databaseName), []byte("x"), 0o600))
			w.failAt, w.mode, w.err = at, c.mode, c.err
			err := attempt(func() error {
				s, err := open(w.dir, Options{}, w.disk())
				if err == nil {
					err = s.Close()
				}
				return err
			})
			t.Run(fmt.Sprintf("%s at step %d (%v)", name, at, w.broken), func(t *testing.T) { wantLoss(t, w.dir) })
			if err == nil {
				if at < 7 {
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
	wantLoss(t, dir)
}

// A database that somebody removed is missed where something shows that there was one.
func TestMissingDatabaseIsTold(t *testing.T) {
	for name, remove := range map[string][]string{
		"floors are there":                   {databaseName},
		"one that was set aside":             {databaseName, floorsName},
		"nothing is left, as in a new place": {databaseName, floorsName, corruptName(1)},
	} {
		t.Run(name, func(t *testing.T) {
			dir := fastDir(t)
			s := openT(t, dir)
			must(t, s.Commit(lifeChange(3)))
			must(t, s.Close())
			must(t, os.WriteFile(filepath.Join(dir, corruptName(1)), nil, 0o600))
			for _, name := range remove {
				must(t, os.Remove(filepath.Join(dir, name)))
			}
			if len(remove) < 3 {
				wantLoss(t, dir)
			} else if st := loadT(t, openT(t, dir)); st.Recovered != nil {
				t.Errorf("recovered: %q", st.Recovered)
			}
		})
	}
}
