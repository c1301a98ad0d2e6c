package sim

import (
	"testing"
	"time"

	"github.com/ota-agent/ota-agent/agent"
)

// TestATrialEndsDespiteRestarts: in a release that breaks the network the agent, too, is killed every three minutes (out of
// memory, say), and started again. The trial's deadline is four minutes of the boot's uptime, not of a process's.
func TestATrialEndsDespiteRestarts(t *testing.T) {
	t.Parallel()
	var last, longest time.Duration
	s := Scenario{repo: publishAll(t, fine, breaksUplink), end: keeps(1, agent.ReasonHeld)}
	kill := event{name: "the agent is killed", when: func(w *World) bool {
		if w.boards[rootfs].booted == "B" {
			longest = max(longest, w.uptime)
		} else {
			last = 0
		}
		return w.boards[rootfs].booted == "B" && w.uptime-last >= 3*time.Minute
	}, do: func(w *World, _ *agent.Agent) bool { last = w.uptime; w.die(false); return true }}
	for range 100 {
		s.events = append(s.events, kill)
	}
	w, why := play(s, 1, nil)
	if why != "" || longest > 8*time.Minute || w.happened == 0 {
		t.Errorf("%s: with %d kills the longest trial lasted %s\n%s", why, w.happened, longest, w.tail())
	}
}

// TestATrialInWhichTheAgentKeepsDyingEnds: in the new release something ends the agent every twenty seconds, before health has held for as
// long as it must. It is no verdict, but nobody may have to come and switch the device off: it goes back, and tries again ever more seldom.
func TestATrialInWhichTheAgentKeepsDyingEnds(t *testing.T) {
	t.Parallel()
	for _, name := range []string{rootfs, app} {
		trials, longest := 0, time.Duration(0)
		from := time.Duration(-1)
		s := Scenario{settle: 2 * time.Minute, end: lasts(7 * day), repo: publishEach(t, publication{component: rootfs, how: fine},
			publication{component: app, how: fine}, publication{component: name, how: fine})}
		s.equip = func(w *World, p *agent.Ports) {
			p.Store = watcher{p.Store, func(c agent.Change) {
				for _, r := range c.Records {
					switch {
					case r.Component != name:
					case r.Phase == agent.Trial && from < 0:
						trials++
						from = w.ran
					case r.Phase != agent.Trial:
						from = -1
					}
				}
			}}
		}
		for range 1000 {
			s.events = append(s.events, event{name: "the agent is killed", when: func(w *World) bool {
				trial := w.boards[name].booted == "B"
				if trial && from >= 0 {
					longest = max(longest, w.ran-from)
				}
				return trial && !w.dead && w.uptime-w.began >= 20*time.Second
			}, do: func(w *World, _ *agent.Agent) bool { w.die(false); return true }})
		}
		w, why := play(s, 1, nil)
		if r := w.disk.state.Records[name]; why != "" || trials < 2 || trials > 60 || longest > 8*time.Minute || len(r.Rejected) > 0 {
			t.Errorf("%s: %s: %d trials in a week, the longest of %s; rejected %v", name, why, trials, longest, r.Rejected)
		}
	}
}
