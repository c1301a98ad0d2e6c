// Command testsum reads `go test -json` from standard input, shows each package's result and the whole output of
// what failed, and closes with the line "N passed, N failed, N skipped". It exits 1 when something failed and when
// no test ran at all: a run that executed no test proves nothing.
package main

import (
	"bufio"
	"encoding/json"
	"flag"
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
	// ImportPath stands for Package in what the build says.
	ImportPath string
}

// lineBytesMax bounds one line of the input: a test may print a long one.
const lineBytesMax = 16 << 20

type summary struct {
	passed, failed, skipped int
	verbose                 bool                // show what passed tests have logged, too
	output                  map[string][]string // of what has not ended yet, by package and test
	told                    map[string]bool     // packages of which a failed test was counted
	out                     io.Writer
}

func main() {
	s := &summary{output: map[string][]string{}, told: map[string]bool{}, out: os.Stdout}
	flag.BoolVar(&s.verbose, "v", false, "show the output of tests that passed, too")
	flag.Parse()
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
	if e.Package == "" {
		e.Package = e.ImportPath
	}
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
	if s.verbose || e.Action == "fail" || e.Action == "build-fail" || (e.Action == "skip" && e.Test != "") {
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

// show prints what a failed, skipped or (with -v) passed test or package has said. A package that failed though none of
// its tests did (it did not build, it panicked) counts as one failure.
func (s *summary) show(e event, key string) {
	if bad := e.Action == "fail" || e.Action == "build-fail"; bad && e.Test == "" {
		fmt.Fprintf(s.out, "FAIL %s %.1fs\n", e.Package, e.Elapsed)
		if !s.told[e.Package] {
			s.failed++
		}
	} else if bad {
		s.told[e.Package] = true
	}
	for _, line := range s.output[key] {
		fmt.Fprint(s.out, line)
	}
}
