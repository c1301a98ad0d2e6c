package verifier

import (
	"bytes"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"fmt"
	"hash"
	"io"
)

// A Target is a target file as trusted metadata describes it. It is plain data: records keep it. Image bytes
// become trusted only through Check.
type Target struct {
	// Path is the target path as the metadata lists it.
	Path string `json:"path"`
	// Name is where the repository keeps the file below its targets URL, unescaped: under consistent
	// snapshots the last segment carries the hash ("HASH.NAME", TUF 5.7.3), else it equals Path.
	Name string `json:"name"`
	// Length in bytes, 0 or more.
	Length int64 `json:"length"`
	// SHA256 and SHA512 are raw digests; at least one is present.
	SHA256 []byte `json:"sha256,omitempty"`
	SHA512 []byte `json:"sha512,omitempty"`
	// Custom is the target's custom value as received, or nil.
	Custom []byte `json:"custom,omitempty"`
}

// ID is the hex of SHA256, or of SHA512 where only that is listed: what records and image files are named by.
func (t Target) ID() string {
	if len(t.SHA256) > 0 {
		return hex.EncodeToString(t.SHA256)
	}
	return hex.EncodeToString(t.SHA512)
}

// Check begins a check of image bytes against t.
func (t Target) Check() *Check {
	t.SHA256, t.SHA512, t.Custom = bytes.Clone(t.SHA256), bytes.Clone(t.SHA512), bytes.Clone(t.Custom)
	c := &Check{target: t, sha256: sha256.New()}
	if len(t.SHA512) > 0 {
		c.sha512 = sha512.New()
	}
	return c
}

// A Check hashes an image as it streams by, in constant memory. Only Target.Check makes one.
type Check struct {
	target Target
	sha256 hash.Hash // always: Verified names an image by it
	sha512 hash.Hash // nil where the metadata lists none
	length int64
	err    error
}

// Write takes the next bytes. It fails with LengthMismatch as soon as there are more than the target's length,
// and then the whole check has failed.
func (c *Check) Write(p []byte) (int, error) {
	if c.err != nil {
		return 0, c.err
	}
	if c.sha256 == nil {
		return 0, ErrUnfinished
	}
	if int64(len(p)) > c.target.Length-c.length {
		got := fmt.Sprintf("at least %d", c.length+int64(len(p)))
		c.err = c.refuse(ErrLengthMismatch, fmt.Sprintf("%d bytes", c.target.Length), got)
		return 0, c.err
	}
	c.length += int64(len(p))
	c.sha256.Write(p)
	if c.sha512 != nil {
		c.sha512.Write(p)
	}
	return len(p), nil
}

// Done ends the check: length and every listed known hash must match (TUF 5.7.3). A target without a known hash
// never passes.
func (c *Check) Done() (Verified, error) {
	if c.err != nil {
		return Verified{}, c.err
	}
	if c.sha256 == nil {
		return Verified{}, ErrUnfinished
	}
	if c.length != c.target.Length {
		return Verified{}, c.refuse(ErrLengthMismatch, fmt.Sprintf("%d bytes", c.target.Length), fmt.Sprint(c.length))
	}
	if len(c.target.SHA256) == 0 && len(c.target.SHA512) == 0 {
		return Verified{}, c.refuse(ErrUnsupported, "a sha256 or sha512", "neither")
	}
	sum := c.sha256.Sum(nil)
	if err := c.compare("sha256", c.target.SHA256, sum); err != nil {
		return Verified{}, err
	}
	if c.sha512 != nil {
		if err := c.compare("sha512", c.target.SHA512, c.sha512.Sum(nil)); err != nil {
			return Verified{}, err
		}
	}
	return Verified{target: c.target, sha256: [32]byte(sum), ok: true}, nil
}

// compare checks one hash, if the target lists it.
func (c *Check) compare(name string, want, got []byte) error {
	if len(want) == 0 || bytes.Equal(want, got) {
		return nil
	}
	return c.refuse(ErrHashMismatch, name+" "+hex.EncodeToString(want), hex.EncodeToString(got))
}

func (c *Check) refuse(class error, want, got string) error {
	e := refuse(class, "5.7.3", want, got)
	e.Path = c.target.Path
	return e
}

var _ io.Writer = (*Check)(nil)

// Verified says that bytes with this length and these hashes were seen whole. Only Check.Done makes one
// that is not zero.
type Verified struct {
	target Target
	sha256 [32]byte
	ok     bool
}

// Target is what the bytes were checked against.
func (v Verified) Target() Target { return v.target }

// SHA256 of the image, also where the metadata lists only SHA-512.
func (v Verified) SHA256() [32]byte { return v.sha256 }

// OK is false for the zero value, which nothing may install.
func (v Verified) OK() bool { return v.ok }
