package verifier

import (
	"errors"
	"fmt"
)

// Role names that the specification fixes (TUF 2.1). Every other role is a delegated targets role.
const (
	Root      = "root"
	Timestamp = "timestamp"
	Snapshot  = "snapshot"
	Targets   = "targets"
)

var topLevelRoles = [...]string{Root, Timestamp, Snapshot, Targets}

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
	// Receipt is the verifier's own short note about a stored role's file that was verified: its hash, length,
	// version and expiry, the public keys that signed it, and who had to. It stands in for a large file whose bytes
	// need not be read, and spares the signatures of one that is read.
	Receipt
)

// A Key names one document of the store. Version is 0 but for roots, of which the store keeps the chain.
type Key struct {
	Role    string
	Version int64
	Kind    Kind
}

// Delegated reports whether the document is of a delegated role.
func (k Key) Delegated() bool { return !isTopLevel(k.Role) }

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

// A Conversation is what Refresh and Search have in common.
type Conversation interface {
	Next() (Request, bool)
	Supply(Answer) (Change, error)
}

// Drive runs a conversation to its end: answer fetches, commit makes durable. It stops at the first error of
// commit or of the conversation; what was verified before an error is committed first. It does no I/O of its
// own, and commit is never called with an empty change.
func Drive(c Conversation, answer func(Request) Answer, commit func(Change) error) error {
	for {
		request, more := c.Next()
		if !more {
			return nil
		}
		change, err := c.Supply(answer(request))
		if !change.Empty() {
			err = errors.Join(commit(change), err)
		}
		if err != nil {
			return err
		}
	}
}

// A conversation holds the request that is open and what to do with its answer.
type conversation struct {
	request Request
	then    func(Answer) (Change, error) // nil when nothing is asked any more
	err     error
}

func (c *conversation) next() (Request, bool) { return c.request, c.then != nil }

// ask opens a request. It is called while the answer to the one before is dealt with.
func (c *conversation) ask(r Request, then func(Answer) (Change, error)) { c.request, c.then = r, then }

func (c *conversation) supply(a Answer) (Change, error) {
	then := c.then
	if then == nil {
		return Change{}, ErrFinished
	}
	c.then = nil
	change, err := then(a)
	if err != nil {
		c.then, c.err = nil, err
	}
	return change, err
}

// received is the answer's bytes; ok is false when it is absent. An answer longer than was asked for is refused.
func (c *conversation) received(a Answer, section string) (raw []byte, ok bool, err error) {
	key := c.request.Key
	switch {
	case a.err != nil:
		return nil, false, &MetadataError{Role: key.Role, Version: key.Version, Section: section, Err: a.err}
	case a.absent:
		return nil, false, nil
	case int64(len(a.bytes)) > c.request.BytesMax:
		want := fmt.Sprintf("at most %d bytes", c.request.BytesMax)
		return nil, false, refuse(ErrLimitExceeded, section, want, "more").of(key.Role, key.Version)
	}
	return a.bytes, true, nil
}

// required is received for a document that the repository must have. version is its, 0 where nothing states it.
func (c *conversation) required(a Answer, section string, version int64) ([]byte, error) {
	raw, ok, err := c.received(a, section)
	if err == nil && !ok {
		err = refuse(ErrAbsent, section, "a file "+c.request.Name, "none").of(c.request.Key.Role, version)
	}
	if e, ok := errors.AsType[*MetadataError](err); ok && e.Version == 0 {
		e.Version = version
	}
	return raw, err
}

// stored is received for a stored document. One that is longer than allowed is damaged: it counts as malformed,
// so that it is dropped and asked for again, and not as a failure.
func (c *conversation) stored(a Answer) (raw []byte, ok bool, err error) {
	raw, ok, err = c.received(a, "")
	if errors.Is(err, ErrLimitExceeded) && a.err == nil {
		return nil, true, nil
	}
	return raw, ok, err
}
