package mqtt

import (
	"testing"
	"time"

	"github.com/ota-agent/ota-agent/agent"
)

func TestReportIsRateLimited(t *testing.T) {
	base := func() agent.Status {
		return agent.Status{Seq: 1, Components: []agent.ComponentStatus{{
			Name: "app", Phase: agent.Fetching,
			Progress: &agent.Progress{Done: 1, Total: 100},
			Waiting:  &agent.Waiting{Reason: agent.ReasonUnreachable, Left: 30},
		}}}
	}
	for _, c := range []struct {
		name   string
		change func(*agent.Status)
		after  time.Duration
		wait   time.Duration
		due    bool
	}{
		{"nothing", func(*agent.Status) {}, 0, 0, false},
		{"only the sequence number", func(s *agent.Status) { s.Seq = 2 }, time.Hour, 0, false},
		{"only the time", func(s *agent.Status) { s.Time.Effective = time.Unix(1, 0) }, time.Hour, 0, false},
		{"progress, at once", func(s *agent.Status) { s.Components[0].Progress.Done = 2 }, 0, figuresEvery, true},
		{"progress, later", func(s *agent.Status) { s.Components[0].Progress.Done = 2 }, 10 * time.Second, 20 * time.Second, true},
		{"progress, due", func(s *agent.Status) { s.Components[0].Progress.Done = 2 }, figuresEvery, 0, true},
		{"time left", func(s *agent.Status) { s.Components[0].Waiting.Left = 29 }, 0, figuresEvery, true},
		{"next check", func(s *agent.Status) { s.Repository.NextIn = 5 }, 0, figuresEvery, true},
		{"counters", func(s *agent.Status) { s.Counters.Requests = 5 }, 0, figuresEvery, true},
		{"phase", func(s *agent.Status) { s.Components[0].Phase = agent.Staged }, 0, newsEvery, true},
		{"phase, due", func(s *agent.Status) { s.Components[0].Phase = agent.Staged }, newsEvery, 0, true},
		{"paused", func(s *agent.Status) { s.Paused = true }, 0, newsEvery, true},
		{"reason", func(s *agent.Status) { s.Components[0].Waiting.Reason = agent.ReasonTLS }, 0, newsEvery, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			var r report
			now := time.Unix(1000, 0)
			if wait, due, err := r.due(base(), now); wait != 0 || !due || err != nil {
				t.Fatalf("the first document: wait %s, due %t, %v; want it at once", wait, due, err)
			}
			if err := r.published(base(), now); err != nil {
				t.Fatal(err)
			}
			next := base()
			c.change(&next)
			wait, due, err := r.due(next, now.Add(c.after))
			if err != nil || wait != c.wait || due != c.due {
				t.Errorf("wait %s, due %t, %v; want %s, %t", wait, due, err, c.wait, c.due)
			}
			if next.Components[0].Progress == nil || next.Components[0].Waiting == nil {
				t.Error("the caller's document was changed")
			}
		})
	}
}
