package verifier

import "errors"

// The classes of refusal. Test with errors.Is.
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

// A MetadataError refuses one role's document. It names the check, what was expected and what came.
type MetadataError struct {
	Role    string
	Version int64  // 0 when not known
	Section string // of the specification, "5.4.3"
	Want    string
	Got     string
	Err     error // one of the classes, or a failure to get the bytes
}
