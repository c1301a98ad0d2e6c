package strict

import (
	"bytes"
	"cmp"
	"sort"
)

// A name is a member's name, unescaped, and where it stands.
type name struct {
	text   []byte
	offset int
}

// compareNames sorts by code point, which is the byte order of UTF-8; equal names by their place.
func compareNames(a, b name) int {
	return cmp.Or(bytes.Compare(a.text, b.text), cmp.Compare(a.offset, b.offset))
}

// An order watches the names of one object: they must be unique, and it is noted when they don't ascend.
// Ascending names are compared with their predecessor only. Others are remembered and sorted, which bounds
// the time for hostile ones too.
type order struct {
	s       *scanner
	last    name
	started bool
	mixed   bool
	base    int // where this object's names start in s.names
}

func (s *scanner) order() order { return order{s: s, base: len(s.names)} }

// next takes the object's next name.
func (o *order) next(n name) bool {
	if o.started && !o.follows(n) {
		return false
	}
	if o.s.remember {
		o.s.names = append(o.s.names, n)
	}
	o.last, o.started = n, true
	return true
}

// follows compares a name with the one before it.
func (o *order) follows(n name) bool {
	c := bytes.Compare(o.last.text, n.text)
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
		o.s.unsorted = n.offset
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
	sort.Sort(byText(names))
	for i := 1; i < len(names); i++ {
		if bytes.Equal(names[i-1].text, names[i].text) {
			return o.s.duplicate(names[i])
		}
	}
	return true
}

type byText []name

func (n byText) Len() int           { return len(n) }
func (n byText) Less(i, j int) bool { return compareNames(n[i], n[j]) < 0 }
func (n byText) Swap(i, j int)      { n[i], n[j] = n[j], n[i] }

func (s *scanner) duplicate(n name) bool {
	s.fail(n.offset, "each member name once in an object")
	s.err.Got = quote(n.text) + " again"
	return false
}
