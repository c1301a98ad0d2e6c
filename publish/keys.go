package publish

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"path/filepath"

	"github.com/ota-agent/ota-agent/release"
)

// MakeKey draws a new ed25519 key and writes it, encrypted, to dir/NAME.key. It is nobody's key until a Rotation adds
// it to a role.
func MakeKey(dir, name string, passphrase Passphrase, kdf KDF) (path string, _ Key, err error) {
	if !release.ValidName(name) || name[0] == '.' {
		return "", Key{}, fmt.Errorf("key name %q: expected 1 to 64 of A-Z a-z 0-9 . _ -, and no dot in front", name)
	}
	var d disk
	if err := d.mkdirAll(dir, secretDir); err != nil {
		return "", Key{}, err
	}
	path = filepath.Join(dir, name+keySuffix)
	s, err := makeKey(d, path, passphrase, kdf, rand.Reader)
	if err != nil {
		return "", Key{}, err
	}
	return path, s.Key(), nil
}

// publicKeyBytesMax bounds a public key's file.
const publicKeyBytesMax = 4096

// ReadPublicKey reads the public part of a key file, or a public key as FormatPublicKey writes it. No passphrase is
// needed.
func ReadPublicKey(path string) (Key, error) {
	b, err := readFile(path, publicKeyBytesMax)
	if err != nil {
		return Key{}, err
	}
	if bytes.HasPrefix(b, []byte(keyFileHead)) {
		f, err := readKeyFile(path)
		return ed25519Key(f.public), err
	}
	var k Key
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(&k); err != nil {
		return Key{}, fmt.Errorf("%s: neither a key file nor a public key: %w", path, err)
	}
	public, err := hex.DecodeString(k.KeyVal.Public)
	if k.KeyType != ed25519Name || k.Scheme != ed25519Name || err != nil || len(public) != ed25519.PublicKeySize {
		return Key{}, fmt.Errorf("%s: expected an ed25519 public key of 64 hex digits, got type %q, scheme %q",
			path, k.KeyType, k.Scheme)
	}
	return ed25519Key(public), nil
}

// FormatPublicKey is the key as metadata carries it: what one holder of a key gives to the others.
func FormatPublicKey(k Key) ([]byte, error) { return encode(k) }

// ChangePassphrase encrypts a key file anew.
func ChangePassphrase(path string, old, next Passphrase, kdf KDF) error {
	f, err := readKeyFile(path)
	if err != nil {
		return err
	}
	secret, err := old(path)
	if err != nil {
		return fmt.Errorf("passphrase for %s: %w", path, err)
	}
	s, err := f.open(secret)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	if secret, err = next(path); err != nil {
		return fmt.Errorf("new passphrase for %s: %w", path, err)
	}
	if f, err = sealKey(s, secret, kdf, rand.Reader); err != nil {
		return err
	}
	return disk{}.writeFile(path, f.format(), secretMode)
}
