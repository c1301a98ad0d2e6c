package sim

import (
	"testing"
	"time"

	"github.com/ota-agent/ota-agent/agent"
)

// early changes what the hook says of rootfs in the first minutes after a boot into slot A.
func early(change func(*agent.Slots)) func(*World, *agent.Ports) {
	return func(w *World, p *agent.Ports) {
		h := &oddHook{says: func(_ agent.Job, s *agent.Slots) error {
			if s.Booted == "A" && w.uptime < 5*time.Minute {
				change(s)
			}
			return nil
		}}
		h.behind(w, p)
	}
}

// saysTooEarly: what the hook says right after a boot is not yet so. It names one slot only, since the other one's device is
// not there yet; or the service that calls the booted slot good runs later. The agent asks again by itself.
func saysTooEarly(how string) func(testing.TB) Scenario {
	return func(t testing.TB) Scenario {
		return Scenario{repo: publishAll(t, fine, fine), end: runs(2), equip: early(func(s *agent.Slots) {
			if how == "one slot" {
				delete(s.Slots, "B")
				return
			}
			a, b := s.Slots["A"], s.Slots["B"]
			a.Good, b.Good = false, true
			s.Slots["A"], s.Slots["B"] = a, b
		})}
	}
}

// adoptsLate: what a device was provisioned with is adopted once it is called good, and so an application that requires it goes on.
func adoptsLate(t testing.TB) Scenario {
	return Scenario{repo: publishEach(t, publication{component: rootfs, how: fine}, publication{component: app, how: fine},
		publication{component: app, how: fine, requires: 1}), equip: early(func(s *agent.Slots) {
		if a, ok := s.Slots["A"]; ok && len(s.Slots["B"].SHA256) == 0 {
			a.Good = false
			s.Slots["A"] = a
		}
	}), end: func(w *World, s agent.Status) bool { return rests(w, s, app, 2) }}
}

// TestLooksBackOff: a status that stays as it must not be is asked for ever more seldom.
func TestLooksBackOff(t *testing.T) {
	t.Parallel()
	looks := 0
	s := Scenario{repo: publishAll(t, fine, fine), end: lasts(7 * day), equip: func(w *World, p *agent.Ports) {
		h := &oddHook{says: func(_ agent.Job, s *agent.Slots) error {
			looks++
			delete(s.Slots, "B")
			return nil
		}}
		h.behind(w, p)
	}}
	if w, why := play(s, 1, nil); why != "" || looks < 10 || looks > 80 {
		t.Errorf("%s: the status was asked for %d times in %s\n%s", why, looks, w.ran, w.lastStatus())
	}
}
