package strict

import (
	"bytes"
	"encoding/binary"
	"math/bits"
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
