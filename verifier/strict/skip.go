package strict

import (
	"encoding/binary"
	"math/bits"
)

// These functions find their way in bytes that were validated before. They check nothing but bounds.

// skipSpace returns the offset of the first byte at or after i that is not white space.
func skipSpace(data []byte, i int) int {
	for i < len(data) {
		switch data[i] {
		case ' ', '\t', '\n', '\r':
			i++
		default:
			return i
		}
	}
	return i
}

// skipByte skips white space, then the byte c if it is there, then white space.
func skipByte(data []byte, i int, c byte) int {
	i = skipSpace(data, i)
	if i < len(data) && data[i] == c {
		i = skipSpace(data, i+1)
	}
	return i
}

// skipValue returns the offset behind the value that starts at i.
func skipValue(data []byte, i int) int {
	if i >= len(data) {
		return len(data)
	}
	switch data[i] {
	case '"':
		end, _ := skipText(data, i)
		return end
	case '{', '[':
		return skipNested(data, i)
	}
	for ; i < len(data); i++ {
		switch data[i] {
		case ',', ']', '}', ' ', '\t', '\n', '\r':
			return i
		}
	}
	return i
}

// skipNested returns the offset behind the array or object that starts at i.
func skipNested(data []byte, i int) int {
	for depth := 0; i < len(data); {
		switch data[i] {
		case '"':
			i, _ = skipText(data, i)
			continue
		case '{', '[':
			depth++
		case '}', ']':
			depth--
			if depth == 0 {
				return i + 1
			}
		}
		i++
	}
	return i
}

// skipText returns the offset behind the string that starts at i, and whether it holds escapes.
func skipText(data []byte, i int) (end int, escaped bool) {
	for i++; ; i += 2 {
		i = quoteOrSlash(data, i)
		if i >= len(data) {
			return len(data), escaped
		}
		if data[i] == '"' {
			return i + 1, escaped
		}
		escaped = true
		for i+2 < len(data) && data[i+2] == '\\' { // one escape after the other
			i += 2
		}
	}
}

// quoteOrSlash returns the offset of the first quote or backslash at or after i; see plain for the method. The
// bytes above 0x7f, which borrow nothing, are masked out.
func quoteOrSlash(data []byte, i int) int {
	for ; i+8 <= len(data); i += 8 {
		w := binary.LittleEndian.Uint64(data[i:])
		flags := (((w ^ laneQuote) - lanes) | ((w ^ laneSlash) - lanes)) &^ w & laneHigh
		if flags != 0 {
			return i + bits.TrailingZeros64(flags)/8
		}
	}
	for ; i < len(data); i++ {
		if data[i] == '"' || data[i] == '\\' {
			return i
		}
	}
	return i
}
