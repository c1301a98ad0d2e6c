package publish

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"golang.org/x/crypto/nacl/secretbox"
	"golang.org/x/crypto/scrypt"
)

// A key file is text, one field a line, in a fixed order:
//
//	ota-repo private key v1
//	key ed25519 PUBLIC
//	kdf scrypt LOG2N R P SALT
//	box NONCE BOX
//	sum SHA256
//
// BOX is the 32-byte seed sealed by NaCl secretbox under scrypt(passphrase, SALT). SHA256 is over all lines above it:
// it tells a damaged file from a wrong passphrase, and guards nothing else. There is one spelling of each file: what
// is accepted is written again as the same bytes.

const (
	keyFileHead     = "ota-repo private key v1"
	keyFileBytesMax = 1024
	saltBytes       = 32
	nonceBytes      = 24
	boxBytes        = ed25519.SeedSize + secretbox.Overhead
)

// A KDF is what scrypt costs: 128 × 2^LogN × R bytes of memory. The zero value takes the default, 128 MiB and about
// half a second. Cheaper ones are for tests and demos. The parameters stand in the key file.
type KDF struct {
	LogN int // 10 to 20
	R    int // 1 to 16
	P    int // 1 to 4
}

// The bounds keep a key file from someone else's hands from costing more than 2 GiB and a minute.
const (
	logNMin, logNMax = 10, 20
	blockMax         = 16
	parallelMax      = 4
)

func (k KDF) withDefaults() KDF {
	if k == (KDF{}) {
		return KDF{LogN: 17, R: 8, P: 1}
	}
	return k
}

func (k KDF) validate() error {
	if k.LogN < logNMin || k.LogN > logNMax || k.R < 1 || k.R > blockMax || k.P < 1 || k.P > parallelMax {
		return fmt.Errorf("scrypt log2(N)=%d r=%d p=%d: outside %d-%d, 1-%d, 1-%d",
			k.LogN, k.R, k.P, logNMin, logNMax, blockMax, parallelMax)
	}
	return nil
}

// What can be wrong with a key file.
var (
	// ErrPassphrase: the file is whole, and the passphrase does not open it.
	ErrPassphrase = errors.New("wrong passphrase")
	// ErrKeyFile: the file is not a key file, or was damaged.
	ErrKeyFile = errors.New("not a whole key file")
)

// A keyFile is an encrypted private key as it lies on disk.
type keyFile struct {
	public ed25519.PublicKey
	kdf    KDF
	salt   [saltBytes]byte
	nonce  [nonceBytes]byte
	box    [boxBytes]byte
}

// sealKey encrypts a private key.
func sealKey(s ed25519Signer, passphrase []byte, kdf KDF, random io.Reader) (keyFile, error) {
	f := keyFile{public: s.private.Public().(ed25519.PublicKey), kdf: kdf.withDefaults()}
	for _, b := range [][]byte{f.salt[:], f.nonce[:]} {
		if _, err := io.ReadFull(random, b); err != nil {
			return keyFile{}, fmt.Errorf("draw a salt: %w", err)
		}
	}
	secret, err := f.secret(passphrase)
	if err != nil {
		return keyFile{}, err
	}
	secretbox.Seal(f.box[:0], s.private.Seed(), &f.nonce, &secret)
	return f, nil
}

// open decrypts the private key. It fails with ErrPassphrase, or with ErrKeyFile where the key inside is another
// than the one the file names.
func (f keyFile) open(passphrase []byte) (ed25519Signer, error) {
	secret, err := f.secret(passphrase)
	if err != nil {
		return ed25519Signer{}, err
	}
	seed, ok := secretbox.Open(nil, f.box[:], &f.nonce, &secret)
	if !ok {
		return ed25519Signer{}, ErrPassphrase
	}
	s := ed25519Signer{ed25519.NewKeyFromSeed(seed)}
	if !f.public.Equal(s.private.Public()) {
		return ed25519Signer{}, fmt.Errorf("%w: the key inside is not the one that the file names", ErrKeyFile)
	}
	return s, nil
}

func (f keyFile) secret(passphrase []byte) (secret [32]byte, err error) {
	if err := f.kdf.validate(); err != nil {
		return secret, err
	}
	k, err := scrypt.Key(passphrase, f.salt[:], 1<<f.kdf.LogN, f.kdf.R, f.kdf.P, len(secret))
	if err != nil {
		return secret, fmt.Errorf("derive the key: %w", err)
	}
	copy(secret[:], k)
	return secret, nil
}

// format writes the file's text.
func (f keyFile) format() []byte {
	var b bytes.Buffer
	fmt.Fprintln(&b, keyFileHead)
	fmt.Fprintf(&b, "key %s %x\n", ed25519Name, []byte(f.public))
	fmt.Fprintf(&b, "kdf scrypt %d %d %d %x\n", f.kdf.LogN, f.kdf.R, f.kdf.P, f.salt)
	fmt.Fprintf(&b, "box %x %x\n", f.nonce, f.box)
	fmt.Fprintf(&b, "sum %x\n", sha256.Sum256(b.Bytes()))
	return b.Bytes()
}

// parseKeyFile reads a file's text. Errors wrap ErrKeyFile and name the line.
func parseKeyFile(text []byte) (keyFile, error) {
	if len(text) > keyFileBytesMax {
		return keyFile{}, fmt.Errorf("%w: %d bytes, at most %d", ErrKeyFile, len(text), keyFileBytesMax)
	}
	lines := strings.Split(string(text), "\n")
	if len(lines) != 6 || lines[0] != keyFileHead {
		return keyFile{}, fmt.Errorf("%w: expected 5 lines, the first %q", ErrKeyFile, keyFileHead)
	}
	f := keyFile{public: make(ed25519.PublicKey, ed25519.PublicKeySize)}
	for _, line := range []struct {
		number int
		read   func(fields []string) bool
	}{
		{2, f.readKey}, {3, f.readKDF}, {4, f.readBox},
	} {
		if !line.read(strings.Split(lines[line.number-1], " ")) {
			return keyFile{}, fmt.Errorf("%w: line %d", ErrKeyFile, line.number)
		}
	}
	if !bytes.Equal(f.format(), text) {
		return keyFile{}, fmt.Errorf("%w: the checksum in line 5 differs: the file was damaged", ErrKeyFile)
	}
	if err := f.kdf.validate(); err != nil {
		return keyFile{}, fmt.Errorf("%w: line 3: %w", ErrKeyFile, err)
	}
	return f, nil
}

func (f *keyFile) readKey(fields []string) bool {
	return len(fields) == 3 && fields[0] == "key" && fields[1] == ed25519Name && readHex(f.public, fields[2])
}

func (f *keyFile) readKDF(fields []string) bool {
	if len(fields) != 6 || fields[0] != "kdf" || fields[1] != "scrypt" {
		return false
	}
	for i, to := range []*int{&f.kdf.LogN, &f.kdf.R, &f.kdf.P} {
		n, err := strconv.ParseUint(fields[2+i], 10, 8)
		if err != nil {
			return false
		}
		*to = int(n)
	}
	return readHex(f.salt[:], fields[5])
}

func (f *keyFile) readBox(fields []string) bool {
	return len(fields) == 3 && fields[0] == "box" && readHex(f.nonce[:], fields[1]) && readHex(f.box[:], fields[2])
}

// readHex fills to from exactly as many hex digits as it takes.
func readHex(to []byte, digits string) bool {
	if len(digits) != hex.EncodedLen(len(to)) {
		return false
	}
	_, err := hex.Decode(to, []byte(digits))
	return err == nil
}
