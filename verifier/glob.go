package verifier

import (
	"strings"
	"unicode/utf8"
)

// matchPath reports whether a target path matches a delegation's pattern (TUF 4.5, PATHPATTERN). Both are
// compared segment by segment, so that no wildcard crosses a slash. Case matters, a leading dot is nothing
// special, and a backslash stands for itself.
func matchPath(pattern, path string) bool {
	if strings.Count(pattern, "/") != strings.Count(path, "/") {
		return false
	}
	for {
		patternHead, patternRest, more := strings.Cut(pattern, "/")
		pathHead, pathRest, _ := strings.Cut(path, "/")
		if !matchSegment(patternHead, pathHead) {
			return false
		}
		if !more {
			return true
		}
		pattern, path = patternRest, pathRest
	}
}

// matchSegment matches one segment. On a mismatch only the last star is tried again, one character further: that
// is enough, and bounds the work to the product of the lengths.
func matchSegment(pattern, text string) bool {
	p, t := 0, 0
	star, retry := -1, 0
	for t < len(text) {
		if p < len(pattern) && pattern[p] == '*' {
			star, retry = p, t
			p++
			continue
		}
		r, n := utf8.DecodeRuneInString(text[t:])
		if used, ok := matchOne(pattern[p:], r); ok {
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
	return strings.Trim(pattern[p:], "*") == ""
}

// matchOne matches one character against the head of a pattern, which is not a star. It returns how many bytes
// of the pattern that took.
func matchOne(pattern string, r rune) (int, bool) {
	if pattern == "" {
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
	want, n := utf8.DecodeRuneInString(pattern)
	return n, want == r
}

// classEnd is the offset behind the bracket that closes the class at the head of pattern, or 0 when there is none
// and the opening bracket stands for itself. A bracket right at the start of the class is one of its members.
func classEnd(pattern string) int {
	start := 1
	if strings.HasPrefix(pattern[start:], "!") {
		start++
	}
	if strings.HasPrefix(pattern[start:], "]") {
		start++
	}
	end := strings.IndexByte(pattern[start:], ']')
	if end < 0 {
		return 0
	}
	return start + end + 1
}

// inClass reports whether r is in the class whose inside is given: characters and ranges, negated by a leading !.
func inClass(class string, r rune) bool {
	members, negated := strings.CutPrefix(class, "!")
	found := false
	for members != "" {
		low, n := utf8.DecodeRuneInString(members)
		members = members[n:]
		high := low
		if len(members) > 1 && members[0] == '-' {
			high, n = utf8.DecodeRuneInString(members[1:])
			members = members[1+n:]
		}
		if low <= r && r <= high {
			found = true
		}
	}
	return found != negated
}
