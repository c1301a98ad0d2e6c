package sim

import (
	"slices"
	"testing"
	"time"

	"github.com/ota-agent/ota-agent/agent"
)

// neighbours are the stories of components that must not get into each other's way.
var neighbours = []story{
	{"an application whose hook fails until the next system", hookFailsUntilNextSystem},
	{"an application that is taken out of the config", takenOut},
}

// beside is a device with an application, whose next release comes first, and the system's two days later.
func beside(t testing.TB) Scenario {
	return Scenario{repo: publishEach(t, publication{component: rootfs, how: fine}, publication{component: app, how: fine},
		publication{component: app, how: fine}, publication{component: rootfs, how: fine}),
		at: func(w *World) int { return 2 + min(1, int(w.ran/(2*day))) }}
}

// hookFailsUntilNextSystem: the application can't be installed before the system's next release repairs its hook. So it must not
// keep that release out.
func hookFailsUntilNextSystem(t testing.TB) Scenario {
	s := beside(t)
	s.end = func(w *World, s agent.Status) bool { return rests(w, s, rootfs, 2) && rests(w, s, app, 2) }
	s.equip = func(w *World, p *agent.Ports) {
		p.Installer = crooked{Installer: p.Installer, do: func(v agent.Verb, j agent.Job) (bool, error) {
			return v == verbInstall && j.Component == app && w.repo.index(w.boards[rootfs].slots[w.boards[rootfs].booted].image) < 2,
				&agent.Problem{Reason: agent.ReasonHookFailed, Text: "the hook fails with exit status 1"}
		}}
	}
	return s
}

// takenOut: the application's hook is gone for good, so somebody takes the application out of the config.
func takenOut(t testing.TB) Scenario {
	s := beside(t)
	s.end = func(w *World, s agent.Status) bool {
		return w.happened == 1 && w.disk.state.Records[app].Release == nil && runs(2)(w, s)
	}
	s.events = []event{{name: "somebody takes the application out of the config", when: func(w *World) bool { return w.ran > day },
		do: func(w *World, _ *agent.Agent) bool { w.die(false); return true }}}
	s.tune = func(w *World, c *agent.Config) {
		if w.happened > 0 {
			c.Components = slices.DeleteFunc(c.Components, func(x agent.Component) bool { return x.Name == app })
		}
	}
	s.equip = func(w *World, p *agent.Ports) {
		p.Installer = crooked{Installer: p.Installer, do: func(v agent.Verb, j agent.Job) (bool, error) {
			return v == verbInstall && j.Component == app, &agent.Problem{Reason: agent.ReasonHookMissing, Text: "no such file"}
		}}
	}
	return s
}

// A watcher sees each change that is durable.
type watcher struct {
	agent.Store
	see func(agent.Change)
}

func (x watcher) Commit(c agent.Change) error {
	err := x.Store.Commit(c)
	if err == nil {
		x.see(c)
	}
	return err
}

// TestAComponentGoesOnWhenTheOtherIsDone: the application stands before the system in the config and waits for nothing but the
// system's release. It goes on as soon as that is confirmed, not at the next poll.
func TestAComponentGoesOnWhenTheOtherIsDone(t *testing.T) {
	t.Parallel()
	var doneAt, orderedAt time.Duration
	s := Scenario{repo: publishEach(t, publication{component: app, how: fine}, publication{component: rootfs, how: fine},
		publication{component: rootfs, how: fine}, publication{component: app, how: fine, requires: 2}),
		equip: func(w *World, p *agent.Ports) {
			p.Store = watcher{p.Store, func(c agent.Change) {
				for _, r := range c.Records {
					switch {
					case r.Component == rootfs && r.Phase == agent.Idle && r.ConfirmedSlot == "B" && doneAt == 0:
						doneAt = w.ran
					case r.Component == app && r.Phase == agent.Writing && orderedAt == 0:
						orderedAt = w.ran
					}
				}
			}}
		},
		end: func(w *World, s agent.Status) bool { return rests(w, s, rootfs, 2) && rests(w, s, app, 2) }}
	w, why := play(s, 1, nil)
	if why != "" || orderedAt-doneAt > time.Second {
		t.Errorf("%s: the system was confirmed at %s, and the application went on at %s\n%s", why, doneAt, orderedAt, w.tail())
	}
}
