package verifier

import (
	"bytes"
	"math"
	"strings"
	"unicode/utf8"
)

// matchPath reports whether a target path matches a delegation's pattern (TUF 4.5, PATHPATTERN).
func matchPath(pattern, path string) bool {
	return (&pathMatch{path: path, steps: math.MaxInt}).glob([]byte(pattern))
}

// glob holds the path against a pattern. Both are compared segment by segment, so that no wildcard crosses a
// slash. Case matters, a leading dot is nothing special, and a backslash stands for itself. Where the steps
// end, it ends: the caller looks whether they did.
func (m *pathMatch) glob(pattern []byte) bool {
	path := m.path
	m.steps -= len(pattern)
	if bytes.Count(pattern, []byte("/")) != strings.Count(path, "/") {
		return false
	}
	for {
		patternHead, patternRest, more := bytes.Cut(pattern, []byte("/"))
		pathHead, pathRest, _ := strings.Cut(path, "/")
		if !m.segment(patternHead, pathHead) {
			return false
		}
		if !more {
			return true
		}
		pattern, path = patternRest, pathRest
	}
}

// segment matches one segment. On a mismatch only the last star is tried again, one character further: that
// is enough, and bounds the work to the product of the lengths.
func (m *pathMatch) segment(pattern []byte, text string) bool {
	p, t := 0, 0
	star, retry := -1, 0
	for t < len(text) {
		if m.steps--; m.steps < 0 {
			return false
		}
		if p < len(pattern) && pattern[p] == '*' {
			star, retry = p, t
			p++
			continue
		}
		r, n := utf8.DecodeRuneInString(text[t:])
		used, ok := matchOne(pattern[p:], r)
		m.steps -= used
		if ok {
			p += used
			t += n
			continue
		}
		if star < 0 {
			return false
		}
		_, n = utf8.DecodeRuneInString(text[retry:])
		retry += n
		p, t = star+1, retry
	}
	return len(bytes.Trim(pattern[p:], "*")) == 0
}

// matchOne matches one character against the head of a pattern, which is not a star. It returns how many bytes
// of the pattern that took.
func matchOne(pattern []byte, r rune) (int, bool) {
	if len(pattern) == 0 {
		return 0, false
	}
	switch pattern[0] {
	case '?':
		return 1, true
	case '[':
		if end := classEnd(pattern); end > 0 {
			return end, inClass(pattern[1:end-1], r)
		}
	}
	want, n := utf8.DecodeRune(pattern)
	return n, want == r
}

// classEnd is the offset behind the bracket that closes the class at the head of pattern, or 0 when there is none
// and the opening bracket stands for itself. A bracket right at the start of the class is one of its members.
func classEnd(pattern []byte) int {
	start := 1
	if bytes.HasPrefix(pattern[start:], []byte("!")) {
		start++
	}
	if bytes.HasPrefix(pattern[start:], []byte("]")) {
		start++
	}
	end := bytes.IndexByte(pattern[start:], ']')
	if end < 0 {
		return 0
	}
	return start + end + 1
}

// inClass reports whether r is in the class whose inside is given: characters and ranges, negated by a leading !.
func inClass(class []byte, r rune) bool {
	members, negated := bytes.CutPrefix(class, []byte("!"))
	found := false
	for len(members) > 0 {
		low, n := utf8.DecodeRune(members)
		members = members[n:]
		high := low
		if len(members) > 1 && members[0] == '-' {
			high, n = utf8.DecodeRune(members[1:])
			members = members[1+n:]
		}
		if low <= r && r <= high {
			found = true
		}
	}
	return found != negated
}
