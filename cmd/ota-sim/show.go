package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"unicode/utf8"

	"golang.org/x/term"
)

// What the demo prints, and nothing else does:
//   - one column says who speaks, the rest of the line is what they say in their own words;
//   - a check says what was expected and what was seen, whether it holds or not;
//   - colour and a moving bar only on a terminal, and no colour where NO_COLOR is set.

// A show prints the demo. Its methods may be called from several goroutines.
type show struct {
	mu     sync.Mutex
	out    io.Writer
	colour bool
	live   bool // the output is a terminal: a bar may be redrawn in place
	bar    *bar
	gone   func() // nobody reads any more
}

// newShow prints to out; gone is called when that fails.
func newShow(out *os.File, gone func()) *show {
	live := term.IsTerminal(int(out.Fd()))
	return &show{out: out, gone: gone, live: live, colour: live && os.Getenv("NO_COLOR") == ""}
}

// A style is an ANSI "select graphic rendition" code.
type style string

const (
	plain style = ""
	bold  style = "1"
	dim   style = "2"
	red   style = "31"
	green style = "32"
	amber style = "33"
	blue  style = "36"
)

func (s *show) paint(st style, text string) string {
	if !s.colour || st == plain {
		return text
	}
	return "\x1b[" + string(st) + "m" + text + "\x1b[0m"
}

// print writes one line above the bar, if there is one.
func (s *show) print(line string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.bar != nil {
		s.bar.hide()
	}
	if _, err := fmt.Fprintln(s.out, line); err != nil && s.gone != nil {
		s.gone()
	}
	if s.bar != nil {
		s.bar.draw()
	}
}

// title opens the demo, the chapters and the summary.
func (s *show) title(text string) {
	s.print("")
	s.print(s.paint(bold, text))
}

// prose explains what is about to happen, in whole sentences.
func (s *show) prose(text string) {
	for line := range strings.Lines(wrap(text, 100)) {
		s.print(strings.TrimSuffix(line, "\n"))
	}
}

// speakerWidth is the column of who speaks, in characters.
const speakerWidth = 9

// say is one line by one of the parts.
func (s *show) say(who, format string, args ...any) {
	s.print(s.paint(blue, fmt.Sprintf("  %-*s ", speakerWidth, who)) + fmt.Sprintf(format, args...))
}

// agentLine is a line of the agent's own log.
func (s *show) agentLine(line string) {
	st := dim
	if strings.HasPrefix(line, "WARN") || strings.HasPrefix(line, "ERROR") {
		st = amber
	}
	s.print(s.paint(blue, fmt.Sprintf("  %-*s ", speakerWidth, "agent")) + s.paint(st, line))
}

func (s *show) check(k check) {
	if k.OK {
		s.print(s.paint(green, "  ok        ") + k.What + ": " + k.Seen)
		return
	}
	s.print(s.paint(red, "  NOT SEEN  ") + k.What + ": expected " + k.Expected + ", seen " + k.Seen)
}

// table is the end of the demo: one row a check.
func (s *show) table(list []check) {
	head := [3]string{"what", "expected", "seen"}
	width := [3]int{len(head[0]), len(head[1]), len(head[2])}
	for _, k := range list {
		for i, cell := range [3]string{k.What, k.Expected, k.Seen} {
			width[i] = max(width[i], utf8.RuneCountInString(cell))
		}
	}
	row := func(chapter, verdict string, cells [3]string) string {
		return fmt.Sprintf("  %-3s %s %s %s %s", chapter,
			pad(cells[0], width[0]), pad(cells[1], width[1]), pad(cells[2], width[2]), verdict)
	}
	s.print(s.paint(dim, row("", "", head)))
	last := -1
	for _, k := range list {
		chapter := ""
		switch {
		case k.Chapter == last:
		case k.Chapter == wholeStory:
			chapter = "all"
		default:
			chapter = fmt.Sprint(k.Chapter)
		}
		last = k.Chapter
		verdict := s.paint(green, "ok")
		if !k.OK {
			verdict = s.paint(red, "NOT SEEN")
		}
		s.print(row(chapter, verdict, [3]string{k.What, k.Expected, k.Seen}))
	}
}

func pad(text string, width int) string {
	return text + strings.Repeat(" ", max(0, width-utf8.RuneCountInString(text)))
}

// wrap breaks text at spaces so that no line is longer than width characters, if its words allow.
func wrap(text string, width int) string {
	var b strings.Builder
	column := 0
	for word := range strings.FieldsSeq(text) {
		n := utf8.RuneCountInString(word)
		switch {
		case column == 0:
		case column+1+n > width:
			b.WriteByte('\n')
			column = 0
		default:
			b.WriteByte(' ')
			column++
		}
		b.WriteString(word)
		column += n
	}
	return b.String()
}

// mib shows bytes for people, in MiB.
func mib(n int64) string { return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20)) }

// bytesExact shows bytes where each one counts: 16,777,216 B.
func bytesExact(n int64) string {
	digits := fmt.Sprint(n)
	for i := len(digits) - 3; i > 0 && digits[i-1] != '-'; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return digits + " B"
}
