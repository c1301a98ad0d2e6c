package verifier

import (
	"crypto/ed25519"
	"crypto/sha256"
	"sync"
)

// This file is part of the simulation's own build alone (make crash, make crash-long): all its worlds check the same few
// signatures, which would be two thirds of its work.

var good sync.Map // SHA-256 of key, signature and message → true

// remembered is ed25519.Verify, which it asks but for what it said yes to before, to the last byte.
func remembered(key ed25519.PublicKey, message, signature []byte) bool {
	if len(key) != ed25519.PublicKeySize || len(signature) != ed25519.SignatureSize {
		return ed25519.Verify(key, message, signature)
	}
	h := sha256.New()
	h.Write(key)
	h.Write(signature)
	h.Write(message)
	sum := [sha256.Size]byte(h.Sum(nil))
	if _, ok := good.Load(sum); ok {
		return true
	}
	ok := ed25519.Verify(key, message, signature)
	if ok {
		good.Store(sum, true)
	}
	return ok
}
