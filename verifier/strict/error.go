package strict

import (
	"bytes"
	"errors"
	"strconv"
	"strings"
)

// ErrDepth is what an *Error wraps when the document is well-formed so far, but nested beyond DepthMax.
var ErrDepth = errors.New("nested too deeply")

// excerptMax bounds how much of a hostile document an error repeats, in bytes of the document.
const excerptMax = 40

// whereMax bounds the text of Error.Where, in bytes; what is cut off is the inner end.
const whereMax = 400

// An Error says where a document is not what it should be, what was expected there and what came instead.
// Its text is bounded, and safe to print whatever the document holds.
type Error struct {
	// Offset of the offence, in bytes from the start of the document that was parsed.
	Offset int64
	// Where is the path of the offending value, such as signed.targets["a/b.img"].length; empty for the whole document.
	Where string
	Want  string
	Got   string
	err   error
}

func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString("byte ")
	b.WriteString(strconv.FormatInt(e.Offset, 10))
	if e.Where != "" {
		b.WriteString(", ")
		b.WriteString(e.Where)
	}
	b.WriteString(": want ")
	b.WriteString(e.Want)
	b.WriteString(", got ")
	b.WriteString(e.Got)
	return b.String()
}

// Unwrap yields ErrDepth or ErrLimit where that was the reason.
func (e *Error) Unwrap() error { return e.err }

// within puts the member name in front of the error's path.
func (e *Error) within(name []byte) {
	if isWord(name) {
		e.prepend(string(name))
		return
	}
	e.prepend("[" + quote(name) + "]")
}

// withinIndex puts the index of an array's element in front of the error's path.
func (e *Error) withinIndex(i int) { e.prepend("[" + strconv.Itoa(i) + "]") }

// prepend puts step in front of the error's path: a bare word, or a bracketed name or index.
func (e *Error) prepend(step string) {
	if e.Where != "" && e.Where[0] != '[' {
		step += "."
	}
	e.Where = step + e.Where
	if len(e.Where) > whereMax {
		e.Where = strings.ToValidUTF8(e.Where[:whereMax-3], "") + "..."
	}
}

// isWord reports whether a member name can stand in a path without quotes.
func isWord(name []byte) bool {
	if len(name) == 0 || len(name) > excerptMax {
		return false
	}
	for _, c := range name {
		if c != '_' && (c|0x20 < 'a' || c|0x20 > 'z') && (c < '0' || c > '9') {
			return false
		}
	}
	return true
}

// quote renders the beginning of hostile text, printable and bounded.
func quote(text []byte) string {
	if len(text) > excerptMax {
		return strconv.Quote(string(bytes.ToValidUTF8(text[:excerptMax], nil))) + "..."
	}
	return strconv.Quote(string(text))
}

// at puts a step in front of the path of err, if it holds an *Error.
func at(err error, step func(*Error)) error {
	if e, ok := errors.AsType[*Error](err); ok {
		step(e)
	}
	return err
}
