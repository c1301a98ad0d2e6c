package verifier

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"

	"github.com/ota-agent/ota-agent/verifier/strict"
)

// The sizes of RSA modulus that are used, in bits. Below the first, factoring is within reach of well-funded
// attackers; above the second, or with a larger public exponent than everybody's, a hostile key would only burn time.
const (
	rsaBitsMin     = 2048
	rsaBitsMax     = 8192
	rsaExponentMax = 65537
)

// A publicKey is a usable key: parsed, and bound to the one scheme that its metadata names.
type publicKey struct {
	hash   KeyHash
	scheme string
	verify func(m *message, signature []byte) bool
	// whole: verify goes through the whole message for each key, and not through a digest that was made once.
	whole bool
}

// parseKey reads one entry of a key map (TUF 4.2.1). A key that is not well-formed, or of an unknown type or
// scheme, is merely unusable: that is how new algorithms arrive, and how a broken key spoils no more than
// itself. So there is no error.
func parseKey(v strict.Value) (publicKey, bool) {
	keytype, scheme := textField(v, "keytype"), textField(v, "scheme")
	value, _ := v.Lookup("keyval")
	key, ok := newKey(keytype, scheme, textField(value, "public"))
	key.scheme = scheme
	return key, ok
}

// textField is a member's text, or empty where there is none.
func textField(v strict.Value, name string) string {
	member, _ := v.Lookup(name)
	text, err := member.Text()
	if err != nil {
		return ""
	}
	return text
}

// newKey makes a key of the type and scheme. A further scheme (ML-DSA, TAP 21) is a further case.
func newKey(keytype, scheme, public string) (publicKey, bool) {
	switch scheme {
	case "ed25519":
		return newEd25519(keytype, public)
	case "ecdsa-sha2-nistp256":
		return newECDSA(keytype, scheme, public, elliptic.P256(), crypto.SHA256)
	case "ecdsa-sha2-nistp384":
		return newECDSA(keytype, scheme, public, elliptic.P384(), crypto.SHA384)
	case "ecdsa-sha2-nistp521":
		return newECDSA(keytype, scheme, public, elliptic.P521(), crypto.SHA512)
	case "rsassa-pss-sha256":
		return newRSA(keytype, public, verifyPSS)
	case "rsa-pkcs1v15-sha256":
		return newRSA(keytype, public, verifyPKCS1v15)
	}
	return publicKey{}, false
}

func newEd25519(keytype, public string) (publicKey, bool) {
	raw, err := hex.DecodeString(public)
	if keytype != "ed25519" || err != nil || len(raw) != ed25519.PublicKeySize {
		return publicKey{}, false
	}
	key := ed25519.PublicKey(raw)
	usable, ok := withHash(key, func(m *message, signature []byte) bool {
		return ed25519.Verify(key, m.bytes, signature)
	})
	usable.whole = true
	return usable, ok
}

// newECDSA takes the general key type "ecdsa" and the older one that repeats the scheme.
func newECDSA(keytype, scheme, public string, curve elliptic.Curve, hash crypto.Hash) (publicKey, bool) {
	key, ok := parsePEM(public).(*ecdsa.PublicKey)
	if !ok || (keytype != "ecdsa" && keytype != scheme) || key.Curve != curve {
		return publicKey{}, false
	}
	return withHash(key, func(m *message, signature []byte) bool {
		return ecdsa.VerifyASN1(key, m.digest(hash), signature)
	})
}

// newRSA takes the padding from the scheme, never from the signature.
func newRSA(keytype, public string, verify func(*rsa.PublicKey, *message, []byte) bool) (publicKey, bool) {
	key, ok := parsePEM(public).(*rsa.PublicKey)
	if !ok || keytype != "rsa" || key.N.BitLen() < rsaBitsMin || key.N.BitLen() > rsaBitsMax ||
		key.E > rsaExponentMax {
		return publicKey{}, false
	}
	return withHash(key, func(m *message, signature []byte) bool { return verify(key, m, signature) })
}

// verifyPSS takes any length of salt: signers differ in it, and it adds nothing to check it.
func verifyPSS(key *rsa.PublicKey, m *message, signature []byte) bool {
	options := &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthAuto, Hash: crypto.SHA256}
	return rsa.VerifyPSS(key, crypto.SHA256, m.digest(crypto.SHA256), signature, options) == nil
}

func verifyPKCS1v15(key *rsa.PublicKey, m *message, signature []byte) bool {
	return rsa.VerifyPKCS1v15(key, crypto.SHA256, m.digest(crypto.SHA256), signature) == nil
}

// parsePEM reads one SubjectPublicKeyInfo block with nothing but white space behind it, or returns nil.
func parsePEM(text string) any {
	block, rest := pem.Decode([]byte(text))
	if block == nil || block.Type != "PUBLIC KEY" || len(bytes.TrimSpace(rest)) > 0 {
		return nil
	}
	key, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		return nil
	}
	return key
}

// withHash identifies the key by the DER form of its parsed value. The scheme is left out: one RSA key under two
// paddings is one key.
func withHash(key any, verify func(*message, []byte) bool) (publicKey, bool) {
	der, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		return publicKey{}, false
	}
	return publicKey{hash: sha256.Sum256(der), verify: verify}, true
}

// A message is the canonical form that a document's signatures are made over. Its digests are made once, however
// many keys there are: a targets file may be long.
type message struct {
	bytes   []byte
	digests map[crypto.Hash][]byte
}

func (m *message) digest(hash crypto.Hash) []byte {
	if sum, ok := m.digests[hash]; ok {
		return sum
	}
	if m.digests == nil {
		m.digests = make(map[crypto.Hash][]byte, 1)
	}
	h := hash.New()
	h.Write(m.bytes)
	m.digests[hash] = h.Sum(nil)
	return m.digests[hash]
}
