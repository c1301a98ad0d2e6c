package sim

import (
	"testing"
	"time"

	"github.com/ota-agent/ota-agent/agent"
)

// ownApps are the stories of an agent that is an application of its own: the hook's try, and its reject, have
// the service manager restart it.
var ownApps = []story{
	{"a good agent as its own application", ownApp(fine)},
	{"an agent as its own application that never starts", ownApp(neverStarts)},
	{"an agent as its own application that ends in its trial", ownApp(crashesLater)},
	{"an agent as its own application that reaches no repository", ownApp(breaksUplink)},
	{"an agent as its own application that is unhealthy", ownApp(unhealthy)},
}

func ownApp(how string) func(testing.TB) Scenario {
	return func(t testing.TB) Scenario {
		s := Scenario{repo: publishEach(t, publication{component: rootfs, how: fine}, publication{component: app, how: fine},
			publication{component: app, how: how}), ownApp: true}
		if how == crashesLater {
			s.settle = 5 * time.Minute
		}
		waits := map[string]agent.Reason{neverStarts: agent.ReasonRejected, unhealthy: agent.ReasonRejected, crashesLater: agent.ReasonHeld,
			breaksUplink: agent.ReasonHeld}[how]
		s.end = func(w *World, s agent.Status) bool {
			if how == fine {
				return rests(w, s, app, 2)
			}
			c := status(s, app)
			return rests(w, s, app, 1) && c.Waiting != nil && c.Waiting.Reason == waits
		}
		for range launchesMax {
			s.events = append(s.events, event{name: "the agent ends", when: func(w *World) bool {
				return !w.dead && w.boards[app].behaves(crashesLater) && w.uptime-w.began >= time.Minute
			}, do: func(w *World, _ *agent.Agent) bool { w.die(false); return true }})
		}
		return s
	}
}

// TestAnAgentAsItsOwnApplicationComesToAnEnd: how often it was started, and tried, and how long that took.
func TestAnAgentAsItsOwnApplicationComesToAnEnd(t *testing.T) {
	t.Parallel()
	for how, most := range map[string]int{fine: 3, neverStarts: 3 + 4*agent.LostBootsMax, unhealthy: 4, breaksUplink: 2 + 3*agent.HoldAfter,
		crashesLater: 3 + (launchStarts+2)*agent.CutsMax} {
		w, why := play(ownApp(how)(t), 1, nil)
		if why != "" || w.launches > most || w.ran > 14*day {
			t.Errorf("%s: %s: started %d times, expected at most %d, in %s\n%s", how, why, w.launches, most, w.ran, w.tail())
		}
		t.Logf("%s: started %d times in %s", how, w.launches, w.ran)
	}
}
