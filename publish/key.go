package publish

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
)

// A Key is a public key as metadata carries it (TUF 4.2.1). Publish makes and uses ed25519 keys; a key of another
// type can stand in root metadata when an external Signer signs with it.
type Key struct {
	KeyType string   `json:"keytype"`
	KeyVal  KeyValue `json:"keyval"`
	Scheme  string   `json:"scheme"`
}

// A KeyValue holds the public part: 64 hex digits for ed25519.
type KeyValue struct {
	Public string `json:"public"`
}

const ed25519Name = "ed25519"

// ID is the SHA-256 of the canonical key object, in hex (TUF 4.2.1).
func (k Key) ID() (string, error) {
	b, err := canonical(k)
	if err != nil {
		return "", fmt.Errorf("key ID: %w", err)
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:]), nil
}

// verify reports whether sig is this key's signature over message. Keys of a type that is not known here verify
// nothing.
func (k Key) verify(message, sig []byte) bool {
	if k.KeyType != ed25519Name || k.Scheme != ed25519Name {
		return false
	}
	public, err := hex.DecodeString(k.KeyVal.Public)
	if err != nil || len(public) != ed25519.PublicKeySize {
		return false
	}
	return ed25519.Verify(public, message, sig)
}

// A Signer signs for one key. The encrypted key files are Signers; so can be an HSM or a key service.
type Signer interface {
	// Key is the public part.
	Key() Key
	// Sign returns the raw signature over message, which is a document's canonical form.
	Sign(message []byte) ([]byte, error)
}

// ed25519Signer signs with a private key in memory.
type ed25519Signer struct{ private ed25519.PrivateKey }

// newEd25519 draws a new key from random.
func newEd25519(random io.Reader) (ed25519Signer, error) {
	seed := make([]byte, ed25519.SeedSize)
	if _, err := io.ReadFull(random, seed); err != nil {
		return ed25519Signer{}, fmt.Errorf("draw a key: %w", err)
	}
	return ed25519Signer{ed25519.NewKeyFromSeed(seed)}, nil
}

func (s ed25519Signer) Key() Key {
	return ed25519Key(s.private.Public().(ed25519.PublicKey))
}

func (s ed25519Signer) Sign(message []byte) ([]byte, error) {
	return ed25519.Sign(s.private, message), nil
}

func ed25519Key(public ed25519.PublicKey) Key {
	return Key{KeyType: ed25519Name, KeyVal: KeyValue{Public: hex.EncodeToString(public)}, Scheme: ed25519Name}
}
