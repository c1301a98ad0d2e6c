package strict

import "math"

// A scanner validates one document in one pass.
//
// It starts in the belief that the names of each object ascend, which needs no memory to check. At the first
// name that doesn't, it gives up and a second scanner starts over, which remembers the names of all objects it
// is in. So a document costs at most two passes, however it is nested.
type scanner struct {
	data []byte
	pos  int
	err  *Error

	// untidy is the offset of the last thing seen that the canonical form would write otherwise, and unsorted
	// of the last name out of order, or number without a canonical form; -1 for none.
	untidy, unsorted int

	// integers refuses every other number: the value under the scanner must have a canonical form.
	integers bool
	// split says that the members of the outermost object are to be put into envelope.
	split    bool
	envelope Document

	// remember says that names holds, one object after the other, where the names of all objects around pos begin.
	remember bool
	names    []uint32
	// members are those that there may still be, and spelled counts those of the objects that are sorted by comparing.
	members, spelled int
	// restart says that the scan failed only because it must be done again with remember.
	restart bool
}

// validate scans the whole of data. It returns the value, and its parts if split asks for them.
func validate(data []byte, split bool) (Value, Document, *Error) {
	s := scanner{data: data, untidy: -1, unsorted: -1, split: split, members: membersMax(len(data))}
	if uint64(len(data)) > math.MaxUint32 {
		s.tooMany("a document below 4 GiB", 0)
		return Value{}, Document{}, s.err
	}
	v, ok := s.document()
	if s.restart {
		s = scanner{data: data, untidy: -1, unsorted: -1, split: split, remember: true, members: membersMax(len(data))}
		s.names = make([]uint32, 0, namesMax(len(data)))
		v, ok = s.document()
	}
	if !ok {
		return Value{}, Document{}, s.err
	}
	return v, s.envelope, nil
}

// document scans a value with white space around it, and nothing else.
func (s *scanner) document() (Value, bool) {
	s.space()
	start := s.pos
	if s.split && (start >= len(s.data) || s.data[start] != '{') {
		return Value{}, s.fail(start, "an object with signed and signatures")
	}
	if !s.value(0) {
		return Value{}, false
	}
	v := s.taken(start)
	s.space()
	if s.pos < len(s.data) {
		return Value{}, s.fail(s.pos, "the end of the document")
	}
	return v, true
}

// taken is the value from start to s.pos.
func (s *scanner) taken(start int) Value {
	v := Value{raw: s.data[start:s.pos:s.pos], offset: start, form: exact}
	switch {
	case s.unsorted >= start:
		v.form = unsorted
	case s.untidy >= start:
		v.form = sorted
	}
	return v
}

// value scans one value within depth arrays and objects.
func (s *scanner) value(depth int) bool {
	if s.pos >= len(s.data) {
		return s.fail(s.pos, "a value")
	}
	switch c := s.data[s.pos]; c {
	case '"':
		_, _, ok := s.text()
		return ok
	case '{':
		return s.deeper(depth) && s.object(depth)
	case '[':
		return s.deeper(depth) && s.array(depth)
	case 't':
		return s.literal("true")
	case 'f':
		return s.literal("false")
	case 'n':
		return s.literal("null")
	default:
		if c == '-' || isDigit(c) {
			return s.number()
		}
		return s.fail(s.pos, "a value")
	}
}

func (s *scanner) deeper(depth int) bool {
	if depth < DepthMax {
		return true
	}
	s.fail(s.pos, "at most 16 arrays and objects within each other")
	s.err.Got, s.err.err = "one more", ErrDepth
	return false
}

func (s *scanner) array(depth int) bool {
	s.pos++
	s.space()
	if s.skip(']') {
		return true
	}
	for i := 0; ; i++ {
		if !s.value(depth + 1) {
			s.withinIndex(i)
			return false
		}
		s.space()
		if s.skip(']') {
			return true
		}
		if !s.skip(',') {
			return s.fail(s.pos, "a comma or ]")
		}
		s.space()
	}
}

func (s *scanner) object(depth int) bool {
	s.pos++
	s.space()
	if s.skip('}') {
		return true
	}
	order := s.order()
	for {
		key, ok := s.key()
		if !ok || !order.next(key) {
			return false
		}
		if !s.member(depth, key) {
			s.within(key)
			return false
		}
		s.space()
		if s.skip('}') {
			return order.done()
		}
		if !s.skip(',') {
			return s.fail(s.pos, "a comma or }")
		}
		s.space()
	}
}

// key scans a member's name and the colon after it.
func (s *scanner) key() (name, bool) {
	start := s.pos
	if start >= len(s.data) || s.data[start] != '"' {
		return name{}, s.fail(start, "a member name")
	}
	raw, escaped, ok := s.text()
	if !ok {
		return name{}, false
	}
	s.space()
	if !s.skip(':') {
		return name{}, s.fail(s.pos, "a colon")
	}
	s.space()
	return name{raw: raw, escaped: escaped, offset: uint32(start)}, true
}

// member scans a member's value, and hands the two that matter to the envelope.
func (s *scanner) member(depth int, key name) bool {
	if depth > 0 || !s.split {
		return s.value(depth + 1)
	}
	start := s.pos
	s.integers = key.is("signed")
	if !s.value(depth + 1) {
		return false
	}
	switch {
	case s.integers:
		s.envelope.Signed = s.taken(start)
	case key.is("signatures"):
		s.envelope.Signatures = s.taken(start)
	}
	return true
}

// space skips white space.
func (s *scanner) space() {
	start := s.pos
	s.pos = skipSpace(s.data, start)
	if s.pos > start {
		s.untidy = start
	}
}

// skip skips the byte c, if it comes next.
func (s *scanner) skip(c byte) bool {
	if s.pos < len(s.data) && s.data[s.pos] == c {
		s.pos++
		return true
	}
	return false
}

// fail notes what was wanted at offset at, and returns false.
func (s *scanner) fail(at int, want string) bool {
	got := "the end of the input"
	if at < len(s.data) {
		got = quote(s.data[at:])
	}
	s.err = &Error{Offset: int64(at), Want: want, Got: got}
	return false
}

// within and withinIndex put a step in front of the path of the error, if there is one, on its way out.
func (s *scanner) within(n name) {
	if s.err != nil {
		s.err.within(n.text())
	}
}

func (s *scanner) withinIndex(i int) {
	if s.err != nil {
		s.err.withinIndex(i)
	}
}
