package strict

import "bytes"

// A name is a member's name as it was received between the quotes, and where its opening quote stands. It
// fits into four words: in five, which are handed on by memory, a large file took a quarter longer to
// validate.
type name struct {
	raw     []byte
	offset  uint32
	escaped bool // raw holds escapes
}

// nameBytesShown is how much of a received name an error needs at most, in bytes: more than excerptMax
// characters, each written as an escape.
const nameBytesShown = 6 * (excerptMax + 2)

// text is what the beginning of the name stands for: enough for an error, and for is.
func (n name) text() []byte {
	raw := n.raw[:min(len(n.raw), nameBytesShown)]
	if !n.escaped {
		return raw
	}
	return appendText(nil, raw)
}

// is compares the name with a short text.
func (n name) is(text string) bool {
	if !n.escaped {
		return string(n.raw) == text
	}
	return len(n.raw) <= 6*len(text) && string(n.text()) == text
}

// An order watches the names of one object: they must be unique, and it is noted when they don't ascend.
// Ascending names are compared with their predecessor only. Of others the places are remembered, four bytes
// each, and sorted: so hostile names cost neither much memory nor much time.
type order struct {
	s       *scanner
	last    name
	started bool
	mixed   bool
	escaped bool // some name is
	base    int  // where this object's names start in s.names
}

func (s *scanner) order() order { return order{s: s, base: len(s.names)} }

// next takes the object's next name.
func (o *order) next(n name) bool {
	if o.s.members--; o.s.members < 0 {
		return o.s.tooMany("fewer members for a document of this length", int(n.offset))
	}
	if o.started && !o.follows(n) {
		return false
	}
	if o.s.remember {
		o.s.names = append(o.s.names, n.offset)
	}
	if n.escaped {
		o.escaped = true
	}
	o.last, o.started = n, true
	return true
}

// follows compares a name with the one before it.
func (o *order) follows(n name) bool {
	c := 0
	if o.last.escaped || n.escaped {
		c = compareEscaped(o.last.raw, n.raw)
	} else {
		c = bytes.Compare(o.last.raw, n.raw)
	}
	switch {
	case c < 0:
		return true
	case c == 0:
		return o.s.duplicate(n)
	case !o.s.remember:
		o.s.restart = true
		return false
	default:
		o.mixed = true
		o.s.unsorted = int(n.offset)
		return true
	}
}

// done takes the end of the object.
func (o *order) done() bool {
	if !o.s.remember {
		return true
	}
	names := o.s.names[o.base:]
	o.s.names = o.s.names[:o.base]
	if !o.mixed {
		return true
	}
	if o.escaped {
		if o.s.spelled += len(names); o.s.spelled > spelledMax {
			return o.s.tooMany("names in ascending order, or without escapes", int(names[0]))
		}
	}
	sortNames(o.s.data, names, o.escaped)
	for i := 1; i < len(names); i++ {
		if compareAt(o.s.data, names[i-1], o.s.data, names[i]) == 0 {
			return o.s.duplicate(nameAt(o.s.data, max(names[i-1], names[i])))
		}
	}
	return true
}

func (s *scanner) duplicate(n name) bool {
	s.fail(int(n.offset), "each member name once in an object")
	s.err.Got = quote(n.text()) + " again"
	return false
}

// tooMany refuses what would cost too much.
func (s *scanner) tooMany(want string, offset int) bool {
	s.fail(offset, want)
	s.err.Got, s.err.err = "more", ErrLimit
	return false
}
