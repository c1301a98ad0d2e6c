package verifier_test

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ota-agent/ota-agent/verifier"
	"github.com/ota-agent/ota-agent/verifier/tuftest"
)

func rootKey(version int64) verifier.Key { return verifier.Key{Role: verifier.Root, Version: version} }

// wantRoot checks the version of the root that a refresh trusts.
func wantRoot(t *testing.T, r *verifier.Refresh, want int64) {
	t.Helper()
	if got := r.Trusted()[0].Version; got != want {
		t.Errorf("trusts root version %d, want %d", got, want)
	}
}

// The time is fixed: a refresh that takes long judges all by the time it began.
func TestC1_TimeIsFixedForTheRefresh(t *testing.T) {
	repo, client := newDevice()
	repo.Timestamp.Expires = client.Now.Add(time.Second)
	repo.Snapshot.Expires = client.Now.Add(time.Second)
	inner := repo.SnapshotFile()
	repo.Override["1.snapshot.json"] = func() verifier.Answer {
		client.Now = client.Now.Add(time.Hour)
		return verifier.Bytes(inner)
	}
	refreshed(t, client)
}

func TestC2_TheAnchorMustMeetItsOwnThreshold(t *testing.T) {
	tests := map[string]func([]byte) []byte{
		"tampered with": func(b []byte) []byte { return bytes.Replace(b, []byte("2030"), []byte("2031"), 1) },
		"unsigned": func(b []byte) []byte {
			return append([]byte(`{"signatures":[],"signed":`), b[bytes.Index(b, []byte(`"signed":`))+9:]...)
		},
	}
	for name, spoil := range tests {
		repo, client := newDevice()
		client.Anchor = spoil(client.Anchor)
		if _, err := client.Refresh(); !errors.Is(err, verifier.ErrUnsigned) {
			t.Errorf("%s: %v", name, err)
		}
		wantAsked(t, repo)
	}
	for name, anchor := range map[string][]byte{"empty": nil, "no JSON": []byte("root"), "another role": tuftest.New().TimestampFile()} {
		repo, client := newDevice()
		client.Anchor = anchor
		_, err := client.Refresh()
		wantRefusal(t, err, verifier.Root, verifier.ErrMalformed)
		wantAsked(t, repo)
		_ = name
	}
}

func TestC2_AnExpiredAnchorStillLeadsToTheNextRoot(t *testing.T) {
	repo := tuftest.New()
	repo.Root.Expires = tuftest.Start().Add(-day)
	repo.Roots, repo.Root.Version = nil, 0
	repo.PublishRoot()
	client := tuftest.NewClient(repo)
	refused(t, client, verifier.Root, verifier.ErrExpired)
	repo.Root.Expires = tuftest.Start().Add(day)
	repo.PublishRoot()
	wantRoot(t, refreshed(t, client), 2)
}

func TestC3_RootsAreTakenUntilAbsentOrTheBound(t *testing.T) {
	repo, client := newDevice()
	for range 5 {
		repo.PublishRoot()
	}
	client.Limits.RootRotations = 3
	refresh := refreshed(t, client)
	wantRoot(t, refresh, 4)
	if !refresh.RootBoundReached() {
		t.Error("the bound is not reported")
	}
	refresh = refreshed(t, client)
	wantRoot(t, refresh, 6)
	if refresh.RootBoundReached() {
		t.Error("a bound is reported that was not reached")
	}
	if got := verifier.DefaultLimits().RootRotations; got != 256 {
		t.Errorf("default bound %d", got)
	}
}

func TestC4_AFailureIsNotAbsence(t *testing.T) {
	repo, client := updatedDevice(t)
	down := errors.New("503 Service Unavailable")
	repo.Override["2.root.json"] = func() verifier.Answer { return verifier.Failed(down) }
	wantUnchanged(t, client, func() {
		_, err := client.Refresh()
		if !errors.Is(err, down) {
			t.Errorf("got %v", err)
		}
	})
	wantAsked(t, repo, "2.root.json")
}

func TestC5_ANewRootNeedsTheOldKeysAndItsOwn(t *testing.T) {
	old, next := tuftest.Ed25519("root-1"), tuftest.Ed25519("next")
	for name, by := range map[string][]*tuftest.Key{"old only": {old}, "new only": {next}, "nobody": {}, "stranger": ed25519s("stranger")} {
		repo, client := updatedDevice(t)
		repo.Rotate(verifier.Root, "next")
		repo.RootBy = by
		repo.PublishRoot()
		wantUnchanged(t, client, func() { refused(t, client, verifier.Root, verifier.ErrUnsigned) })
		_ = name
	}
	repo, client := updatedDevice(t)
	repo.Rotate(verifier.Root, "next")
	repo.RootBy = []*tuftest.Key{old, next}
	repo.PublishRoot()
	wantRoot(t, refreshed(t, client), 2)
}

func TestC5_ThresholdsOfBothSides(t *testing.T) {
	keys := ed25519s("a", "b", "c", "d", "e")
	tests := []struct {
		from, to, by []int
		fromT, toT   int
		ok           bool
	}{
		{[]int{0, 1, 2}, []int{1, 2, 3}, []int{1, 2}, 2, 2, true},
		{[]int{0, 1, 2}, []int{1, 2, 3}, []int{0, 1}, 2, 2, false},
		{[]int{0, 1, 2}, []int{1, 2, 3}, []int{2, 3}, 2, 2, false},
		{[]int{0, 1, 2}, []int{1, 2, 3}, []int{0, 1, 2}, 2, 2, true},
		{[]int{0}, []int{0, 1, 2}, []int{0}, 1, 2, false},
		{[]int{0}, []int{0, 1, 2}, []int{0, 2}, 1, 2, true},
		{[]int{0, 1}, []int{0, 1}, []int{0}, 2, 1, false},
		{[]int{0, 1}, []int{3, 4}, []int{0, 1, 3, 4}, 2, 2, true},
	}
	pick := func(which []int) []*tuftest.Key {
		var some []*tuftest.Key
		for _, i := range which {
			some = append(some, keys[i])
		}
		return some
	}
	for i, test := range tests {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			repo := tuftest.New()
			repo.Grants[verifier.Root] = &tuftest.Grant{Keys: pick(test.from), Threshold: test.fromT}
			repo.PublishRoot()
			client := tuftest.NewClient(repo)
			refreshed(t, client)
			repo.Grants[verifier.Root] = &tuftest.Grant{Keys: pick(test.to), Threshold: test.toT}
			repo.RootBy = pick(test.by)
			repo.PublishRoot()
			if test.ok {
				wantRoot(t, refreshed(t, client), 3)
			} else {
				refused(t, client, verifier.Root, verifier.ErrUnsigned)
			}
		})
	}
}

func TestC6_TheNextRootIsExactlyOneHigher(t *testing.T) {
	for _, version := range []int{1, 3, 100} {
		repo, client := updatedDevice(t)
		repo.Root.Edit = set("version", version)
		repo.PublishRoot()
		wantUnchanged(t, client, func() { refused(t, client, verifier.Root, verifier.ErrVersionMismatch) })
	}
}

func TestC7_OnlyTheLastRootMustNotBeExpired(t *testing.T) {
	repo, client := newDevice()
	repo.Root.Expires = tuftest.Start().Add(-day)
	repo.PublishRoot()
	refused(t, client, verifier.Root, verifier.ErrExpired)
	if client.Store.Documents[rootKey(2)] == nil {
		t.Error("the expired root is part of the chain and must be kept")
	}
	repo.Root.Expires = client.Now
	repo.PublishRoot()
	refused(t, client, verifier.Root, verifier.ErrExpired) // expires == now is expired
	repo.Root.Expires = client.Now.Add(time.Second)
	repo.PublishRoot()
	wantRoot(t, refreshed(t, client), 4)
}

func TestC8_EachRootIsPersistedAtOnce(t *testing.T) {
	repo, client := newDevice()
	repo.PublishRoot()
	repo.PublishRoot()
	repo.Override["4.root.json"] = func() verifier.Answer {
		if client.Store.Documents[rootKey(3)] == nil {
			t.Error("root 4 was asked for before root 3 was durable")
		}
		return verifier.Failed(errors.New("link lost"))
	}
	if _, err := client.Refresh(); err == nil {
		t.Fatal("the refresh went on")
	}
	for version, raw := range repo.Roots[1:] {
		if !bytes.Equal(client.Store.Documents[rootKey(int64(version+2))], raw) {
			t.Errorf("root %d is not stored byte for byte", version+2)
		}
	}
	if client.Store.Floors.RootVersion != 3 {
		t.Errorf("root floor %d", client.Store.Floors.RootVersion)
	}
}

// The attacker drove the timestamp's version up; the publisher rotates its key and starts over.
func TestC9_FastForwardRecoveryByAnyOfTheTwoKeys(t *testing.T) {
	for _, rotated := range []string{verifier.Timestamp, verifier.Snapshot} {
		t.Run(rotated, func(t *testing.T) {
			repo, client := newDevice()
			repo.Timestamp.Version, repo.Snapshot.Version, repo.Targets().Version = 1_000_000, 1_000_000, 1_000_000
			refreshed(t, client)
			repo.Timestamp.Version, repo.Snapshot.Version, repo.Targets().Version = 2, 2, 2
			refused(t, client, verifier.Timestamp, verifier.ErrRollback)
			repo.Rotate(rotated, "fresh")
			repo.PublishRoot()
			refreshed(t, client)
			wantStored(t, client, verifier.Timestamp, 2)
			wantStored(t, client, verifier.Snapshot, 2)
			wantStored(t, client, verifier.Targets, 2)
			if f := client.Store.Floors; f.Timestamp.Version != 2 || f.Snapshot.Version != 2 {
				t.Errorf("floors %+v", f)
			}
		})
	}
}

func TestC9_FastForwardOfADelegatedRoleIsForgottenToo(t *testing.T) {
	repo, client := newDevice()
	repo.Delegate(verifier.Targets, tuftest.Delegation{Name: "d", Paths: []string{"*"}}).Version = 99
	refreshed(t, client)
	repo.Roles["d"].Version = 1
	repo.Publish()
	refused(t, client, verifier.Snapshot, verifier.ErrRollback)
	repo.Rotate(verifier.Snapshot, "fresh")
	repo.PublishRoot()
	refreshed(t, client)
}

// Rotation is judged at each root: keys that left and came back were revoked in between.
func TestC9_RotationThereAndBackAgain(t *testing.T) {
	repo, client := newDevice()
	repo.Timestamp.Version = 1_000_000
	refreshed(t, client)
	repo.Rotate(verifier.Timestamp, "other")
	repo.PublishRoot()
	repo.Rotate(verifier.Timestamp, "timestamp-1")
	repo.PublishRoot()
	repo.Timestamp.Version = 2
	refreshed(t, client)
	wantStored(t, client, verifier.Timestamp, 2)
}

func TestC9_MerelyAddingAKeyDropsNothing(t *testing.T) {
	for _, role := range []string{verifier.Timestamp, verifier.Snapshot} {
		repo, client := newDevice()
		repo.Timestamp.Version, repo.Snapshot.Version = 10, 10
		refreshed(t, client)
		grant(repo, role, 1, append(ed25519s("added"), repo.Grants[role].Keys...)...)
		refreshed(t, client)
		repo.Timestamp.Version, repo.Snapshot.Version = 9, 9
		refused(t, client, verifier.Timestamp, verifier.ErrRollback)
	}
}

func TestC9_RotatingOtherKeysDropsNothing(t *testing.T) {
	repo, client := newDevice()
	repo.Timestamp.Version, repo.Snapshot.Version = 10, 10
	refreshed(t, client)
	repo.Rotate(verifier.Targets, "fresh")
	repo.Rotate(verifier.Root, "fresh-root")
	repo.PublishRoot()
	refreshed(t, client)
	repo.Timestamp.Version = 9
	refused(t, client, verifier.Timestamp, verifier.ErrRollback)
}

func TestC9b_TheRootAndWhatItDropsAreOneChange(t *testing.T) {
	repo, client := updatedDevice(t)
	repo.Rotate(verifier.Timestamp, "fresh")
	repo.PublishRoot()
	refresh, err := verifier.Begin(client.Anchor, client.Store.Floors, client.Now, client.Limits)
	if err != nil {
		t.Fatal(err)
	}
	var rotation verifier.Change
	err = verifier.Drive(refresh, func(q verifier.Request) verifier.Answer {
		if q.Source == verifier.Stored {
			return client.Store.Answer(q.Key)
		}
		return repo.Answer(q.Name)
	}, func(c verifier.Change) error {
		if len(c.Put) == 1 && c.Put[0].Key == rootKey(2) {
			rotation = c
		}
		return client.Store.Commit(c)
	})
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Contains(rotation.Drop, verifier.Key{Role: verifier.Timestamp}) || !slices.Contains(rotation.Drop, verifier.Key{Role: verifier.Snapshot}) {
		t.Errorf("the root's change drops %+v", rotation.Drop)
	}
	if rotation.Floors == nil || rotation.Floors.Timestamp.Version != 0 || rotation.Floors.RootVersion != 2 {
		t.Errorf("the root's change carries the floors %+v", rotation.Floors)
	}
}

// stolenKeyDevice is a device shipped with root 1, whose key was stolen and revoked by root 3 since; it is at root 4.
func stolenKeyDevice(t *testing.T) (*tuftest.Repository, *tuftest.Client) {
	t.Helper()
	repo, client := newDevice()
	repo.PublishRoot()
	repo.Rotate(verifier.Root, "root-3")
	repo.PublishRoot()
	repo.PublishRoot()
	refreshed(t, client)
	return repo, client
}

// forkedRoots answers for roots 2 and up with a chain that the stolen key of root 1 forged, of the given length.
func forkedRoots(repo *tuftest.Repository, length int) {
	evil := tuftest.New()
	for _, role := range []string{verifier.Timestamp, verifier.Snapshot, verifier.Targets} {
		evil.Rotate(role, "evil-"+role)
	}
	for i := range length {
		name := fmt.Sprintf("%d.root.json", i+2)
		repo.Override[name] = answered(evil.PublishRoot())
	}
	repo.Override["timestamp.json"] = func() verifier.Answer { return verifier.Bytes(evil.TimestampFile()) }
}

func TestC10_ARevokedKeyOfTheAnchorForksNothing(t *testing.T) {
	t.Run("store intact", func(t *testing.T) {
		repo, client := stolenKeyDevice(t)
		forkedRoots(repo, 8)
		delete(repo.Override, "timestamp.json")
		wantUnchanged(t, client, func() { refused(t, client, verifier.Root, verifier.ErrUnsigned) })
	})
	for _, length := range []int{1, 2, 3, 4, 8} {
		t.Run(fmt.Sprintf("database lost, fork of %d roots", length), func(t *testing.T) {
			repo, client := stolenKeyDevice(t)
			client.Store.Documents = map[verifier.Key][]byte{}
			forkedRoots(repo, length)
			for i := length + 2; i < 10; i++ {
				repo.Override[fmt.Sprintf("%d.root.json", i)] = verifier.Absent
			}
			if _, err := client.Refresh(); !errors.Is(err, verifier.ErrRollback) && !errors.Is(err, verifier.ErrHashMismatch) {
				t.Errorf("got %v", err)
			}
			if len(client.Store.Documents) > 0 {
				t.Errorf("%d documents of the fork were kept", len(client.Store.Documents))
			}
			// And the honest chain is accepted again.
			clear(repo.Override)
			wantRoot(t, refreshed(t, client), 4)
			if len(client.Store.Documents) != 6 {
				t.Errorf("%d documents are stored", len(client.Store.Documents))
			}
		})
	}
}

func TestC10_TheStoredChainHangsOnTheAnchor(t *testing.T) {
	// A stored root is believed only through the roots before it: one that another repository signed is not.
	repo, client := newDevice()
	other := tuftest.New()
	other.Rotate(verifier.Root, "other")
	other.RootBy = ed25519s("other")
	client.Store.Documents[rootKey(2)] = other.PublishRoot()
	wantRoot(t, refreshed(t, client), 1)
	wantAsked(t, repo, "2.root.json", "timestamp.json", "1.snapshot.json", "1.targets.json")
	if client.Store.Documents[rootKey(2)] != nil {
		t.Error("the foreign root is still stored")
	}
}

func TestC10_ANewerAnchorTakesOver(t *testing.T) {
	repo, client := updatedDevice(t)
	for range 3 {
		repo.PublishRoot()
	}
	client.Anchor = repo.Roots[2]
	wantRoot(t, refreshed(t, client), 4)
	wantAsked(t, repo, "4.root.json", "5.root.json", "timestamp.json")
	if client.Store.Floors.RootVersion != 4 {
		t.Errorf("root floor %d", client.Store.Floors.RootVersion)
	}
	// Back on the old image, with the old anchor: the hole is filled, what is stored beyond it is used.
	client.Anchor = repo.Roots[0]
	wantRoot(t, refreshed(t, client), 4)
	wantAsked(t, repo, "2.root.json", "3.root.json", "5.root.json", "timestamp.json")
	wantRoot(t, refreshed(t, client), 4)
	wantAsked(t, repo, "5.root.json", "timestamp.json")
}

// Until the old image's chain has reached the highest root ever trusted, nothing stored is judged by older keys.
func TestC10_AnOlderAnchorDoesNotForgetTheBaseline(t *testing.T) {
	repo, client := updatedDevice(t)
	repo.PublishRoot()
	repo.Rotate(verifier.Timestamp, "newer")
	repo.PublishRoot()
	client.Anchor = repo.Roots[2]
	repo.Timestamp.Version = 7
	refreshed(t, client)
	client.Anchor = repo.Roots[0]
	client.Store.Floors.Timestamp = verifier.Floor{}
	repo.Timestamp.Version = 6
	refused(t, client, verifier.Timestamp, verifier.ErrRollback)
}

func TestC10_TheAnchorIsTheFloorOrBelowIt(t *testing.T) {
	_, client := updatedDevice(t)
	client.Store.Floors.RootSHA256[0] ^= 1
	_, err := client.Refresh()
	wantRefusal(t, err, verifier.Root, verifier.ErrHashMismatch)
}

// More signatures make it no other root: the floor is over what is signed.
func TestC10_ARootSignedOnceMoreIsTheSame(t *testing.T) {
	repo, client := updatedDevice(t)
	repo.PublishRoot()
	refreshed(t, client)
	client.Store.Documents = map[verifier.Key][]byte{}
	repo.Roots[1] = signatures(`{"keyid":"stranger","sig":"00"}`)(repo.Roots[1])
	wantRoot(t, refreshed(t, client), 2)
}

func TestC10_AChainThatEndsBelowTheFloorIsRefused(t *testing.T) {
	repo, client := updatedDevice(t)
	repo.PublishRoot()
	repo.PublishRoot()
	refreshed(t, client)
	client.Store.Documents = map[verifier.Key][]byte{}
	repo.Override["3.root.json"] = verifier.Absent
	refused(t, client, verifier.Root, verifier.ErrRollback)
	if len(client.Store.Documents) != 0 {
		t.Error("roots below the floor were kept before the chain had reached it")
	}
}

// Rebuilding a chain longer than the bound succeeds: up to the floor, the floor is the bound.
func TestC10_ALongChainIsRebuiltInOneGo(t *testing.T) {
	repo, client := newDevice()
	for range 9 {
		repo.PublishRoot()
	}
	refreshed(t, client)
	client.Store.Documents = map[verifier.Key][]byte{}
	client.Limits.RootRotations = 3
	wantRoot(t, refreshed(t, client), 10)
}

// Somebody with the stolen key of root 1 wrote into the database. The forged chain leads nowhere, and is forgotten.
func TestC10_AForgedStoredChainIsForgotten(t *testing.T) {
	for _, mirror := range []string{"honest", "forged"} {
		repo, client := stolenKeyDevice(t)
		evil := tuftest.New()
		evil.Rotate(verifier.Root, "evil")
		for version := int64(2); version <= 4; version++ {
			client.Store.Documents[rootKey(version)] = evil.PublishRoot()
		}
		want := verifier.ErrUnsigned
		if mirror == "forged" {
			repo.Override["4.root.json"] = answered(evil.Roots[3])
			want = verifier.ErrHashMismatch
		}
		refused(t, client, verifier.Root, want)
		clear(repo.Override)
		wantRoot(t, refreshed(t, client), 4)
	}
}

func TestC10_HugeRootsBelowTheFloorDoNotFillTheMemory(t *testing.T) {
	repo, client := newDevice()
	for range 10 {
		repo.Root.Edit = set("x-padding", strings.Repeat("x", 10_000))
		repo.PublishRoot()
	}
	refreshed(t, client)
	client.Store.Documents = map[verifier.Key][]byte{}
	client.Limits.HeldBytes = 40_000
	wantRoot(t, refreshed(t, client), 11)
	total := 0
	for key, raw := range client.Store.Documents {
		if key.Role == verifier.Root {
			total += len(raw)
		}
	}
	if total == 0 || total > 40_000 {
		t.Errorf("%d bytes of roots were held back", total)
	}
	// The hole in the chain is filled by the repository.
	wantRoot(t, refreshed(t, client), 11)
}

func TestC11_DamagedStoredFilesAreFetchedAgain(t *testing.T) {
	damage := map[string]func([]byte) []byte{
		"empty":     func([]byte) []byte { return []byte{} },
		"torn":      func(b []byte) []byte { return b[:len(b)/2] },
		"zeros":     func(b []byte) []byte { return make([]byte, len(b)) },
		"flipped":   func(b []byte) []byte { c := bytes.Clone(b); c[len(c)*2/3] ^= 1; return c },
		"too large": func(b []byte) []byte { return append(bytes.Clone(b), bytes.Repeat([]byte(" "), 5_100_000)...) },
		"null":      func([]byte) []byte { return []byte("null") },
	}
	for name, spoil := range damage {
		for _, key := range []verifier.Key{rootKey(2), {Role: "timestamp"}, {Role: "snapshot"}, {Role: "targets"}, {Role: "d"}} {
			t.Run(fmt.Sprintf("%s %s", name, key.Role), func(t *testing.T) {
				repo, client := newDevice()
				client.Limits.StatedBytes = 1 << 20
				repo.PublishRoot()
				repo.Delegate(verifier.Targets, tuftest.Delegation{Name: "d", Paths: []string{"*"}}).Add("x", []byte("x"))
				if _, err := client.Find("x"); err != nil {
					t.Fatal(err)
				}
				honest := client.Store.Documents[key]
				client.Store.Documents[key] = spoil(honest)
				repo.Asked()
				if _, err := client.Find("x"); err != nil {
					t.Fatal(err)
				}
				if asked := len(repo.Asked()); asked < 3 && key.Role != verifier.Timestamp {
					t.Errorf("%d requests: the damaged file was used", asked)
				}
				if !bytes.Equal(client.Store.Documents[key], honest) {
					t.Error("the honest file was not restored")
				}
				if _, err := client.Find("x"); err != nil {
					t.Fatal(err)
				}
				wantAsked(t, repo, "3.root.json", "timestamp.json")
			})
		}
	}
}

// A store that fails is not a store that is empty.
func TestC11_AStoreThatFailsEndsTheRefresh(t *testing.T) {
	repo, client := newDevice()
	repo.PublishRoot()
	client.Limits.ReceiptBytes = 1
	repo.Delegate(verifier.Targets, tuftest.Delegation{Name: "d", Paths: []string{"*"}})
	if _, err := client.Find("x"); !errors.Is(err, verifier.ErrNotListed) {
		t.Fatal(err)
	}
	broken := errors.New("input/output error")
	asked := slices.Clone(client.Store.Asked)
	for i := range asked {
		client.Limits.ReceiptBytes = 1
		refresh, err := verifier.Begin(client.Anchor, client.Store.Floors, client.Now, client.Limits)
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		answer := func(q verifier.Request) verifier.Answer {
			if q.Source == verifier.Remote {
				return repo.Answer(q.Name)
			}
			if n++; n > i {
				return verifier.Failed(broken)
			}
			return client.Store.Answer(q.Key)
		}
		err = verifier.Drive(refresh, answer, client.Store.Commit)
		if err == nil {
			search := refresh.Find("x")
			if err = verifier.Drive(search, answer, client.Store.Commit); err == nil {
				_, err = search.Found()
			}
		}
		if !errors.Is(err, broken) {
			if n <= i {
				continue // the second run asks for less
			}
			t.Errorf("failure at document %d: %v", i, err)
		}
	}
}
