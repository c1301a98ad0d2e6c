package verifier_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/ota-agent/ota-agent/verifier"
	"github.com/ota-agent/ota-agent/verifier/tuftest"
)

func TestD1_TheTimestampHasAPlainNameAndACap(t *testing.T) {
	for _, consistent := range []bool{true, false} {
		repo, client := newDevice()
		repo.Consistent = consistent
		repo.PublishRoot()
		repo.Timestamp.Edit = set("x", strings.Repeat("x", 17_000))
		refused(t, client, verifier.Timestamp, verifier.ErrLimitExceeded)
		wantAsked(t, repo, "2.root.json", "3.root.json", "timestamp.json")
		client.Limits.TimestampBytes = 20_000
		refreshed(t, client)
	}
}

func TestD2_TheTimestampNeedsRootsThreshold(t *testing.T) {
	for name, by := range map[string][]*tuftest.Key{
		"stranger": ed25519s("stranger"), "snapshot's key": ed25519s("snapshot-1"), "root's key": ed25519s("root-1"), "nobody": {}} {
		repo, client := newDevice()
		repo.Timestamp.By = by
		refused(t, client, verifier.Timestamp, verifier.ErrUnsigned)
		wantStored(t, client, verifier.Timestamp, 0)
		_ = name
	}
}

func TestD3_ALowerVersionIsRefusedAnEqualOneKeepsTheOld(t *testing.T) {
	repo, client := newDevice()
	repo.Timestamp.Version = 5
	refreshed(t, client)
	old := client.Store.Role(verifier.Timestamp)
	repo.Timestamp.Version = 4
	wantUnchanged(t, client, func() { refused(t, client, verifier.Timestamp, verifier.ErrRollback) })
	// Equal, and properly signed, but with other content.
	repo.Timestamp.Version = 5
	repo.Snapshot.Version = 100
	repo.Asked()
	commits := client.Store.Commits
	refreshed(t, client)
	wantAsked(t, repo, "2.root.json", "timestamp.json")
	if !bytes.Equal(client.Store.Role(verifier.Timestamp), old) || client.Store.Commits != commits {
		t.Error("a timestamp of an equal version was written")
	}
}

// The refresh was cut off between timestamp and snapshot. The next one finds the same timestamp and goes on.
func TestD3_AnEqualVersionGoesOnWithWhatIsMissing(t *testing.T) {
	repo, client := updatedDevice(t)
	repo.Publish(verifier.Targets)
	repo.Override["2.snapshot.json"] = func() verifier.Answer { return verifier.Failed(errors.New("link lost")) }
	if _, err := client.Refresh(); err == nil {
		t.Fatal("the refresh went on")
	}
	wantStored(t, client, verifier.Timestamp, 2)
	wantStored(t, client, verifier.Snapshot, 1)
	clear(repo.Override)
	repo.Asked()
	refreshed(t, client)
	wantAsked(t, repo, "2.root.json", "timestamp.json", "2.snapshot.json", "2.targets.json")
}

func TestD4_ALowerSnapshotVersionIsRefusedBeforeItIsAskedFor(t *testing.T) {
	repo, client := newDevice()
	repo.Snapshot.Version = 7
	refreshed(t, client)
	repo.Asked()
	repo.Timestamp.Version, repo.Snapshot.Version = 2, 6
	wantUnchanged(t, client, func() { refused(t, client, verifier.Timestamp, verifier.ErrRollback) })
	wantAsked(t, repo, "2.root.json", "timestamp.json")
}

// What a trusted timestamp promised counts, had the snapshot itself never arrived.
func TestD4_APromisedSnapshotVersionIsRemembered(t *testing.T) {
	repo, client := newDevice()
	repo.Snapshot.Version = 7
	repo.Override["7.snapshot.json"] = verifier.Absent
	refused(t, client, verifier.Snapshot, verifier.ErrAbsent)
	repo.Timestamp.Version, repo.Snapshot.Version = 2, 6
	refused(t, client, verifier.Timestamp, verifier.ErrRollback)
}

func TestD5_AnExpiredTimestampIsNotPersisted(t *testing.T) {
	repo, client := updatedDevice(t)
	for _, expires := range []time.Time{client.Now, client.Now.Add(-time.Second), tuftest.Start().Add(-1000 * day)} {
		repo.Timestamp.Version = 2
		repo.Timestamp.Expires = expires
		wantUnchanged(t, client, func() { refused(t, client, verifier.Timestamp, verifier.ErrExpired) })
	}
	repo.Timestamp.Expires = client.Now.Add(time.Second)
	refreshed(t, client)
}

func TestD6_AnExpiredStoredTimestampIsStillTheBaseline(t *testing.T) {
	repo, client := newDevice()
	repo.Timestamp.Version = 5
	repo.Timestamp.Expires = tuftest.Start().Add(day)
	refreshed(t, client)
	client.Now = tuftest.Start().Add(2 * day)
	refused(t, client, verifier.Timestamp, verifier.ErrExpired) // frozen
	repo.Timestamp.Version, repo.Timestamp.Expires = 4, tuftest.Start().Add(10*day)
	refused(t, client, verifier.Timestamp, verifier.ErrRollback)
	repo.Timestamp.Version = 6
	refreshed(t, client)
}

// Whatever is wrong with the new timestamp, the store stays as it was, and the next honest one is accepted.
func TestD7_ARefusedTimestampLeavesTheStoreAsItWas(t *testing.T) {
	spoils := map[string]func(*tuftest.Repository){
		"unsigned":       func(r *tuftest.Repository) { r.Timestamp.By = ed25519s("stranger") },
		"expired":        func(r *tuftest.Repository) { r.Timestamp.Expires = tuftest.Start() },
		"malformed":      func(r *tuftest.Repository) { r.Timestamp.Edit = without("meta") },
		"older":          func(r *tuftest.Repository) { r.Timestamp.Version = 1 },
		"snapshot older": func(r *tuftest.Repository) { r.Snapshot.Version = 1 },
		"snapshot too long": func(r *tuftest.Repository) {
			r.Timestamp.Edit = nil
			r.Timestamp.Tamper = func(b []byte) []byte { return append(b, make([]byte, 20_000)...) }
		},
	}
	for name, spoil := range spoils {
		t.Run(name, func(t *testing.T) {
			repo, client := newDevice()
			repo.Timestamp.Version, repo.Snapshot.Version = 3, 3
			refreshed(t, client)
			repo.Timestamp.Version, repo.Snapshot.Version = 9, 9
			spoil(repo)
			wantUnchanged(t, client, func() {
				if _, err := client.Refresh(); err == nil {
					t.Error("accepted")
				}
			})
			repo.Timestamp.By, repo.Timestamp.Edit, repo.Timestamp.Tamper = nil, nil, nil
			repo.Timestamp.Expires = tuftest.Start().Add(day)
			repo.Timestamp.Version, repo.Snapshot.Version = 4, 4
			refreshed(t, client)
		})
	}
}
