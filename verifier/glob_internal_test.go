package verifier

import (
	"strings"
	"testing"
	"unicode/utf8"
)

func TestF8_Globs(t *testing.T) {
	tests := []struct {
		pattern, path string
		want          bool
	}{
		{"*", "a", true}, {"*", "", true}, {"*", "a/b", false}, {"*/*", "a/b", true}, {"*/*", "a", false}, {"*/*", "/", true},
		{"a*", "abc", true}, {"*c", "abc", true}, {"a*c", "abbbc", true}, {"a*c", "abcd", false}, {"*a*", "bab", true},
		{"*.tar.*", "x.tar.gz", true}, {"**", "abc", true}, {"a**c", "ac", true}, {"a*b*c", "axbybc", true},
		{"?", "a", true}, {"?", "", false}, {"?", "ab", false}, {"?", "/", false}, {"a?c", "a/c", false}, {"?", "\u00e9", true}, {"??", "\u00e9", false},
		{"a", "A", false}, {"*.IMG", "x.img", false},
		{"*", ".hidden", true}, {"?hidden", ".hidden", true}, {"a/*", "a/.b", true},
		{`\*`, `\x`, true}, {`\*`, "*", false}, {`a\b`, `a\b`, true}, {`[\]`, `\`, true},
		{"[abc]", "b", true}, {"[abc]", "d", false}, {"[!abc]", "d", true}, {"[!abc]", "b", false}, {"[a-c]x", "bx", true}, {"[a-c]x", "dx", false},
		{"[c-a]", "b", false}, {"[!c-a]", "b", true}, {"[a-]", "-", true}, {"[-a]", "-", true}, {"[a-c-e]", "-", true}, {"[a-c-e]", "d", false}, {"[a-c-e]", "e", true},
		{"[]]", "]", true}, {"[]a]", "a", true}, {"[!]]", "a", true}, {"[!]]", "]", false}, {"[^a]", "^", true}, {"[^a]", "b", false}, {"[^a]", "a", true},
		{"[", "[", true}, {"[a", "[a", true}, {"[!", "[!", true}, {"[]", "[]", true}, {"[!]", "[!]", true}, {"a[", "a", false}, {"[*", "[xyz", true},
		{"[a/b]", "[a/b]", true}, {"[a/b]", "a", false}, {"a]", "a]", true}, {"[[]", "[", true}, {"[*?]", "*", true}, {"[*?]", "x", false},
		{"[\u00e0-\u00ff]", "\u00e9", true}, {"\u00e9*", "\u00e9t\u00e9", true},
		{"releases/*/*.zip", "releases/x/y.zip", true}, {"releases/*/*.zip", "releases/y.zip", false}, {"a//b", "a//b", true}, {"a/*/b", "a//b", true},
		{"a/", "a", false}, {"/a", "a", false}, {"", "", true}, {"", "a", false},
	}
	for _, test := range tests {
		if got := matchPath(test.pattern, test.path); got != test.want {
			t.Errorf("%q matches %q: %v, want %v", test.pattern, test.path, got, test.want)
		}
	}
}

// A pattern made to make matchers despair costs the product of the lengths at most.
func TestF8_NoPatternTakesForEver(t *testing.T) {
	pattern := strings.Repeat("*a", 2000) + "b"
	if matchPath(pattern, strings.Repeat("a", 4000)) {
		t.Error("matched")
	}
}

// simpleMatch says the same as matchSegment in the simplest way.
func simpleMatch(pattern, text string) bool {
	if pattern == "" {
		return text == ""
	}
	if pattern[0] == '*' {
		for i := 0; i <= len(text); i++ {
			if simpleMatch(pattern[1:], text[i:]) {
				return true
			}
		}
		return false
	}
	if text == "" {
		return false
	}
	r, n := utf8.DecodeRuneInString(text)
	used, ok := matchOne([]byte(pattern), r)
	return ok && simpleMatch(pattern[used:], text[n:])
}

func FuzzGlob(f *testing.F) {
	for _, seed := range []string{"*", "a*b", "[!a-c]?", "[]]", "a/*/[x-"} {
		f.Add(seed, "a/b")
	}
	f.Fuzz(func(t *testing.T, pattern, path string) {
		if len(pattern) > 12 || len(path) > 12 || !utf8.ValidString(pattern) || !utf8.ValidString(path) {
			_ = matchPath(pattern, path)
			return
		}
		want := strings.Count(pattern, "/") == strings.Count(path, "/")
		patterns, segments := strings.Split(pattern, "/"), strings.Split(path, "/")
		for i := range patterns {
			want = want && simpleMatch(patterns[i], segments[i])
		}
		if got := matchPath(pattern, path); got != want {
			t.Errorf("%q matches %q: %v, want %v", pattern, path, got, want)
		}
	})
}
