package fetch

import (
	"errors"
	"net/url"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/ota-agent/ota-agent/agent"
)

func TestScrub(t *testing.T) {
	for in, want := range map[string]string{
		"get https://u:secret@h.example/a?sig=secret failed": "get https://h.example/a?… failed",
		`parse "https://u:se@cret@h/x?y=secret#z": bad`:      `parse "https://h/x?…": bad`,
		"/relative?token=secret\nnext line":                  "/relative?… next line",
		"is it there? yes":                                   "is it there? yes",
		"what?":                                              "what?",
		"mail a@b stays":                                     "mail a@b stays",
		"\x1b[31mred\x00\xff":                                " [31mred  ",
		"ü ✓":                                                "ü ✓",
	} {
		if got := scrub(in); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

func FuzzScrub(f *testing.F) {
	f.Add("x", "y")
	f.Add("://", "@")
	f.Add("a b", "?")
	f.Fuzz(func(t *testing.T, before, after string) {
		// A secret that is a query or a password is gone, whatever stands around it.
		const secret = "5ecret5ecret"
		before = strings.ReplaceAll(before, secret, "")
		for _, in := range []string{before + "https://h/p?sig=" + secret + " " + after, before + " https://u:" + secret + "@h/" + after} {
			got := scrub(in)
			if strings.Contains(strings.ReplaceAll(before+after, secret, ""), "5ecret") {
				return
			}
			if strings.Contains(got, secret) {
				t.Errorf("%q shows a secret: %q", in, got)
			}
			if strings.ContainsAny(got, "\r\n\x00") || len(got) > textBytesMax+8 || !utf8.ValidString(got) {
				t.Errorf("%q: %q", in, got)
			}
		}
	})
}

// TestBecause: the cause stays testable, and net/http's layer with the whole URL is gone.
func TestBecause(t *testing.T) {
	inner := errors.New("lookup repo.example: no such host")
	raw := &url.Error{Op: "Get", URL: "https://u:secret@repo.example/?sig=secret", Err: inner}
	p := because(problem(agent.ReasonUnreachable, "https://repo.example", "not reached"), raw)
	if !errors.Is(p, inner) || p.Text != "https://repo.example: not reached: lookup repo.example: no such host" {
		t.Errorf("%v", p)
	}
	if _, ok := errors.AsType[*url.Error](error(p)); ok {
		t.Error("the URL is still there")
	}
}
