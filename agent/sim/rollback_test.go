package sim

import (
	"errors"
	"testing"
	"time"

	"github.com/ota-agent/ota-agent/agent"
)

// equals are releases of rootfs that may replace each other: they have one rollback_index.
func equals(t testing.TB, behaviours ...string) *repository {
	t.Helper()
	var all []publication
	for _, how := range behaviours {
		all = append(all, publication{component: rootfs, how: how, index: 1})
	}
	return publishEach(t, all...)
}

// rollback is the operator's, of a component, once the record allows it.
func rollback(component string, when func(*World, agent.Record) bool) event {
	return event{name: "the operator rolls " + component + " back",
		when: func(w *World) bool { return when(w, w.disk.state.Records[component]) },
		do: func(_ *World, a *agent.Agent) bool {
			return a.Obey(agent.Command{Name: "rollback", Component: component}) == nil
		}}
}

// confirmed: the component is at rest, and a release is confirmed in a slot, after some hours of the world.
func confirmed(slot string, hours time.Duration) func(*World, agent.Record) bool {
	return func(w *World, r agent.Record) bool {
		return w.ran > hours*time.Hour && r.Phase == agent.Idle && r.ConfirmedSlot == slot
	}
}

// unlessForgotten is end, a day after the last event. A device that lost its record may also run release v of the component
// for good, since it knows of no rollback and that release is offered still; or it takes the rollback for the bootloader's.
func unlessForgotten(component string, v int, end func(*World, agent.Status) bool) func(*World, agent.Status) bool {
	return func(w *World, s agent.Status) bool {
		forgotten := rests(w, s, component, v) || restsWith(w, s, component, 1, agent.ReasonDegraded) ||
			restsWith(w, s, component, 1, agent.ReasonRejected)
		return w.ran > 144*time.Hour && (end(w, s) || w.lostRecord && forgotten)
	}
}

// restsWith is keeps for any component.
func restsWith(w *World, s agent.Status, component string, version int, reason agent.Reason) bool {
	c := status(s, component)
	return rests(w, s, component, version) && c.Waiting != nil && c.Waiting.Reason == reason
}

// later serves a stage for two days, in which the device learns what it was provisioned with (also where the config did
// not name the component for a day), and then the last one.
func later(first int) func(*World) int {
	return func(w *World) int {
		if w.ran < 48*time.Hour {
			return first
		}
		return len(w.repo.stages) - 1
	}
}

// TestRollbackAfterAnOutage: an outage of two days has made the retries seldom, and is over when an operator asks for a rollback. That
// nothing was reached hours ago says nothing: the release before, which breaks the network, must not be kept.
func TestRollbackAfterAnOutage(t *testing.T) {
	t.Parallel()
	const from, to = 90 * time.Hour, 136 * time.Hour
	seldom := 0
	for seed := range uint64(8) {
		s := Scenario{repo: equals(t, fine, fine), at: later(0),
			events: []event{rollback(rootfs, func(w *World, r agent.Record) bool {
				p := w.said.Repository.LastProblem
				return w.ran > to+4*time.Hour && p != nil && w.said.Repository.NextIn > 3600 && confirmed("B", 60)(w, r)
			})},
			down: func(w *World) bool {
				return w.ran > from && w.ran < to || w.ran > from && w.boards[rootfs].booted == "A"
			},
			end: func(w *World, _ agent.Status) bool {
				if w.ran > to && w.boards[rootfs].primary == "A" {
					w.breach("a release that breaks the network is confirmed")
				}
				return w.ran > 200*time.Hour
			}}
		w, why := play(s, seed, nil)
		if seldom += w.happened; why != "" {
			t.Fatalf("seed %d: %s\n%s", seed, why, w.tail())
		}
	}
	if seldom == 0 {
		t.Error("no rollback was asked for between two retries: the test shows nothing")
	}
}

func rollsBack(t testing.TB) Scenario {
	return Scenario{repo: equals(t, fine, fine), at: later(0), events: []event{rollback(rootfs, confirmed("B", 60))},
		end: unlessForgotten(rootfs, 2, keeps(1, agent.ReasonRejected))}
}

func rollsBackTwice(t testing.TB) Scenario {
	return Scenario{repo: equals(t, fine, fine), at: later(0), events: []event{rollback(rootfs, confirmed("B", 60)), rollback(rootfs, confirmed("A", 90))},
		end: unlessForgotten(rootfs, 2, runs(2))}
}

// rollsBackToBroken: what was good once is so no longer. The device comes back, and the slot is bad: a second rollback
// to it is refused.
func rollsBackToBroken(t testing.TB) Scenario {
	again := func(w *World, r agent.Record) bool { return w.ran > 100*time.Hour && confirmed("B", 60)(w, r) }
	refused := rollback(rootfs, again)
	refused.do = func(w *World, a *agent.Agent) bool {
		err := a.Obey(agent.Command{Name: "rollback"})
		p, ok := errors.AsType[*agent.Problem](err)
		if err == nil && !w.lostRecord {
			w.breach("a second rollback to what was rejected was taken up")
		}
		return ok && p.Reason == agent.ReasonNoRollback
	}
	return Scenario{repo: equals(t, fineOnce, fine), at: later(0), events: []event{rollback(rootfs, confirmed("B", 60)), refused},
		end: unlessForgotten(rootfs, 2, func(w *World, s agent.Status) bool {
			return rests(w, s, rootfs, 2) && w.disk.state.Records[rootfs].Confirmed.Info().Version == "v2" && w.happened == 2
		})}
}

func rollsBackInTrial(t testing.TB) Scenario {
	onTrial := func(_ *World, r agent.Record) bool { return r.Phase == agent.Trial }
	return Scenario{repo: equals(t, fine, fine), at: later(0), settle: 5 * time.Minute, events: []event{rollback(rootfs, onTrial)},
		end: unlessForgotten(rootfs, 2, func(w *World, s agent.Status) bool {
			unheard := w.editedAt > 0 && w.happened == 0 && rests(w, s, rootfs, 2) // the config did not name it then
			return unheard || keeps(1, agent.ReasonRejected)(w, s)
		})}
}

// rollsBackInOutage: the release that is left does not reach the repository either, so nothing is held against the one
// before. It runs for good before the outage ends.
func rollsBackInOutage(t testing.TB) Scenario {
	look := event{name: "somebody looks", when: func(w *World) bool { return w.ran > 131*time.Hour },
		do: func(w *World, a *agent.Agent) bool {
			if !w.lostRecord && w.edited == "" && !rests(w, a.Status(), rootfs, 1) {
				w.breach("the outage goes on, and the rollback has not ended")
			}
			return true
		}}
	return Scenario{repo: equals(t, fine, fine), at: later(0), events: []event{rollback(rootfs, confirmed("B", 96)), look},
		down: func(w *World) bool { return w.ran > 90*time.Hour && w.ran < 136*time.Hour },
		end:  unlessForgotten(rootfs, 2, keeps(1, agent.ReasonRejected))}
}

// rollsBackIntoOutage: an outage of some hours begins with the rollback's trial. It must not cost the slot that is gone back to: what
// is left finds out that it reaches nothing either, and so nothing is asked of the release before.
func rollsBackIntoOutage(t testing.TB) Scenario {
	return Scenario{repo: equals(t, fine, fine), at: later(0), events: []event{rollback(rootfs, confirmed("B", 60))},
		down: func(w *World) bool { return (w.boots == 3 || w.boots == 4) && w.uptime < 3*time.Hour },
		end:  unlessForgotten(rootfs, 2, keeps(1, agent.ReasonRejected))}
}

// rollsBackWhileFetching: the next release is dropped for the rollback, and then installed: it is what is offered now.
func rollsBackWhileFetching(t testing.TB) Scenario {
	staged := func(w *World, r agent.Record) bool {
		return (r.Phase == agent.Fetching || r.Phase == agent.Staged) && r.ConfirmedSlot == "B" && r.Release.Info().Version == "v3"
	}
	return Scenario{repo: equals(t, fine, fine, fine), end: unlessForgotten(rootfs, 3, runs(3)), events: []event{
		orders("pause", func(w *World) bool { return confirmed("B", 60)(w, w.disk.state.Records[rootfs]) }),
		orders("resume", func(w *World) bool { return w.ran > 110*time.Hour }),
		rollback(rootfs, staged)},
		at: func(w *World) int { return min(2, int(w.ran/(50*time.Hour))) }}
}

// rollsBackBelowTheFloor is refused, and changes nothing.
func rollsBackBelowTheFloor(t testing.TB) Scenario {
	refused := rollback(rootfs, confirmed("B", 60))
	refused.do = func(w *World, a *agent.Agent) bool {
		p, _ := errors.AsType[*agent.Problem](a.Obey(agent.Command{Name: "rollback"}))
		if w.edited == "" && (p == nil || p.Reason != agent.ReasonIndexTooLow && p.Reason != agent.ReasonSlot && !w.lostRecord) {
			w.breach("a rollback below the floor: %v", p)
		}
		return p != nil && p.Reason != agent.ReasonSlot
	}
	return Scenario{repo: publishAll(t, fine, fine), at: later(0), end: unlessForgotten(rootfs, 2, runs(2)), events: []event{refused}}
}

func rollsBackAnApplication(t testing.TB) Scenario {
	return Scenario{repo: publishEach(t, publication{component: rootfs, how: fine}, publication{component: app, how: fine, index: 1},
		publication{component: app, how: fine, index: 1}), at: later(1), events: []event{rollback(app, confirmed("B", 60))},
		end: unlessForgotten(app, 2, func(w *World, s agent.Status) bool { return restsWith(w, s, app, 1, agent.ReasonRejected) })}
}
