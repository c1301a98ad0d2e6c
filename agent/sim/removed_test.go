package sim

import (
	"slices"
	"testing"

	"github.com/ota-agent/ota-agent/agent"
)

// removedIn: a component leaves the config for good as soon as its update is in a phase. Its hook finds
// nothing but by its environment, which only the config named. The update comes to its end all the same, and
// the other component is updated afterwards.
func removedIn(name string, phase agent.Phase, how string) func(testing.TB) Scenario {
	return func(t testing.TB) Scenario {
		rest := rootfs
		if name == rootfs {
			rest = app
		}
		s := Scenario{repo: publishEach(t, publication{component: rootfs, how: fine}, publication{component: app, how: fine},
			publication{component: name, how: how}, publication{component: rest, how: fine}),
			at: func(w *World) int { return 2 + min(1, int(w.ran/(2*day))) }}
		takeOut := func(w *World) {
			w.note("somebody takes %s out of the config", name)
			w.noted = 1
			w.die(false)
		}
		s.equip = func(w *World, p *agent.Ports) {
			p.Store = watcher{p.Store, func(c agent.Change) {
				if w.noted == 0 && slices.ContainsFunc(c.Records, func(r agent.Record) bool { return r.Component == name && r.Phase == phase }) {
					takeOut(w)
				}
			}}
		}
		s.events = []event{{name: "at the latest", when: func(w *World) bool { return w.ran > day && w.noted == 0 }, // a fault kept it out of that phase
			do: func(w *World, _ *agent.Agent) bool { takeOut(w); return true }}}
		s.tune = func(w *World, c *agent.Config) {
			if w.noted > 0 {
				c.Components = slices.DeleteFunc(c.Components, func(x agent.Component) bool { return x.Name == name })
			}
		}
		s.end = func(w *World, s agent.Status) bool {
			return w.noted == 1 && w.disk.state.Records[name].Release == nil && rests(w, s, rest, 2)
		}
		return s
	}
}

// removals are the stories of a component that leaves the config in each phase.
var removals = func() (told []story) {
	for _, name := range []string{rootfs, app} {
		for _, phase := range []agent.Phase{agent.Fetching, agent.Staged, agent.Writing, agent.Switched, agent.Trial, agent.Confirming} {
			told = append(told, story{name + " taken out of the config in " + string(phase), removedIn(name, phase, fine)})
		}
		told = append(told, story{name + " taken out of the config in rejecting", removedIn(name, agent.Rejecting, unhealthy)})
	}
	return told
}()

// TestARemovedComponentEndsWhereItShould: what was switched is judged as the config said when it began, and
// kept or brought back; what was not is dropped.
func TestARemovedComponentEndsWhereItShould(t *testing.T) {
	t.Parallel()
	for _, name := range []string{rootfs, app} {
		for phase, want := range map[agent.Phase]string{agent.Fetching: "A", agent.Staged: "A", agent.Writing: "A", agent.Switched: "B", agent.Trial: "B",
			agent.Confirming: "B", agent.Rejecting: "A"} {
			how := fine
			if phase == agent.Rejecting {
				how = unhealthy
			}
			w, why := play(removedIn(name, phase, how)(t), 1, nil)
			b := w.boards[name]
			if why != "" || b.booted != want || b.primary != want || w.ran > 4*day {
				t.Errorf("%s in %s: %s: slot %s is booted and %s primary, expected %s, after %s\n%s", name, phase, why, b.booted, b.primary, want, w.ran, w.tail())
			}
		}
	}
}

// TestARemovedComponentIsJudgedAsItsConfigSaid: health must hold for five minutes, and two minutes after its
// boot the release takes the board down. Nobody confirms it for want of a config that says so.
func TestARemovedComponentIsJudgedAsItsConfigSaid(t *testing.T) {
	t.Parallel()
	s := removedIn(rootfs, agent.Switched, crashesLater)(t)
	s.settle, s.drive = 5*60*1e9, takesTheBoardDown
	w, why := play(s, 1, nil)
	if r := w.disk.state.Records[rootfs]; why != "" || len(r.Held) != 1 {
		t.Errorf("%s: held %+v\n%s", why, r.Held, w.tail())
	}
}
