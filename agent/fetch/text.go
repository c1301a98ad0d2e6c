package fetch

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
	"unicode/utf8"

	"github.com/ota-agent/ota-agent/agent"
)

// textBytesMax bounds an error's text, which may quote what a server sent.
const textBytesMax = 600

// problem makes a Problem about where, which may be empty. The text is scrubbed.
func problem(r agent.Reason, where, format string, args ...any) *agent.Problem {
	text := fmt.Sprintf(format, args...)
	if where != "" {
		text = where + ": " + text
	}
	return &agent.Problem{Reason: r, Text: scrub(text)}
}

// because adds the cause, without the layer of net/http that repeats the URL with all its secrets.
func because(p *agent.Problem, err error) *agent.Problem {
	var u *url.Error
	for errors.As(err, &u) {
		err = u.Err
	}
	p.Err = &cause{text: scrub(err.Error()), err: err}
	p.Text = scrub(p.Text + ": " + p.Err.Error())
	return p
}

// A cause stands for an error of a library: errors.Is and errors.As find it, but its raw text can't be unwrapped and
// logged by accident.
type cause struct {
	text string
	err  error
}

func (c *cause) Error() string        { return c.text }
func (c *cause) Is(target error) bool { return errors.Is(c.err, target) }
func (c *cause) As(target any) bool   { return errors.As(c.err, target) }

// safeURL is u without user, password, query and fragment.
func safeURL(u *url.URL) string {
	if u.Scheme == "file" {
		return "file://" + clip(u.EscapedPath(), 200)
	}
	return u.Scheme + "://" + u.Host + clip(u.EscapedPath(), 200)
}

// scrub makes one bounded line of s and drops what may be secret: everything from a question mark to the end of
// the word, and what stands before an @ in a URL.
func scrub(s string) string {
	var b strings.Builder
	for len(s) > 0 && b.Len() < textBytesMax {
		if rest, ok := strings.CutPrefix(s, "://"); ok {
			b.WriteString("://")
			authority := rest[:wordEnd(rest, "/?#")]
			if at := strings.LastIndexByte(authority, '@'); at >= 0 {
				rest = rest[at+1:]
			}
			s = rest
			continue
		}
		r, size := utf8.DecodeRuneInString(s)
		switch {
		case r == '?' && wordEnd(s, "") > 1:
			b.WriteString("?…")
			s = s[wordEnd(s, ""):]
			continue
		case r < ' ' || r == 0x7f || r == utf8.RuneError && size == 1:
			r = ' '
		}
		b.WriteRune(r)
		s = s[size:]
	}
	return clip(b.String(), textBytesMax)
}

// wordEnd is the index of the first white space, quote or byte of stop; len(s) where there is none.
func wordEnd(s, stop string) int {
	if i := strings.IndexAny(s, " \t\r\n\"'`<>"+stop); i >= 0 {
		return i
	}
	return len(s)
}

// clip cuts s to at most n bytes, at a rune's edge.
func clip(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n] + "…"
}
