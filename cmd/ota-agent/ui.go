package main

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode"

	"github.com/ota-agent/ota-agent/agent"
	"github.com/ota-agent/ota-agent/agent/local"
)

// A ui is the terminal. Only its methods print:
//   - what was asked for goes to standard output, and nothing else does;
//   - an error is one line, "ota-agent: WHAT: WHERE", and at most one more, "  hint: WHAT TO DO";
//   - text that came from outside is shown without control characters.
type ui struct {
	out, err io.Writer
}

// print shows what was asked for. A line break ends it.
func (u ui) print(format string, args ...any) error {
	if _, err := fmt.Fprintf(u.out, format+"\n", args...); err != nil {
		return fmt.Errorf("print: %w", err)
	}
	return nil
}

// raw shows a part of a line.
func (u ui) raw(text string) error {
	if _, err := io.WriteString(u.out, text); err != nil {
		return fmt.Errorf("print: %w", err)
	}
	return nil
}

// note says something beside the answer.
func (u ui) note(format string, args ...any) {
	u.warn(fmt.Sprintf(format, args...), "")
}

// fail shows an error and returns its exit code.
func (u ui) fail(err error) int {
	u.warn(err.Error(), hintFor(err))
	return exitCode(err)
}

func (u ui) warn(text, hint string) {
	text = "ota-agent: " + plain(text)
	if hint != "" {
		text += "\n  hint: " + plain(hint)
	}
	fmt.Fprintln(u.err, text) // there is nobody left to tell where this fails
}

// hintFor is what a failure says, or what is known to help.
func hintFor(err error) string {
	var f *failure
	if errors.As(err, &f) && f.hint != "" {
		return f.hint
	}
	switch exitCode(err) {
	case exitNotRunning:
		return "start it: systemctl start ota-agent, or ota-agent run"
	case exitLocked:
		return "another ota-agent uses this state directory: systemctl status ota-agent"
	case exitStore:
		return storeHint(err)
	case exitHook:
		return "the component's hook in the config must be an executable file"
	case exitRefused:
		return "nothing was changed; the publisher or the mirror must put it right, or the device's clock is wrong (ota-agent status)"
	case exitUnreachable:
		return "nothing was changed; the agent tries again by itself"
	}
	if errors.Is(err, local.ErrForbidden) {
		return "run it as root"
	}
	return ""
}

func storeHint(err error) string {
	var p *agent.Problem
	if errors.As(err, &p) {
		switch p.Reason {
		case agent.ReasonDiskFull:
			return "make room on the file system of the state directory; nothing that was there is lost"
		case agent.ReasonReadOnly:
			return "mount the file system of the state directory for writing"
		}
	}
	return "check the state directory, its file system (dmesg) and its owner"
}

// plain replaces control characters, which could rewrite the terminal.
func plain(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || !unicode.IsPrint(r) && r != ' ' {
			return '?'
		}
		return r
	}, s)
}
