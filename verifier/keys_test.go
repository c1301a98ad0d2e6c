package verifier_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
	"testing"

	"github.com/ota-agent/ota-agent/verifier"
	"github.com/ota-agent/ota-agent/verifier/tuftest"
)

// grant gives a role to keys, in a new root.
func grant(r *tuftest.Repository, role string, threshold int, keys ...*tuftest.Key) {
	r.Grants[role] = &tuftest.Grant{Keys: keys, Threshold: threshold}
	r.PublishRoot()
}

func TestB1_KeyIDsAreOpaque(t *testing.T) {
	for _, id := range []string{"", "a key", "\u00e9", strings.Repeat("k", 1000)} {
		repo, client := newDevice()
		grant(repo, verifier.Timestamp, 1, tuftest.Ed25519("t").As(id))
		refreshed(t, client)
	}
}

func TestB2_OneKeyUnderTwoIDsCountsOnce(t *testing.T) {
	ec := tuftest.ECDSA("ec", elliptic.P256())
	pss := tuftest.RSA("pss", rsaKey(), "rsassa-pss-sha256", 32)
	ed := tuftest.Ed25519("ed")
	respelt := func(k *tuftest.Key, id string, f func(string) string) *tuftest.Key {
		return k.As(id).With(func(entry tuftest.Object) {
			public := entry["keyval"].(tuftest.Object)["public"].(string)
			entry["keyval"] = tuftest.Object{"public": f(public)}
		})
	}
	pairs := map[string][]*tuftest.Key{
		"two IDs":              {ed, ed.As("other")},
		"upper-case hex":       {ed, respelt(ed, "other", strings.ToUpper)},
		"PEM with other ends":  {ec, respelt(ec, "other", func(s string) string { return strings.ReplaceAll(s, "\n", "\r\n") })},
		"PEM with white space": {ec, respelt(ec, "other", func(s string) string { return "\n" + s + "\n\n" })},
		"ecdsa key types":      {ec, ec.As("other").With(func(entry tuftest.Object) { entry["keytype"] = "ecdsa-sha2-nistp256" })},
		"RSA paddings":         {pss, tuftest.RSA("other", rsaKey(), "rsa-pkcs1v15-sha256", 0)},
	}
	for name, pair := range pairs {
		t.Run(name, func(t *testing.T) {
			repo, client := newDevice()
			grant(repo, verifier.Timestamp, 2, pair...)
			refused(t, client, verifier.Timestamp, verifier.ErrUnsigned)
			grant(repo, verifier.Timestamp, 2, append(pair, tuftest.Ed25519("another"))...)
			refreshed(t, client)
		})
	}
}

func TestB3_AnUnusableKeySpoilsNothing(t *testing.T) {
	ed := tuftest.Ed25519("timestamp-1")
	entry := func(keytype, scheme string, public any) func(tuftest.Object) {
		return func(e tuftest.Object) {
			e["keytype"], e["scheme"], e["keyval"] = keytype, scheme, tuftest.Object{"public": public}
		}
	}
	pub := hex.EncodeToString(make([]byte, 32))
	small, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	p256, p384 := tuftest.ECDSA("p256", elliptic.P256()), tuftest.ECDSA("p384", elliptic.P384())
	text := func(k *tuftest.Key) string { return k.Entry["keyval"].(tuftest.Object)["public"].(string) }
	tests := map[string]func(tuftest.Object){
		"unknown type":              entry("ml-dsa", "ml-dsa-65", pub),
		"unknown scheme":            entry("ed25519", "ed25519ph", pub),
		"type against scheme":       entry("rsa", "ed25519", pub),
		"B6 short ed25519":          entry("ed25519", "ed25519", pub[:62]),
		"B6 long ed25519":           entry("ed25519", "ed25519", pub+"00"),
		"B6 ed25519 no hex":         entry("ed25519", "ed25519", strings.Repeat("z", 64)),
		"B6 ed25519 empty":          entry("ed25519", "ed25519", ""),
		"B6 ed25519 null":           entry("ed25519", "ed25519", nil),
		"B7 no PEM":                 entry("ecdsa", "ecdsa-sha2-nistp256", pub),
		"B7 PEM of garbage":         entry("ecdsa", "ecdsa-sha2-nistp256", "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n"),
		"B7 another curve":          entry("ecdsa", "ecdsa-sha2-nistp256", text(p384)),
		"B8 another curve":          entry("ecdsa", "ecdsa-sha2-nistp384", text(p256)),
		"B7 type of another scheme": entry("ecdsa-sha2-nistp384", "ecdsa-sha2-nistp256", text(p256)),
		"B7 RSA key":                entry("ecdsa", "ecdsa-sha2-nistp256", tuftest.PEM(rsaKey().Public())),
		"B7 two blocks":             entry("ecdsa", "ecdsa-sha2-nistp256", text(p256)+text(p256)),
		"B7 a certificate":          entry("ecdsa", "ecdsa-sha2-nistp256", strings.ReplaceAll(text(p256), "PUBLIC KEY", "CERTIFICATE")),
		"B9 too small":              entry("rsa", "rsassa-pss-sha256", tuftest.PEM(small.Public())),
		"B9 EC key":                 entry("rsa", "rsassa-pss-sha256", text(p256)),
		"B10 unknown padding":       entry("rsa", "rsa-sha256", tuftest.PEM(rsaKey().Public())),
		"no keyval":                 func(e tuftest.Object) { delete(e, "keyval") },
		"keyval null":               func(e tuftest.Object) { e["keyval"] = nil },
		"keytype a number":          func(e tuftest.Object) { e["keytype"] = 1 },
		"no scheme":                 func(e tuftest.Object) { delete(e, "scheme") },
	}
	for name, change := range tests {
		t.Run(name, func(t *testing.T) {
			repo, client := newDevice()
			broken := tuftest.Ed25519("broken").With(change)
			broken.Sign = func([]byte) []byte { return make([]byte, 64) }
			grant(repo, verifier.Timestamp, 1, broken, ed)
			refreshed(t, client)
			grant(repo, verifier.Timestamp, 2, broken, ed)
			refused(t, client, verifier.Timestamp, verifier.ErrUnsigned)
		})
	}
	t.Run("entry null", func(t *testing.T) {
		repo, client := newDevice()
		edit(repo, verifier.Root, func(signed tuftest.Object) { object(signed, "keys")["broken"] = nil })
		refreshed(t, client)
	})
}

// These keys sign, and well; but what lists them is not what they are.
func TestB7toB10_AKeyThatDoesNotFitItsSchemeIsUnusable(t *testing.T) {
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	small, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	p256, pss := tuftest.ECDSA("key", elliptic.P256()), tuftest.RSA("key", rsaKey(), "rsassa-pss-sha256", 32)
	otherCurve := p256.With(set("keyval", tuftest.Object{"public": tuftest.PEM(p384.Public())}))
	otherCurve.Sign = func(m []byte) []byte {
		sum := sha256.Sum256(m)
		signature, err := ecdsa.SignASN1(rand.Reader, p384, sum[:])
		if err != nil {
			t.Fatal(err)
		}
		return signature
	}
	relabelled := strings.ReplaceAll(tuftest.PEM(rsaKey().Public()), "PUBLIC KEY", "RSA PUBLIC KEY")
	keys := map[string]*tuftest.Key{
		"P-384 as nistp256":            otherCurve,
		"RSA of 1024 bits":             tuftest.RSA("key", small, "rsassa-pss-sha256", 32),
		"RSA with key type ecdsa":      pss.With(set("keytype", "ecdsa")),
		"ECDSA with key type rsa":      p256.With(set("keytype", "rsa")),
		"ECDSA with another's type":    p256.With(set("keytype", "ecdsa-sha2-nistp384")),
		"Ed25519 with key type rsa":    tuftest.Ed25519("key").With(set("keytype", "rsa")),
		"RSA under another PEM label":  pss.With(set("keyval", tuftest.Object{"public": relabelled})),
		"RSA with text behind the PEM": pss.With(set("keyval", tuftest.Object{"public": tuftest.PEM(rsaKey().Public()) + "x"})),
	}
	for name, key := range keys {
		t.Run(name, func(t *testing.T) {
			repo, client := newDevice()
			grant(repo, verifier.Timestamp, 1, key)
			refused(t, client, verifier.Timestamp, verifier.ErrUnsigned)
		})
	}
}

func TestB4_AKeyIDWithoutAKeyIsSkipped(t *testing.T) {
	repo, client := newDevice()
	edit(repo, verifier.Root, func(signed tuftest.Object) {
		role := object(signed, "roles", "timestamp")
		role["keyids"] = append([]string{"nobody"}, role["keyids"].([]string)...)
	})
	refreshed(t, client)
}

func TestB5_KeysComeFromTheDelegatorOnly(t *testing.T) {
	repo, client := newDevice()
	stranger := tuftest.Ed25519("stranger")
	d := repo.Delegate(verifier.Targets, tuftest.Delegation{Name: "d", Paths: []string{"*"}})
	d.By = []*tuftest.Key{stranger}
	// The stranger's key stands in the same file, for another role, in root for another role, and in the role itself.
	repo.Delegate(verifier.Targets, tuftest.Delegation{Name: "e", Paths: []string{"e/*"}, Grant: tuftest.Grant{Keys: []*tuftest.Key{stranger}, Threshold: 1}})
	d.Delegate(tuftest.Delegation{Name: "d2", Grant: tuftest.Grant{Keys: []*tuftest.Key{stranger}, Threshold: 1}})
	repo.Grants[verifier.Snapshot].Keys = append(repo.Grants[verifier.Snapshot].Keys, stranger)
	repo.PublishRoot()
	_, err := client.Find("x")
	wantRefusal(t, err, "d", verifier.ErrUnsigned)
	wantStored(t, client, "d", 0)
}

func TestB6toB10_EveryKeyTypeVerifies(t *testing.T) {
	keys := map[string]*tuftest.Key{
		"B6 ed25519":       tuftest.Ed25519("key"),
		"B7 P-256":         tuftest.ECDSA("key", elliptic.P256()),
		"B8 P-384":         tuftest.ECDSA("key", elliptic.P384()),
		"B8 P-521":         tuftest.ECDSA("key", elliptic.P521()),
		"B9 PSS, salt 32":  tuftest.RSA("key", rsaKey(), "rsassa-pss-sha256", 32),
		"B9 PSS, salt 0":   tuftest.RSA("key", rsaKey(), "rsassa-pss-sha256", 0),
		"B9 PSS, salt max": tuftest.RSA("key", rsaKey(), "rsassa-pss-sha256", rsa.PSSSaltLengthAuto),
		"B10 PKCS#1 v1.5":  tuftest.RSA("key", rsaKey(), "rsa-pkcs1v15-sha256", 0),
	}
	for _, scheme := range []string{"nistp256", "nistp384", "nistp521"} {
		curve := map[string]elliptic.Curve{"nistp256": elliptic.P256(), "nistp384": elliptic.P384(), "nistp521": elliptic.P521()}[scheme]
		keys["B7 key type ecdsa-sha2-"+scheme] = tuftest.ECDSA("key", curve).With(func(e tuftest.Object) { e["keytype"] = "ecdsa-sha2-" + scheme })
	}
	for name, key := range keys {
		t.Run(name, func(t *testing.T) {
			repo, client := newDevice()
			grant(repo, verifier.Targets, 1, key)
			repo.Targets().Add("x", []byte("x"))
			found, err := client.Find("x")
			if err != nil {
				t.Fatal(err)
			}
			if len(found.Signers) != 1 || found.Signers[0] != key.Hash() {
				t.Errorf("signers %x, want %x", found.Signers, key.Hash())
			}
			// The signature is over this message, by this key.
			for _, spoil := range []func([]byte) []byte{
				func(file []byte) []byte { return bytes.Replace(file, []byte(`"length":1`), []byte(`"length":2`), 1) },
				func(file []byte) []byte { return bytes.Replace(file, []byte(`"sig":"`), []byte(`"sig":"00`), 1) },
			} {
				repo.Publish(verifier.Targets)
				repo.Targets().Tamper = spoil
				refused(t, client, verifier.Targets, verifier.ErrUnsigned)
			}
		})
	}
}

// The scheme decides the padding, never the signature.
func TestB10_SchemesAreNotInterchangeable(t *testing.T) {
	pss := tuftest.RSA("key", rsaKey(), "rsassa-pss-sha256", 32)
	pkcs := tuftest.RSA("key", rsaKey(), "rsa-pkcs1v15-sha256", 0)
	for listed, signer := range map[*tuftest.Key]*tuftest.Key{pss: pkcs, pkcs: pss} {
		repo, client := newDevice()
		grant(repo, verifier.Timestamp, 1, listed)
		repo.Timestamp.By = []*tuftest.Key{signer}
		refused(t, client, verifier.Timestamp, verifier.ErrUnsigned)
	}
}

// A root is held against the old keys and its own; the same key ID may mean another key in each.
func TestB12_ARootsSignaturesAreJudgedByWhatEachSideLists(t *testing.T) {
	pss := tuftest.RSA("key", rsaKey(), "rsassa-pss-sha256", 32)
	pkcs := tuftest.RSA("key", rsaKey(), "rsa-pkcs1v15-sha256", 0)
	repo, client := newDevice()
	grant(repo, verifier.Root, 1, pss)
	grant(repo, verifier.Root, 1, pkcs)
	refused(t, client, verifier.Root, verifier.ErrUnsigned)
	if client.Store.Documents[verifier.Key{Role: "root", Version: 2}] == nil || client.Store.Documents[verifier.Key{Role: "root", Version: 3}] != nil {
		t.Error("want root 2 kept and root 3 refused")
	}
}

func TestB12_SignaturesAndKeysAreCapped(t *testing.T) {
	many := func(n int) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, `{"keyid":"k%d","sig":"00"},`, i)
		}
		return strings.TrimSuffix(b.String(), ",")
	}
	repo, client := newDevice()
	client.Limits.TargetsBytes = 16 << 20
	repo.Targets().Tamper = signatures(many(100_000))
	refused(t, client, verifier.Targets, verifier.ErrLimitExceeded)
	repo.Targets().Tamper = signatures(many(255))
	refreshed(t, client)

	repo, client = newDevice()
	client.Limits.Keys = 4
	refreshed(t, client)
	edit(repo, verifier.Root, func(signed tuftest.Object) { object(signed, "keys")["fifth"] = tuftest.Object{} })
	refused(t, client, verifier.Root, verifier.ErrLimitExceeded)

	repo, client = newDevice()
	client.Limits.Signatures = 2
	edit(repo, verifier.Root, func(signed tuftest.Object) { object(signed, "roles", "root")["keyids"] = []string{"a", "b", "c"} })
	refused(t, client, verifier.Root, verifier.ErrLimitExceeded)
}
