package sim

import (
	"testing"
	"time"

	"github.com/ota-agent/ota-agent/agent"
)

// TestARollbackWaitsForAnothersTrial: asked for while the system is being switched; what the application requires can't be told until that is over.
func TestARollbackWaitsForAnothersTrial(t *testing.T) {
	repo := publishEach(t, publication{component: rootfs, how: fine}, publication{component: app, how: fine, index: 1, requires: 1},
		publication{component: app, how: fine, index: 1}, publication{component: rootfs, how: fine})
	s := Scenario{repo: repo, settle: 5 * time.Minute, at: func(w *World) int { return 1 + min(2, int(w.ran/(48*time.Hour))) },
		events: []event{rollback(app, func(w *World, r agent.Record) bool {
			return r.ConfirmedSlot == "B" && r.Phase == agent.Idle && w.disk.state.Records[rootfs].Phase == agent.Switched
		})},
		end: func(w *World, s agent.Status) bool { return w.ran > 200*time.Hour && rests(w, s, rootfs, 2) }}
	w, why := play(s, 1, nil)
	if r := w.disk.state.Records[app]; why != "" || w.happened != 1 || r.ConfirmedSlot != "A" {
		t.Errorf("%s: accepted: %v; app is confirmed in slot %s, asked: %v", why, w.happened == 1, r.ConfirmedSlot, r.RollbackAsked)
	}
}

// TestARollbackOutlivesAnEarlyStatus: the power goes right after the answer, and what the hook first says after the boot is not the last word.
func TestARollbackOutlivesAnEarlyStatus(t *testing.T) {
	for _, how := range []string{"one slot", "not good"} {
		s := rollsBack(t)
		do := s.events[0].do
		s.events[0].do = func(w *World, a *agent.Agent) bool {
			ok := do(w, a)
			if ok {
				w.die(true) // right after the answer
			}
			return ok
		}
		s.end = func(w *World, _ agent.Status) bool { return w.ran > 144*time.Hour }
		s.equip = func(w *World, p *agent.Ports) {
			hookSays(w, p, func(_ agent.Job, s *agent.Slots) error {
				if w.happened > 0 && s.Booted == "B" && w.uptime < 5*time.Minute {
					if how == "one slot" {
						delete(s.Slots, "A")
					} else {
						b := s.Slots["B"]
						b.Good = false
						s.Slots["B"] = b
					}
				}
				return nil
			})
		}
		w, why := play(s, 1, nil)
		if r := w.disk.state.Records[rootfs]; why != "" || w.happened != 1 || r.ConfirmedSlot != "A" {
			t.Errorf("%s %s: accepted: %v; slot %s is confirmed, asked: %v", why, how, w.happened == 1, r.ConfirmedSlot, r.RollbackAsked)
		}
	}
}

// TestARollbackOfAnApplicationWaitsForAnOutage: an outage of three hours begins with the trial, which reject alone could leave.
func TestARollbackOfAnApplicationWaitsForAnOutage(t *testing.T) {
	s := rollsBackAnApplication(t)
	var from time.Duration
	s.down = func(w *World) bool {
		if r := w.disk.state.Records[app]; from == 0 && r.Phase == agent.Trial && r.Back {
			from = w.ran
		}
		return from > 0 && w.ran < from+3*time.Hour
	}
	if w, why := play(s, 1, nil); why != "" {
		r := w.disk.state.Records[app]
		t.Errorf("%s: %s, previous kept: %v, A good: %v", why, r.Phase, r.Previous != nil, w.boards[app].slots["A"].good)
	}
}
