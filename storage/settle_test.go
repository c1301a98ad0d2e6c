package storage

import (
	"bytes"
	"math/rand/v2"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/ota-agent/ota-agent/agent"
	"github.com/ota-agent/ota-agent/verifier"
)

// A halfCommit is a database whose last commit wrote its root page and did not sync it: processes of the same boot read
// it, and the disk still has the one of before.
type halfCommit struct {
	t    *testing.T
	dir  string
	disk []byte // what the disk has of agent.db
	// clean: the sync of that page failed, so that the kernel writes it again only if somebody else does.
	clean     bool
	rewritten bool
}

// commitHalf commits last and gives the disk all of it but its root page.
func commitHalf(t *testing.T, s *Store, last agent.Change, clean bool) *halfCommit {
	h := &halfCommit{t: t, dir: s.dir.path, clean: clean}
	before := h.read()
	must(t, s.Commit(last))
	must(t, s.Close())
	h.disk = h.read()
	copy(h.disk, before[:2*pageSize])
	return h
}

func (h *halfCommit) read() []byte {
	b, err := os.ReadFile(filepath.Join(h.dir, databaseName))
	must(h.t, err)
	return b
}

// open is the next process, whose syncs reach the disk.
func (h *halfCommit) open() *Store {
	s, err := open(h.dir, Options{}, &disk{hook: func(s step, do func() error) error {
		err := do()
		if s.name == databaseName {
			h.rewritten = h.rewritten || s.op == opWrite
			if s.op == opSync && (h.rewritten || !h.clean) {
				h.disk = h.read()
			}
		}
		return err
	}})
	must(h.t, err)
	return s
}

// cut is the store after the power went.
func (h *halfCommit) cut() *Store {
	dir := copyDir(h.t, h.dir)
	must(h.t, os.WriteFile(filepath.Join(dir, databaseName), h.disk, 0o600))
	return openT(h.t, dir)
}

// halves runs a test for both ways in which a root page stays in the page cache.
func halves(t *testing.T, test func(t *testing.T, clean bool)) {
	t.Run("killed before the sync", func(t *testing.T) { test(t, false) })
	t.Run("the sync failed", func(t *testing.T) { test(t, true) })
}

// The first commit of a process reuses pages of the tree before the last. Until the last is durable the disk needs them.
func TestUnsyncedCommitIsNotBuiltUpon(t *testing.T) {
	halves(t, func(t *testing.T, clean bool) {
		for round := range uint64(50) {
			s := openT(t, fastDir(t))
			must(t, s.Commit(lifeChange(1)))
			must(t, s.Commit(lifeChange(3)))
			h := commitHalf(t, s, lifeChange(4), clean)
			s = h.open()
			must(t, s.Commit(lifeChange(5)))
			must(t, s.Close())
			// The power goes in that commit: any sector of its pages may be there, but not yet its root page.
			h.tear(rand.New(rand.NewPCG(round, 0)))
			if st := loadT(t, h.cut()); st.Records["rootfs"].Attempts != 4 || st.Recovered != nil {
				t.Fatalf("round %d: record %d, recovered %q", round, st.Records["rootfs"].Attempts, st.Recovered)
			}
		}
	})
}

// The same within one process: a file system that finds room late says that it is full only when the root page is synced, and
// what runs once more without the reserve is the next commit.
func TestUnsyncedCommitIsNotRetriedUpon(t *testing.T) {
	for round := range uint64(50) {
		h := &halfCommit{t: t, dir: fastDir(t), clean: true}
		s := openT(t, h.dir)
		must(t, s.Commit(lifeChange(1)))
		must(t, s.Commit(lifeChange(3)))
		tries := 0
		s.disk.hook = func(step step, do func() error) error {
			before := h.read()
			err := do()
			switch {
			case step.name != databaseName:
			case step.op == opWrite:
				h.rewritten = true
			case step.op == opSync && h.rewritten:
				h.disk = h.read()
			case step.op == opCommit:
				if tries++; tries == 1 {
					h.disk = h.read()
					copy(h.disk, before[:2*pageSize])
					return syscall.ENOSPC
				}
			}
			return err
		}
		must(t, s.Commit(lifeChange(4)))
		must(t, s.Close())
		if tries != 2 {
			t.Fatalf("%d tries", tries)
		}
		h.tear(rand.New(rand.NewPCG(round, 0))) // the power goes in the second one
		if st := loadT(t, h.cut()); st.Records["rootfs"].Attempts < 3 || st.Recovered != nil {
			t.Fatalf("round %d: record %d, recovered %q", round, st.Records["rootfs"].Attempts, st.Recovered)
		}
	}
}

// tear puts some sectors of what was written since onto the disk.
func (h *halfCommit) tear(r *rand.Rand) {
	written := h.read()
	h.disk = append(bytes.Clone(h.disk), make([]byte, max(0, len(written)-len(h.disk)))...)
	for i := 2 * pageSize; i < len(written); i += 512 {
		if r.IntN(2) == 0 {
			copy(h.disk[i:i+512], written[i:])
		}
	}
}

// The agent boots, confirms and rejects because of what Load found, before it commits anything.
func TestUnsyncedRecordIsNotActedUpon(t *testing.T) {
	halves(t, func(t *testing.T, clean bool) {
		s := openT(t, fastDir(t))
		must(t, s.Commit(lifeChange(1)))
		h := commitHalf(t, s, agent.Change{Records: []agent.Record{{Schema: 1, Component: "rootfs", Phase: agent.Confirming}}}, clean)
		s = h.open()
		found := loadT(t, s).Records["rootfs"].Phase
		if left := loadT(t, h.cut()).Records["rootfs"].Phase; left != found {
			t.Errorf("the agent found %q and acted, after a power cut it finds %q", found, left)
		}
		must(t, s.Close())
	})
}

// The file of a replaced document goes only when the disk knows of the new one.
func TestUnsyncedCommitSweepsNothing(t *testing.T) {
	halves(t, func(t *testing.T, clean bool) {
		s := openT(t, fastDir(t))
		must(t, s.Commit(lifeChange(1)))
		before := copyDir(t, s.dir.path)
		last := lifeChange(3)
		last.Records[0].Phase = agent.Idle
		h := commitHalf(t, s, last, clean)
		restoreFiles(t, filepath.Join(before, "meta"), filepath.Join(h.dir, "meta")) // the process died before it swept
		s = h.open()
		if names := listing(t, filepath.Join(h.dir, "meta")); len(names) != 0 {
			t.Errorf("orphans: %v", names)
		}
		_, err := h.cut().Document(verifier.Key{Role: verifier.Targets})
		must(t, err)
		must(t, s.Close())
	})
}

// A name that was not synced is seen by the next process, and gone after a power cut: here after each step of a start and a
// commit at which a process can die. What the next process commits is there all the same.
func TestUnsyncedNamesAreNotBuiltUpon(t *testing.T) {
	starts := map[string]func(t *testing.T, dir string){"a database to be made smaller": mostlyFree}
	for name, begin := range beginnings() {
		starts[name] = begin
	}
	for name, begin := range starts {
		t.Run(name, func(t *testing.T) {
			for at := 1; ; at++ {
				w := newWorld(t, fastDir(t))
				begin(t, w.dir)
				w.adopt("")
				w.failAt, w.mode = at, diesBefore
				var s *Store
				_ = attempt(func() (err error) {
					if s, err = open(w.dir, Options{}, w.disk()); err == nil {
						err = s.Commit(lifeChange(6))
					}
					return err
				})
				if s != nil {
					s.closeAll()
				}
				if w.broken == nil {
					break
				}
				s, err := open(w.dir, Options{}, w.disk())
				must(t, err)
				must(t, s.Commit(lifeChange(6)))
				must(t, s.Close())
				s = openT(t, w.powerCut(nil))
				st := loadT(t, s)
				if st.Records["rootfs"].Attempts != 6 || st.Floors.RootVersion != 6 {
					t.Errorf("died before step %d (%v), then the power went: %+v", at, w.broken, st)
				}
				if _, err := s.Document(verifier.Key{Role: verifier.Targets}); err != nil {
					t.Errorf("died before step %d (%v), then the power went: %v", at, w.broken, err)
				}
				must(t, s.Close())
			}
		})
	}
}

// mostlyFree leaves a database that the next start makes smaller.
func mostlyFree(t *testing.T, dir string) {
	s := openT(t, dir)
	role := verifier.Document{Key: verifier.Key{Role: "large"}, Bytes: make([]byte, inlineBytesMax)}
	var full agent.Change
	for i := range int64(100) {
		role.Key.Version = i
		full.Metadata.Put = append(full.Metadata.Put, role)
		full.Metadata.Drop = append(full.Metadata.Drop, role.Key)
	}
	must(t, s.Commit(full))
	must(t, s.Commit(agent.Change{Metadata: verifier.Change{Drop: full.Metadata.Drop}}))
	must(t, s.Close())
}
