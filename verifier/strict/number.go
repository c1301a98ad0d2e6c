package strict

import "bytes"

// number scans a number: an integer, or with a fraction and an exponent (RFC 8259 section 6).
func (s *scanner) number() bool {
	start := s.pos
	i := start
	if s.data[i] == '-' {
		i++
	}
	end := digits(s.data, i)
	switch {
	case end == i:
		return s.fail(start, "a number")
	case s.data[i] == '0' && end > i+1:
		return s.fail(start, "a number without leading zeros")
	case s.data[i] == '0' && i > start:
		s.untidy = start // -0
	}
	whole := end
	if end < len(s.data) && s.data[end] == '.' {
		i, end = end+1, digits(s.data, end+1)
		if end == i {
			return s.fail(start, "digits after the point")
		}
	}
	if end < len(s.data) && s.data[end]|0x20 == 'e' {
		i = end + 1
		if i < len(s.data) && (s.data[i] == '+' || s.data[i] == '-') {
			i++
		}
		if end = digits(s.data, i); end == i {
			return s.fail(start, "digits in the exponent")
		}
	}
	if end > whole {
		if s.integers {
			return s.fail(start, "an integer: other numbers have no canonical form")
		}
		s.unsorted = start // form sorted holds integers only
	}
	s.pos = end
	return true
}

// digits returns the offset behind the decimal digits at i.
func digits(data []byte, i int) int {
	for i < len(data) && isDigit(data[i]) {
		i++
	}
	return i
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

func (s *scanner) literal(want string) bool {
	if !bytes.HasPrefix(s.data[s.pos:], []byte(want)) {
		return s.fail(s.pos, "a value")
	}
	s.pos += len(want)
	return true
}
