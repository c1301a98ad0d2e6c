package tuftest

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"

	"github.com/ota-agent/ota-agent/verifier"
)

// A Key signs, and is listed in metadata under ID with Entry.
type Key struct {
	ID    string
	Entry Object
	Sign  func(message []byte) []byte
	hash  verifier.KeyHash
}

// Hash is the key's identity for the verifier.
func (k *Key) Hash() verifier.KeyHash { return k.hash }

// As is the same key listed under another ID.
func (k *Key) As(id string) *Key {
	other := *k
	other.ID = id
	return &other
}

// With is the same key with some members of its entry changed.
func (k *Key) With(change func(entry Object)) *Key {
	other := *k
	other.Entry = Object{}
	for name, v := range k.Entry {
		other.Entry[name] = v
	}
	change(other.Entry)
	return &other
}

// Ed25519 makes a key from a name: the same name gives the same key.
func Ed25519(name string) *Key {
	seed := sha256.Sum256([]byte("tuftest " + name))
	private := ed25519.NewKeyFromSeed(seed[:])
	public := private.Public().(ed25519.PublicKey)
	return &Key{
		ID:    "ed25519-" + name,
		Entry: entry("ed25519", "ed25519", hex.EncodeToString(public)),
		Sign:  func(m []byte) []byte { return ed25519.Sign(private, m) },
		hash:  hashOf(public),
	}
}

// ECDSA makes a key on P-256, P-384 or P-521, for the scheme that belongs to the curve.
func ECDSA(id string, curve elliptic.Curve) *Key {
	private := must(ecdsa.GenerateKey(curve, rand.Reader))
	scheme, hash := "ecdsa-sha2-nistp256", crypto.SHA256
	switch curve {
	case elliptic.P384():
		scheme, hash = "ecdsa-sha2-nistp384", crypto.SHA384
	case elliptic.P521():
		scheme, hash = "ecdsa-sha2-nistp521", crypto.SHA512
	}
	return &Key{
		ID:    id,
		Entry: entry("ecdsa", scheme, PEM(private.Public())),
		Sign:  func(m []byte) []byte { return must(ecdsa.SignASN1(rand.Reader, private, digest(hash, m))) },
		hash:  hashOf(private.Public()),
	}
}

// RSA lists a private key for one scheme: "rsassa-pss-sha256" with the given length of salt, or
// "rsa-pkcs1v15-sha256".
func RSA(id string, private *rsa.PrivateKey, scheme string, salt int) *Key {
	return &Key{
		ID:    id,
		Entry: entry("rsa", scheme, PEM(private.Public())),
		Sign: func(m []byte) []byte {
			if scheme == "rsa-pkcs1v15-sha256" {
				return must(rsa.SignPKCS1v15(rand.Reader, private, crypto.SHA256, digest(crypto.SHA256, m)))
			}
			options := &rsa.PSSOptions{SaltLength: salt, Hash: crypto.SHA256}
			return must(rsa.SignPSS(rand.Reader, private, crypto.SHA256, digest(crypto.SHA256, m), options))
		},
		hash: hashOf(private.Public()),
	}
}

// PEM writes a public key as SubjectPublicKeyInfo.
func PEM(public any) string {
	der := must(x509.MarshalPKIXPublicKey(public))
	return string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
}

func entry(keytype, scheme, public string) Object {
	return Object{"keytype": keytype, "scheme": scheme, "keyval": Object{"public": public}}
}

func hashOf(public any) verifier.KeyHash {
	return sha256.Sum256(must(x509.MarshalPKIXPublicKey(public)))
}

func digest(hash crypto.Hash, message []byte) []byte {
	h := hash.New()
	h.Write(message)
	return h.Sum(nil)
}

// must is for what fails only when the test itself is wrong.
func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}
