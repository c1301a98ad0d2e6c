package main

import (
	"os/exec"
	"reflect"
	"strings"
	"testing"
	"time"
)

// A power cut ends also what moved to a process group of its own, as hooks do.
func TestCutEndsTheWholeSession(t *testing.T) {
	ready := make(chan string, 1)
	// timeout(1) runs its command in a process group of its own.
	p, err := start(exec.Command("sh", "-c", `timeout 1000 sh -c "echo up; sleep 1000"; true`), func(line string) { ready <- line })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.cut() })
	if line := <-ready; line != "up" {
		t.Fatalf("the shell says %q", line)
	}
	if n := len(sessionMembers(p.pid())); n < 3 {
		t.Fatalf("%d processes in the session, want the shell, timeout and what it runs", n)
	}
	if err := p.cut(); err != nil {
		t.Fatal(err)
	}
	if left := sessionMembers(p.pid()); len(left) != 0 {
		t.Errorf("processes %v outlived the power cut", left)
	}
	if p.err == nil {
		t.Error("a killed process ended well")
	}
}

func TestStopAsksFirst(t *testing.T) {
	for _, c := range []struct {
		name, script string
		grace        time.Duration
		willing      bool
	}{
		{"willing", `trap "exit 0" TERM; echo up; while :; do sleep 0.01; done`, time.Minute, true},
		{"deaf", `trap "" TERM; echo up; while :; do sleep 0.01; done`, 10 * time.Millisecond, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			ready := make(chan string, 1)
			p, err := start(exec.Command("sh", "-c", c.script), func(line string) { ready <- line })
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = p.cut() })
			<-ready
			willing, err := p.stop(c.grace)
			if err != nil || willing != c.willing {
				t.Errorf("stop: willing %v, %v; want %v", willing, err, c.willing)
			}
		})
	}
}

func TestLinesAreWholeAndBounded(t *testing.T) {
	long := strings.Repeat("x", lineBytesMax)
	for _, c := range []struct {
		in   []string
		want []string
	}{
		{[]string{"a\nb\n"}, []string{"a", "b"}},
		{[]string{"a", "b\nc"}, []string{"ab", "c"}},
		{[]string{"\n\n"}, []string{"", ""}},
		{[]string{long + "tail\n"}, []string{long + "tail"}},
		{[]string{long, "tail\n"}, []string{long, "tail"}},
		{nil, nil},
	} {
		var got []string
		l := &lines{each: func(s string) { got = append(got, s) }}
		for _, part := range c.in {
			if n, err := l.Write([]byte(part)); n != len(part) || err != nil {
				t.Fatalf("Write: %d, %v", n, err)
			}
		}
		l.flush()
		if !reflect.DeepEqual(got, c.want) {
			t.Errorf("%.20q gave %.20q, want %.20q", c.in, got, c.want)
		}
	}
}
