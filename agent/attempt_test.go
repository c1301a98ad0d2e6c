package agent

import (
	"bytes"
	"fmt"
	"log/slog"
	"testing"
)

// The number of an attempt is the same in the log and in the status, whether a record counts it or only this
// process, and also after a restart, which has forgotten what only the process knew.
func TestLogAndStatusCountTheSameAttempts(t *testing.T) {
	failed := outcome{problem: &Problem{Reason: ReasonHookFailed, Text: "it fails"}}
	for _, c := range []struct {
		name   string
		record Record
		action ActionKind
		times  int
		want   int
	}{
		{"the hook's status", Record{}, Observe, 1, 1},
		{"the hook's status again", Record{}, Observe, 3, 3},
		{"a download", Record{Phase: Fetching}, Fetch, 2, 2},
		{"an installation", Record{Phase: Writing}, Install, 1, 1},
		{"an installation that failed before this process began", Record{Phase: Writing, Attempts: 5}, Install, 1, 6},
		{"health", Record{Phase: Trial}, Examine, 1, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			var log bytes.Buffer
			e := (&bareDevice{}).start(t, "app").engine
			e.log = slog.New(slog.NewTextHandler(&log, nil))
			live := e.live[0]
			var last string
			for range c.times {
				log.Reset()
				e.note(live, c.record, Action{Kind: c.action}, failed)
				last = log.String()
			}
			if want := fmt.Sprintf("attempt=%d ", c.want); !bytes.Contains([]byte(last), []byte(want)) {
				t.Errorf("the log has no %s: %s", want, last)
			}
			if s := e.componentStatus(live); s.Attempts != c.want || s.Problem == nil {
				t.Errorf("the status says attempt %d, want %d; problem %v", s.Attempts, c.want, s.Problem)
			}
		})
	}
}
