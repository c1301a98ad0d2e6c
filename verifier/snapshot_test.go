package verifier_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/ota-agent/ota-agent/verifier"
	"github.com/ota-agent/ota-agent/verifier/tuftest"
)

// metaOf edits the entry of a file in timestamp or snapshot.
func metaOf(file string, change func(entry tuftest.Object)) func(tuftest.Object) {
	return func(signed tuftest.Object) { change(object(signed, "meta", file)) }
}

func TestE1_TheSnapshotsCapIsStatedOrTheLimit(t *testing.T) {
	repo, client := newDevice()
	repo.MetaHashes = true
	refreshed(t, client)

	// Longer than stated.
	repo, client = newDevice()
	repo.Timestamp.Edit = metaOf("snapshot.json", set("length", 10))
	refused(t, client, verifier.Snapshot, verifier.ErrLimitExceeded)
	// Shorter than stated.
	repo.Timestamp.Version++
	repo.Timestamp.Edit = metaOf("snapshot.json", set("length", 100_000))
	refused(t, client, verifier.Snapshot, verifier.ErrLengthMismatch)
	// Stated, and absurd: refused before it is asked for.
	repo.Timestamp.Version++
	repo.Timestamp.Edit = metaOf("snapshot.json", set("length", int64(1)<<40))
	repo.Asked()
	refused(t, client, verifier.Snapshot, verifier.ErrLimitExceeded)
	wantAsked(t, repo, "2.root.json", "timestamp.json")
	// Not stated.
	repo, client = newDevice()
	repo.Snapshot.Edit = set("x", strings.Repeat("x", 2_000_000))
	refused(t, client, verifier.Snapshot, verifier.ErrLimitExceeded)
	// The limit for files whose length is not stated doesn't hold for this one.
	repo.MetaHashes = true
	repo.Timestamp.Version++
	refreshed(t, client)
}

func TestE2_ListedHashesMustMatch(t *testing.T) {
	zeros32, zeros64 := strings.Repeat("0", 64), strings.Repeat("0", 128)
	tests := map[string]struct {
		hashes tuftest.Object
		class  error
	}{
		"wrong sha256":          {tuftest.Object{"sha256": zeros32}, verifier.ErrHashMismatch},
		"wrong sha512":          {tuftest.Object{"sha512": zeros64}, verifier.ErrHashMismatch},
		"no known hash":         {tuftest.Object{"md5": "00", "sha3": nil}, verifier.ErrUnsupported},
		"one right, one wrong":  {nil, verifier.ErrHashMismatch},
		"upper case is no flaw": {nil, nil},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			repo, client := newDevice()
			repo.MetaHashes = true
			repo.Timestamp.Edit = metaOf("snapshot.json", func(entry tuftest.Object) {
				right := entry["hashes"].(tuftest.Object)["sha256"].(string)
				entry["hashes"] = test.hashes
				switch name {
				case "one right, one wrong":
					entry["hashes"] = tuftest.Object{"sha256": right, "sha512": zeros64}
				case "upper case is no flaw":
					entry["hashes"] = tuftest.Object{"sha256": strings.ToUpper(right)}
				}
			})
			if test.class == nil {
				refreshed(t, client)
				return
			}
			refused(t, client, verifier.Snapshot, test.class)
			wantStored(t, client, verifier.Snapshot, 0)
		})
	}
}

// The hash is compared before anything in the file is believed, even whether it is JSON.
func TestE2_HashesComeBeforeParsing(t *testing.T) {
	repo, client := newDevice()
	repo.MetaHashes = true
	timestamp := repo.TimestampFile()
	repo.Override["timestamp.json"] = answered(timestamp)
	repo.Snapshot.Tamper = func(b []byte) []byte { return bytes.Repeat([]byte("{"), len(b)) }
	refused(t, client, verifier.Snapshot, verifier.ErrHashMismatch)
}

func TestE3_TheSnapshotNeedsRootsThreshold(t *testing.T) {
	repo, client := newDevice()
	repo.Snapshot.By = ed25519s("timestamp-1")
	refused(t, client, verifier.Snapshot, verifier.ErrUnsigned)
	wantStored(t, client, verifier.Timestamp, 1)
	wantStored(t, client, verifier.Snapshot, 0)
}

func TestE4_TheVersionIsTheTimestamps(t *testing.T) {
	for _, version := range []int{1, 3} {
		repo, client := newDevice()
		repo.Snapshot.Version = 2
		repo.Snapshot.Edit = set("version", version)
		refused(t, client, verifier.Snapshot, verifier.ErrVersionMismatch)
	}
}

func TestE5_NoRoleVanishesOrGetsOlder(t *testing.T) {
	newRepo := func() (*tuftest.Repository, *tuftest.Client) {
		repo, client := newDevice()
		repo.Delegate(verifier.Targets, tuftest.Delegation{Name: "d", Paths: []string{"d/*"}}).Version = 5
		repo.Targets().Version = 5
		refreshed(t, client)
		return repo, client
	}
	for name, spoil := range map[string]func(*tuftest.Repository){
		"targets older":      func(r *tuftest.Repository) { r.Targets().Version = 4 },
		"delegated older":    func(r *tuftest.Repository) { r.Roles["d"].Version = 4 },
		"delegated vanished": func(r *tuftest.Repository) { r.Targets().Delegations = nil; delete(r.Roles, "d") },
	} {
		t.Run(name, func(t *testing.T) {
			repo, client := newRepo()
			spoil(repo)
			repo.Publish()
			refused(t, client, verifier.Snapshot, verifier.ErrRollback)
			wantStored(t, client, verifier.Snapshot, 1)
		})
	}
	repo, client := newRepo()
	repo.Delegate(verifier.Targets, tuftest.Delegation{Name: "e", Paths: []string{"e/*"}})
	repo.Publish(verifier.Targets, "d")
	refreshed(t, client)
}

func TestE6_AnExpiredSnapshotIsNotPersisted(t *testing.T) {
	repo, client := updatedDevice(t)
	repo.Publish()
	repo.Snapshot.Expires = client.Now
	refused(t, client, verifier.Snapshot, verifier.ErrExpired)
	wantStored(t, client, verifier.Snapshot, 1)
	wantStored(t, client, verifier.Timestamp, 2)
}

// The stored snapshot has the version that the timestamp means, and is another file.
func TestE7_AStoredSnapshotIsReusedOnlyIfItIsTheSameFile(t *testing.T) {
	repo, client := updatedDevice(t)
	repo.Timestamp.Version++
	repo.MetaHashes = true
	refreshed(t, client) // the very same file: no request
	wantAsked(t, repo, "2.root.json", "timestamp.json", "1.snapshot.json")
	stored := client.Store.Role(verifier.Snapshot)
	repo.Timestamp.Version++
	refreshed(t, client)
	wantAsked(t, repo, "2.root.json", "timestamp.json")
	repo.Timestamp.Version++
	repo.Snapshot.Edit = set("x", 1)
	refreshed(t, client)
	wantAsked(t, repo, "2.root.json", "timestamp.json", "1.snapshot.json")
	if bytes.Equal(stored, client.Store.Role(verifier.Snapshot)) {
		t.Error("the other file was not stored")
	}
}

func TestE8_AnExpiredStoredSnapshotIsStillTheBaseline(t *testing.T) {
	repo, client := newDevice()
	repo.Snapshot.Expires = tuftest.Start().Add(day)
	repo.Targets().Version = 5
	refreshed(t, client)
	client.Now = tuftest.Start().Add(2 * day)
	repo.Snapshot.Expires = tuftest.Start().Add(10 * day)
	repo.Targets().Version = 4
	repo.Publish()
	refused(t, client, verifier.Snapshot, verifier.ErrRollback)
	repo.Publish(verifier.Targets)
	refreshed(t, client)
}

// The publisher renewed an expired snapshot without a new version; one that is not renewed stays refused.
func TestE8_AnExpiredStoredSnapshotIsAskedForAgain(t *testing.T) {
	repo, client := newDevice()
	repo.Snapshot.Expires = tuftest.Start().Add(day)
	refreshed(t, client)
	repo.Asked()
	client.Now = tuftest.Start().Add(2 * day)
	refused(t, client, verifier.Snapshot, verifier.ErrExpired)
	wantAsked(t, repo, "2.root.json", "timestamp.json", "1.snapshot.json")
	repo.Snapshot.Expires = tuftest.Start().Add(10 * day)
	refreshed(t, client)
}
