package verifier

import (
	"io"
	"time"
)

// Role names that the specification fixes (TUF 2.1). Every other role is a delegated targets role.
const (
	Root      = "root"
	Timestamp = "timestamp"
	Snapshot  = "snapshot"
	Targets   = "targets"
)

// A Source says where the bytes that a request asks for come from.
type Source uint8

const (
	// Stored asks the device's own store: bytes accepted earlier, which are verified again.
	Stored Source = iota + 1
	// Remote asks the repository, which is trusted with nothing.
	Remote
)

// A Kind says what a document is.
type Kind uint8

const (
	// Metadata is a role's signed file, byte for byte as it was received.
	Metadata Kind = iota
	// Receipt is the verifier's own short note about a stored role's file: its hash, length, version,
	// expiry and the public keys that signed it. It stands in for a large file whose bytes need not be read.
	Receipt
)

// A Key names one document of the store. Version is 0 but for roots, of which the store keeps the chain.
type Key struct {
	Role    string
	Version int64
	Kind    Kind
}

// A Request asks for one document. It is answered exactly once, with Refresh.Supply or Search.Supply.
type Request struct {
	Source Source
	Key    Key
	// Name is the file's name below the repository's metadata URL, percent-encoded, with the version in
	// front where the repository has one there: "2.root.json", "timestamp.json". Empty for Stored.
	Name string
	// BytesMax bounds the answer, in bytes. Longer input is refused (LimitExceeded); read one byte more than
	// BytesMax at the most.
	BytesMax int64
}

// An Answer is what came of a request. Absent and failed are different things: a failure is never taken
// for absence (TUF 5.3.3).
type Answer struct {
	bytes  []byte
	absent bool
	err    error
}

// Bytes answers with what was read. The verifier keeps the slice; the caller must not change it later.
func Bytes(b []byte) Answer { return Answer{bytes: b} }

// Absent answers that the document does not exist: HTTP 404, 403 or 410, or no such file.
func Absent() Answer { return Answer{absent: true} }

// Failed answers that the document could not be had. The refresh ends with an error that wraps err.
func Failed(err error) Answer { return Answer{err: err} }

// A Document is one thing to put into the store.
type Document struct {
	Key   Key
	Bytes []byte
}

// A Change is what an accepted document does to the store: all of it is committed at once, before the next
// request is answered. Floors, when not nil, are made durable before the rest.
type Change struct {
	Put    []Document
	Drop   []Key
	Floors *Floors
}

// Empty reports whether there is nothing to commit.
func (c Change) Empty() bool { return len(c.Put) == 0 && len(c.Drop) == 0 && c.Floors == nil }

// KeyHash identifies a public key by its parsed value, not its spelling: two key IDs or PEM texts of one
// key give one KeyHash (TUF.md B2).
type KeyHash [32]byte

// A Floor is a version below which a role is never accepted, for as long as the keys that signed it would
// still meet the threshold of whoever delegates to the role now.
type Floor struct {
	Version int64
	Signers []KeyHash
}

// Floors outlive the database: losing it does not lower what the device demands.
type Floors struct {
	// RootVersion and RootSHA256 name the highest root ever trusted; a chain rebuilt from the anchor passes
	// through it. Version 0: none yet.
	RootVersion int64
	RootSHA256  [32]byte
	Timestamp   Floor
	Snapshot    Floor
	// Index holds the rollback_index floor of each component, by the component's name.
	Index map[string]Floor
}

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
func (t Target) ID() string { panic("not yet") }

// Check begins a check of image bytes against t.
func (t Target) Check() *Check { panic("not yet") }

// A Check hashes an image as it streams by, in constant memory.
type Check struct{}

// Write takes the next bytes. It fails with LengthMismatch as soon as there are more than the target's length.
func (c *Check) Write(p []byte) (int, error) { panic("not yet") }

// Done ends the check: length and every listed known hash must match (TUF 5.7.3).
func (c *Check) Done() (Verified, error) { panic("not yet") }

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

// A Refresh is one run of the client workflow (TUF 5.3 to 5.6.2).
type Refresh struct{}

// Begin starts a refresh. anchor is the root.json shipped with the device. now is fixed for the whole refresh.
func Begin(anchor []byte, floors Floors, now time.Time, limits Limits) (*Refresh, error) {
	panic("not yet")
}

// Next is the request the refresh waits on; ok is false when it is finished.
func (r *Refresh) Next() (Request, bool) { panic("not yet") }

// Supply answers the request. The Change is to be committed before the next call, also when err is not nil:
// what was verified before a failure stays accepted, role by role. After an error the refresh is over.
func (r *Refresh) Supply(a Answer) (Change, error) { panic("not yet") }

// Find starts a search for a target path in a finished refresh (TUF 5.6.7).
func (r *Refresh) Find(path string) *Search { panic("not yet") }

// A Search is a conversation like a Refresh.
type Search struct{}

func (s *Search) Next() (Request, bool)           { panic("not yet") }
func (s *Search) Supply(a Answer) (Change, error) { panic("not yet") }

// Found is the outcome of a search.
type Found struct {
	Target Target
	// Role lists the target; Signers are the keys that signed it.
	Role    string
	Signers []KeyHash
}

// Found yields the target, or an error of class NotListed. Call it when Next says false and no error came.
func (s *Search) Found() (Found, error) { panic("not yet") }

// Holds reports whether a floor's signers still meet the threshold of the role that lists the found target:
// if not, the floor is void (fast-forward recovery).
func (s *Search) Holds(f Floor) bool { panic("not yet") }

// A Conversation is what Refresh and Search have in common.
type Conversation interface {
	Next() (Request, bool)
	Supply(Answer) (Change, error)
}

// Drive runs a conversation to its end: answer fetches, commit makes durable. It stops at the first error of
// commit or of the conversation. It does no I/O of its own.
func Drive(c Conversation, answer func(Request) Answer, commit func(Change) error) error {
	panic("not yet")
}

// SignedAt is the newest publisher's time in the trusted timestamp (the extra signed field "signed_at"), or
// zero. It can only be as new as the timestamp role's keys say.
func (r *Refresh) SignedAt() time.Time { panic("not yet") }

// A RoleInfo is one trusted role, for people.
type RoleInfo struct {
	Role    string
	Version int64
	Expires time.Time
}

// Trusted lists root, timestamp, snapshot and targets as far as they are trusted now.
func (r *Refresh) Trusted() []RoleInfo { panic("not yet") }
