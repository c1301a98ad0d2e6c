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
