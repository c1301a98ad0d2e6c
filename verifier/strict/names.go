package strict

import (
	"bytes"
	"sort"
	"unicode/utf8"
)

// Member names are sorted where they lie: what is sorted are the offsets of their opening quotes, four bytes
// a name. They sort by code point, which is the byte order of UTF-8.

// nameAt is the name whose opening quote is at offset.
func nameAt(data []byte, offset uint32) name {
	end, escaped := skipText(data, int(offset))
	return name{raw: data[offset+1 : max(int(offset)+1, end-1)], escaped: escaped, offset: offset}
}

// compareAt compares the names at two offsets.
func compareAt(a []byte, x uint32, b []byte, y uint32) int {
	m, n := nameAt(a, x), nameAt(b, y)
	if m.escaped || n.escaped {
		return compareEscaped(m.raw, n.raw)
	}
	return bytes.Compare(m.raw, n.raw)
}

// compareEscaped compares what two received texts stand for, without writing it down.
func compareEscaped(a, b []byte) int {
	for len(a) > 0 && len(b) > 0 {
		r, n := headRune(a)
		s, m := headRune(b)
		if r != s {
			if r < s {
				return -1
			}
			return 1
		}
		a, b = a[n:], b[m:]
	}
	return len(a) - len(b)
}

// headRune decodes the character that raw, the inside of a string, starts with.
func headRune(raw []byte) (rune, int) {
	switch c := raw[0]; {
	case c == '\\':
		return nextRune(raw)
	case c < utf8.RuneSelf:
		return rune(c), 1
	}
	return utf8.DecodeRune(raw)
}

// sortNames sorts names by their text. Where none is escaped the time is that of looking at each character of
// what they have in common with others a few times, and no input makes it worse. Escaped names are compared
// instead, of which spelledMax bounds the number.
func sortNames(data []byte, names []uint32, escaped bool) {
	if escaped {
		sort.Sort(byText{data, names})
		return
	}
	for depth := 0; ; depth++ {
		if len(names) <= insertionMax {
			insertNames(data, names, depth)
			return
		}
		names = sortByte(data, names, depth)
	}
}

// insertionMax is the number of names up to which comparing is faster than counting.
const insertionMax = 24

// sortByte puts names into order by their byte at depth, sorts all groups of the same byte but the largest,
// and returns that one, whose names are the same up to depth: so the recursion is as deep as the logarithm of
// their number. A name that ends there comes first.
func sortByte(data []byte, names []uint32, depth int) []uint32 {
	var next, end [257]uint32
	for _, n := range names {
		end[group(data, n, depth)]++
	}
	sum, most, largest := uint32(0), uint32(0), 1
	for g, count := range end {
		next[g], sum = sum, sum+count
		end[g] = sum
		if g > 0 && count > most { // group 0 is in order: its names are equal
			most, largest = count, g
		}
	}
	start := next
	for g := range next {
		for next[g] < end[g] {
			n := names[next[g]]
			to := group(data, n, depth)
			names[next[g]], names[next[to]] = names[next[to]], n
			next[to]++
		}
	}
	for g := 1; g < len(start); g++ {
		if g != largest && end[g]-start[g] > 1 {
			sortDeeper(data, names[start[g]:end[g]], depth+1)
		}
	}
	return names[start[largest]:end[largest]]
}

func sortDeeper(data []byte, names []uint32, depth int) {
	for ; len(names) > insertionMax; depth++ {
		names = sortByte(data, names, depth)
	}
	insertNames(data, names, depth)
}

// group is 0 for a name that ends at depth, else 1 more than its byte there. No name holds a raw quote.
func group(data []byte, offset uint32, depth int) int {
	c := data[int(offset)+1+depth]
	if c == '"' {
		return 0
	}
	return int(c) + 1
}

// insertNames sorts a few names that are the same up to depth.
func insertNames(data []byte, names []uint32, depth int) {
	for i := 1; i < len(names); i++ {
		n := names[i]
		j := i
		for ; j > 0 && follows(data, names[j-1], n, depth); j-- {
			names[j] = names[j-1]
		}
		names[j] = n
	}
}

// follows reports whether name a comes after name b, from depth on. Neither holds escapes.
func follows(data []byte, a, b uint32, depth int) bool {
	for i, j := int(a)+1+depth, int(b)+1+depth; ; i, j = i+1, j+1 {
		c, d := data[i], data[j]
		switch {
		case c != d:
			return d == '"' || c != '"' && c > d
		case c == '"':
			return false
		}
	}
}

// byText sorts names of which some are escaped. Here and elsewhere in what the agent links, an interface
// sorts, not a generic function: each type would cost the agent another 10 KB of code, and these are the slow
// or the rare paths.
type byText struct {
	data  []byte
	names []uint32
}

func (n byText) Len() int           { return len(n.names) }
func (n byText) Less(i, j int) bool { return compareAt(n.data, n.names[i], n.data, n.names[j]) < 0 }
func (n byText) Swap(i, j int)      { n.names[i], n.names[j] = n.names[j], n.names[i] }
