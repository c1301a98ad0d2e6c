package verifier

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// The classes of refusal. Test with errors.Is. Expiry is judged last: what is refused with ErrExpired passed every
// other check, and was refused only because now is beyond its expiry.
var (
	ErrUnsigned        = errors.New("not signed by its threshold of keys")
	ErrRollback        = errors.New("older than what is trusted")
	ErrExpired         = errors.New("expired")
	ErrHashMismatch    = errors.New("hash differs")
	ErrLengthMismatch  = errors.New("length differs")
	ErrVersionMismatch = errors.New("version differs")
	ErrMalformed       = errors.New("malformed")
	ErrUnsupported     = errors.New("unsupported")
	ErrNotListed       = errors.New("not listed")
	ErrLimitExceeded   = errors.New("limit exceeded")
)

// Errors of use, not of trust: the caller broke the order of a conversation, or the repository has nothing.
var (
	// ErrAbsent is what a refresh fails with when the repository lacks a document that it must have.
	ErrAbsent = errors.New("absent from the repository")
	// ErrFinished is returned when a conversation that is over is supplied with another answer.
	ErrFinished = errors.New("the conversation is over")
	// ErrUnfinished is returned where a finished conversation is needed.
	ErrUnfinished = errors.New("the conversation is not finished")
)

// A MetadataError refuses one document or target file. It names the check, what was expected and what came.
// Want and Got may hold text from hostile documents; they are quoted and bounded.
type MetadataError struct {
	// Role names the document; Path the target path, where the check is about a target rather than a document.
	Role    string
	Path    string
	Version int64  // 0 when not known
	Section string // of the specification, "5.4.3"
	Want    string
	Got     string
	Err     error // one of the classes, or a failure to get the bytes
}

// Error reads like: timestamp version 3: older than what is trusted (TUF 5.4.3.1): want version 7 or higher, got 3.
func (e *MetadataError) Error() string {
	var b strings.Builder
	switch {
	case e.Path != "":
		b.WriteString("target " + excerpt(e.Path))
		if e.Role != "" {
			b.WriteString(" in " + roleText(e.Role))
		}
	default:
		b.WriteString(roleText(e.Role))
	}
	if e.Version != 0 {
		b.WriteString(" version " + strconv.FormatInt(e.Version, 10))
	}
	if e.Err != nil {
		b.WriteString(": " + e.Err.Error())
	}
	if e.Section != "" {
		b.WriteString(" (TUF " + e.Section + ")")
	}
	if e.Want != "" {
		b.WriteString(": want " + e.Want)
		if e.Got != "" {
			b.WriteString(", got " + e.Got)
		}
	}
	return b.String()
}

// Unwrap yields the class, so that errors.Is finds it.
func (e *MetadataError) Unwrap() error { return e.Err }

// roleText quotes role names that don't read as one word; delegated role names are arbitrary text.
func roleText(role string) string {
	for _, c := range []byte(role) {
		if !isUnreserved(c) {
			return excerpt(role)
		}
	}
	if role == "" || len(role) > excerptMax {
		return excerpt(role)
	}
	return role
}

// excerptMax bounds how much of a hostile text an error repeats, in bytes.
const excerptMax = 80

// excerpt quotes the beginning of a text from outside.
func excerpt(text string) string {
	if len(text) > excerptMax {
		return strconv.Quote(strings.ToValidUTF8(text[:excerptMax], "")) + "..."
	}
	return strconv.Quote(text)
}

// refuse is the part of a MetadataError that a single check knows; of adds the document's name.
func refuse(class error, section, want, got string) *MetadataError {
	return &MetadataError{Section: section, Want: want, Got: got, Err: class}
}

// of names the document that e refuses.
func (e *MetadataError) of(role string, version int64) *MetadataError {
	e.Role = role
	if e.Version == 0 {
		e.Version = version
	}
	return e
}

func versionText(atLeast int64) string { return fmt.Sprintf("version %d or higher", atLeast) }

// countText is "1 entry" or "3 entries".
func countText(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

// in names the document that e refuses, if e refuses anything.
func (e *MetadataError) in(d *document) *MetadataError {
	if e == nil {
		return nil
	}
	return e.of(d.role, d.version)
}
