package publish

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var quick = KDF{LogN: 10, R: 1, P: 1}

// sealed is a key and its file's text.
func sealed(tb testing.TB) (ed25519Signer, []byte) {
	tb.Helper()
	s, err := newEd25519(rand.Reader)
	if err != nil {
		tb.Fatal(err)
	}
	f, err := sealKey(s, []byte(secret), quick, rand.Reader)
	if err != nil {
		tb.Fatal(err)
	}
	return s, f.format()
}

func TestAKeyFileOpensWithItsPassphraseOnly(t *testing.T) {
	s, text := sealed(t)
	f, err := parseKeyFile(text)
	if err != nil {
		t.Fatal(err)
	}
	opened, err := f.open([]byte(secret))
	if err != nil || !opened.private.Equal(s.private) {
		t.Errorf("opened %v, %v", opened.Key(), err)
	}
	for _, wrong := range []string{"", secret + " ", strings.ToUpper(secret)} {
		if _, err := f.open([]byte(wrong)); !errors.Is(err, ErrPassphrase) {
			t.Errorf("passphrase %q: %v, want ErrPassphrase", wrong, err)
		}
	}
	if bytes.Contains(text, s.private.Seed()) {
		t.Error("the file holds the seed in the clear")
	}
}

func TestEveryChangeOfAKeyFileIsNoticed(t *testing.T) {
	_, text := sealed(t)
	for i := range text {
		for bit := range 8 {
			changed := bytes.Clone(text)
			changed[i] ^= 1 << bit
			if _, err := parseKeyFile(changed); !errors.Is(err, ErrKeyFile) {
				t.Errorf("byte %d (%q to %q): %v, want ErrKeyFile", i, text[i], changed[i], err)
			}
		}
		if _, err := parseKeyFile(text[:i]); !errors.Is(err, ErrKeyFile) {
			t.Errorf("cut to %d bytes: %v, want ErrKeyFile", i, err)
		}
	}
	for _, more := range []string{"\n", "x", strings.Repeat("x", keyFileBytesMax)} {
		if _, err := parseKeyFile(append(bytes.Clone(text), more...)); !errors.Is(err, ErrKeyFile) {
			t.Errorf("with %d bytes more: %v, want ErrKeyFile", len(more), err)
		}
	}
}

// A file whose checksum was made to fit still can't name another key than the one inside, nor cost without bound.
func TestAForgedKeyFileIsRefused(t *testing.T) {
	_, text := sealed(t)
	other, _ := sealed(t)
	f, err := parseKeyFile(text)
	if err != nil {
		t.Fatal(err)
	}
	renamed := f
	renamed.public = other.private.Public().(ed25519.PublicKey)
	if renamed, err = parseKeyFile(renamed.format()); err != nil {
		t.Fatal(err)
	}
	if _, err := renamed.open([]byte(secret)); !errors.Is(err, ErrKeyFile) {
		t.Errorf("under another key's name: %v, want ErrKeyFile", err)
	}
	for _, kdf := range []KDF{{LogN: 9, R: 1, P: 1}, {LogN: 21, R: 1, P: 1}, {LogN: 20, R: 17, P: 1}, {LogN: 20, R: 16, P: 5}, {LogN: 12}} {
		costly := f
		costly.kdf = kdf
		if _, err := parseKeyFile(costly.format()); !errors.Is(err, ErrKeyFile) {
			t.Errorf("%+v: %v, want ErrKeyFile", kdf, err)
		}
	}
}

func TestADamagedKeyOnlyMattersWhereItMustSign(t *testing.T) {
	r := newRepo(t, cheap())
	r.Close()
	path := filepath.Join(r.Dir(), keysDir, "root.key")
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, text[:100], 0o600); err != nil {
		t.Fatal(err)
	}
	r = reopen(t, r.Dir())
	if _, err := r.Timestamp(start); err != nil {
		t.Errorf("timestamp: %v", err)
	}
	if _, err := r.Sign(roleRoot, start); !errors.Is(err, ErrThreshold) || !errors.Is(err, ErrKeyFile) {
		t.Errorf("sign root: %v, want ErrThreshold and ErrKeyFile", err)
	}
}

func TestPrivateKeysAreForTheirOwnerOnly(t *testing.T) {
	r := newRepo(t, cheap())
	files, err := filepath.Glob(filepath.Join(r.Dir(), keysDir, "*"))
	if err != nil || len(files) != 4 {
		t.Fatal(files, err)
	}
	for _, f := range files {
		info, err := os.Stat(f)
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm() != 0o600 {
			t.Errorf("%s: mode %o", f, info.Mode().Perm())
		}
	}
	if _, _, err := MakeKey(filepath.Join(r.Dir(), keysDir), "root", FixedPassphrase(secret), quick); err == nil {
		t.Error("a key file was overwritten")
	}
	for _, name := range []string{"", ".", "..", ".hidden", "a/b", strings.Repeat("k", 65)} {
		if _, _, err := MakeKey(t.TempDir(), name, FixedPassphrase(secret), quick); err == nil {
			t.Errorf("key name %q: accepted", name)
		}
	}
}

func TestKeyIDsAreTheHashOfTheCanonicalKey(t *testing.T) {
	// Computed with coreutils: printf '{"keytype":…}' | sha256sum.
	k := Key{KeyType: "ed25519", Scheme: "ed25519", KeyVal: KeyValue{Public: strings.Repeat("ab", 32)}}
	id, err := k.ID()
	if want := "05584cc3bfabb85de26cb80479f075fa802c97add45fd61feebaa0423da7f57a"; err != nil || id != want {
		t.Errorf("ID %s, %v, want %s", id, err, want)
	}
}

func FuzzParseKeyFile(f *testing.F) {
	_, text := sealed(f)
	f.Add(text)
	f.Add([]byte(keyFileHead + "\nkey ed25519 \nkdf scrypt 17 8 1 \nbox  \nsum \n"))
	f.Add([]byte(keyFileHead))
	f.Fuzz(func(t *testing.T, text []byte) {
		file, err := parseKeyFile(text)
		if err != nil {
			if !errors.Is(err, ErrKeyFile) {
				t.Fatalf("%v, want ErrKeyFile", err)
			}
			return
		}
		if !bytes.Equal(file.format(), text) {
			t.Fatalf("%q is written again as %q", text, file.format())
		}
	})
}
