package sim

import (
	"testing"
	"time"

	"github.com/ota-agent/ota-agent/agent"
)

// rebootDoesNotCome is a reboot command that succeeds and does nothing for a day: the system waits for it,
// and an application is updated meanwhile. The repository is asked as ever.
func rebootDoesNotCome(t testing.TB) Scenario {
	const until = 24 * time.Hour
	return Scenario{
		repo: publishEach(t, publication{component: rootfs, how: fine}, publication{component: app, how: fine},
			publication{component: rootfs, how: fine}, publication{component: app, how: fine}),
		at: func(w *World) int { return 2 + min(1, int(w.ran/(2*time.Hour))) },
		equip: func(w *World, p *agent.Ports) {
			p.System = slowMachine{p.System, func() (bool, error) { return w.ran < until, nil }}
		},
		end: func(w *World, s agent.Status) bool { return rests(w, s, rootfs, 2) && rests(w, s, app, 2) },
	}
}

// TestAnApplicationIsUpdatedWhileTheRebootDoesNotCome, and the repository is asked all the time.
func TestAnApplicationIsUpdatedWhileTheRebootDoesNotCome(t *testing.T) {
	s := rebootDoesNotCome(t)
	s.end = func(w *World, s agent.Status) bool { return rests(w, s, app, 2) }
	w, why := play(s, 1, nil)
	if why != "" || w.ran > 12*time.Hour || w.boots != 1 {
		t.Errorf("%s: the application was updated after %s, in boot %d; the system is in %s\n%s", why, w.ran, w.boots, w.disk.state.Records[rootfs].Phase, w.tail())
	}
	s.end = func(w *World, s agent.Status) bool { return w.ran > 20*time.Hour }
	if w, why := play(s, 1, nil); why != "" || w.asks < 3 || w.asks > 100 {
		t.Errorf("%s: the repository was asked %d times in %s", why, w.asks, w.ran)
	}
}
