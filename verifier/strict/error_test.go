package strict

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestErrorsFromCallbacksCarryTheirPath(t *testing.T) {
	d, err := ParseDocument(envelope(`{"targets":{"a/b.img":{"length":"1"}},"list":[[0],[0,-1]]}`))
	if err != nil {
		t.Fatal(err)
	}
	readLength := func(_ []byte, target Value) error {
		return target.Object(func(_ []byte, length Value) error {
			_, err := length.Int()
			return err
		})
	}
	var e *Error
	targets, _ := d.Signed.Lookup("targets")
	if err := targets.Object(readLength); !errors.As(err, &e) || e.Where != `["a/b.img"].length` || e.Got != `the string "1"` {
		t.Errorf("got %v", err)
	}
	if raw := envelope(`{"targets":{"a/b.img":{"length":`); e.Offset != int64(len(raw)-len(`,"signatures":[]}`)) {
		t.Errorf("offset %d", e.Offset)
	}
	list, _ := d.Signed.Lookup("list")
	err = list.Array(func(_ int, inner Value) error {
		return inner.Array(func(_ int, v Value) error {
			if n, err := v.Int(); err != nil || n < 0 {
				return fmt.Errorf("wrapped: %w", v.Refuse("0 or more"))
			}
			return nil
		})
	})
	if !errors.As(err, &e) || e.Where != "[1][1]" || e.Want != "0 or more" || e.Got != "the number -1" {
		t.Errorf("got %v", err)
	}
	stop := errors.New("stop")
	if err := list.Array(func(int, Value) error { return stop }); err != stop {
		t.Errorf("a foreign error came back as %v", err)
	}
}

func TestRefuseDescribesWhatCame(t *testing.T) {
	for raw, want := range map[string]string{
		`null`: "null", `true`: "true", `false`: "false", `[1]`: "an array", `{"a":1}`: "an object", `"a\nb"`: `the string "a\nb"`,
		`"` + strings.Repeat("é", 100) + `"`: `the string "` + strings.Repeat("é", excerptMax/2) + `"...`,
		`-1.5e3`:                             "the number -1.5e3", strings.Repeat("7", 100): "the number " + strings.Repeat("7", excerptMax) + "...",
	} {
		var e *Error
		if err := parse(t, raw).Refuse("x"); !errors.As(err, &e) || e.Got != want {
			t.Errorf("%.20s: %v, want %q", raw, err, want)
		}
	}
	if err := (Value{}).Refuse("x"); err.Error() != "byte 0: want x, got nothing" {
		t.Errorf("got %v", err)
	}
	if Kind(200).String() != "no kind" || Bool.String() != "a boolean" || Number.String() != "a number" || String.String() != "a string" {
		t.Error("kinds are misnamed")
	}
}

// Whatever the document holds, the error's text is short, one line, and printable.
func TestErrorsAreBoundedAndPrintable(t *testing.T) {
	for _, name := range []string{
		strings.Repeat("x", 5000), "\u202e\u0007\x1b[31m", "\u00e9" + strings.Repeat("é", 100), "", "line\nfeed", `"quoted"`,
		"1234567890123456789012345678901234567\u20ac",
	} {
		name = strings.NewReplacer("\n", `\n`, "\u0007", `\u0007`, "\x1b", `\u001b`, `"`, `\"`).Replace(name)
		raw := strings.Repeat(`{"`+name+`":[`, 20) + `"` + name + `",x` + "\x1b\xff"
		_, err := Parse([]byte(raw))
		var e *Error
		if !errors.As(err, &e) {
			t.Fatalf("%q: %v", name, err)
		}
		text := e.Error()
		if len(text) > 1000 || !utf8.ValidString(text) || strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r == '\u202e' }) {
			t.Errorf("%.30q: the error is %d bytes: %q", name, len(text), text)
		}
		if !strings.Contains(text, e.Where) || !strings.Contains(text, e.Want) || !strings.Contains(text, e.Got) {
			t.Errorf("the text lacks a part: %s", text)
		}
	}
}
