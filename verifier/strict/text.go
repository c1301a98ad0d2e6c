package strict

import (
	"bytes"
	"encoding/binary"
	"math/bits"
	"unicode/utf16"
	"unicode/utf8"
)

// Eight bytes at a time: a byte repeated in each lane of a word.
const (
	lanes     = 0x0101010101010101
	laneHigh  = 0x80 * lanes
	laneSpace = ' ' * lanes
	laneQuote = '"' * lanes
	laneSlash = '\\' * lanes
)

// plain returns the offset of the first byte at or after i that is not printable ASCII without a meaning
// inside a string: a quote, a backslash, a control character, or a byte above 0x7f.
//
// In each lane, subtracting borrows into the high bit exactly when the byte is below the bound. A borrow can
// spoil only lanes above a lane that is flagged itself, so the lowest flag is always true.
func plain(data []byte, i int) int {
	for ; i+8 <= len(data); i += 8 {
		w := binary.LittleEndian.Uint64(data[i:])
		flags := (w | (w - laneSpace) | ((w ^ laneQuote) - lanes) | ((w ^ laneSlash) - lanes)) & laneHigh
		if flags != 0 {
			return i + bits.TrailingZeros64(flags)/8
		}
	}
	for ; i < len(data); i++ {
		if c := data[i]; c < ' ' || c == '"' || c == '\\' || c >= utf8.RuneSelf {
			return i
		}
	}
	return i
}

// text scans the string that starts at s.pos and leaves s.pos behind it. It returns what lies between the
// quotes, as received, and whether that holds escapes.
func (s *scanner) text() (raw []byte, escaped, ok bool) {
	start := s.pos + 1
	for i := start; ; {
		i = plain(s.data, i)
		if i >= len(s.data) {
			return nil, false, s.fail(i, `the closing " of a string`)
		}
		switch c := s.data[i]; {
		case c == '"':
			s.pos = i + 1
			return s.data[start:i], escaped, true
		case c == '\\':
			n := s.escape(i)
			if n == 0 {
				return nil, false, false
			}
			escaped = true
			i += n
		case c >= utf8.RuneSelf:
			r, n := utf8.DecodeRune(s.data[i:])
			if r == utf8.RuneError && n == 1 {
				return nil, false, s.fail(i, "UTF-8")
			}
			i += n
		default:
			return nil, false, s.fail(i, "a control character written as an escape")
		}
	}
}

// escape checks the escape sequence at i and returns its length, 0 after an error.
func (s *scanner) escape(i int) int {
	if i+1 >= len(s.data) {
		s.fail(i+1, "an escape")
		return 0
	}
	switch s.data[i+1] {
	case '"', '\\':
		return 2 // the two escapes that the canonical form has too
	case '/', 'b', 'f', 'n', 'r', 't':
		s.untidy = i
		return 2
	case 'u':
		s.untidy = i
		_, n := unicodeEscape(s.data[i:])
		if n == 0 {
			s.fail(i, "four hex digits after \\u, surrogates only in pairs")
		}
		return n
	default:
		s.fail(i, "one of the escapes of JSON")
		return 0
	}
}

// unicodeEscape decodes the \uXXXX, or the pair of them, that data starts with. Its length is 0 when there is
// none, or only one half of a surrogate pair.
func unicodeEscape(data []byte) (rune, int) {
	first, ok := hexRune(data)
	if !ok {
		return 0, 0
	}
	if !utf16.IsSurrogate(first) {
		return first, 6
	}
	second, ok := hexRune(data[6:])
	if !ok {
		return 0, 0
	}
	r := utf16.DecodeRune(first, second)
	if r == utf8.RuneError {
		return 0, 0
	}
	return r, 12
}

// hexRune decodes one \uXXXX.
func hexRune(data []byte) (rune, bool) {
	if len(data) < 6 || data[0] != '\\' || data[1] != 'u' {
		return 0, false
	}
	var r rune
	for _, c := range data[2:6] {
		d := hexDigit(c)
		if d > 15 {
			return 0, false
		}
		r = r<<4 | rune(d)
	}
	return r, true
}

// hexDigit is the value of a hex digit of either case, or 16 for any other byte.
func hexDigit(c byte) byte {
	switch {
	case '0' <= c && c <= '9':
		return c - '0'
	case 'a' <= c && c <= 'f':
		return c - 'a' + 10
	case 'A' <= c && c <= 'F':
		return c - 'A' + 10
	default:
		return 16
	}
}

// nextRune decodes the escape that raw, the inside of a valid string, starts with.
func nextRune(raw []byte) (rune, int) {
	if len(raw) < 2 {
		return utf8.RuneError, len(raw)
	}
	switch c := raw[1]; c {
	case 'b':
		return '\b', 2
	case 'f':
		return '\f', 2
	case 'n':
		return '\n', 2
	case 'r':
		return '\r', 2
	case 't':
		return '\t', 2
	case 'u':
		r, n := unicodeEscape(raw)
		if n == 0 {
			return utf8.RuneError, 2
		}
		return r, n
	default:
		return rune(c), 2
	}
}

// appendText appends what raw, the inside of a valid string, stands for.
func appendText(dst, raw []byte) []byte {
	for {
		i := bytes.IndexByte(raw, '\\')
		if i < 0 {
			return append(dst, raw...)
		}
		dst = append(dst, raw[:i]...)
		r, n := nextRune(raw[i:])
		dst = utf8.AppendRune(dst, r)
		raw = raw[i+n:]
	}
}
