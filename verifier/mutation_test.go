package verifier_test

import (
	"bytes"
	"testing"

	"github.com/ota-agent/ota-agent/verifier"
	"github.com/ota-agent/ota-agent/verifier/strict"
	"github.com/ota-agent/ota-agent/verifier/tuftest"
)

// mutants are the files that a device is about to fetch, one by one, with what it has fetched before.
func mutants(t *testing.T) (*tuftest.Repository, map[string]func() *tuftest.Client) {
	t.Helper()
	repo := tuftest.New()
	repo.PublishRoot()
	repo.Targets().Add("y", []byte("y"))
	repo.Delegate(verifier.Targets, tuftest.Delegation{Name: "d", Paths: []string{"*"}}).Add("x", []byte("x"))
	whole := tuftest.NewClient(repo)
	if _, err := whole.Find("x"); err != nil {
		t.Fatal(err)
	}
	lacking := func(keys ...verifier.Key) func() *tuftest.Client {
		return func() *tuftest.Client {
			client := tuftest.NewClient(repo)
			client.Store = whole.Store.Clone()
			client.Store.Floors = verifier.Floors{}
			for _, key := range keys {
				delete(client.Store.Documents, key)
			}
			return client
		}
	}
	return repo, map[string]func() *tuftest.Client{
		"2.root.json":     lacking(rootKey(2)),
		"timestamp.json":  lacking(verifier.Key{Role: verifier.Timestamp}),
		"1.snapshot.json": lacking(verifier.Key{Role: verifier.Snapshot}),
		"1.targets.json":  lacking(verifier.Key{Role: verifier.Targets}),
		"1.d.json":        lacking(verifier.Key{Role: "d"}),
	}
}

// canonicalSigned is the canonical form of what a file says, nil if it can't be read.
func canonicalSigned(file []byte) []byte {
	d, err := strict.ParseDocument(file)
	if err != nil {
		return nil
	}
	canonical, err := d.Signed.Canonical()
	if err != nil {
		return nil
	}
	return canonical
}

// try lets a fresh device meet the mutant of one file.
func try(repo *tuftest.Repository, client *tuftest.Client, name string, mutant []byte) error {
	repo.Override[name] = answered(mutant)
	var err error
	if name == "1.d.json" {
		_, err = client.Find("x")
	} else {
		_, err = client.Refresh()
	}
	return err
}

// Every byte of every signed file is changed. The change is refused, or it says the very same: then it lies in white
// space, in the case of a hex digit of a signature, or in a part that nothing is taken from.
func TestMutation_EveryByte(t *testing.T) {
	for _, name := range signedFiles() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			repo, clients := mutants(t)
			newClient := clients[name]
			honest := repoFile(repo, name)
			says := canonicalSigned(honest)
			accepted := 0
			for i := range honest {
				for _, flip := range []byte{0x01, 0x20} {
					mutant := bytes.Clone(honest)
					mutant[i] ^= flip
					if try(repo, newClient(), name, mutant) != nil {
						continue
					}
					accepted++
					if !bytes.Equal(canonicalSigned(mutant), says) {
						t.Fatalf("byte %d changed from %q to %q was accepted", i, honest[i], mutant[i])
					}
				}
			}
			t.Logf("%d of %d mutants say the same", accepted, 2*len(honest))
		})
	}
}

// Every truncation is refused; so is every file with something behind it that is not white space.
func TestMutation_EveryTruncation(t *testing.T) {
	for _, name := range signedFiles() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			repo, clients := mutants(t)
			newClient := clients[name]
			honest := repoFile(repo, name)
			for i := range honest {
				if try(repo, newClient(), name, honest[:i:i]) == nil {
					t.Fatalf("cut to %d of %d bytes, it was accepted", i, len(honest))
				}
			}
			if try(repo, newClient(), name, append(bytes.Clone(honest), '}')) == nil {
				t.Error("with one more byte, it was accepted")
			}
		})
	}
}

func signedFiles() []string {
	return []string{"2.root.json", "timestamp.json", "1.snapshot.json", "1.targets.json", "1.d.json"}
}

func repoFile(repo *tuftest.Repository, name string) []byte {
	var file []byte
	switch name {
	case "2.root.json":
		file = repo.Roots[1]
	case "timestamp.json":
		file = repo.TimestampFile()
	case "1.snapshot.json":
		file = repo.SnapshotFile()
	case "1.targets.json":
		file = repo.RoleFile(verifier.Targets)
	default:
		file = repo.RoleFile("d")
	}
	return file
}
