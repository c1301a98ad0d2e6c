package verifier

import (
	"bytes"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"fmt"

	"github.com/ota-agent/ota-agent/verifier/strict"
)

// A meta is what a timestamp or snapshot says of another file (TUF 4.4, METAFILES).
type meta struct {
	version int64
	length  int64 // -1 where it is left out
	hashes  hashes
}

// readMeta reads one entry of a meta object.
func readMeta(v strict.Value) (meta, error) {
	m := meta{length: -1}
	err := v.Object(func(name []byte, v strict.Value) (err error) {
		switch string(name) {
		case "version":
			m.version, err = readVersion(v)
		case "length":
			m.length, err = readLength(v)
		case "hashes":
			m.hashes, err = readHashes(v)
		}
		return err
	})
	if err == nil && m.version == 0 {
		err = v.Refuse("an object with a version")
	}
	return m, err
}

// metas are the entries of a meta object, by file name. They were all read once, and stay where they lie: a
// snapshot may have a hundred thousand, and whoever holds the timestamp key chooses them.
type metas struct{ index strict.Index }

// readMetas reads a whole meta object.
func readMetas(v strict.Value) (metas, error) {
	err := v.Object(func(_ []byte, v strict.Value) error {
		_, err := readMeta(v)
		return err
	})
	if err != nil {
		return metas{}, err
	}
	index, err := v.Index()
	return metas{index}, err
}

func (m metas) get(name string) (meta, bool) {
	v, ok := m.index.Lookup(name)
	if !ok {
		return meta{}, false
	}
	entry, err := readMeta(v)
	return entry, err == nil
}

func readLength(v strict.Value) (int64, error) {
	n, err := v.Int()
	if err != nil || n < 0 {
		return 0, v.Refuse("a length of 0 or more")
	}
	return n, nil
}

// bytesMax bounds a download: what the entry states, within limits, or the limit for a file whose length is
// not stated.
func (m meta) bytesMax(unstated, stated int64, section string) (int64, *MetadataError) {
	switch {
	case m.length < 0:
		return unstated, nil
	case m.length > stated:
		want := fmt.Sprintf("a stated length of at most %d bytes", stated)
		return 0, refuse(ErrLimitExceeded, section, want, fmt.Sprint(m.length))
	}
	return m.length, nil
}

// matches compares a received file with the entry: length and every known hash, before anything in it is
// believed (TUF 5.5.2, 5.6.2).
func (m meta) matches(raw []byte, section string) *MetadataError {
	if m.length >= 0 && int64(len(raw)) != m.length {
		return refuse(ErrLengthMismatch, section, fmt.Sprintf("%d bytes", m.length), fmt.Sprint(len(raw)))
	}
	if m.hashes.sha256 != nil {
		sum := sha256.Sum256(raw)
		if err := compareHash("sha256", m.hashes.sha256, sum[:], section); err != nil {
			return err
		}
	}
	if m.hashes.sha512 != nil {
		sum := sha512.Sum512(raw)
		return compareHash("sha512", m.hashes.sha512, sum[:], section)
	}
	return m.hashes.known(section)
}

func compareHash(name string, want, got []byte, section string) *MetadataError {
	if bytes.Equal(want, got) {
		return nil
	}
	return refuse(ErrHashMismatch, section, name+" "+hex.EncodeToString(want), hex.EncodeToString(got))
}

// hashes are the listed hashes of a file (TUF 4.4, HASHES).
type hashes struct {
	sha256, sha512 []byte
	listed         bool // whether any are listed, known or not
}

// readHashes reads a HASHES object. Hex is compared by value. A hash of an unknown algorithm is passed over.
func readHashes(v strict.Value) (hashes, error) {
	var h hashes
	err := v.Object(func(name []byte, v strict.Value) (err error) {
		h.listed = true
		switch string(name) {
		case "sha256":
			h.sha256, err = readHash(v, sha256.Size)
		case "sha512":
			h.sha512, err = readHash(v, sha512.Size)
		}
		return err
	})
	if err == nil && !h.listed {
		err = v.Refuse("at least one hash")
	}
	return h, err
}

func readHash(v strict.Value, size int) ([]byte, error) {
	if len(v.Raw()) <= 6*2*size+2 { // each digit may be written as an escape
		if sum, err := v.Hex(); err == nil && len(sum) == size {
			return sum, nil
		}
	}
	return nil, v.Refuse(fmt.Sprintf("%d hex digits", 2*size))
}

// known refuses hashes none of which can be checked.
func (h hashes) known(section string) *MetadataError {
	if !h.listed || h.sha256 != nil || h.sha512 != nil {
		return nil
	}
	return refuse(ErrUnsupported, section, "a sha256 or sha512", "only other hashes")
}
