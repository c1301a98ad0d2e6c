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
	{"a bootloader that falls back from a system that an application requires", requiresWhatWasLeft},
	{"an application about to be tried when its system is left", switchedWhenSystemIsLeft},
	{"an application that requires a system which nobody confirmed", requiresUnconfirmed},
	{"an application that is taken out of the config", takenOut},
	{"an application whose hook never answers until the next system", deafUntilNextSystem},
	{"a vendor whose role expires right before the try", lapsedBeforeTry},
	{"a requirement that is taken back", requirementTakenBack},
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
		hookDoes(w, p, func(v agent.Verb, j agent.Job) (bool, error) {
			return v == verbInstall && j.Component == app && w.repo.index(w.boards[rootfs].slots[w.boards[rootfs].booted].image) < 2,
				&agent.Problem{Reason: agent.ReasonHookFailed, Text: "the hook fails with exit status 1"}
		})
	}
	return s
}

// deafUntilNextSystem: as soon as the application's image is written its hook fails in everything, status too, until the system's next
// release repairs it.
func deafUntilNextSystem(t testing.TB) Scenario { return deafIn(t, agent.Switched) }

func deafIn(t testing.TB, phase agent.Phase) Scenario {
	s := beside(t)
	s.end = both
	s.equip = func(w *World, p *agent.Ports) {
		deaf := func(j agent.Job) bool {
			if w.disk.state.Records[app].Phase == phase {
				w.noted = 1
			}
			return j.Component == app && w.noted > 0 && w.repo.index(w.boards[rootfs].slots[w.boards[rootfs].booted].image) < 2
		}
		missing := &agent.Problem{Reason: agent.ReasonHookMissing, Text: "no such file"}
		(&oddHook{fails: func(_ agent.Verb, j agent.Job) (bool, error) { return deaf(j), missing },
			says: func(j agent.Job, _ *agent.Slots) error {
				if deaf(j) {
					return missing
				}
				return nil
			}}).behind(w, p)
	}
	return s
}

// TestADeafHookKeepsNobodyWaiting: whatever the application's hook was about to do when it fell silent, the system is updated.
func TestADeafHookKeepsNobodyWaiting(t *testing.T) {
	t.Parallel()
	for _, phase := range []agent.Phase{agent.Writing, agent.Switched, agent.Confirming} {
		s := deafIn(t, phase)
		s.end = func(w *World, s agent.Status) bool { return rests(w, s, rootfs, 2) }
		if w, why := play(s, 1, nil); why != "" || w.noted == 0 {
			t.Errorf("deaf in %s (%d times): %s\n%s", phase, w.noted, why, w.tail())
		}
	}
}

// requires2 is a device whose application's next release requires the system's, and comes once that is confirmed.
func requires2(t testing.TB) Scenario {
	return Scenario{repo: publishEach(t, publication{component: rootfs, how: fine}, publication{component: app, how: fine},
		publication{component: rootfs, how: fine}, publication{component: app, how: fine, requires: 2}),
		at: func(w *World) int { return 2 + min(1, int(w.ran/(2*day))) }}
}

// both ends when both components run their second release for good.
func both(w *World, s agent.Status) bool { return rests(w, s, rootfs, 2) && rests(w, s, app, 2) }

// requiresWhatWasLeft: the bootloader falls back from system 2, and then application 2 comes, which requires it. On system 1 it
// would be judged by what is not its fault.
func requiresWhatWasLeft(t testing.TB) Scenario {
	s := requires2(t)
	s.events = []event{fallsBack()}
	s.end = func(w *World, s agent.Status) bool {
		again := w.lostRecord && w.happened > 0 && both(w, s) // what nobody remembers is tried again
		waits := status(s, app).Waiting
		return again || w.ran > 4*day && keeps(1, agent.ReasonDegraded)(w, s) && waits != nil && waits.Reason == agent.ReasonRequires
	}
	return s
}

// switchedWhenSystemIsLeft: application 2 is about to be tried when the bootloader falls back from the system that it requires. Then
// somebody says retry. Neither may wait for the other.
func switchedWhenSystemIsLeft(t testing.TB) Scenario {
	s := requires2(t)
	s.events = []event{
		orders("pause", func(w *World) bool {
			return w.disk.state.Records[app].Phase == agent.Switched || w.disk.state.Device.Paused
		}),
		fallsBack(),
		orders("retry", func(w *World) bool {
			r := w.disk.state.Records[rootfs]
			return (r.Degraded || r.Confirmed == nil || w.lostRecord) && w.edited == ""
		}),
		orders("resume", func(*World) bool { return true }),
	}
	s.end = func(w *World, s agent.Status) bool { return w.happened == 4 && both(w, s) }
	return s
}

// requiresUnconfirmed: the system that runs is the one that is required, and nobody ever called its slot good.
func requiresUnconfirmed(t testing.TB) Scenario {
	return Scenario{repo: publishEach(t, publication{component: rootfs, how: fine}, publication{component: app, how: fine},
		publication{component: app, how: fine, requires: 1}), unconfirmed: true,
		end: func(w *World, s agent.Status) bool { return rests(w, s, app, 2) }}
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
		hookDoes(w, p, func(v agent.Verb, j agent.Job) (bool, error) {
			return v == verbInstall && j.Component == app, &agent.Problem{Reason: agent.ReasonHookMissing, Text: "no such file"}
		})
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
