package publish

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// A Passphrase yields the passphrase for one key file. It is asked once for each key that must sign.
type Passphrase func(keyPath string) ([]byte, error)

// FixedPassphrase answers with the same passphrase for every key.
func FixedPassphrase(passphrase string) Passphrase {
	return func(string) ([]byte, error) { return []byte(passphrase), nil }
}

const keySuffix = ".key"

// keyFilesMax bounds how many files are looked at in a directory of keys.
const keyFilesMax = 1000

// A keyring finds the signer for a key ID among key files and external signers. Files are decrypted only when their
// key must sign: whoever renews the timestamp is not asked for the root's passphrase.
type keyring struct {
	passphrase Passphrase
	files      map[string]keyEntry
	signers    map[string]Signer
	// damaged key files are an error only when a signature is missing.
	damaged error
}

type keyEntry struct {
	path string
	file keyFile
}

// openKeyring looks through dirs; one that is not there holds no keys.
func openKeyring(dirs []string, signers []Signer, passphrase Passphrase) (*keyring, error) {
	k := &keyring{passphrase: passphrase, files: map[string]keyEntry{}, signers: map[string]Signer{}}
	for _, s := range signers {
		id, err := s.Key().ID()
		if err != nil {
			return nil, err
		}
		k.signers[id] = s
	}
	for _, dir := range dirs {
		if err := k.scan(dir); err != nil {
			return nil, fmt.Errorf("keys in %s: %w", dir, err)
		}
	}
	return k, nil
}

func (k *keyring) scan(dir string) error {
	d, err := os.Open(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	names, err := d.Readdirnames(keyFilesMax + 1)
	if err := errors.Join(ignoreEOF(err), d.Close()); err != nil {
		return err
	}
	if len(names) > keyFilesMax {
		return fmt.Errorf("more than %d files: not a directory of keys", keyFilesMax)
	}
	for _, name := range names {
		if !strings.HasSuffix(name, keySuffix) || strings.HasPrefix(name, ".") {
			continue
		}
		if err := k.add(filepath.Join(dir, name)); err != nil {
			k.damaged = errors.Join(k.damaged, err)
		}
	}
	return nil
}

func ignoreEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

// add reads a key file without decrypting it.
func (k *keyring) add(path string) error {
	file, err := readKeyFile(path)
	if err != nil {
		return err
	}
	id, err := ed25519Key(file.public).ID()
	if err != nil {
		return err
	}
	k.files[id] = keyEntry{path: path, file: file}
	return nil
}

func readKeyFile(path string) (keyFile, error) {
	text, err := readFile(path, keyFileBytesMax)
	if err != nil {
		return keyFile{}, err
	}
	file, err := parseKeyFile(text)
	if err != nil {
		return keyFile{}, fmt.Errorf("%s: %w", path, err)
	}
	return file, nil
}

// has reports whether the key could sign here, and where its file is ("" for an external signer).
func (k *keyring) has(id string) (path string, ok bool) {
	if _, ok := k.signers[id]; ok {
		return "", true
	}
	e, ok := k.files[id]
	return e.path, ok
}

// signer yields the signer of a key; nil where the key is not at hand.
func (k *keyring) signer(id string) (Signer, error) {
	if s, ok := k.signers[id]; ok {
		return s, nil
	}
	e, ok := k.files[id]
	if !ok {
		return nil, nil
	}
	if k.passphrase == nil {
		return nil, fmt.Errorf("%s: no passphrase was given", e.path)
	}
	passphrase, err := k.passphrase(e.path)
	if err != nil {
		return nil, fmt.Errorf("passphrase for %s: %w", e.path, err)
	}
	s, err := e.file.open(passphrase)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", e.path, err)
	}
	k.signers[id] = s
	return s, nil
}

// makeKey draws a key and writes its file. A key file that exists is never overwritten.
func makeKey(d disk, path string, passphrase Passphrase, kdf KDF, random io.Reader) (ed25519Signer, error) {
	if _, err := os.Lstat(path); err == nil {
		return ed25519Signer{}, fmt.Errorf("%s exists: a private key is never overwritten", path)
	}
	s, err := newEd25519(random)
	if err != nil {
		return ed25519Signer{}, err
	}
	if passphrase == nil {
		return ed25519Signer{}, fmt.Errorf("%s: no passphrase was given", path)
	}
	secret, err := passphrase(path)
	if err != nil {
		return ed25519Signer{}, fmt.Errorf("passphrase for %s: %w", path, err)
	}
	file, err := sealKey(s, secret, kdf, random)
	if err != nil {
		return ed25519Signer{}, err
	}
	return s, d.writeFile(path, file.format(), secretMode)
}
