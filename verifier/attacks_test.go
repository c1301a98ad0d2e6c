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

// The attacks of the specification's section 1.5.2, as far as metadata decides them. What a mirror can do to a
// connection is told in agent/fetch.

// A mirror without any key makes up an update.
func TestH_ArbitrarySoftware(t *testing.T) {
	repo, client := updatedDevice(t)
	evil := tuftest.NewNamed("evil-")
	evil.PublishRoot()
	evil.Timestamp.Version, evil.Snapshot.Version, evil.Targets().Version = 9, 9, 9
	evil.Targets().Add("rootfs.img", []byte("malware"))
	client.Repo = evil
	wantUnchanged(t, client, func() { refused(t, client, verifier.Root, verifier.ErrUnsigned) })
	evil.Override["2.root.json"] = verifier.Absent
	wantUnchanged(t, client, func() { refused(t, client, verifier.Timestamp, verifier.ErrUnsigned) })
	client.Repo = repo
	refreshed(t, client)
}

// A mirror replays each file as it once was, before and after a restart, and after the database was lost.
func TestH_Rollback(t *testing.T) {
	repo, client := newDevice()
	repo.Targets().Add("rootfs.img", []byte("v1, with a known hole"))
	refreshed(t, client)
	old := map[string][]byte{"timestamp.json": repo.TimestampFile(), "snapshot.json": repo.SnapshotFile(), "targets.json": repo.RoleFile("targets")}
	repo.Targets().Add("rootfs.img", []byte("v2"))
	repo.Publish(verifier.Targets)
	refreshed(t, client)

	repo.Override["timestamp.json"] = answered(old["timestamp.json"])
	wantUnchanged(t, client, func() { refused(t, client, verifier.Timestamp, verifier.ErrRollback) })
	client.Store.Documents = map[verifier.Key][]byte{}
	refused(t, client, verifier.Timestamp, verifier.ErrRollback)
	delete(repo.Override, "timestamp.json")

	repo.Publish(verifier.Targets)
	repo.Override["3.snapshot.json"] = answered(old["snapshot.json"])
	refused(t, client, verifier.Snapshot, verifier.ErrVersionMismatch)
	clear(repo.Override)
	repo.Override["3.targets.json"] = answered(old["targets.json"])
	refused(t, client, verifier.Targets, verifier.ErrVersionMismatch)
	clear(repo.Override)
	refreshed(t, client)
	wantStored(t, client, verifier.Targets, 3)
}

// Whoever holds the timestamp key, or the snapshot's too, still brings back nothing older.
func TestH_RollbackWithOnlineKeys(t *testing.T) {
	repo, client := newDevice()
	repo.Targets().Version = 5
	refreshed(t, client)
	repo.Targets().Version = 4
	repo.Publish() // a new timestamp and a new snapshot, properly signed, that list an older targets file
	refused(t, client, verifier.Snapshot, verifier.ErrRollback)
	wantStored(t, client, verifier.Targets, 5)
}

// A mirror goes on serving what was right once. It notices nobody new, and ends when the timestamp expires.
func TestH_IndefiniteFreeze(t *testing.T) {
	repo, client := updatedDevice(t)
	frozen := repo.TimestampFile()
	repo.Publish(verifier.Targets)
	repo.Override["timestamp.json"] = answered(frozen)
	client.Now = tuftest.Start().Add(29 * day)
	refreshed(t, client)
	client.Now = tuftest.Start().Add(30 * day)
	wantUnchanged(t, client, func() { refused(t, client, verifier.Timestamp, verifier.ErrExpired) })
}

// A frozen snapshot, targets file or delegated role behind a lively timestamp ends likewise.
func TestH_FreezeBehindALivelyTimestamp(t *testing.T) {
	for _, frozen := range []string{verifier.Snapshot, verifier.Targets, "d", verifier.Root} {
		t.Run(frozen, func(t *testing.T) {
			repo, client := newDevice()
			repo.Delegate(verifier.Targets, tuftest.Delegation{Name: "d", Paths: []string{"*"}}).Add("x", []byte("x"))
			if _, err := client.Find("x"); err != nil {
				t.Fatal(err)
			}
			late := tuftest.Start().Add(1000 * day)
			for role, r := range map[string]*tuftest.Role{verifier.Timestamp: repo.Timestamp, verifier.Snapshot: repo.Snapshot,
				verifier.Targets: repo.Targets(), "d": repo.Roles["d"], verifier.Root: repo.Root} {
				if role != frozen {
					r.Expires = late
				}
			}
			repo.PublishRoot()
			repo.Publish(verifier.Targets, "d")
			client.Now = tuftest.Start().Add(400 * day)
			_, err := client.Find("x")
			wantRefusal(t, err, frozen, verifier.ErrExpired)
		})
	}
}

// The versions are driven to the maximum with a stolen key. After rotation honest metadata is accepted again, also
// by a device whose power was cut between the two stores, and by one whose database is gone.
func TestH_FastForwardAndRecovery(t *testing.T) {
	for _, cut := range []string{"none", "timestamp floors", "timestamp documents", "snapshot floors", "snapshot documents", "database lost"} {
		t.Run(cut, func(t *testing.T) {
			repo, client := updatedDevice(t)
			repo.Timestamp.Version, repo.Snapshot.Version = verifier.VersionMax, verifier.VersionMax
			step, at := 0, map[string]int{"timestamp floors": 1, "timestamp documents": 2, "snapshot floors": 3, "snapshot documents": 4}[cut]
			client.Store.Crash = func(string) bool { step++; return step == at }
			if _, err := client.Refresh(); (err != nil) != (at > 0) {
				t.Fatal(err)
			}
			client.Store.Crash = nil
			if cut == "database lost" {
				client.Store.Documents = map[verifier.Key][]byte{}
			}
			repo.Timestamp.Version, repo.Snapshot.Version = 2, 2
			if at != 1 {
				if _, err := client.Refresh(); !errors.Is(err, verifier.ErrRollback) {
					t.Errorf("before the rotation: %v", err)
				}
			}
			repo.Rotate(verifier.Timestamp, "fresh-timestamp")
			repo.Rotate(verifier.Snapshot, "fresh-snapshot")
			repo.PublishRoot()
			refreshed(t, client)
			wantStored(t, client, verifier.Timestamp, 2)
			wantStored(t, client, verifier.Snapshot, 2)
		})
	}
}

// A mirror puts files of different times together.
func TestH_MixAndMatch(t *testing.T) {
	for _, hashes := range []bool{false, true} {
		repo, client := newDevice()
		repo.MetaHashes = hashes
		repo.Delegate(verifier.Targets, tuftest.Delegation{Name: "d", Paths: []string{"*"}}).Add("x", []byte("x"))
		older := map[string][]byte{verifier.Targets: repo.RoleFile(verifier.Targets), "d": repo.RoleFile("d")}
		repo.Publish(verifier.Targets, "d")
		for _, role := range []string{verifier.Targets, "d"} {
			name := verifier.FileName(role, 2)
			repo.Override[name] = answered(older[role])
			_, err := client.Find("x")
			want := verifier.ErrVersionMismatch
			if hashes {
				want = verifier.ErrHashMismatch
			}
			if !errors.Is(err, want) {
				t.Errorf("%s from another time (hashes %v): %v", role, hashes, err)
			}
			delete(repo.Override, name)
		}
		if _, err := client.Find("x"); err != nil {
			t.Error(err)
		}
	}
}

// Each request bounds its answer, and a longer one is refused whoever read it.
func TestH_EndlessData(t *testing.T) {
	repo, client := newDevice()
	repo.PublishRoot()
	repo.Delegate(verifier.Targets, tuftest.Delegation{Name: "d", Paths: []string{"*"}})
	bounds := map[string]int64{}
	names := []string{"2.root.json", "timestamp.json", "1.snapshot.json", "1.targets.json", "1.d.json"}
	for _, name := range names {
		repo.Override[name] = nil
	}
	record := func(q verifier.Request) verifier.Answer {
		if q.Source == verifier.Stored {
			if q.BytesMax <= 0 {
				t.Errorf("no bound on stored %+v", q.Key)
			}
			return client.Store.Answer(q.Key)
		}
		bounds[q.Name] = q.BytesMax
		return repo.Answer(q.Name)
	}
	refresh, err := verifier.Begin(client.Anchor, client.Store.Floors, client.Now, client.Limits)
	if err != nil {
		t.Fatal(err)
	}
	if err := verifier.Drive(refresh, record, client.Store.Commit); err != nil {
		t.Fatal(err)
	}
	if err := verifier.Drive(refresh.Find("x"), record, client.Store.Commit); err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if bounds[name] <= 0 {
			t.Fatalf("no bound on %s", name)
		}
		client.Store = tuftest.NewStore()
		endless := bytes.Repeat([]byte(" "), int(bounds[name])+1)
		repo.Override[name] = answered(endless)
		if _, err := client.Find("x"); !errors.Is(err, verifier.ErrLimitExceeded) {
			t.Errorf("%s of %d bytes: %v", name, len(endless), err)
		}
		repo.Override[name] = nil
	}
}

// The mirror serves a genuine image under another's name: the check is against the entry that was looked up.
func TestH_WrongSoftware(t *testing.T) {
	repo, client := newDevice()
	repo.Targets().Add("camera.img", []byte("camera"))
	repo.Targets().Add("router.img", []byte("router"))
	found, err := client.Find("camera.img")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := checked(found.Target, []byte("router")); !errors.Is(err, verifier.ErrHashMismatch) {
		t.Errorf("got %v", err)
	}
}

// One mirror lies, the next is honest: nothing of the lie is left.
func TestH_MaliciousMirror(t *testing.T) {
	for _, name := range []string{"2.root.json", "timestamp.json", "1.snapshot.json", "1.targets.json"} {
		for lie, answer := range map[string]func() verifier.Answer{"junk": answered([]byte("<html>login</html>")), "empty": answered([]byte{}),
			"lost": func() verifier.Answer { return verifier.Failed(errors.New("reset")) }, "another file": answered(tuftest.NewNamed("evil-").TimestampFile())} {
			repo, client := newDevice()
			repo.Override[name] = answer
			if _, err := client.Refresh(); err == nil {
				t.Errorf("%s as %s was accepted", name, lie)
			}
			clear(repo.Override)
			refreshed(t, client)
		}
	}
}

// Fewer keys than the threshold are stolen, of each role in turn.
func TestH_KeyCompromiseBelowTheThreshold(t *testing.T) {
	for _, role := range topLevel() {
		repo := tuftest.New()
		repo.Grants[role] = &tuftest.Grant{Keys: ed25519s("stolen-1", "stolen-2", "safe"), Threshold: 3}
		repo.PublishRoot()
		client := tuftest.NewClient(repo)
		refreshed(t, client)
		stolen := ed25519s("stolen-1", "stolen-2")
		switch role {
		case verifier.Root:
			repo.RootBy = stolen
			repo.PublishRoot()
		case verifier.Timestamp:
			repo.Timestamp.By = stolen
		case verifier.Snapshot:
			repo.Snapshot.By = stolen
		default:
			repo.Targets().By = stolen
		}
		repo.Publish(verifier.Targets)
		refused(t, client, role, verifier.ErrUnsigned)
	}
}

// A stolen key was replaced by a new root. From then on it signs nothing, not even together with an old root.
func TestH_KeyRevocation(t *testing.T) {
	for _, role := range []string{verifier.Timestamp, verifier.Snapshot, verifier.Targets} {
		repo, client := updatedDevice(t)
		stolen := repo.Grants[role].Keys
		repo.Rotate(role, "fresh")
		repo.PublishRoot()
		refreshed(t, client)
		repo.Publish(verifier.Targets)
		switch role {
		case verifier.Timestamp:
			repo.Timestamp.By = stolen
		case verifier.Snapshot:
			repo.Snapshot.By = stolen
		default:
			repo.Targets().By = stolen
		}
		refused(t, client, role, verifier.ErrUnsigned)
	}
}

// The clock stands in the past. That brings nothing back that is older than what is trusted.
func TestH_ClockSetBack(t *testing.T) {
	repo, client := updatedDevice(t)
	old := repo.TimestampFile()
	repo.Publish(verifier.Targets)
	refreshed(t, client)
	client.Now = time.Unix(0, 0)
	repo.Override["timestamp.json"] = answered(old)
	refused(t, client, verifier.Timestamp, verifier.ErrRollback)
	clear(repo.Override)
	refreshed(t, client)
}

// The clock is years ahead: everything is refused as expired, nothing is lost, and the right time mends it.
func TestH_ClockFarAhead(t *testing.T) {
	repo, client := updatedDevice(t)
	repo.Publish(verifier.Targets)
	right := client.Now
	client.Now = right.AddDate(50, 0, 0)
	wantUnchanged(t, client, func() { refused(t, client, verifier.Root, verifier.ErrExpired) })
	client.Now = right
	refreshed(t, client)
}

// The attacker wrote the whole database: none of it hangs on the anchor.
func TestH_DatabaseReplacedByAnAttackers(t *testing.T) {
	repo, client := updatedDevice(t)
	evil := tuftest.NewNamed("evil-")
	evil.PublishRoot()
	evil.Targets().Add("rootfs.img", []byte("malware"))
	evil.Timestamp.Version = 9
	victim := tuftest.NewClient(evil)
	victim.Anchor = evil.Roots[1]
	refreshed(t, victim)
	client.Store.Documents = victim.Store.Documents
	client.Store.Documents[rootKey(2)] = evil.Roots[1]
	if _, err := client.Find("rootfs.img"); !errors.Is(err, verifier.ErrNotListed) {
		t.Errorf("got %v", err)
	}
	wantAsked(t, repo, "2.root.json", "timestamp.json", "1.snapshot.json", "1.targets.json")
	if client.Store.Documents[rootKey(2)] != nil {
		t.Error("the attacker's root is still there")
	}
}

// The attacker put an older, honest database back, and serves what went with it.
func TestH_DatabaseReplacedByAnOlderOne(t *testing.T) {
	repo, client := updatedDevice(t)
	old, timestamp := client.Store.Clone(), repo.TimestampFile()
	repo.Publish(verifier.Targets)
	refreshed(t, client)
	client.Store.Documents = old.Documents
	repo.Override["timestamp.json"] = answered(timestamp)
	refused(t, client, verifier.Timestamp, verifier.ErrRollback)
	clear(repo.Override)
	refreshed(t, client)
}

// A stored copy was changed: it is verified again whenever it is used.
func TestH_OfflineCopyTamperedWith(t *testing.T) {
	for _, role := range []string{verifier.Timestamp, verifier.Snapshot, verifier.Targets, "d"} {
		repo, client := newDevice()
		repo.Delegate(verifier.Targets, tuftest.Delegation{Name: "d", Paths: []string{"*"}}).Add("x", []byte("x"))
		if _, err := client.Find("x"); err != nil {
			t.Fatal(err)
		}
		key := verifier.Key{Role: role}
		honest := client.Store.Documents[key]
		forged := bytes.Replace(honest, []byte("2030-01-31"), []byte("2099-01-31"), 1)
		client.Store.Documents[key] = forged
		if _, err := client.Find("x"); err != nil {
			t.Errorf("%s: %v", role, err)
		}
		if bytes.Equal(client.Store.Documents[key], forged) || bytes.Equal(forged, honest) {
			t.Errorf("the forged %s is still there", role)
		}
	}
}

// Whoever may sign for a few paths names the roles below. A name that no store or URL takes is refused with the file that says it,
// the bin's with the digits that it will get; and only who searches there hears of it.
func TestH_ARoleNameIsBounded(t *testing.T) {
	for length, class := range map[int]error{verifier.RoleNameBytesMax: nil, verifier.RoleNameBytesMax + 1: verifier.ErrLimitExceeded} {
		repo, client := newDevice()
		repo.Delegate(verifier.Targets, tuftest.Delegation{Name: "vendor", Paths: []string{"apps/*"}})
		repo.Delegate("vendor", tuftest.Delegation{Name: strings.Repeat("r", length), Paths: []string{"*/x"}}).Add("apps/x", []byte("x"))
		if _, err := client.Find("apps/x"); !errors.Is(err, class) {
			t.Errorf("a name of %d bytes: %v", length, err)
		}
		if _, err := client.Find("system"); !errors.Is(err, verifier.ErrNotListed) {
			t.Errorf("a name of %d bytes elsewhere: %v", length, err)
		}
		repo.Roles["vendor"].Bins = &tuftest.Bins{Grant: repo.Roles["vendor"].Delegations[0].Grant, Bits: 32, Prefix: strings.Repeat("b", length-len("-00000000"))}
		repo.Publish("vendor")
		if _, err := client.Find("apps/x"); class != nil && !errors.Is(err, class) || class == nil && !errors.Is(err, verifier.ErrMalformed) {
			t.Errorf("a bin's name of %d bytes: %v", length, err) // no snapshot lists the bin
		}
	}
}
