package storage

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/ota-agent/ota-agent/agent"
	"github.com/ota-agent/ota-agent/verifier"
)

func indexFloors(v int64) *verifier.Floors {
	return &verifier.Floors{RootVersion: 1, Index: map[string]verifier.Floor{"rootfs": {Version: v, Signers: signers(1)}}}
}

// A floors record that was written and not synced is read back by the next process of the same boot. The commits that it
// makes must not rest on it: the record is written again, since a sync alone does nothing after one that failed.
func TestUnsyncedFloorsAreNotBelieved(t *testing.T) {
	finish := agent.Change{Metadata: verifier.Change{Floors: indexFloors(2)},
		Records: []agent.Record{{Schema: 1, Component: "rootfs", Phase: agent.Idle}}}
	withoutFloors := agent.Change{Records: finish.Records} // the verifier asks for floors only where they change
	floorsAlone := agent.Change{Metadata: finish.Metadata}
	for name, again := range map[string]agent.Change{"the same again": finish, "without floors": withoutFloors, "floors alone": floorsAlone} {
		for _, m := range []mode{diesBefore, failsWithout} {
			t.Run(name+", "+string(m), func(t *testing.T) {
				w := newWorld(t, fastDir(t))
				s, err := open(w.dir, Options{}, w.disk())
				must(t, err)
				must(t, s.Commit(agent.Change{Metadata: verifier.Change{Floors: indexFloors(1)},
					Records: []agent.Record{{Schema: 1, Component: "rootfs", Phase: agent.Confirming}}}))
				w.failAt, w.mode, w.err = w.steps+2, m, syscall.EIO
				if err := attempt(func() error { return s.Commit(finish) }); err == nil || w.broken.String() != "sync floors" {
					t.Fatalf("broke %v: %v", w.broken, err)
				}
				s.disk.hook = nil
				s.Close()

				var steps []string
				s, err = open(w.dir, Options{}, &disk{hook: func(s step, do func() error) error {
					steps = append(steps, s.String())
					return w.hook(s, do)
				}})
				must(t, err)
				must(t, s.Commit(again))
				wrote, committed := slices.Index(steps, "write floors"), slices.Index(steps, "commit agent.db")
				if wrote < 0 || wrote > committed || !slices.Contains(steps[wrote:committed], "sync floors") {
					t.Errorf("steps: %q", steps)
				}
				must(t, s.Close())
				if got := loadT(t, openT(t, w.powerCut(nil))).Floors.Index["rootfs"].Version; got != 2 {
					t.Errorf("what was committed stands, its floor is %d", got)
				}
			})
		}
	}
}

// Writing the record again, torn anywhere, lowers nothing: neither where the disk had it, nor where it had not.
func TestRewrittenFloorsTorn(t *testing.T) {
	dir := fastDir(t)
	s := openT(t, dir)
	must(t, commitFloors(s, *indexFloors(1)))
	must(t, commitFloors(s, *indexFloors(2)))
	path := filepath.Join(dir, floorsName)
	before, err := os.ReadFile(path)
	must(t, err)
	must(t, commitFloors(s, *indexFloors(3)))
	payload, err := encodeFloors(s.floors)
	must(t, err)
	must(t, s.slots.rewrite(payload))
	after, err := os.ReadFile(path)
	must(t, err)
	must(t, s.Close())
	must(t, os.Remove(filepath.Join(dir, databaseName))) // and with it the copy
	d, err := openDir(&disk{}, dir, false)
	must(t, err)
	for cut := range after[:2*512+floorsSlot] { // behind that both are zero
		must(t, os.WriteFile(path, append(bytes.Clone(after[:cut]), before[cut:]...), 0o600))
		s, payload, err := openSlots(d, floorsName, floorsSlot, os.O_RDONLY, soundFloors)
		must(t, err)
		f, err := decodeFloors(payload)
		must(t, err)
		if f.Index["rootfs"].Version < 2 {
			t.Fatalf("cut at %d: %+v", cut, f)
		}
		must(t, s.close())
	}
}

// However little is committed after the database was lost, it holds a copy of the floors again.
func TestRebuiltDatabaseHoldsTheFloors(t *testing.T) {
	dir := fastDir(t)
	s := openT(t, dir)
	must(t, commitFloors(s, *indexFloors(5)))
	must(t, s.Close())
	must(t, os.WriteFile(filepath.Join(dir, databaseName), []byte("x"), 0o600))
	s = openT(t, dir)
	must(t, s.Commit(agent.Change{Device: &agent.DeviceState{Paused: true}}))
	must(t, s.Close())
	must(t, os.WriteFile(filepath.Join(dir, floorsName), []byte("x"), 0o600))
	st := loadT(t, openT(t, dir))
	if got := st.Floors.Index["rootfs"].Version; got != 5 {
		t.Errorf("floor %d, recovered %q", got, st.Recovered)
	}
}

// A record with a right checksum that is no floors is as damaged as one with a wrong one: the other counts.
func TestFloorsRecordThatIsNone(t *testing.T) {
	dir := fastDir(t)
	s := openT(t, dir)
	must(t, commitFloors(s, *indexFloors(5)))
	must(t, s.slots.write([]byte{floorsVersion, 1, 2, 3}))
	must(t, s.Close())
	s = openT(t, dir)
	if got := loadT(t, s).Floors.Index["rootfs"].Version; got != 5 {
		t.Errorf("floor %d", got)
	}
	must(t, commitFloors(s, *indexFloors(6)))
}

// Whoever opens the store for reading says what is so, not what a start would have done about it.
func TestReaderTellsOfMissingFloors(t *testing.T) {
	dir := fastDir(t)
	s := openT(t, dir)
	must(t, s.Commit(lifeChange(1)))
	must(t, s.dir.remove(floorsName))
	must(t, s.Close())
	s, err := OpenReadOnly(dir, Options{})
	must(t, err)
	defer s.Close()
	if got := loadT(t, s).Recovered; len(got) != 1 || strings.Contains(got[0], "made") || s.dir.has(floorsName) {
		t.Errorf("recovered: %q", got)
	}
}
