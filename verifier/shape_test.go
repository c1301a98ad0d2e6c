package verifier_test

import (
	"bytes"
	"crypto/elliptic"
	"crypto/sha256"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"slices"
	"testing"

	"github.com/ota-agent/ota-agent/verifier"
	"github.com/ota-agent/ota-agent/verifier/tuftest"
)

// owned is a key as tuf-on-ci lists it: ECDSA in PEM, with its owner, under an ID that is the hash of something else.
func owned(name string) *tuftest.Key {
	id := sha256.Sum256([]byte("an older form of " + name))
	return tuftest.ECDSA(name, elliptic.P256()).As(hex.EncodeToString(id[:])).With(set("x-tuf-on-ci-keyowner", "@"+name))
}

// older is the same key as the first root files of such repositories list it: not in PEM, but the point in hex. That is
// outside the specification, so the key is unusable in this form.
func older(t *testing.T, k *tuftest.Key) *tuftest.Key {
	t.Helper()
	block, _ := pem.Decode([]byte(k.Entry["keyval"].(tuftest.Object)["public"].(string)))
	if block == nil {
		t.Fatal("no PEM")
	}
	point := hex.EncodeToString(block.Bytes[len(block.Bytes)-65:])
	return k.As(k.ID[:60] + "0000").With(func(e tuftest.Object) {
		e["keytype"], e["keyval"] = "ecdsa-sha2-nistp256", tuftest.Object{"public": point}
	})
}

// unsigned gives the file an empty signature by a key that has not signed, as tuf-on-ci leaves them.
func unsigned(k *tuftest.Key) func([]byte) []byte {
	return signatures(`{"keyid":"` + k.ID + `","sig":""}`)
}

// A repository with the shape of the large public ones that tuf-on-ci keeps: a dozen roots whose people come and go, three
// of five of them must sign; each key under an opaque ID (TAP 12), once more in an old form that nobody reads any
// more; fields of the publisher's tool everywhere; empty signatures; a snapshot that states versions and nothing else;
// one online key for timestamp and snapshot; a terminating delegation.
func TestShape_ARepositoryAsTUFOnCIKeepsIt(t *testing.T) {
	repo := tuftest.New()
	online := tuftest.ECDSA("online", elliptic.P256()).With(set("x-tuf-on-ci-online-uri", "kms:key"))
	periods := func(signed tuftest.Object) {
		signed["x-tuf-on-ci-expiry-period"], signed["x-tuf-on-ci-signing-period"] = 182, 31
		for _, role := range object(signed, "roles") {
			role.(tuftest.Object)["x-tuf-on-ci-expiry-period"] = 7
		}
	}
	people := []*tuftest.Key{owned("p0"), owned("p1"), owned("p2"), owned("p3"), owned("p4")}
	publish := func() {
		listed := slices.Clone(people)
		for _, k := range people {
			listed = append(listed, older(t, k))
		}
		repo.Grants[verifier.Root] = &tuftest.Grant{Keys: listed, Threshold: 3}
		repo.Grants[verifier.Targets] = &tuftest.Grant{Keys: listed, Threshold: 3}
		repo.Grants[verifier.Timestamp] = &tuftest.Grant{Keys: []*tuftest.Key{online}, Threshold: 1}
		repo.Grants[verifier.Snapshot] = &tuftest.Grant{Keys: []*tuftest.Key{online}, Threshold: 1}
		repo.Root.Edit, repo.Root.Tamper = periods, unsigned(tuftest.Ed25519("somebody who left"))
		repo.PublishRoot()
	}
	publish()
	anchor := repo.Roots[len(repo.Roots)-1]
	for i := range 11 { // one of the five goes with each root
		people = append(people[1:], owned(fmt.Sprint("q", i)))
		publish()
	}
	repo.Targets().Edit = func(signed tuftest.Object) { signed["x-tuf-on-ci-expiry-period"] = 182 }
	repo.Targets().By, repo.Targets().Tamper = people[:3], unsigned(people[4])
	repo.Targets().Targets["trusted_root.json"] = tuftest.Target([]byte("root"), tuftest.Object{"sigstore": tuftest.Object{"status": "Active", "usage": "Fulcio"}})
	repo.Delegate(verifier.Targets, tuftest.Delegation{Name: "registry.example.org", Terminating: true,
		Paths: []string{"registry.example.org/*"}, Grant: tuftest.Grant{Keys: people[:1], Threshold: 1}}).Add("registry.example.org/keys.json", []byte("keys"))

	client := tuftest.NewClient(repo)
	client.Anchor = anchor
	for _, path := range []string{"trusted_root.json", "registry.example.org/keys.json"} {
		found, err := client.Find(path)
		if err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		if path == "trusted_root.json" && !bytes.Contains(found.Target.Custom, []byte(`"usage":"Fulcio"`)) {
			t.Errorf("custom is %q", found.Target.Custom)
		}
	}
	wantRoot(t, refreshed(t, client), int64(len(repo.Roots)))

	// Two of three are not enough, however often each of them is listed and has signed.
	repo.Targets().By = []*tuftest.Key{people[0], people[1], older(t, people[0]), older(t, people[1])}
	repo.Publish(verifier.Targets)
	refused(t, client, verifier.Targets, verifier.ErrUnsigned)
}
