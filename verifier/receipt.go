package verifier

import (
	"crypto/sha256"
	"crypto/sha512"
	"fmt"
	"slices"
	"time"

	"github.com/ota-agent/ota-agent/verifier/strict"
)

// receiptBytesMax bounds a stored receipt, in bytes: room for the keys of any real threshold.
const receiptBytesMax = 64 << 10

// A receipt is what a refresh must know of a stored targets file that it does not read. It lets a refresh that
// finds nothing new end without touching a large file; it never makes the file itself trusted: whoever looks
// into the file verifies it again.
type receipt struct {
	version int64
	expires time.Time
	length  int64
	sha256  []byte
	sha512  []byte // nil unless the snapshot listed one
	signers []KeyHash
}

// newReceipt notes what was verified of a targets file under the entry m.
func newReceipt(t *targetsRole, m meta) *receipt {
	sum := sha256.Sum256(t.raw)
	r := &receipt{version: t.version, expires: t.expires, length: int64(len(t.raw)), sha256: sum[:], signers: t.by}
	if m.hashes.sha512 != nil {
		sum := sha512.Sum512(t.raw)
		r.sha512 = sum[:]
	}
	return r
}

// encode writes the receipt as JSON. It holds nothing that needs escaping.
func (r *receipt) encode() []byte {
	out := fmt.Appendf(nil, `{"version":%d,"expires":"%s","length":%d,"sha256":"%x"`,
		r.version, r.expires.UTC().Format(time.RFC3339), r.length, r.sha256)
	if r.sha512 != nil {
		out = fmt.Appendf(out, `,"sha512":"%x"`, r.sha512)
	}
	out = append(out, `,"signers":[`...)
	for i, key := range r.signers {
		if i > 0 {
			out = append(out, ',')
		}
		out = fmt.Appendf(out, `"%x"`, key)
	}
	return append(out, "]}"...)
}

// readReceipt reads a stored receipt.
func readReceipt(raw []byte) (*receipt, error) {
	v, err := strict.Parse(raw)
	if err != nil {
		return nil, err
	}
	r := &receipt{length: -1}
	err = v.Object(func(name []byte, v strict.Value) (err error) {
		switch string(name) {
		case "version":
			r.version, err = readVersion(v)
		case "expires":
			r.expires, err = v.Time()
		case "length":
			r.length, err = readLength(v)
		case "sha256":
			r.sha256, err = readHash(v, sha256.Size)
		case "sha512":
			r.sha512, err = readHash(v, sha512.Size)
		case "signers":
			r.signers, err = readKeyHashes(v)
		}
		return err
	})
	if err == nil && (r.version == 0 || r.expires.IsZero() || r.length < 0 || r.sha256 == nil) {
		err = v.Refuse("a whole receipt")
	}
	return r, err
}

func readKeyHashes(v strict.Value) ([]KeyHash, error) {
	var all []KeyHash
	err := v.Array(func(_ int, v strict.Value) error {
		sum, err := readHash(v, sha256.Size)
		if err == nil {
			all = append(all, KeyHash(sum))
		}
		return err
	})
	return all, err
}

// standsFor reports whether the stored file need not be read: it is the one that the snapshot means, it is not
// expired, and its signers still meet the threshold.
func (r *receipt) standsFor(m meta, s signers, now time.Time) bool {
	return r.version == m.version && (m.length < 0 || r.length == m.length) &&
		m.hashes.known("") == nil &&
		(m.hashes.sha256 == nil || slices.Equal(m.hashes.sha256, r.sha256)) &&
		(m.hashes.sha512 == nil || slices.Equal(m.hashes.sha512, r.sha512)) &&
		r.expires.After(now) && s.met(r.signers)
}

func (r *receipt) info() RoleInfo {
	return RoleInfo{Role: Targets, Version: r.version, Expires: r.expires, Length: r.length}
}
