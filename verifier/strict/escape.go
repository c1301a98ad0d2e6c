package strict

import (
	"unicode/utf16"
	"unicode/utf8"
)

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

// nextRune decodes the escape that raw, the inside of a string, starts with. What is none, as can be in a reopened
// document, is a replacement character.
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
