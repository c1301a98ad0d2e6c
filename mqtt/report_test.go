package mqtt

import (
	"reflect"
	"testing"
	"time"

	"github.com/ota-agent/ota-agent/agent"
)

func TestReportIsRateLimited(t *testing.T) {
	base := func() agent.Status {
		return agent.Status{Seq: 1, MQTT: &agent.BrokerStatus{State: agent.BrokerUnproven},
			Repository: agent.RepositoryStatus{LastProblem: &agent.Problem{Reason: agent.ReasonUnreachable, Text: "text", At: time.Unix(1, 0)}}, Components: []agent.ComponentStatus{{
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
		{"only the time", func(s *agent.Status) { s.Time.Effective, s.Time.Floor = time.Unix(1, 0), time.Unix(1, 0) }, time.Hour, 0, false},
		{"a poll that found nothing new", func(s *agent.Status) {
			s.Repository.Checks, s.Repository.LastSuccess, s.Repository.NextIn = 7, time.Unix(7, 0), 5
			s.Repository.LastCheck = &agent.Counters{Requests: 2}
			s.Counters.Requests, s.Budget = 5, &agent.BudgetStatus{Spent: 5, RenewsIn: 7}
		}, 24 * time.Hour, 0, false},
		{"a poll that failed as the one before", func(s *agent.Status) { s.Repository.LastProblem.At = time.Unix(9, 0) }, 24 * time.Hour, 0, false},
		{"a poll that failed otherwise", func(s *agent.Status) { s.Repository.LastProblem.Reason = agent.ReasonTLS }, 24 * time.Hour, 0, true},
		{"a wake", func(s *agent.Status) { s.MQTT.LastWake = time.Unix(9, 0) }, time.Hour, 0, false},
		{"the session is proven", func(s *agent.Status) { s.MQTT.State = agent.BrokerProven }, newsEvery, 0, true},
		{"a newly signed timestamp", func(s *agent.Status) { s.Repository.Roles = []agent.RoleStatus{{Role: "timestamp", Version: 8}} }, newsEvery, 0, true},
		{"progress, at once", func(s *agent.Status) { s.Components[0].Progress.Done = 2 }, 0, progressEvery, true},
		{"progress, later", func(s *agent.Status) { s.Components[0].Progress.Done = 2 }, 10 * time.Second, 20 * time.Second, true},
		{"progress, due", func(s *agent.Status) { s.Components[0].Progress.Done = 2 }, progressEvery, 0, true},
		{"time left", func(s *agent.Status) { s.Components[0].Waiting.Left = 29 }, time.Hour, 0, false},
		{"next check", func(s *agent.Status) { s.Repository.NextIn = 5 }, time.Hour, 0, false},
		{"counters", func(s *agent.Status) { s.Counters.Requests = 5 }, time.Hour, 0, false},
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

// TestNoDurationIsNews: each duration in the document counts by itself, also one that is added later.
func TestNoDurationIsNews(t *testing.T) {
	var fill func(v reflect.Value, seconds agent.Seconds)
	n := 0
	fill = func(v reflect.Value, seconds agent.Seconds) {
		switch v.Kind() {
		case reflect.Pointer:
			v.Set(reflect.New(v.Type().Elem()))
			fill(v.Elem(), seconds)
		case reflect.Slice:
			v.Set(reflect.MakeSlice(v.Type(), 1, 1))
			fill(v.Index(0), seconds)
		case reflect.Struct:
			for i := range v.NumField() {
				if f := v.Type().Field(i); f.IsExported() && f.Type != reflect.TypeFor[time.Time]() {
					fill(v.Field(i), seconds)
				}
			}
		case reflect.Int64:
			if v.Type() == reflect.TypeFor[agent.Seconds]() {
				v.SetInt(int64(seconds))
				n++
			}
		}
	}
	documents := make([]agent.Status, 2)
	for i := range documents {
		fill(reflect.ValueOf(&documents[i]).Elem(), agent.Seconds(i+1))
		documents[i].Components[0].Progress = nil // how far something has come is told now and then
	}
	if n < 8 {
		t.Fatalf("only %d durations were found", n/2)
	}
	var r report
	if err := r.published(documents[0], time.Unix(1000, 0)); err != nil {
		t.Fatal(err)
	}
	if _, due, err := r.due(documents[1], time.Unix(9000, 0)); due || err != nil {
		t.Errorf("a document that differs in its durations alone is due (%v)", err)
	}
}
