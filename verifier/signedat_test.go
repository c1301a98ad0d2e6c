package verifier_test

import (
	"slices"
	"testing"
	"time"

	"github.com/ota-agent/ota-agent/verifier"
	"github.com/ota-agent/ota-agent/verifier/tuftest"
)

// driven runs a refresh and calls each after every step, and before a change is committed.
func driven(t *testing.T, c *tuftest.Client, each func(*verifier.Refresh)) *verifier.Refresh {
	t.Helper()
	refresh, err := verifier.Begin(c.Anchor, c.Store.Floors, c.Now, c.Limits)
	if err != nil {
		t.Fatal(err)
	}
	answer := func(q verifier.Request) verifier.Answer {
		each(refresh)
		if q.Source == verifier.Stored {
			return c.Store.Answer(q.Key)
		}
		return c.Repo.Answer(q.Name)
	}
	commit := func(change verifier.Change) error {
		each(refresh)
		return c.Store.Commit(change)
	}
	if err := verifier.Drive(refresh, answer, commit); err != nil {
		t.Fatal(err)
	}
	return refresh
}

// A stolen timestamp key signs a time of years to come. It counts as root's expiry, and no more: past that nothing would be
// accepted anyway, and a device must find back from there.
func TestRefresh_SignedAtIsAtMostRootsExpiry(t *testing.T) {
	repo, client := newDevice()
	repo.Timestamp.Edit = set("signed_at", "2999-01-01T00:00:00Z")
	if got := refreshed(t, client).SignedAt(); !got.Equal(repo.Root.Expires) {
		t.Errorf("SignedAt is %v, want root's expiry %v", got, repo.Root.Expires)
	}
}

// SignedBy names who said the newest time: after a timestamp that says an earlier one still the signers of the one before.
func TestRefresh_SignedByIsWhoSignedTheNewestTime(t *testing.T) {
	repo, client := newDevice()
	keys := ed25519s("one", "two")
	repo.Grants[verifier.Timestamp] = &tuftest.Grant{Keys: keys, Threshold: 1}
	repo.PublishRoot()
	repo.Timestamp.Edit, repo.Timestamp.By = set("signed_at", "2030-01-01T00:00:40Z"), keys[:1]
	one := refreshed(t, client).SignedBy()
	repo.Timestamp.Version++
	repo.Timestamp.Edit, repo.Timestamp.By = set("signed_at", "2030-01-01T00:00:30Z"), keys[1:]
	refresh := refreshed(t, client)
	if !slices.Equal(refresh.SignedBy(), one) || !refresh.SignedAt().Equal(tuftest.Start().Add(40*time.Second)) {
		t.Errorf("%v by %x, want the time before, by %x", refresh.SignedAt(), refresh.SignedBy(), one)
	}
	repo.Timestamp.Version++
	repo.Timestamp.Edit = set("signed_at", "2030-01-01T00:00:50Z")
	if two := refreshed(t, client).SignedBy(); len(two) != 1 || slices.Equal(two, one) {
		t.Errorf("by %x, want the other key than %x", two, one)
	}
	repo.Timestamp.Edit = nil
	if by := refreshed(t, tuftest.NewClient(repo)).SignedBy(); by != nil {
		t.Errorf("no time is signed by %x", by)
	}
}

// A learned time is judged at each root of the chain: keys that were revoked and came back signed it all the same when
// nobody trusted them.
func TestC9_ALearnedTimeIsVoidWithItsKeys(t *testing.T) {
	both := ed25519s("one", "two")
	for _, test := range []struct {
		name   string
		grants []tuftest.Grant // of the roots that come
		void   bool
	}{
		{"nothing changes", nil, false},
		{"a key is added", []tuftest.Grant{{Keys: both, Threshold: 1}}, false},
		{"the key is revoked", []tuftest.Grant{{Keys: both[1:], Threshold: 1}}, true},
		{"the threshold is raised", []tuftest.Grant{{Keys: both, Threshold: 2}}, true},
		{"revoked, and back again", []tuftest.Grant{{Keys: both[1:], Threshold: 1}, {Keys: both[:1], Threshold: 1}}, true},
	} {
		repo, client := newDevice()
		repo.Grants[verifier.Timestamp] = &tuftest.Grant{Keys: both[:1], Threshold: 1}
		repo.PublishRoot()
		repo.Timestamp.Edit = set("signed_at", "2030-01-01T00:00:40Z")
		by := refreshed(t, client).SignedBy()
		repo.Timestamp.Version++
		for _, grant := range test.grants {
			repo.Grants[verifier.Timestamp] = &grant
			repo.PublishRoot()
		}
		void := false
		driven(t, client, func(r *verifier.Refresh) { void = void || !r.HoldsTime(by) })
		if void != test.void {
			t.Errorf("%s: void %v, want %v", test.name, void, test.void)
		}
	}
}

// Old roots judge nothing: what was learned is younger than they are, also where the chain is fetched anew.
func TestC9_ALearnedTimeIsNotJudgedByOlderRoots(t *testing.T) {
	repo, client := newDevice()
	repo.Rotate(verifier.Timestamp, "second")
	repo.PublishRoot()
	repo.Timestamp.Edit = set("signed_at", "2030-01-01T00:00:40Z")
	by := refreshed(t, client).SignedBy()
	clear(client.Store.Documents) // lost; the floors are there
	driven(t, client, func(r *verifier.Refresh) {
		if !r.HoldsTime(by) {
			t.Error("judged by a root below the highest ever trusted")
		}
	})
}
