package main

import (
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/ota-agent/ota-agent/agent"
)

// Whatever a component can wait for or fail with, explain says what changes it, and docs/status.md says the
// same. A reason that is new needs a row there and a line in remedies.
func TestEveryWaitHasARemedy(t *testing.T) {
	text, err := os.ReadFile("../../docs/status.md")
	if err != nil {
		t.Fatal(err)
	}
	_, problems, _ := strings.Cut(string(text), "## Problems")
	documented := map[string]string{}
	for _, row := range regexp.MustCompile("(?m)^\\| `([a-z_]+)` \\| .* \\| ([^|]+) \\|$").FindAllStringSubmatch(problems, -1) {
		documented[row[1]] = strings.ReplaceAll(row[2], "`", "")
	}
	for _, reason := range constants(t, "../../agent/problem.go", "Reason") {
		words := remedies[agent.Reason(reason)]
		if words == "" || documented[reason] != words {
			t.Errorf("reason %q: remedies say %q, docs/status.md says %q: they must be one text", reason, words, documented[reason])
		}
	}
	if len(remedies) != len(documented) {
		t.Errorf("there are %d remedies, and %d rows in docs/status.md", len(remedies), len(documented))
	}
}

// An explanation names all gates of a document, and no text from outside gets control over the terminal.
func TestExplanationIsWhole(t *testing.T) {
	since := time.Date(2026, 11, 23, 1, 0, 0, 0, time.UTC)
	c := agent.ComponentStatus{Name: "app", Phase: agent.Staged, Release: &agent.ReleaseStatus{Version: "2.0"}, Slot: "B",
		Running:   agent.ReleaseStatus{Version: "1.0"},
		Condition: &agent.Condition{Code: agent.ConditionWaiting, Reason: agent.ReasonBattery, Text: "on battery, and below 50 %"},
		Problem:   &agent.Problem{Reason: agent.ReasonCut, Text: "the body ended"},
		Gates: []agent.GateStatus{
			{Gate: "pause", Holds: "both", Verdict: "open"},
			{Gate: "download_window", Holds: "download", Verdict: "overridden", Since: since, Text: "the release is urgent"},
			{Gate: "battery", Holds: "install", Verdict: "closed", Since: since, Reason: agent.ReasonBattery, Text: "on battery, and below 50 %",
				Figure: "on battery, 20 %"},
			{Gate: "hook", Holds: "install", Verdict: "closed", Since: since, Reason: agent.ReasonGateHook, Text: "\x1b[2Jno", Left: 90},
		}}
	s := agent.Status{BootID: "b", Components: []agent.ComponentStatus{c}, Budget: &agent.BudgetStatus{DayBytesMax: 10 << 20, Spent: 4 << 20,
		Left: 6 << 20, RenewsIn: 3600}, Repository: agent.RepositoryStatus{NextIn: 7260}}
	var all table
	all.explain(c, true)
	all.device(s)
	got := align(all)
	want := `component               app
  is                    staged with 2.0 in slot B; runs 1.0
  waits for             on battery, and below 50 % (battery)
  changed by            power from outside, or a fuller battery; seen within a minute
  last problem          the body ended (cut)
                        changed by time: the download resumes
  gate pause            open
  gate download window  OVERRIDDEN, holds downloads, since 2026-11-23 01:00:00 UTC: the release is urgent
  gate battery          CLOSED, on battery, 20 %, holds installations, since 2026-11-23 01:00:00 UTC: on battery, and below 50 %
                        changed by power from outside, or a fuller battery; seen within a minute
  gate hook for install  CLOSED, holds installations, since 2026-11-23 01:00:00 UTC: ?[2Jno, 1m30s left
                        changed by the gate hook's next answer (ota-agent retry asks at once), or defer_max in the config
next check              in 2h1m; a wake or ota-agent check comes first
byte budget             4.0 MiB of 10.0 MiB spent today, 6.0 MiB left; renews in 1h0m
time                    never ()`
	if plainLines(got) != plainLines(want) {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// plainLines is a text without its columns.
func plainLines(s string) string {
	var lines []string
	for line := range strings.Lines(s) {
		lines = append(lines, strings.Join(strings.Fields(line), " "))
	}
	return strings.Join(lines, "\n")
}

// TestTheWayToTheBrokerIsShown: a device that no wake reaches must say so, and what would change that.
func TestTheWayToTheBrokerIsShown(t *testing.T) {
	s := agent.Status{BootID: "b", MQTT: &agent.BrokerStatus{State: agent.BrokerWaiting, Since: time.Unix(1000, 0), Reason: agent.ReasonBrokerRefused,
		Text: "not authorised", RetryAt: time.Unix(2000, 0), LastWake: time.Unix(500, 0)}}
	var rows table
	rows.device(s)
	for _, text := range []string{align(rows), statusTable(s)} {
		for _, want := range []string{"no session", "not authorised", "broker_refused", "1970-01-01 00:33", "1970-01-01 00:08"} {
			if !strings.Contains(text, want) {
				t.Errorf("this does not say %q:\n%s", want, text)
			}
		}
	}
	if !strings.Contains(align(rows), "changed by "+remedy(agent.ReasonBrokerRefused)) {
		t.Errorf("explain does not say what would change it:\n%s", align(rows))
	}
	for _, state := range []agent.BrokerState{agent.BrokerStarting, agent.BrokerConnecting, agent.BrokerUnproven, agent.BrokerProven} {
		if words := brokerWords(agent.BrokerStatus{State: state}); strings.HasPrefix(words, ",") {
			t.Errorf("state %s has no words: %s", state, words)
		}
	}
}

// TestAHookThatRunsIsExplained: whoever stands before a device whose hook hangs sees for how long it has run,
// when it is ended, and what ends it now; and the status counts what hung.
func TestAHookThatRunsIsExplained(t *testing.T) {
	c := agent.ComponentStatus{Name: "app", Phase: agent.Writing, Condition: &agent.Condition{Code: agent.ConditionWorking, Text: "writing the image to its slot",
		Elapsed: 3600, Limit: 7200, Percent: new(12)}}
	var all table
	all.explain(c, true)
	for _, want := range []string{"1h", "2h", "12 %", "ota-agent cancel"} {
		if !strings.Contains(align(all), want) {
			t.Errorf("explain does not say %q:\n%s", want, align(all))
		}
	}
	if text := statusTable(agent.Status{Abandoned: 3}); !strings.Contains(text, "3 workers that hung") {
		t.Errorf("status does not count what hung:\n%s", text)
	}
}
