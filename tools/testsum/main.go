// Command testsum reads `go test -json` from standard input, shows each package's result and the whole output of
// what failed, and closes with the line "N passed, N failed, N skipped". It exits 1 when something failed and when
// no test ran at all: a run that executed no test proves nothing.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
)

// An event is one line of `go test -json` (`go doc test2json`).
type event struct {
	Action  string
	Package string
	Test    string
	Output  string
	Elapsed float64
}

// lineBytesMax bounds one line of the input: a test may print a long one.
const lineBytesMax = 16 << 20

type summary struct {
	passed, failed, skipped int
	output                  map[string][]string // of what has not ended yet, by package and test
	out                     io.Writer
}

func main() {
	s := &summary{output: map[string][]string{}, out: os.Stdout}
	in := bufio.NewScanner(os.Stdin)
	in.Buffer(make([]byte, 64<<10), lineBytesMax)
	for in.Scan() {
		var e event
		if err := json.Unmarshal(in.Bytes(), &e); err != nil || e.Action == "" {
			fmt.Fprintln(s.out, in.Text()) // not an event: what the go command says itself
			continue
		}
		s.take(e)
	}
	if err := in.Err(); err != nil {
		fmt.Fprintln(os.Stderr, "testsum: read standard input:", err)
		os.Exit(1)
	}
	fmt.Fprintf(s.out, "%d passed, %d failed, %d skipped\n", s.passed, s.failed, s.skipped)
	if s.failed > 0 || s.passed == 0 {
		os.Exit(1)
	}
}

func (s *summary) take(e event) {
	key := e.Package + "\x00" + e.Test
	switch e.Action {
	case "output", "build-output":
		s.output[key] = append(s.output[key], e.Output)
		return
	case "pass", "fail", "skip", "build-fail":
	default:
		return
	}
	if e.Test != "" {
		s.count(e.Action)
	} else if e.Action == "pass" {
		fmt.Fprintf(s.out, "ok   %s %.1fs\n", e.Package, e.Elapsed)
	}
	if e.Action == "fail" || e.Action == "build-fail" || (e.Action == "skip" && e.Test != "") {
		s.show(e, key)
	}
	delete(s.output, key)
}

func (s *summary) count(action string) {
	switch action {
	case "pass":
		s.passed++
	case "skip":
		s.skipped++
	case "fail":
		s.failed++
	}
}

// show prints what a failed test or package, or a skipped test, has said. A package that failed outside its tests
// (it did not build, it panicked) counts as one failure: nothing else may have told of it.
func (s *summary) show(e event, key string) {
	if e.Test == "" {
		s.failed++
		fmt.Fprintf(s.out, "FAIL %s %.1fs\n", e.Package, e.Elapsed)
	}
	for _, line := range s.output[key] {
		fmt.Fprint(s.out, line)
	}
}
