package verifier_test

import (
	"bytes"
	"testing"

	"github.com/ota-agent/ota-agent/verifier"
	"github.com/ota-agent/ota-agent/verifier/tuftest"
)

// FuzzRefresh puts any bytes in the place of one file, in the repository and in the store. No trust is gained by bytes
// that nobody signed: whatever is kept says what the honest file says, and a target that is found is the honest one.
func FuzzRefresh(f *testing.F) {
	repo, whole, want := fuzzedDevice(f, false)
	_, pinned, _ := fuzzedDevice(f, true)
	honest := map[string][]byte{}
	for i, name := range signedFiles() {
		honest[name] = repoFile(repo, name)
		f.Add(i, honest[name])
		f.Add(i, bytes.Replace(honest[name], []byte(`"version":1`), []byte(`"version":2`), 1))
	}
	keys := []verifier.Key{rootKey(2), {Role: verifier.Timestamp}, {Role: verifier.Snapshot}, {Role: verifier.Targets}, {Role: "d"},
		receiptKey(verifier.Targets), receiptKey("d")}
	f.Fuzz(func(t *testing.T, file int, raw []byte) {
		if file < 0 || file >= len(keys) {
			return
		}
		clear(repo.Override)
		repo.Requests = nil

		// Remote: an empty device meets the file.
		client := tuftest.NewClient(repo)
		if file < len(signedFiles()) {
			repo.Override[signedFiles()[file]] = answered(raw)
		}
		if found, err := client.Find("x"); err == nil && found.Target.ID() != want.Target.ID() {
			t.Errorf("found %+v", found)
		}
		for i, key := range keys[:len(signedFiles())] {
			kept := client.Store.Documents[key]
			if kept != nil && !bytes.Equal(canonicalSigned(kept), canonicalSigned(honest[signedFiles()[i]])) {
				t.Errorf("%+v was kept as %q", key, kept)
			}
		}

		// Stored: a device finds the file in its own store, and gets over it; also where receipts spare signatures.
		clear(repo.Override)
		for _, device := range []*tuftest.Client{whole, pinned} {
			client = tuftest.NewClient(device.Repo)
			client.Store = device.Store.Clone()
			client.Limits.ReceiptBytes = 1
			client.Store.Documents[keys[file]] = raw
			if found, err := client.Find("x"); err != nil || found.Target.ID() != want.Target.ID() {
				t.Errorf("with %+v stored as %q: found %+v, %v", keys[file], raw, found, err)
			}
		}
	})
}

// fuzzedDevice is a device that has found x, with a receipt of each targets role. pinned: the snapshot states hashes.
func fuzzedDevice(f *testing.F, pinned bool) (*tuftest.Repository, *tuftest.Client, verifier.Found) {
	repo := tuftest.New()
	repo.MetaHashes = pinned
	repo.PublishRoot()
	repo.Delegate(verifier.Targets, tuftest.Delegation{Name: "d", Paths: []string{"*"}}).Add("x", []byte("x"))
	whole := tuftest.NewClient(repo)
	whole.Limits.ReceiptBytes = 1
	want, err := whole.Find("x")
	if err != nil {
		f.Fatal(err)
	}
	return repo, whole, want
}
