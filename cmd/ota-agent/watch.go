package main

import (
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/ota-agent/ota-agent/agent"
)

func (c *cli) watch([]string) error {
	client, _, err := c.client()
	if err != nil {
		return err
	}
	ctx, stop := interruptible()
	defer stop()
	line := newProgressLine(c.ui)
	err = client.Watch(ctx, line.show)
	if done := line.end(); done != nil {
		return done
	}
	if ctx.Err() != nil {
		return nil // the user has seen enough
	}
	return err
}

const (
	barWidth = 30
	// clearLine goes to the line's beginning and clears it (ECMA-48 EL).
	clearLine = "\r\x1b[K"
)

// A progressLine shows each change of a component as a line of its own and, on a terminal, the running download as a
// bar that moves below them.
type progressLine struct {
	ui       ui
	terminal bool
	said     map[string]string // by component
	moving   bool              // the cursor stands behind a bar
}

func newProgressLine(u ui) *progressLine {
	return &progressLine{ui: u, terminal: isTerminal(u.out), said: map[string]string{}}
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	_, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	return err == nil
}

func (l *progressLine) show(s agent.Status) error {
	for _, c := range s.Components {
		words := changeWords(c)
		if l.said[c.Name] == words {
			continue
		}
		l.said[c.Name] = words
		if err := l.ui.print("%s%s", l.clear(), plain(c.Name+": "+words)); err != nil {
			return err
		}
	}
	if !l.terminal {
		return nil
	}
	bar := ""
	for _, c := range s.Components {
		if c.Progress != nil && c.Phase == agent.Fetching {
			bar = plain(c.Name) + " " + barOf(*c.Progress)
		}
	}
	return l.move(bar)
}

// changeWords leave out what moves by itself.
func changeWords(c agent.ComponentStatus) string {
	c.Progress = nil
	words := componentWords(c)
	if c.Problem != nil {
		words += ", problem: " + c.Problem.Text
	}
	if c.Phase == agent.Idle && c.Last != nil {
		words += ", last: " + releaseWords(c.Last.Release) + " " + c.Last.Verdict
	}
	return words
}

func barOf(p agent.Progress) string {
	filled := 0
	if p.Total > 0 {
		filled = min(barWidth, max(0, int(float64(p.Done)/float64(p.Total)*barWidth)))
	}
	return fmt.Sprintf("[%s%s] %s", strings.Repeat("=", filled), strings.Repeat(" ", barWidth-filled), progressWords(p))
}

// clear is what makes room for a line where a bar stands.
func (l *progressLine) clear() string {
	if !l.moving {
		return ""
	}
	l.moving = false
	return clearLine
}

func (l *progressLine) move(bar string) error {
	if bar == "" && !l.moving {
		return nil
	}
	text := l.clear() + bar
	l.moving = bar != ""
	return l.ui.raw(text)
}

// end leaves the cursor on an empty line.
func (l *progressLine) end() error { return l.move("") }
