package verifier_test

import (
	"errors"
	"testing"
	"time"

	"github.com/ota-agent/ota-agent/verifier"
	"github.com/ota-agent/ota-agent/verifier/tuftest"
)

// shipped makes the floors that an image ships: what a device holds that has seen the repository as it is.
func shipped(t *testing.T, repo *tuftest.Repository) verifier.Floors {
	t.Helper()
	device := tuftest.NewClient(repo)
	refreshed(t, device)
	return device.Store.Floors
}

// An image was made when the timestamp was at 7. Its device has no state at all, and a mirror that replays what is still
// signed and not expired.
func TestI_AnImageDemandsFloors(t *testing.T) {
	repo, client := newDevice()
	old := map[string][]byte{"timestamp": repo.TimestampFile(), "snapshot": repo.SnapshotFile()}
	repo.Timestamp.Version, repo.Snapshot.Version = 7, 5
	client.Minimum = shipped(t, repo)
	repo.Override["timestamp.json"] = answered(old["timestamp"])
	refused(t, client, verifier.Timestamp, verifier.ErrRollback)
	if client.Store.Floors.Timestamp.Version != 0 {
		t.Errorf("a demand alone became durable: %+v", client.Store.Floors)
	}
	clear(repo.Override)
	repo.Timestamp.Version, repo.Snapshot.Version = 8, 4
	refused(t, client, verifier.Timestamp, verifier.ErrRollback) // the snapshot's own floor
	repo.Snapshot.Version = 5
	refreshed(t, client)
	commits := client.Store.Commits
	refreshed(t, client)
	if client.Store.Commits != commits {
		t.Error("written again, though nothing is new")
	}
	if f := client.Store.Floors; f.Timestamp.Version != 8 || f.Snapshot.Version != 5 {
		t.Errorf("floors %+v", f)
	}
}

// What a device knows is not lowered by an image that was made before.
func TestI_ADemandLowersNothing(t *testing.T) {
	repo, client := newDevice()
	client.Minimum = shipped(t, repo)
	repo.Timestamp.Version = 9
	refreshed(t, client)
	client.Store.Documents = map[verifier.Key][]byte{}
	repo.Timestamp.Version = 8
	refused(t, client, verifier.Timestamp, verifier.ErrRollback)
}

// A thief has driven the timestamp up before the image was made. The root that revokes the key makes the demand void, for
// good: also once the new key has signed little.
func TestI_ADemandIsVoidWithItsKeys(t *testing.T) {
	repo, client := newDevice()
	repo.Timestamp.Version = 1000
	client.Minimum = shipped(t, repo)
	repo.Timestamp.Version = 2
	refused(t, client, verifier.Timestamp, verifier.ErrRollback)
	repo.Rotate(verifier.Timestamp, "fresh")
	repo.PublishRoot()
	refreshed(t, client)
	commits := client.Store.Commits
	refreshed(t, client)
	if client.Store.Commits != commits {
		t.Error("the demand is made void again and again")
	}
	if v := client.Store.Floors.Timestamp.Version; v != 2 {
		t.Errorf("the timestamp floor is %d", v)
	}
}

// The device trusts a later root than its image ships (it fell back to an older image, say): its own floors count.
func TestI_ADemandEndsWithALaterRoot(t *testing.T) {
	repo, client := newDevice()
	repo.Timestamp.Version = 50
	client.Minimum = shipped(t, repo)
	client.Store.Floors = verifier.Floors{}
	repo.Rotate(verifier.Timestamp, "fresh")
	repo.PublishRoot()
	repo.Timestamp.Version = 3
	refreshed(t, client) // without a refresh under the first root
	client.Store.Documents = map[verifier.Key][]byte{}
	refreshed(t, client)
}

func TestI_ADemandMustFitItsAnchor(t *testing.T) {
	repo, client := newDevice()
	good := shipped(t, repo)
	begin := func() *verifier.Refresh {
		r, err := verifier.Begin(client.Anchor, verifier.Floors{}, time.Now(), verifier.Limits{})
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	for name, c := range map[string]struct {
		spoil func(*verifier.Floors)
		want  error
	}{
		"as it was made":           {func(*verifier.Floors) {}, nil},
		"for another version":      {func(f *verifier.Floors) { f.RootVersion++ }, verifier.ErrVersionMismatch},
		"for another root":         {func(f *verifier.Floors) { f.RootSHA256[0]++ }, verifier.ErrHashMismatch},
		"signed by somebody else":  {func(f *verifier.Floors) { f.Timestamp.Signers = f.Snapshot.Signers }, verifier.ErrUnsigned},
		"signed by nobody":         {func(f *verifier.Floors) { f.Snapshot.Signers = nil }, verifier.ErrUnsigned},
		"no floor of the snapshot": {func(f *verifier.Floors) { f.Snapshot = verifier.Floor{} }, nil},
	} {
		f := good
		c.spoil(&f)
		if err := begin().Demand(f); !errors.Is(err, c.want) || (err == nil) != (c.want == nil) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
}
