package strict

import (
	"strings"
	"unicode/utf8"
)

// An Index finds the members of an object by name with a few comparisons each, and goes through them in the
// order of their names. It takes four bytes a member. The zero Index has no members.
type Index struct {
	object Value
	names  []uint32 // where they begin in the object's bytes
}

// Index makes one. An error is an *Error: v is no object.
func (v Value) Index() (Index, error) {
	if v.Kind() != Object {
		return Index{}, v.Refuse("an object")
	}
	n, escaped := 0, false
	for m := v.members(); m.next(); n++ {
		escaped = escaped || m.escaped
	}
	x := Index{object: v, names: make([]uint32, 0, n)}
	for m := v.members(); m.next(); {
		x.names = append(x.names, uint32(m.at))
	}
	if !v.ordered() {
		sortNames(v.raw, x.names, escaped)
	}
	return x, nil
}

// Len is the number of members.
func (x Index) Len() int { return len(x.names) }

// Lookup finds a member by its exact name.
func (x Index) Lookup(name string) (Value, bool) {
	low, high := 0, len(x.names)
	for low < high {
		middle := int(uint(low+high) >> 1)
		switch c := compareText(nameAt(x.object.raw, x.names[middle]), name); {
		case c == 0:
			return x.member(middle), true
		case c < 0:
			low = middle + 1
		default:
			high = middle
		}
	}
	return Value{}, false
}

// Against calls f for each member, in the order of names, with the member of the same name of another index:
// the zero Value where that has none. name is the beginning of the member's name, for an error. It ends with
// f's first error.
func (x Index) Against(other Index, f func(name []byte, mine, others Value) error) error {
	at := 0
	for i, offset := range x.names {
		c := -1
		for at < len(other.names) {
			if c = compareAt(other.object.raw, other.names[at], x.object.raw, offset); c >= 0 {
				break
			}
			at++
		}
		var others Value
		if at < len(other.names) && c == 0 {
			others = other.member(at)
		}
		if err := f(nameAt(x.object.raw, offset).text(), x.member(i), others); err != nil {
			return err
		}
	}
	return nil
}

func (x Index) member(i int) Value {
	raw := x.object.raw
	end, _ := skipText(raw, int(x.names[i]))
	start := skipByte(raw, end, ':')
	return x.object.part(start, skipValue(raw, start))
}

// compareText compares a name with a text, which holds no escapes.
func compareText(n name, text string) int {
	if !n.escaped {
		return strings.Compare(string(n.raw), text)
	}
	raw := n.raw
	for len(raw) > 0 && text != "" {
		r, size := headRune(raw)
		s, width := utf8.DecodeRuneInString(text)
		if r != s {
			return int(r - s)
		}
		raw, text = raw[size:], text[width:]
	}
	return len(raw) - len(text)
}
