package verifier

import (
	"bytes"
	"crypto/sha256"
	"crypto/sha512"
	"fmt"
	"time"

	"github.com/ota-agent/ota-agent/verifier/strict"
)

// receiptBytesMax bounds a stored receipt, in bytes: room for the keys of any real threshold.
const receiptBytesMax = 64 << 10

// A receipt notes that a large stored targets file was verified: which bytes, and who had to sign them. It spares two
// things, each while nothing of that has changed. A refresh that finds nothing new ends without reading the file. And
// who looks into the file reads it and compares its hash, but checks no signature.
//
// The store is trusted against accident, not against whoever can write to it. So a receipt alone never makes bytes
// trusted: signatures are spared only where the snapshot, whose own signature each refresh checks, states the
// file's hash. Who forges both file and receipt also needs the snapshot's key. Where the snapshot states no hash,
// the file is verified each time it is loaded.
type receipt struct {
	version int64
	expires time.Time
	length  int64
	sha256  []byte
	sha512  []byte // nil unless the snapshot listed one
	signers []KeyHash
	grant   []byte // signers.sum of who had to sign; nil in the receipts of older versions, which then spare nothing
}

// newReceipt notes what was verified of a targets file: its bytes match m, and s signed them.
func newReceipt(t *targetsRole, m meta, s signers) *receipt {
	r := &receipt{
		version: t.version, expires: t.expires, length: int64(len(t.raw)),
		sha256: m.hashes.sha256, sha512: m.hashes.sha512, signers: t.by, grant: s.sum(),
	}
	if r.sha256 == nil {
		sum := sha256.Sum256(t.raw)
		r.sha256 = sum[:]
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
	out = append(out, ']')
	if r.grant != nil {
		out = fmt.Appendf(out, `,"grant":"%x"`, r.grant)
	}
	return append(out, '}')
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
		case "grant":
			r.grant, err = readHash(v, sha256.Size)
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

// isOf reports whether the receipt is of the file that the snapshot means, verified for those who must sign it now: the
// same keys under the same key IDs and schemes, and the same threshold.
func (r *receipt) isOf(m meta, s signers) bool {
	return r.version == m.version && (m.length < 0 || r.length == m.length) &&
		m.hashes.known("") == nil &&
		(m.hashes.sha256 == nil || bytes.Equal(m.hashes.sha256, r.sha256)) &&
		(m.hashes.sha512 == nil || bytes.Equal(m.hashes.sha512, r.sha512)) &&
		bytes.Equal(r.grant, s.sum()) && s.met(r.signers)
}

// standsFor reports whether the stored file need not be read at all: it is the one that the snapshot means, and is
// not expired.
func (r *receipt) standsFor(m meta, s signers, now time.Time) bool {
	return r.isOf(m, s) && r.expires.After(now)
}

// vouchesFor reports whether the signatures of bytes that match m need not be checked again: the receipt is of these
// bytes, and m says so by a hash.
func (r *receipt) vouchesFor(m meta, s signers) bool {
	return r != nil && (m.hashes.sha256 != nil || m.hashes.sha512 != nil) && r.isOf(m, s)
}

// isOfBytes reports whether the receipt is of these very bytes.
func (r *receipt) isOfBytes(raw []byte) bool {
	sum := sha256.Sum256(raw)
	return int64(len(raw)) == r.length && bytes.Equal(sum[:], r.sha256)
}

// describes reports whether the file says what the receipt says of it.
func (r *receipt) describes(d *document) bool {
	return d.version == r.version && d.expires.Equal(r.expires) && int64(len(d.raw)) == r.length
}

func (r *receipt) info() RoleInfo {
	return RoleInfo{Role: Targets, Version: r.version, Expires: r.expires, Length: r.length}
}
