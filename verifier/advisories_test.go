package verifier_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/ota-agent/ota-agent/verifier"
	"github.com/ota-agent/ota-agent/verifier/tuftest"
)

// Each of these was a published fault of some TUF client.

func TestJ01_ThresholdZeroOrNegative(t *testing.T) {
	for _, threshold := range []int{0, -1} {
		repo, client := newDevice()
		repo.Grants[verifier.Targets].Threshold = threshold
		repo.PublishRoot()
		repo.Targets().By = []*tuftest.Key{}
		refused(t, client, verifier.Root, verifier.ErrMalformed)

		repo, client = newDevice()
		repo.Delegate(verifier.Targets, tuftest.Delegation{Name: "d", Paths: []string{"*"},
			Grant: tuftest.Grant{Keys: ed25519s("d"), Threshold: threshold}}).By = []*tuftest.Key{}
		_, err := client.Find("x")
		wantRefusal(t, err, verifier.Targets, verifier.ErrMalformed)
	}
}

func TestJ02_JSONThatIsNotTUFMakesNoPanic(t *testing.T) {
	for _, raw := range []string{`{}`, `[]`, `null`, `1`, `"x"`, `{"signed":{}}`, `{"signatures":[]}`, `{"signed":{},"signatures":[]}`,
		`{"signed":{"_type":null},"signatures":[null]}`, `{"signed":{"_type":"root","keys":{"a":null},"roles":{"root":null}},"signatures":[{}]}`,
		`{"signed":{"_type":"timestamp","meta":{"snapshot.json":[]}},"signatures":[]}`, `{"signed":[],"signatures":{}}`} {
		for _, name := range []string{"2.root.json", "timestamp.json", "1.snapshot.json", "1.targets.json"} {
			repo, client := newDevice()
			repo.Override[name] = answered([]byte(raw))
			if _, err := client.Refresh(); !errors.Is(err, verifier.ErrMalformed) {
				t.Errorf("%s as %s: %v", raw, name, err)
			}
		}
		if _, err := verifier.Begin([]byte(raw), verifier.Floors{}, tuftest.Start(), verifier.Limits{}); err == nil {
			t.Errorf("%s as the anchor was accepted", raw)
		}
	}
}

func TestJ03_DelegationOrderIsTheFilesOrder(t *testing.T) {
	repo, client := newDevice()
	var want []string
	for i := range 20 {
		name := fmt.Sprintf("role-%d", (i*7)%20)
		want = append(want, name)
		repo.Delegate(verifier.Targets, tuftest.Delegation{Name: name, Paths: []string{"*"}})
	}
	if got, _, _ := visits(t, repo, client, "x"); !slices.Equal(got, want) {
		t.Errorf("visited %q, want %q", got, want)
	}
}

func TestJ04_OneKeyCountedSeveralTimes(t *testing.T) {
	repo, client := newDevice()
	key := tuftest.Ed25519("one")
	var keys []*tuftest.Key
	for i := range 10 {
		keys = append(keys, key.As(fmt.Sprintf("id-%d", i)))
	}
	grant(repo, verifier.Snapshot, 6, keys...)
	refused(t, client, verifier.Snapshot, verifier.ErrUnsigned)
}

func TestJ05_DuplicateSignaturesCounted(t *testing.T) {
	double := func(file []byte) []byte {
		s := string(file)
		start := strings.Index(s, `"signatures":[`) + len(`"signatures":[`)
		end := strings.Index(s[start:], `]`) + start
		return []byte(s[:end] + "," + s[start:end] + s[end:])
	}
	repo, client := newDevice()
	repo.Grants[verifier.Root] = &tuftest.Grant{Keys: ed25519s("root-1", "root-2"), Threshold: 2}
	repo.RootBy = ed25519s("root-1")
	repo.Root.Tamper = double
	repo.PublishRoot()
	refused(t, client, verifier.Root, verifier.ErrMalformed)

	repo, client = newDevice()
	d := repo.Delegate(verifier.Targets, tuftest.Delegation{Name: "d", Paths: []string{"*"}, Grant: tuftest.Grant{Keys: ed25519s("d1", "d2"), Threshold: 2}})
	d.By = ed25519s("d1")
	d.Tamper = double
	_, err := client.Find("x")
	wantRefusal(t, err, "d", verifier.ErrMalformed)
}

func TestJ06_TheStoredRootIsNotBelievedInsteadOfTheAnchor(t *testing.T) {
	evil := tuftest.NewNamed("evil-")
	evil.PublishRoot()
	for version := int64(1); version <= 3; version++ {
		repo, client := newDevice()
		client.Store.Documents[rootKey(version)] = evil.Roots[1]
		client.Store.Documents[verifier.Key{Role: verifier.Root}] = evil.Roots[1]
		client.Repo = evil
		if _, err := client.Refresh(); !errors.Is(err, verifier.ErrUnsigned) {
			t.Errorf("stored as version %d: %v", version, err)
		}
		client.Repo = repo
		refreshed(t, client)
	}
}

func TestJ07_ARootThatFailedVerificationIsNotKept(t *testing.T) {
	repo, client := updatedDevice(t)
	repo.RootBy = ed25519s("stranger")
	repo.PublishRoot()
	var refresh *verifier.Refresh
	wantUnchanged(t, client, func() {
		var err error
		if refresh, err = client.Refresh(); !errors.Is(err, verifier.ErrUnsigned) {
			t.Errorf("got %v", err)
		}
	})
	wantRoot(t, refresh, 1)
}

func TestJ08_TheNextRootIsNotAnyHigherOne(t *testing.T) {
	repo, client := newDevice()
	repo.PublishRoot()
	repo.PublishRoot()
	repo.Override["2.root.json"] = answered(repo.Roots[2])
	refused(t, client, verifier.Root, verifier.ErrVersionMismatch)
	repo.Override["2.root.json"] = answered(repo.Roots[0])
	refused(t, client, verifier.Root, verifier.ErrVersionMismatch)
}

func TestJ09_TerminatingIsHeeded(t *testing.T) {
	repo, client := newDevice()
	repo.Delegate(verifier.Targets, tuftest.Delegation{Name: "a", Paths: []string{"x"}, Terminating: true})
	repo.Delegate(verifier.Targets, tuftest.Delegation{Name: "b", Paths: []string{"*"}}).Add("x", []byte("x"))
	if got, _, err := visits(t, repo, client, "x"); !errors.Is(err, verifier.ErrNotListed) || !slices.Equal(got, []string{"a"}) {
		t.Errorf("visited %q: %v", got, err)
	}
}

func TestJ10_DelegatedVersionsAreComparedWithTheOldSnapshot(t *testing.T) {
	repo, client := newDevice()
	repo.Delegate(verifier.Targets, tuftest.Delegation{Name: "d", Paths: []string{"*"}}).Version = 3
	refreshed(t, client)
	repo.Roles["d"].Version = 2
	repo.Publish()
	refused(t, client, verifier.Snapshot, verifier.ErrRollback)
}

func TestJ11_ARefusedTimestampBlocksNothing(t *testing.T) {
	repo, client := updatedDevice(t)
	repo.Timestamp.Version = 1000
	repo.Timestamp.Expires = tuftest.Start()
	refused(t, client, verifier.Timestamp, verifier.ErrExpired)
	repo.Timestamp.Version = 2
	repo.Timestamp.Expires = tuftest.Start().Add(day)
	refreshed(t, client)
	wantStored(t, client, verifier.Timestamp, 2)
}

func TestJ12_CyclesEnd(t *testing.T) {
	repo, client := newDevice()
	repo.Delegate(verifier.Targets, tuftest.Delegation{Name: "a", Paths: []string{"*"}})
	repo.Delegate("a", tuftest.Delegation{Name: "a", Paths: []string{"*"}})
	repo.Delegate("a", tuftest.Delegation{Name: "b", Paths: []string{"*"}})
	repo.Delegate("b", tuftest.Delegation{Name: "a", Paths: []string{"*"}})
	if got, _, err := visits(t, repo, client, "x"); !errors.Is(err, verifier.ErrNotListed) || !slices.Equal(got, []string{"a", "b"}) {
		t.Errorf("visited %q: %v", got, err)
	}
}

func TestJ13_DelegatedMetadataIsCheckedForExpiryHashAndLength(t *testing.T) {
	for name, spoil := range map[string]func(*tuftest.Repository){
		"expiry": func(r *tuftest.Repository) { r.Roles["d"].Expires = tuftest.Start() },
		"hash": func(r *tuftest.Repository) {
			r.Snapshot.Edit = metaOf("d.json", set("hashes", tuftest.Object{"sha256": strings.Repeat("0", 64)}))
		},
		"length": func(r *tuftest.Repository) { r.Snapshot.Edit = metaOf("d.json", set("length", 5_000)) },
	} {
		repo, client := newDevice()
		repo.Delegate(verifier.Targets, tuftest.Delegation{Name: "d", Paths: []string{"*"}}).Add("x", []byte("x"))
		spoil(repo)
		if _, err := client.Find("x"); err == nil {
			t.Errorf("%s was not checked", name)
		}
		// Nor is it when it is already stored: the local copy is no way around.
		wantStored(t, client, "d", 0)
	}
}

func TestJ14_NamesAreNoPaths(t *testing.T) {
	for _, role := range []string{"../../etc/passwd", "/etc/passwd", "..", "%2e%2e%2fx", "..\\x", "a/../../b", "C:\\x"} {
		for _, version := range []int64{0, 7} {
			name := verifier.FileName(role, version)
			if strings.ContainsAny(name, "/\\:") || name == "." || name == ".." || !strings.HasSuffix(name, ".json") {
				t.Errorf("role %q is kept in %q", role, name)
			}
		}
	}
	// Target names stay what they are; who makes files of them must not follow them out of their directory.
	repo, client := newDevice()
	repo.Targets().Add("../x", []byte("x"))
	found, err := client.Find("../x")
	if err != nil || found.Target.ID() == "" || strings.ContainsAny(found.Target.ID(), "/.") {
		t.Errorf("ID %q: %v", found.Target.ID(), err)
	}
}

func TestJ15_StoredBytesAreNeverReturnedUnchecked(t *testing.T) {
	repo, client := newDevice()
	repo.Targets().Add("x", []byte("x"))
	if _, err := client.Find("x"); err != nil {
		t.Fatal(err)
	}
	forged := strings.Replace(string(client.Store.Role(verifier.Targets)), `"length":1`, `"length":2`, 1)
	client.Store.Documents[verifier.Key{Role: verifier.Targets}] = []byte(forged)
	for _, name := range []string{"2.root.json", "1.targets.json"} {
		repo.Override[name] = func() verifier.Answer { return verifier.Failed(errors.New("offline")) }
		if found, err := client.Find("x"); err == nil {
			t.Errorf("offline, a forged entry was found: %+v", found)
		}
		clear(repo.Override)
	}
}

// See also TestF6. A failed branch must not make a later search skip the role.
func TestJ16_AFailedBranchLeavesNoMark(t *testing.T) {
	repo, client := newDevice()
	repo.Delegate(verifier.Targets, tuftest.Delegation{Name: "d", Paths: []string{"*"}}).Add("x", []byte("x"))
	refresh := refreshed(t, client)
	repo.Override["1.d.json"] = answered([]byte("junk"))
	if _, err := client.FindIn(refresh, "x"); !errors.Is(err, verifier.ErrMalformed) {
		t.Errorf("got %v", err)
	}
	clear(repo.Override)
	if _, err := client.FindIn(refresh, "x"); err != nil {
		t.Error(err)
	}
}
