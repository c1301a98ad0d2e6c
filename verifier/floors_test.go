package verifier_test

import (
	"errors"
	"fmt"
	"reflect"
	"testing"

	"github.com/ota-agent/ota-agent/verifier"
	"github.com/ota-agent/ota-agent/verifier/tuftest"
)

func TestI_FloorsRiseWithWhatIsAccepted(t *testing.T) {
	repo, client := newDevice()
	repo.Timestamp.Version, repo.Snapshot.Version = 5, 3
	refreshed(t, client)
	f := client.Store.Floors
	if f.RootVersion != 1 || f.Timestamp.Version != 5 || f.Snapshot.Version != 3 {
		t.Errorf("floors %+v", f)
	}
	if want := []verifier.KeyHash{tuftest.Ed25519("timestamp-1").Hash()}; !reflect.DeepEqual(f.Timestamp.Signers, want) {
		t.Errorf("signers %x", f.Timestamp.Signers)
	}
}

// What others keep in the floors comes through unchanged.
func TestI_TheIndexIsCarriedAlong(t *testing.T) {
	repo, client := newDevice()
	index := map[string]verifier.Floor{"rootfs": {Version: 7, Signers: []verifier.KeyHash{{1}}}, "app": {Version: 2}}
	client.Store.Floors.Index = index
	refresh := refreshed(t, client)
	if !reflect.DeepEqual(client.Store.Floors.Index, index) || !reflect.DeepEqual(refresh.Floors(), client.Store.Floors) {
		t.Errorf("floors %+v", client.Store.Floors)
	}
	repo.Rotate(verifier.Timestamp, "fresh")
	repo.PublishRoot()
	refreshed(t, client)
	if !reflect.DeepEqual(client.Store.Floors.Index, index) {
		t.Errorf("floors %+v", client.Store.Floors)
	}
	client.Store.Floors.Index["rootfs"].Signers[0][0] = 9
	if index["rootfs"].Signers[0][0] == 9 {
		t.Error("the floors share memory with what was passed to Begin")
	}
}

// The database is lost after each step of a story; the floors are kept. No older version is accepted.
func TestI_ALostDatabaseLowersNothing(t *testing.T) {
	repo, client := newDevice()
	for range 3 {
		before := map[string][]byte{"timestamp": repo.TimestampFile(), "snapshot": repo.SnapshotFile()}
		refreshed(t, client)
		repo.Publish(verifier.Targets)
		refreshed(t, client)
		client.Store.Documents = map[verifier.Key][]byte{}
		repo.Override["timestamp.json"] = answered(before["timestamp"])
		refused(t, client, verifier.Timestamp, verifier.ErrRollback)
		clear(repo.Override)
		// A timestamp of the right version that brings back the old snapshot: the snapshot's own floor holds.
		repo.Timestamp.Version++
		repo.Snapshot.Version--
		refused(t, client, verifier.Timestamp, verifier.ErrRollback)
		repo.Snapshot.Version++
		refreshed(t, client)
	}
}

// The floors file is lost; the database makes it good, once.
func TestI_LostFloorsAreMadeGoodFromTheDatabase(t *testing.T) {
	repo, client := newDevice()
	repo.PublishRoot()
	repo.Timestamp.Version, repo.Snapshot.Version = 5, 5
	refreshed(t, client)
	want := client.Store.Floors
	client.Store.Floors = verifier.Floors{}
	refreshed(t, client)
	if !reflect.DeepEqual(client.Store.Floors, want) {
		t.Errorf("floors %+v, want %+v", client.Store.Floors, want)
	}
	commits := client.Store.Commits
	refreshed(t, client)
	if client.Store.Commits != commits {
		t.Error("written again")
	}
}

// A floor holds as long as its keys would still meet the threshold, and is void after.
func TestI_AFloorIsVoidWhenItsKeysAreRevoked(t *testing.T) {
	for _, rotated := range []string{verifier.Timestamp, verifier.Snapshot} {
		repo, client := newDevice()
		repo.Timestamp.Version, repo.Snapshot.Version = 100, 100
		refreshed(t, client)
		client.Store.Documents = map[verifier.Key][]byte{}
		repo.Timestamp.Version, repo.Snapshot.Version = 2, 2
		refused(t, client, verifier.Timestamp, verifier.ErrRollback)
		repo.Grants[rotated].Keys = append(repo.Grants[rotated].Keys, tuftest.Ed25519("added"))
		repo.PublishRoot()
		refused(t, client, verifier.Timestamp, verifier.ErrRollback)
		repo.Grants[rotated].Threshold = 2
		repo.PublishRoot() // the floor's key alone does not meet the threshold any more
		refreshed(t, client)
	}
}

// Keys that left and came back were revoked in between, for floors too.
func TestI_AFloorIsJudgedAtEachRoot(t *testing.T) {
	repo, client := newDevice()
	repo.Timestamp.Version = 100
	refreshed(t, client)
	client.Store.Documents = map[verifier.Key][]byte{}
	repo.Rotate(verifier.Timestamp, "other")
	repo.PublishRoot()
	repo.Rotate(verifier.Timestamp, "timestamp-1")
	repo.PublishRoot()
	repo.Timestamp.Version = 2
	refreshed(t, client)
}

// A chain that is rebuilt from the anchor passes roots with older keys. Those say nothing about a younger floor.
func TestI_AFloorIsNotJudgedByOlderRoots(t *testing.T) {
	repo, client := newDevice()
	repo.PublishRoot()
	repo.Rotate(verifier.Timestamp, "newer")
	repo.PublishRoot()
	repo.Timestamp.Version = 100
	refreshed(t, client)
	client.Store.Documents = map[verifier.Key][]byte{}
	repo.Timestamp.Version = 99
	refused(t, client, verifier.Timestamp, verifier.ErrRollback)
}

// The stored timestamp is damaged and its key revoked: what it had promised is void with it, the snapshot too.
func TestI_ALostTimestampIsJudgedByItsFloor(t *testing.T) {
	repo, client := newDevice()
	repo.Timestamp.Version, repo.Snapshot.Version = 100, 100
	refreshed(t, client)
	client.Store.Documents[verifier.Key{Role: verifier.Timestamp}] = []byte("torn")
	repo.Timestamp.Version, repo.Snapshot.Version = 2, 2
	refused(t, client, verifier.Timestamp, verifier.ErrRollback)
	repo.Rotate(verifier.Timestamp, "fresh")
	repo.PublishRoot()
	refreshed(t, client)
}

// A new image brings a newer anchor, in which a key is rotated. The floors fall in a change of their own, before new ones
// rise: a store may insist that a floor of the same keys never falls.
func TestI_VoidFloorsBecomeDurableFirst(t *testing.T) {
	repo, client := newDevice()
	repo.Timestamp.Version, repo.Snapshot.Version = 100, 100
	refreshed(t, client)
	repo.Rotate(verifier.Timestamp, "fresh")
	client.Anchor = repo.PublishRoot()
	repo.Timestamp.Version, repo.Snapshot.Version = 2, 2
	refresh, err := verifier.Begin(client.Anchor, client.Store.Floors, client.Now, client.Limits)
	if err != nil {
		t.Fatal(err)
	}
	var floors []verifier.Floors
	err = verifier.Drive(refresh, func(q verifier.Request) verifier.Answer {
		if q.Source == verifier.Stored {
			return client.Store.Answer(q.Key)
		}
		return repo.Answer(q.Name)
	}, func(c verifier.Change) error {
		if c.Floors != nil {
			floors = append(floors, *c.Floors)
		}
		return client.Store.Commit(c)
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(floors) == 0 || floors[0].Timestamp.Version != 0 || floors[0].Snapshot.Version != 0 {
		t.Errorf("floors %+v", floors)
	}
}

// More keys than a floor keeps sign a role: the floor stays small, and nothing breaks.
func TestI_FloorsStaySmall(t *testing.T) {
	repo, client := newDevice()
	var keys []*tuftest.Key
	for i := range verifier.FloorSignersMax + 5 {
		keys = append(keys, tuftest.Ed25519(fmt.Sprint(i)))
	}
	grant(repo, verifier.Timestamp, 2, keys...)
	refreshed(t, client)
	if n := len(client.Store.Floors.Timestamp.Signers); n != verifier.FloorSignersMax {
		t.Errorf("%d signers", n)
	}
	client.Store.Documents = map[verifier.Key][]byte{}
	repo.Timestamp.Version = 5
	refreshed(t, client)
	repo.Timestamp.Version = 4
	refused(t, client, verifier.Timestamp, verifier.ErrRollback)
}

// The story of a repository, as changes one after the other. Versions only rise but where keys are rotated.
func chapters() []func(*tuftest.Repository) {
	return []func(*tuftest.Repository){
		func(*tuftest.Repository) {},
		func(r *tuftest.Repository) { r.Targets().Add("x", []byte("v2")); r.Publish(verifier.Targets) },
		func(r *tuftest.Repository) { r.PublishRoot() },
		func(r *tuftest.Repository) {
			r.Delegate(verifier.Targets, tuftest.Delegation{Name: "d", Paths: []string{"*"}})
			r.Publish(verifier.Targets)
		},
		func(r *tuftest.Repository) { r.Timestamp.Version, r.Snapshot.Version = 1000, 1000 },
		func(r *tuftest.Repository) {
			r.Rotate(verifier.Timestamp, "timestamp-2")
			r.PublishRoot()
			r.Timestamp.Version, r.Snapshot.Version = 10, 10
		},
		func(r *tuftest.Repository) { r.Rotate(verifier.Root, "root-2"); r.PublishRoot(); r.PublishRoot() },
		func(r *tuftest.Repository) { r.Publish(verifier.Targets, "d") },
		func(r *tuftest.Repository) {
			r.Rotate(verifier.Targets, "targets-2")
			r.Rotate(verifier.Snapshot, "snapshot-2")
			r.PublishRoot()
			r.Publish(verifier.Targets)
		},
	}
}

// The power is cut at every step of every commit of the story; with and without losing the database there. The
// device converges each time, root never goes back, and in the end it trusts what one without an accident trusts.
func TestI_PowerCutAtEveryStep(t *testing.T) {
	unharmed := unharmedStore(t)
	for _, lost := range []bool{false, true} {
		for cut := 1; ; cut++ {
			repo, client := newDevice()
			client.Limits.ReceiptBytes = 1
			step := 0
			client.Store.Crash = func(string) bool { step++; return step == cut }
			for i, chapter := range chapters() {
				chapter(repo)
				root := client.Store.Floors.RootVersion
				_, err := client.Refresh()
				if errors.Is(err, tuftest.ErrCrash) {
					if lost {
						client.Store.Documents = map[verifier.Key][]byte{}
					}
					_, err = client.Refresh()
				}
				if err != nil {
					t.Fatalf("cut %d, chapter %d: %v", cut, i, err)
				}
				if client.Store.Floors.RootVersion < root {
					t.Fatalf("cut %d, chapter %d: root went from %d to %d", cut, i, root, client.Store.Floors.RootVersion)
				}
			}
			wantSame(t, fmt.Sprintf("cut %d", cut), client.Store, unharmed)
			if step < cut {
				break
			}
		}
	}
}

// unharmedStore is what a device keeps that lived through the story without an accident.
func unharmedStore(t *testing.T) *tuftest.Store {
	t.Helper()
	repo, client := newDevice()
	client.Limits.ReceiptBytes = 1
	for _, chapter := range chapters() {
		chapter(repo)
		refreshed(t, client)
	}
	return client.Store
}

func wantSame(t *testing.T, accident string, harmed, unharmed *tuftest.Store) {
	t.Helper()
	if !reflect.DeepEqual(harmed.Floors, unharmed.Floors) {
		t.Errorf("%s: floors %+v, want %+v", accident, harmed.Floors, unharmed.Floors)
	}
	for key, raw := range unharmed.Documents {
		if string(harmed.Documents[key]) != string(raw) {
			t.Errorf("%s: stored %+v differs", accident, key)
		}
	}
}

// A commit fails, but took effect after all: the refresh ends, and the next one goes on.
func TestI_ACommitWithAnUnknownOutcome(t *testing.T) {
	repo, client := newDevice()
	repo.PublishRoot()
	refresh, err := verifier.Begin(client.Anchor, client.Store.Floors, client.Now, client.Limits)
	if err != nil {
		t.Fatal(err)
	}
	unknown := errors.New("unknown outcome")
	err = verifier.Drive(refresh, func(q verifier.Request) verifier.Answer {
		if q.Source == verifier.Stored {
			return client.Store.Answer(q.Key)
		}
		return repo.Answer(q.Name)
	}, func(c verifier.Change) error { return errors.Join(client.Store.Commit(c), unknown) })
	if !errors.Is(err, unknown) {
		t.Errorf("got %v", err)
	}
	repo.Asked()
	refreshed(t, client)
	wantAsked(t, repo, "3.root.json", "timestamp.json", "1.snapshot.json", "1.targets.json")
}
