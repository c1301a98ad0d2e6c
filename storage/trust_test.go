package storage

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/ota-agent/ota-agent/agent"
	"github.com/ota-agent/ota-agent/verifier"
	"github.com/ota-agent/ota-agent/verifier/tuftest"
)

// A keeper is a device with the real verifier and the real store, whose process can die after any step of the disk's.
type keeper struct {
	t      *testing.T
	dir    string
	client *tuftest.Client // its store is not used
	steps  int
	dieAt  int // the step after which the process dies, from 1; 0: none
	floors verifier.Floors
}

func newKeeper(t *testing.T, repo *tuftest.Repository) *keeper {
	return &keeper{t: t, dir: fastDir(t), client: tuftest.NewClient(repo)}
}

// refresh is one life of the process: open, refresh once, close. died: it was cut short.
func (k *keeper) refresh() (err error, died bool) {
	s := openT(k.t, k.dir)
	defer func() {
		if p := recover(); p != nil {
			if p != errCrash {
				panic(p)
			}
			died = true
		}
		s.disk.hook = nil
		k.floors = s.floors
		s.closeAll()
	}()
	s.disk.hook = func(_ step, do func() error) error {
		err := do()
		if k.steps++; k.steps == k.dieAt {
			panic(errCrash)
		}
		return err
	}
	st, err := s.Load()
	must(k.t, err)
	r, err := verifier.Begin(k.client.Anchor, st.Floors, k.client.Now, verifier.Limits{ReceiptBytes: 1})
	if err != nil {
		return err, false
	}
	answer := func(q verifier.Request) verifier.Answer {
		if q.Source == verifier.Remote {
			return k.client.Repo.Answer(q.Name)
		}
		b, err := s.Document(q.Key)
		switch {
		case errors.Is(err, agent.ErrAbsent):
			return verifier.Absent()
		case err != nil:
			return verifier.Failed(err)
		}
		return verifier.Bytes(b)
	}
	return verifier.Drive(r, answer, func(c verifier.Change) error { return s.Commit(agent.Change{Metadata: c}) }), false
}

func (k *keeper) loseDatabase() { must(k.t, os.Remove(filepath.Join(k.dir, databaseName))) }

// trustStory is a repository's life, in chapters. An attacker has the timestamp's and the snapshot's keys for a while and
// drives their versions up; the publisher rotates the keys and goes back down. Then the first root key is stolen, and
// revoked.
func trustStory() []func(*tuftest.Repository) {
	return []func(*tuftest.Repository){
		func(*tuftest.Repository) {},
		func(r *tuftest.Repository) { r.PublishRoot(); r.Publish(verifier.Targets) },
		func(r *tuftest.Repository) { r.Timestamp.Version, r.Snapshot.Version = 1000, 1000 },
		func(r *tuftest.Repository) {
			r.Rotate(verifier.Timestamp, "timestamp-2")
			r.Rotate(verifier.Snapshot, "snapshot-2")
			r.PublishRoot()
			r.Timestamp.Version, r.Snapshot.Version = 10, 10
		},
		func(r *tuftest.Repository) { r.Rotate(verifier.Root, "root-2"); r.PublishRoot(); r.PublishRoot() },
		func(r *tuftest.Repository) { r.Publish(verifier.Targets) },
	}
}

// TestTrustSurvivesEveryCut: after each step of the floors file and the database, and between the two, the process
// dies; then the database is lost, too, or it is not. Honest metadata is accepted at the next start, root never falls,
// what the attacker drove up is void once its keys are revoked and not before, and in the end a chain that the stolen,
// revoked root key forges is refused and leaves no trace.
func TestTrustSurvivesEveryCut(t *testing.T) {
	stride := 1
	if testing.Short() {
		stride = 7
	}
	for _, lost := range []bool{false, true} {
		cuts := 0
		for cut := 1; ; cut += stride {
			repo := tuftest.New()
			k := newKeeper(t, repo)
			k.dieAt = cut
			for i, chapter := range trustStory() {
				what := fmt.Sprintf("database lost %v, cut %d, chapter %d", lost, cut, i)
				chapter(repo)
				k.live(what, lost)
			}
			if k.floors.RootVersion != 5 || k.floors.Timestamp.Version != 11 || k.floors.Snapshot.Version != 11 {
				t.Fatalf("database lost %v, cut %d: floors %+v", lost, cut, k.floors)
			}
			k.resistsFork(fmt.Sprintf("database lost %v, cut %d", lost, cut))
			if k.steps < cut {
				break
			}
			cuts++
		}
		if cuts < 40/stride {
			t.Errorf("only %d cuts: the story did not happen", cuts)
		}
	}
}

// live refreshes, and again if the process died.
func (k *keeper) live(what string, lost bool) {
	k.t.Helper()
	before := k.floors
	err, died := k.refresh()
	if died {
		if k.floors.RootVersion < before.RootVersion {
			k.t.Fatalf("%s: the root floor fell from %d to %d", what, before.RootVersion, k.floors.RootVersion)
		}
		if lost {
			k.loseDatabase()
		}
		err, _ = k.refresh()
	}
	if err != nil {
		k.t.Fatalf("%s: honest metadata: %v", what, err)
	}
	rotated := k.floors.RootVersion > before.RootVersion
	if k.floors.RootVersion < before.RootVersion || !rotated && k.floors.Timestamp.Version < before.Timestamp.Version {
		k.t.Fatalf("%s: floors fell from %+v to %+v", what, before, k.floors)
	}
}

// resistsFork loses the database and meets a chain that the anchor's stolen key forged: refused, and the honest one is
// accepted again.
func (k *keeper) resistsFork(what string) {
	k.t.Helper()
	k.loseDatabase()
	honest, floors := k.client.Repo, k.floors
	evil := tuftest.New() // signs with the anchor's key
	evil.Rotate(verifier.Timestamp, "evil")
	for range 6 {
		evil.PublishRoot()
	}
	evil.Timestamp.Version, evil.Snapshot.Version = 2000, 2000
	k.client.Repo = evil
	if err, _ := k.refresh(); !errors.Is(err, verifier.ErrHashMismatch) {
		k.t.Fatalf("%s: the forged chain: %v", what, err)
	}
	if k.floors.RootVersion != floors.RootVersion || k.floors.RootSHA256 != floors.RootSHA256 || k.floors.Timestamp.Version != floors.Timestamp.Version {
		k.t.Fatalf("%s: the forged chain moved the floors to %+v", what, k.floors)
	}
	k.client.Repo = honest
	if err, _ := k.refresh(); err != nil {
		k.t.Fatalf("%s: the honest chain after the forged one: %v", what, err)
	}
}
