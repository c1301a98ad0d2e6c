package install

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/ota-agent/ota-agent/agent"
)

const hashA = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

func TestParseStatus(t *testing.T) {
	got, err := ParseStatus([]byte("slots=A,B\nbooted=A\nprimary=B\n\nfuture=x=y\nstate.A=good\nstate.B=bad\n" +
		"version.A=1.0 (blue)\nsha256.A=" + strings.ToUpper(hashA) + "\nsha256.B=\ninput=path\nmounted.B=no"))
	want := agent.Slots{Booted: "A", Primary: "B", InputPath: true, Slots: map[string]agent.Slot{
		"A": {Good: true, Version: "1.0 (blue)", SHA256: hashA},
		"B": {},
	}}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, %v; want %+v", got, err, want)
	}
}

func TestParseStatusRefuses(t *testing.T) {
	const good = "slots=A,B\nbooted=A\nprimary=A\nstate.A=good\nstate.B=bad\n"
	if _, err := ParseStatus([]byte(good)); err != nil {
		t.Fatal(err)
	}
	for name, answer := range map[string]string{
		"nothing":               "",
		"no slots":              strings.Replace(good, "slots=A,B\n", "", 1),
		"one slot":              strings.Replace(good, "A,B", "A", 1),
		"nine slots":            strings.Replace(good, "A,B", "A,B,C,D,E,F,G,H,I", 1),
		"a slot twice":          strings.Replace(good, "A,B", "A,A", 1),
		"an empty slot name":    strings.Replace(good, "A,B", "A,", 1),
		"a path as slot":        strings.Replace(good, "A,B", "A,../B", 1),
		"an option as slot":     strings.Replace(good, "A,B", "A,-B", 1),
		"a long slot name":      strings.Replace(good, "A,B", "A,"+strings.Repeat("B", 33), 1),
		"no booted":             strings.Replace(good, "booted=A\n", "", 1),
		"booted unknown":        strings.Replace(good, "booted=A", "booted=C", 1),
		"primary unknown":       strings.Replace(good, "primary=A", "primary=C", 1),
		"no state":              strings.Replace(good, "state.B=bad\n", "", 1),
		"another state":         strings.Replace(good, "bad", "GOOD", 1),
		"a key twice":           good + "booted=A\n",
		"an unknown key twice":  good + "x=1\nx=1\n",
		"no equals sign":        good + "hello\n",
		"no key":                good + "=x\n",
		"a control character":   good + "x=\x1b[2J\n",
		"DOS line ends":         strings.ReplaceAll(good, "\n", "\r\n"),
		"not UTF-8":             good + "x=\xff\n",
		"a zero byte":           good + "x=\x00\n",
		"a short hash":          good + "sha256.A=" + hashA[1:] + "\n",
		"a hash that isn't hex": good + "sha256.A=g" + hashA[1:] + "\n",
		"a long version":        good + "version.A=" + strings.Repeat("v", 65) + "\n",
		"another input":         good + "input=file\n",
		"another mounted":       good + "mounted.A=maybe\n",
		"too many lines":        good + strings.Repeat("\n", linesMax),
		"too many bytes":        good + "x=" + strings.Repeat("x", answerBytesMax),
	} {
		if s, err := ParseStatus([]byte(answer)); err == nil {
			t.Errorf("%s: accepted as %+v", name, s)
		}
	}
}

func FuzzParseStatus(f *testing.F) {
	f.Add([]byte("slots=A,B\nbooted=A\nprimary=\nstate.A=good\nstate.B=bad\nsha256.A=" + hashA + "\nmounted.B=yes\ninput=path\n"))
	f.Add([]byte("slots=rootfs.0,rootfs.1\nbooted=rootfs.0\nprimary=rootfs.1\nstate.rootfs.0=good\nstate.rootfs.1=good\nversion.rootfs.0=é\n"))
	f.Fuzz(func(t *testing.T, answer []byte) {
		s, err := ParseStatus(answer)
		if err != nil {
			if len(err.Error()) > 4096 {
				t.Errorf("an error of %d bytes", len(err.Error()))
			}
			return
		}
		if _, ok := s.Slots[s.Booted]; !ok || len(s.Slots) < slotsMin || len(s.Slots) > slotsMax {
			t.Fatalf("accepted %+v", s)
		}
		again, err := ParseStatus(formatStatus(s))
		if err != nil || !reflect.DeepEqual(again, s) {
			t.Errorf("%+v comes back as %+v, %v", s, again, err)
		}
	})
}

// formatStatus is what a hook with these slots prints.
func formatStatus(s agent.Slots) []byte {
	var b strings.Builder
	fmt.Fprintf(&b, "slots=%s\nbooted=%s\nprimary=%s\n", strings.Join(slices.Sorted(maps.Keys(s.Slots)), ","), s.Booted, s.Primary)
	for name, slot := range s.Slots {
		state := map[bool]string{true: "good", false: "bad"}[slot.Good]
		fmt.Fprintf(&b, "state.%s=%s\nversion.%s=%s\nsha256.%s=%s\n", name, state, name, slot.Version, name, slot.SHA256)
	}
	if s.InputPath {
		b.WriteString("input=path\n")
	}
	return []byte(b.String())
}

func TestCaptureIsBounded(t *testing.T) {
	var c capture
	for i := range 100_000 {
		fmt.Fprintf(&c, "line %d\n", i)
	}
	if len(c.head) != answerBytesMax || len(c.tail) != tailBytesMax || cap(c.tail) > 4*tailBytesMax {
		t.Errorf("head %d, tail %d of %d bytes", len(c.head), len(c.tail), cap(c.tail))
	}
	text := c.text()
	if !strings.HasSuffix(text, "line 99998 | line 99999") || len(text) > saidBytesMax+len("…") {
		t.Errorf("text of %d bytes ends in %q", len(text), text[len(text)-40:])
	}
	if !strings.HasPrefix(string(c.head), "line 0\nline 1\n") {
		t.Error("the head is not the beginning")
	}
}

func TestOneLine(t *testing.T) {
	for in, want := range map[string]string{
		"":                                "",
		" a \n\n\tb\r\n":                  "a | b",
		"\x1b[31mred\x1b[0m\x00\x07":      "[31mred [0m",
		"bad \xff utf-8":                  "bad ? utf-8",
		"right\u202eto left":              "right to left",
		strings.Repeat("é", saidBytesMax): "…" + strings.Repeat("é", saidBytesMax/2),
	} {
		if got := oneLine(in, saidBytesMax); got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
}
