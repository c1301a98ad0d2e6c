package main

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/ota-agent/ota-agent/agent"
	"github.com/ota-agent/ota-agent/agent/local"
)

func TestExitCodes(t *testing.T) {
	problem := func(r agent.Reason) error {
		return fmt.Errorf("act: %w", &agent.Problem{Reason: r, Text: "what happened"})
	}
	for _, c := range []struct {
		name string
		err  error
		want int
		hint string
	}{
		{"none", nil, exitOK, ""},
		{"any", errors.New("x"), exitFailed, ""},
		{"a failure's own", fmt.Errorf("act: %w", &failure{exitAnchor, errors.New("x"), "do that"}), exitAnchor, "do that"},
		{"expired", problem(agent.ReasonExpired), exitRefused, "nothing was changed"},
		{"clock", problem(agent.ReasonClockAhead), exitRefused, "clock"},
		{"endless file", problem(agent.ReasonTooLarge), exitRefused, "mirror"},
		{"offline", problem(agent.ReasonUnreachable), exitUnreachable, "tries again"},
		{"disk full", problem(agent.ReasonDiskFull), exitStore, "make room"},
		{"read-only", problem(agent.ReasonReadOnly), exitStore, "for writing"},
		{"store", problem(agent.ReasonStore), exitStore, "dmesg"},
		{"locked", problem(agent.ReasonLocked), exitLocked, "another ota-agent"},
		{"hook", problem(agent.ReasonHookMissing), exitHook, "executable"},
		{"not running", fmt.Errorf("act: %w", local.ErrNotRunning), exitNotRunning, "systemctl start"},
		{"not allowed", fmt.Errorf("act: %w", local.ErrForbidden), exitFailed, "root"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := exitCode(c.err); got != c.want {
				t.Errorf("exit code %d, want %d", got, c.want)
			}
			if c.err == nil {
				return
			}
			var out, errs bytes.Buffer
			ui{out: &out, err: &errs}.fail(c.err)
			lines := strings.Split(strings.TrimSuffix(errs.String(), "\n"), "\n")
			hinted := 1
			if c.hint != "" {
				hinted = 2
			}
			if out.Len() != 0 || len(lines) != hinted || !strings.HasPrefix(lines[0], "ota-agent: ") ||
				!strings.Contains(errs.String(), c.hint) {
				t.Errorf("printed %q", errs.String())
			}
		})
	}
}

// An error from outside can't write lines of its own, or move the cursor.
func TestErrorsAreOneLine(t *testing.T) {
	var errs bytes.Buffer
	ui{err: &errs}.fail(errors.New("evil\nota-agent: all is well\r\x1b[2J\u202e"))
	if got := errs.String(); strings.Count(got, "\n") != 1 || strings.ContainsAny(got, "\r\x1b\u202e") {
		t.Errorf("printed %q", got)
	}
}

func TestStatusTableIsClean(t *testing.T) {
	evil := "1.0\n\x1b[31mcomponent"
	s := agent.Status{BootID: "b", Components: []agent.ComponentStatus{{
		Name: "app", Phase: agent.Fetching, Booted: "A", Primary: "A", Running: agent.ReleaseStatus{Version: evil},
		Release:  &agent.ReleaseStatus{SHA256: strings.Repeat("ab", 32)},
		Progress: &agent.Progress{Done: 512 << 10, Total: 1 << 20, Rate: 2048, Left: 256, ResumedFrom: 1024},
		Waiting:  &agent.Waiting{Reason: agent.ReasonBackoff, Text: evil, Left: 90},
		Rejected: []agent.Rejection{{ID: "ffff", Last: agent.Problem{Text: evil}}},
		Last: &agent.Outcome{Verdict: "withdrawn", Release: agent.ReleaseStatus{Version: "2.0"},
			Problem: &agent.Problem{Reason: agent.ReasonAgentDied, Text: "the agent ended again" + evil}},
	}}}
	got := statusTable(s)
	if strings.Contains(got, "\x1b") {
		t.Errorf("a control character got through:\n%q", got)
	}
	for _, want := range []string{
		"  running    1.0??[31mcomponent in slot A (primary A)",
		"  phase      fetching abababababab",
		"  progress   512.0 KiB of 1.0 MiB (50 %), 2.0 KiB/s, 4m16s left, resumed from 1.0 KiB",
		", 1m30s left)",
		"  rejected   ffff: ",
		"  last       2.0 withdrawn: the agent ended again1.0??[31mcomponent (agent_died)",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in\n%s", want, got)
		}
	}
}

func TestProgressLine(t *testing.T) {
	at := func(done int64) agent.Status {
		return agent.Status{Components: []agent.ComponentStatus{{Name: "app", Phase: agent.Fetching,
			Release: &agent.ReleaseStatus{Version: "2.0"}, Progress: &agent.Progress{Done: done, Total: 100}}}}
	}
	idle := agent.Status{Components: []agent.ComponentStatus{{Name: "app", Phase: agent.Idle}}}
	for _, terminal := range []bool{false, true} {
		var out bytes.Buffer
		l := newProgressLine(ui{out: &out})
		l.terminal = terminal
		for _, s := range []agent.Status{at(0), at(50), at(100), idle} {
			if err := l.show(s); err != nil {
				t.Fatal(err)
			}
		}
		if err := l.end(); err != nil {
			t.Fatal(err)
		}
		want := "app: fetching 2.0\napp: idle\n"
		got := out.String()
		if !terminal && got != want {
			t.Errorf("without a terminal: %q, want %q", got, want)
		}
		if terminal && (!strings.Contains(got, "[===============               ] 50 B of 100 B (50 %)") || strings.Count(got, "\n") != 2) {
			t.Errorf("on a terminal: %q", got)
		}
	}
}

// stands is a document with a component that is all right and one in this condition.
func stands(code agent.ConditionCode, reason agent.Reason) agent.Status {
	return agent.Status{Components: []agent.ComponentStatus{
		{Name: "rootfs", Condition: &agent.Condition{Code: agent.ConditionCurrent}},
		{Name: "app", Condition: &agent.Condition{Code: code, Reason: reason, Text: "the text"}},
	}}
}

// Every condition has its exit code, after check and after check --wait alike; the latter goes on while
// anything ends by itself.
func TestACheckEndsAsTheDeviceStands(t *testing.T) {
	for code, want := range map[agent.ConditionCode]struct {
		rest bool
		exit int
	}{
		agent.ConditionCurrent:    {true, exitOK},
		agent.ConditionUnlisted:   {true, exitUnlisted},
		agent.ConditionUnasked:    {false, exitWorking},
		agent.ConditionUnanswered: {true, exitUnreachable}, // by the problem of the check
		agent.ConditionWaiting:    {true, exitWaiting},
		agent.ConditionWorking:    {false, exitWorking},
	} {
		s := stands(code, agent.ReasonPaused)
		if code == agent.ConditionUnanswered {
			s.Repository.LastProblem = &agent.Problem{Reason: agent.ReasonUnreachable, Text: "no route"}
		}
		if got := atRest(s); got != want.rest {
			t.Errorf("%s: at rest %t, want %t", code, got, want.rest)
		}
		if err := restsAs(s); exitCode(err) != want.exit {
			t.Errorf("%s: ends with %d (%v), want %d", code, exitCode(err), err, want.exit)
		}
	}
	for _, code := range constants(t, "../../agent/condition.go", "Condition") {
		if s := stands(agent.ConditionCode(code), ""); code != string(agent.ConditionCurrent) && code != string(agent.ConditionUnanswered) && standing(s) == nil {
			t.Errorf("a check whose component is %s ends well", code)
		}
	}
}

// A reason for which another mirror is asked is the repository's, or the way's to it: check says which, and
// never a mere 1.
func TestACheckNamesTheRepositoryOrTheWayToIt(t *testing.T) {
	for _, r := range constants(t, "../../agent/problem.go", "Reason") {
		code := reasonCode(agent.Reason(r))
		if agent.NextMirror(agent.Reason(r)) && code != exitRefused && code != exitUnreachable {
			t.Errorf("%s ends a check with %d", r, code)
		}
	}
	for _, r := range []agent.Reason{agent.ReasonProxy, agent.ReasonPayment, agent.ReasonCredentials} {
		if code := reasonCode(r); code != exitUnreachable {
			t.Errorf("%s ends a check with %d", r, code)
		}
	}
}

// What must be put right by somebody comes before what only takes time.
func TestTheWorstConditionEndsACheck(t *testing.T) {
	s := stands(agent.ConditionWaiting, agent.ReasonPaused)
	s.Components = append(s.Components, stands(agent.ConditionWorking, "").Components[1], stands(agent.ConditionUnlisted, agent.ReasonNotListed).Components[1])
	if err := standing(s); exitCode(err) != exitUnlisted {
		t.Errorf("got %v", err)
	}
	if err := standing(agent.Status{Components: []agent.ComponentStatus{{Name: "of an older agent"}}}); err != nil {
		t.Errorf("got %v", err)
	}
}

func TestRejectedSince(t *testing.T) {
	with := func(count int) agent.Status {
		return agent.Status{Components: []agent.ComponentStatus{{Name: "app",
			Rejected: []agent.Rejection{{ID: "ff", Version: "2.0", Count: count, Last: agent.Problem{Text: "unhealthy"}}}}}}
	}
	if err := rejectedSince(with(1), with(1)); err != nil {
		t.Errorf("an old rejection is news: %v", err)
	}
	for _, before := range []agent.Status{with(0), {}} {
		if err := rejectedSince(before, with(1)); exitCode(err) != exitFailed || !strings.Contains(err.Error(), "app 2.0 was rejected") {
			t.Errorf("got %v", err)
		}
	}
}

// A rollback is offered only where it would be done.
func TestRollbackWords(t *testing.T) {
	c := agent.ComponentStatus{Booted: "A", Condition: &agent.Condition{}, Previous: &agent.ReleaseStatus{Version: "1.0"}}
	if got := rollbackWords(c); got != "ota-agent rollback goes back to it" {
		t.Errorf("got %q", got)
	}
	c.NoRollback = &agent.Problem{Reason: agent.ReasonIndexTooLow, Text: "below the floor"}
	if got := rollbackWords(c); got != "below the floor (rollback_index)" {
		t.Errorf("got %q", got)
	}
	c.Booted, c.NoRollback = "", nil
	if got := rollbackWords(c); strings.Contains(got, "goes back") {
		t.Errorf("nobody knows what is booted, and yet: %q", got)
	}
}
