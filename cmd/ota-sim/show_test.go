package main

import (
	"bytes"
	"strings"
	"testing"

	"github.com/ota-agent/ota-agent/agent"
)

func TestTableShowsWhatWasNotSeen(t *testing.T) {
	var out bytes.Buffer
	c := &checks{show: &show{out: &out}}
	c.begin(1)
	same(c, "slot", "A", "A")
	sameBytes(c, "bytes", 16777216, 16777215)
	c.begin(2)
	within(c, "between", 1, 10, 10)
	within(c, "outside", 1, 10, 11)
	c.begin(wholeStory)
	same(c, "crashes", 0, 0)
	if n := c.failed(); n != 2 {
		t.Errorf("%d failed, want 2", n)
	}
	out.Reset()
	c.show.table(c.all())
	want := `      what    expected     seen
  1   slot    A            A            ok
      bytes   16,777,216 B 16,777,215 B NOT SEEN
  2   between 1 B … 10 B   10 B         ok
      outside 1 B … 10 B   11 B         NOT SEEN
  all crashes 0            0            ok
`
	var got []string
	for line := range strings.Lines(out.String()) {
		got = append(got, strings.TrimRight(line, " \n"))
	}
	if text := strings.Join(got, "\n") + "\n"; text != want {
		t.Errorf("table:\n%s\nwant:\n%s", text, want)
	}
}

func TestNoColoursAndNoBarOffATerminal(t *testing.T) {
	var out bytes.Buffer
	s := &show{out: &out}
	for done := int64(0); done <= 100; done += 5 {
		s.progress("rootfs 2", agent.Progress{Done: done, Total: 100})
	}
	s.progressEnds(false)
	s.title("title")
	s.check(check{What: "what", Expected: "a", Seen: "b"})
	if strings.ContainsAny(out.String(), "\x1b\r") {
		t.Errorf("control characters: %q", out.String())
	}
	if n := strings.Count(out.String(), "download"); n != quarters {
		t.Errorf("%d lines for one download, want %d:\n%s", n, quarters, out.String())
	}
}

func TestBytesExact(t *testing.T) {
	for n, want := range map[int64]string{0: "0 B", 999: "999 B", 1000: "1,000 B", 33554432: "33,554,432 B", -1234: "-1,234 B", -123: "-123 B"} {
		if got := bytesExact(n); got != want {
			t.Errorf("%d is %q, want %q", n, got, want)
		}
	}
}

func TestLogLine(t *testing.T) {
	for in, want := range map[string]string{
		`time=2026-01-02T03:04:05.678Z level=INFO msg="step" component=rootfs`: `INFO "step" component=rootfs`,
		`time=2026-01-02T03:04:05.678Z level=WARN msg=failed err="no room"`:    `WARN failed err="no room"`,
		"panic: something": "panic: something",
		"":                 "",
		"time=":            "",
	} {
		if got := logLine(in); got != want {
			t.Errorf("%q is shown as %q, want %q", in, got, want)
		}
	}
}

func TestACompleteDownloadIsShownAsSuch(t *testing.T) {
	var out bytes.Buffer
	s := &show{out: &out}
	s.progress("rootfs 2", agent.Progress{Done: 10, Total: 100}) // the only document that came
	s.progressEnds(true)
	s.progressEnds(true)
	if n := strings.Count(out.String(), "100 %"); n != 1 {
		t.Errorf("%d lines say 100 %%, want 1:\n%s", n, out.String())
	}
}
