package verifier_test

import (
	"bytes"
	"errors"
	"slices"
	"testing"

	"github.com/ota-agent/ota-agent/verifier"
	"github.com/ota-agent/ota-agent/verifier/tuftest"
)

func receiptKey(role string) verifier.Key { return verifier.Key{Role: role, Kind: verifier.Receipt} }

// A receiptStory is a device that holds receipts of two large files: of targets, which lists t and delegates d, and of
// d, which lists it. spoiled: the signature of one of them is worthless, although the snapshot states the file's hash and
// the receipt is in order. No device gets into that state by itself; it shows whether signatures are checked.
type receiptStory struct {
	repo   *tuftest.Repository
	client *tuftest.Client
	role   string
	path   string
}

func newReceiptStory(t *testing.T, role string, spoiled bool) *receiptStory {
	t.Helper()
	repo, client := newDevice()
	repo.MetaHashes = true
	client.Limits.ReceiptBytes = 1
	repo.Targets().Add("t", []byte("t"))
	repo.Delegate(verifier.Targets, tuftest.Delegation{Name: "d", Paths: []string{"d"}}).Add("d", []byte("d"))
	s := &receiptStory{repo, client, role, map[string]string{verifier.Targets: "t", "d": "d"}[role]}
	for _, path := range []string{"t", "d"} {
		if _, err := client.Find(path); err != nil {
			t.Fatal(err)
		}
	}
	if spoiled {
		s.spoil(t)
	}
	repo.Asked()
	client.Store.Commits, client.Store.Asked = 0, nil
	return s
}

// spoil makes the role's signature worthless in the repository, the store and, by an honest signature, the snapshot.
func (s *receiptStory) spoil(t *testing.T) {
	t.Helper()
	old := s.client.Store.Role(s.role)
	spoiled := bytes.Replace(old, []byte(`"sig":"`), []byte(`"sig":"00`), 1)
	s.repo.Roles[s.role].Tamper = func([]byte) []byte { return spoiled }
	s.repo.Publish()
	if _, err := s.client.Refresh(); s.role == verifier.Targets && !errors.Is(err, verifier.ErrUnsigned) {
		t.Fatalf("the spoiled file: %v", err)
	}
	s.client.Store.Documents[verifier.Key{Role: s.role}] = spoiled
	note := s.client.Store.Documents[receiptKey(s.role)]
	for old, spoiled := range map[string]string{sha256Hex(old): sha256Hex(spoiled), lengthText(old): lengthText(spoiled)} {
		note = bytes.Replace(note, []byte(old), []byte(spoiled), 1)
	}
	s.client.Store.Documents[receiptKey(s.role)] = note
}

// signaturesWereChecked looks the target up and reports whether the worthless signature was noticed.
func (s *receiptStory) signaturesWereChecked(t *testing.T) bool {
	t.Helper()
	_, err := s.client.Find(s.path)
	if err != nil && !errors.Is(err, verifier.ErrUnsigned) {
		t.Fatalf("find: %v", err)
	}
	return err != nil
}

// After a start a look-up in an unchanged large file checks no signature, writes nothing, and asks for no file.
func TestReceipt_SparesTheSignatures(t *testing.T) {
	for _, role := range []string{verifier.Targets, "d"} {
		s := newReceiptStory(t, role, true)
		if s.signaturesWereChecked(t) {
			t.Errorf("%s: an unchanged file was verified again", role)
		}
		wantAsked(t, s.repo, "2.root.json", "timestamp.json")
		if s.client.Store.Commits != 0 {
			t.Errorf("%s: %d commits although nothing is new", role, s.client.Store.Commits)
		}
	}
}

// The same in numbers, for the top-level role: once when the file came, never after that.
func TestReceipt_SignaturesAreCheckedOnce(t *testing.T) {
	repo, client := newDevice()
	repo.MetaHashes = true
	client.Limits.ReceiptBytes = 1
	repo.Targets().Add("t", []byte("t"))
	for start, want := range []int{1, 0, 0} {
		refresh, err := verifier.Begin(client.Anchor, client.Store.Floors, client.Now, client.Limits)
		if err != nil {
			t.Fatal(err)
		}
		checks := verifier.CountChecks(refresh, verifier.Targets)
		if err := client.Drive(refresh); err != nil {
			t.Fatal(err)
		}
		for range 3 {
			if _, err := client.FindIn(refresh, "t"); err != nil {
				t.Fatal(err)
			}
		}
		if *checks != want {
			t.Errorf("start %d: %d signatures checked, want %d", start, *checks, want)
		}
	}
}

// Whatever the receipt was given for must be the same, or everything is verified again.
func TestReceipt_WhatChangedIsVerifiedAgain(t *testing.T) {
	grant := func(s *receiptStory) *tuftest.Grant {
		if s.role == verifier.Targets {
			return s.repo.Grants[verifier.Targets]
		}
		return &s.repo.Targets().Delegations[0].Grant
	}
	publish := func(s *receiptStory) {
		if s.role == verifier.Targets {
			s.repo.PublishRoot()
			return
		}
		s.repo.Publish(verifier.Targets)
	}
	for _, test := range []struct {
		name  string
		spoil func(s *receiptStory)
	}{
		{"the receipt is lost", func(s *receiptStory) { delete(s.client.Store.Documents, receiptKey(s.role)) }},
		{"a key is added", func(s *receiptStory) {
			grant(s).Keys = append(slices.Clone(grant(s).Keys), tuftest.Ed25519("another"))
			publish(s)
		}},
		{"the keys are rotated", func(s *receiptStory) {
			grant(s).Keys = ed25519s("another")
			publish(s)
		}},
		{"the threshold is raised", func(s *receiptStory) {
			grant(s).Threshold = 2
			publish(s)
		}},
		{"the key has another ID", func(s *receiptStory) {
			key := *grant(s).Keys[0]
			key.ID = "another"
			grant(s).Keys = []*tuftest.Key{&key}
			publish(s)
		}},
		{"the snapshot states no hash", func(s *receiptStory) {
			s.repo.MetaHashes = false
			s.repo.Publish()
		}},
		{"an older version wrote the receipt", func(s *receiptStory) {
			note := s.client.Store.Documents[receiptKey(s.role)]
			s.client.Store.Documents[receiptKey(s.role)] = append(slices.Clone(note[:bytes.Index(note, []byte(`,"grant"`))]), '}')
		}},
	} {
		for _, role := range []string{verifier.Targets, "d"} {
			s := newReceiptStory(t, role, true)
			test.spoil(s)
			if !s.signaturesWereChecked(t) {
				t.Errorf("%s, %s: nothing was verified", test.name, role)
			}
		}
	}
}

// What had to be verified again, and was right, is noted: the start after that does not pay for it.
func TestReceipt_IsRenewed(t *testing.T) {
	for _, role := range []string{verifier.Targets, "d"} {
		s := newReceiptStory(t, role, false)
		note := s.client.Store.Documents[receiptKey(role)]
		for _, damage := range [][]byte{nil, []byte("{"), []byte(`{"version":1}`)} {
			s.client.Store.Documents[receiptKey(role)] = damage
			if damage == nil {
				delete(s.client.Store.Documents, receiptKey(role))
			}
			for range 2 {
				if _, err := s.client.Find(s.path); err != nil {
					t.Fatal(err)
				}
			}
			if !bytes.Equal(s.client.Store.Documents[receiptKey(role)], note) {
				t.Errorf("%s: the receipt is %q", role, s.client.Store.Documents[receiptKey(role)])
			}
			if s.client.Store.Commits != 1 {
				t.Errorf("%s: %d commits, want one for the receipt", role, s.client.Store.Commits)
			}
			s.client.Store.Commits = 0
		}
		wantAsked(t, s.repo, slices.Repeat([]string{"2.root.json", "timestamp.json"}, 6)...)
	}
}

// A receipt with a bit flipped in any byte spares nothing, unless the bit only changes the case of a hex digit.
func TestReceipt_EveryFlippedBitIsNoticed(t *testing.T) {
	for _, role := range []string{verifier.Targets, "d"} {
		s := newReceiptStory(t, role, true)
		honest := s.client.Store.Clone()
		note := honest.Documents[receiptKey(role)]
		for i := range note {
			flipped := slices.Clone(note)
			flipped[i] ^= 1 << (i % 8)
			s.client.Store = honest.Clone()
			s.client.Store.Documents[receiptKey(role)] = flipped
			if bytes.EqualFold(flipped, note) {
				continue
			}
			if !s.signaturesWereChecked(t) {
				t.Errorf("%s: byte %d, bit %d: nothing was verified: %q", role, i, i%8, flipped)
			}
		}
	}
}

// A file with a bit flipped in any byte is not the one that the receipt is of: it is fetched and verified whole.
func TestReceipt_EveryFlippedBitOfTheFileIsNoticed(t *testing.T) {
	for _, role := range []string{verifier.Targets, "d"} {
		s := newReceiptStory(t, role, false)
		want, err := s.client.Find(s.path)
		if err != nil {
			t.Fatal(err)
		}
		honest := s.client.Store.Clone()
		file := honest.Role(role)
		for i := range file {
			flipped := slices.Clone(file)
			flipped[i] ^= 1 << (i % 8)
			s.client.Store = honest.Clone()
			s.client.Store.Documents[verifier.Key{Role: role}] = flipped
			found, err := s.client.Find(s.path)
			if err != nil || found.Target.ID() != want.Target.ID() || !bytes.Equal(s.client.Store.Role(role), file) {
				t.Fatalf("%s: byte %d, bit %d: found %+v, %v", role, i, i%8, found, err)
			}
		}
	}
}

// Somebody writes a file and a receipt of it to the device's store, but has no keys. Both are useless.
func TestH_StoreWrittenToWithAForgedReceipt(t *testing.T) {
	for _, pinned := range []bool{false, true} {
		repo, client := newDevice()
		repo.MetaHashes = pinned
		client.Limits.ReceiptBytes = 1
		repo.Targets().Add("x", []byte("honest"))
		want, err := client.Find("x")
		if err != nil {
			t.Fatal(err)
		}
		honest := client.Store.Role(verifier.Targets)
		forged := bytes.Replace(honest, []byte(sha256Hex([]byte("honest"))), []byte(sha256Hex([]byte("forged"))), 1)
		note := client.Store.Documents[receiptKey(verifier.Targets)]
		client.Store.Documents[verifier.Key{Role: verifier.Targets}] = forged
		client.Store.Documents[receiptKey(verifier.Targets)] = bytes.Replace(note, []byte(sha256Hex(honest)), []byte(sha256Hex(forged)), 1)
		found, err := client.Find("x")
		if err != nil || found.Target.ID() != want.Target.ID() {
			t.Errorf("hashes in the snapshot %v: found %+v, %v", pinned, found, err)
		}
	}
}

// Two delegators trust different keys with one role. A receipt given under one of them spares the other nothing.
func TestB5_AReceiptIsOfOneDelegator(t *testing.T) {
	repo, client := newDevice()
	repo.MetaHashes = true
	client.Limits.ReceiptBytes = 1
	for _, name := range []string{"left", "right"} {
		repo.Delegate(verifier.Targets, tuftest.Delegation{Name: name, Paths: []string{name + "/*"}})
		repo.Delegate(name, tuftest.Delegation{Name: "shared", Paths: []string{"*/*"}, Grant: tuftest.Grant{Keys: ed25519s(name + "-shared"), Threshold: 1}})
	}
	shared := repo.Roles["shared"]
	shared.By = ed25519s("left-shared")
	shared.Add("left/x", []byte("x"))
	shared.Add("right/x", []byte("x"))
	for range 2 {
		if _, err := client.Find("left/x"); err != nil {
			t.Errorf("through the delegator whose key signed: %v", err)
		}
		_, err := client.Find("right/x")
		wantRefusal(t, err, "shared", verifier.ErrUnsigned)
	}
}
