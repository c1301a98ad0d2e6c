package verifier_test

import (
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ota-agent/ota-agent/verifier"
	"github.com/ota-agent/ota-agent/verifier/tuftest"
)

func TestRefresh_FirstAsksForEachRoleOnceInOrder(t *testing.T) {
	repo, client := newDevice()
	refreshed(t, client)
	wantAsked(t, repo, "2.root.json", "timestamp.json", "1.snapshot.json", "1.targets.json")
	for _, role := range []string{verifier.Timestamp, verifier.Snapshot, verifier.Targets} {
		wantStored(t, client, role, 1)
	}
}

func TestRefresh_NothingNewCostsTwoRequestsAndNoWrite(t *testing.T) {
	repo, client := updatedDevice(t)
	for range 3 {
		commits := client.Store.Commits
		refreshed(t, client)
		wantAsked(t, repo, "2.root.json", "timestamp.json")
		if client.Store.Commits != commits {
			t.Errorf("%d writes, want none", client.Store.Commits-commits)
		}
	}
}

func TestRefresh_OnlyWhatChangedIsAskedFor(t *testing.T) {
	repo, client := updatedDevice(t)
	repo.Timestamp.Version++
	refreshed(t, client)
	wantAsked(t, repo, "2.root.json", "timestamp.json")
	repo.Publish()
	refreshed(t, client)
	wantAsked(t, repo, "2.root.json", "timestamp.json", "2.snapshot.json")
	repo.Publish(verifier.Targets)
	refreshed(t, client)
	wantAsked(t, repo, "2.root.json", "timestamp.json", "3.snapshot.json", "2.targets.json")
	repo.PublishRoot()
	refreshed(t, client)
	wantAsked(t, repo, "2.root.json", "3.root.json", "timestamp.json")
	refreshed(t, client)
	wantAsked(t, repo, "3.root.json", "timestamp.json")
}

// A large targets file is not read when nothing changed: its receipt, a small note, stands in.
func TestRefresh_ReceiptSparesALargeFile(t *testing.T) {
	for _, hashes := range []bool{false, true} {
		repo, client := newDevice()
		repo.MetaHashes = hashes
		client.Limits.ReceiptBytes = 100
		repo.Targets().Add("a.img", []byte("a"))
		refreshed(t, client)
		client.Store.Asked, repo.Requests = nil, nil
		refresh := refreshed(t, client)
		if slices.Contains(client.Store.Asked, verifier.Key{Role: verifier.Targets}) {
			t.Error("the large file was read though nothing changed")
		}
		if trusted := refresh.Trusted(); len(trusted) != 4 || trusted[3].Version != 1 ||
			trusted[3].Length != int64(len(client.Store.Role(verifier.Targets))) {
			t.Errorf("trusted %+v", trusted)
		}
		if _, err := client.FindIn(refresh, "a.img"); err != nil {
			t.Errorf("find: %v", err)
		}
		wantAsked(t, repo, "2.root.json", "timestamp.json")
	}
}

// The receipt is no signature: what it vouches for is verified again when somebody looks into the file.
func TestRefresh_ReceiptMakesNoUnsignedFileTrusted(t *testing.T) {
	repo, client := newDevice()
	client.Limits.ReceiptBytes = 100
	repo.Targets().Add("a.img", []byte("a"))
	refreshed(t, client)
	key := verifier.Key{Role: verifier.Targets}
	honest := client.Store.Documents[key]
	client.Store.Documents[key] = []byte(strings.Replace(string(honest), "a.img", "b.img", 1))
	repo.Asked()
	refresh := refreshed(t, client)
	if _, err := client.FindIn(refresh, "b.img"); !errors.Is(err, verifier.ErrNotListed) {
		t.Errorf("the forged entry: %v", err)
	}
	wantAsked(t, repo, "2.root.json", "timestamp.json", "1.targets.json")
	if string(client.Store.Documents[key]) != string(honest) {
		t.Error("the honest file was not restored")
	}
}

func TestRefresh_ReceiptIsJudgedAgain(t *testing.T) {
	receipt := verifier.Key{Role: verifier.Targets, Kind: verifier.Receipt}
	tests := []struct {
		name  string
		spoil func(*tuftest.Repository, *tuftest.Client)
		asks  []string
		fails bool
	}{
		{"damaged", func(_ *tuftest.Repository, c *tuftest.Client) {
			c.Store.Documents[receipt] = []byte(`{"version":1}`)
		}, nil, false},
		{"not JSON", func(_ *tuftest.Repository, c *tuftest.Client) { c.Store.Documents[receipt] = []byte("{") }, nil, false},
		{"signers wrong", func(_ *tuftest.Repository, c *tuftest.Client) {
			c.Store.Documents[receipt] = []byte(strings.Replace(string(c.Store.Documents[receipt]), `"signers":["`, `"signers":["00`, 1))
		}, nil, false},
		{"lost", func(_ *tuftest.Repository, c *tuftest.Client) { delete(c.Store.Documents, receipt) }, nil, false},
		{"file replaced by a small one", func(r *tuftest.Repository, c *tuftest.Client) {
			c.Limits.ReceiptBytes = 1 << 20
			r.Publish(verifier.Targets)
		}, []string{"2.snapshot.json", "2.targets.json"}, false},
		{"keys revoked", func(r *tuftest.Repository, _ *tuftest.Client) {
			r.Rotate(verifier.Targets, "new-targets")
			r.PublishRoot()
		}, []string{"3.root.json", "1.targets.json"}, false},
		{"expired", func(_ *tuftest.Repository, c *tuftest.Client) {
			c.Now = tuftest.Start().Add(10 * day)
		}, []string{"1.targets.json"}, true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			repo, client := newDevice()
			client.Limits.ReceiptBytes = 100
			repo.Targets().Expires = tuftest.Start().Add(10 * day)
			refreshed(t, client)
			repo.Asked()
			test.spoil(repo, client)
			client.Store.Asked = nil
			if _, err := client.Refresh(); (err != nil) != test.fails {
				t.Errorf("refresh: %v", err)
			}
			asked := repo.Asked()
			for _, name := range []string{"2.root.json", "timestamp.json"} {
				asked = slices.DeleteFunc(asked, func(s string) bool { return s == name })
			}
			if !slices.Equal(asked, test.asks) {
				t.Errorf("asked %q, want %q", asked, test.asks)
			}
			if test.name != "file replaced by a small one" {
				return
			}
			if client.Store.Documents[receipt] != nil {
				t.Error("the receipt of the large file is still there")
			}
			if slices.Contains(client.Store.Asked, verifier.Key{Role: verifier.Targets}) {
				t.Error("the large file was read though its receipt says that it is outdated")
			}
		})
	}
}

func TestRefresh_TrustedAndSignedAt(t *testing.T) {
	repo, client := newDevice()
	repo.Timestamp.Edit = set("signed_at", "2030-01-01T00:00:30Z")
	refresh := refreshed(t, client)
	want := []verifier.RoleInfo{
		{Role: "root", Version: 1, Expires: repo.Root.Expires}, {Role: "timestamp", Version: 1, Expires: repo.Timestamp.Expires},
		{Role: "snapshot", Version: 1, Expires: repo.Snapshot.Expires}, {Role: "targets", Version: 1, Expires: repo.Targets().Expires},
	}
	for i, got := range refresh.Trusted() {
		if got.Role != want[i].Role || got.Version != want[i].Version || !got.Expires.Equal(want[i].Expires) || got.Length == 0 {
			t.Errorf("trusted %+v, want %+v", got, want[i])
		}
	}
	learned := tuftest.Start().Add(30 * time.Second)
	if got := refresh.SignedAt(); !got.Equal(learned) {
		t.Errorf("SignedAt is %v", got)
	}
	// The newest counts, also from the store while the repository is down, and what can't be read counts for nothing.
	repo.Timestamp.Version++
	repo.Timestamp.Edit = set("signed_at", "yesterday")
	if got := refreshed(t, client).SignedAt(); !got.Equal(learned) {
		t.Errorf("SignedAt is %v after a timestamp without one", got)
	}
	repo.Timestamp.Version++
	repo.Timestamp.Edit = set("signed_at", "2030-01-01T00:00:50Z")
	refreshed(t, client)
	repo.Override["2.root.json"] = func() verifier.Answer { return verifier.Failed(errors.New("no network")) }
	refresh, err := client.Refresh()
	if err == nil || !refresh.SignedAt().Equal(learned.Add(20*time.Second)) {
		t.Errorf("SignedAt is %v while offline (%v)", refresh.SignedAt(), err)
	}
}

// A timestamp whose keys were revoked since vouches for no time.
func TestRefresh_SignedAtOfARevokedTimestampIsForgotten(t *testing.T) {
	repo, client := newDevice()
	repo.Timestamp.Edit = set("signed_at", "2999-01-01T00:00:00Z")
	refreshed(t, client)
	repo.Rotate(verifier.Timestamp, "new-timestamp")
	repo.PublishRoot()
	repo.Timestamp.Edit = set("signed_at", "2030-01-01T00:00:30Z")
	if got := refreshed(t, client).SignedAt(); !got.Equal(tuftest.Start().Add(30 * time.Second)) {
		t.Errorf("SignedAt is %v", got)
	}
}

func TestConversation_IsOverAfterItsEnd(t *testing.T) {
	_, client := newDevice()
	refresh := refreshed(t, client)
	if _, more := refresh.Next(); more {
		t.Error("a finished refresh asks on")
	}
	if _, err := refresh.Supply(verifier.Absent()); !errors.Is(err, verifier.ErrFinished) {
		t.Errorf("supplied after the end: %v", err)
	}
}

func TestFind_NeedsAFinishedRefresh(t *testing.T) {
	_, client := newDevice()
	refresh, err := verifier.Begin(client.Anchor, verifier.Floors{}, client.Now, verifier.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	search := refresh.Find("a.img")
	if _, more := search.Next(); more {
		t.Error("the search asks for something")
	}
	if _, err := search.Found(); !errors.Is(err, verifier.ErrUnfinished) {
		t.Errorf("got %v", err)
	}
}

func TestDrive_StopsAtTheFirstErrorAndCommitsWhatCameWithIt(t *testing.T) {
	repo, client := newDevice()
	repo.Snapshot.Expires = tuftest.Start()
	refused(t, client, verifier.Snapshot, verifier.ErrExpired)
	wantStored(t, client, verifier.Timestamp, 1)
	failing := errors.New("disk full")
	client.Store.Crash = func(string) bool { return true }
	repo.Snapshot.Expires = tuftest.Start().Add(day)
	if _, err := client.Refresh(); !errors.Is(err, tuftest.ErrCrash) {
		t.Errorf("got %v", err)
	}
	client.Store.Crash = nil
	repo.Override["timestamp.json"] = func() verifier.Answer { return verifier.Failed(failing) }
	if _, err := client.Refresh(); !errors.Is(err, failing) {
		t.Errorf("the cause is lost: %v", err)
	}
}

// The file is another one though its version is the same: a receipt stands only for what the snapshot means.
func TestRefresh_ReceiptIsOfOneFile(t *testing.T) {
	for _, listed := range []string{"length", "sha256", "sha512"} {
		repo, client := newDevice()
		client.Limits.ReceiptBytes = 1
		repo.Snapshot.Edit = metaOf("targets.json", func(entry tuftest.Object) {
			file := repo.RoleFile(verifier.Targets)
			s256, s512 := sha256.Sum256(file), sha512.Sum512(file)
			switch listed {
			case "length":
				entry["length"] = len(file)
			case "sha256":
				entry["hashes"] = tuftest.Object{"sha256": hex.EncodeToString(s256[:])}
			default:
				entry["hashes"] = tuftest.Object{"sha512": hex.EncodeToString(s512[:])}
			}
		})
		refreshed(t, client)
		repo.Targets().Add("x", []byte("x"))
		repo.Publish()
		repo.Asked()
		refreshed(t, client)
		wantAsked(t, repo, "2.root.json", "timestamp.json", "2.snapshot.json", "1.targets.json")
	}
}

// A receipt also notes the SHA-512, where the snapshot lists one.
func TestRefresh_ReceiptWithSHA512(t *testing.T) {
	repo, client := newDevice()
	client.Limits.ReceiptBytes = 1
	refreshed(t, client)
	file := sha512.Sum512(repo.RoleFile(verifier.Targets))
	repo.Snapshot.Edit = metaOf("targets.json", set("hashes", tuftest.Object{"sha512": hex.EncodeToString(file[:])}))
	repo.Publish()
	repo.Asked()
	refreshed(t, client) // the receipt does not know: the stored file is read, and is right
	wantAsked(t, repo, "2.root.json", "timestamp.json", "2.snapshot.json")
	delete(client.Store.Documents, verifier.Key{Role: verifier.Targets})
	delete(client.Store.Documents, verifier.Key{Role: verifier.Targets, Kind: verifier.Receipt})
	refreshed(t, client)
	client.Store.Asked = nil
	refreshed(t, client)
	if slices.Contains(client.Store.Asked, verifier.Key{Role: verifier.Targets}) {
		t.Error("the large file was read though its receipt knows its SHA-512")
	}
}
