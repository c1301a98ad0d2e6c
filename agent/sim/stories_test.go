package sim

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ota-agent/ota-agent/agent"
)

// A story is a scenario with a name: what happens when nothing else goes wrong, and where it must come to all the same
// when something does.
type story struct {
	name string
	make func(testing.TB) Scenario
}

// rests reports that a component runs its release for good: the bootloader says so, too, once anybody
// confirmed anything.
func rests(w *World, s agent.Status, component string, version int) bool {
	b := w.boards[component]
	if b == nil || version < 1 || version > len(w.repo.releases[component]) {
		return false
	}
	want := w.repo.hashOf(w.repo.releases[component][version-1])
	c := status(s, component)
	return b.booted == b.primary && (b.slots[b.booted].good || !b.confirmed) && b.try == "" && c.Phase == agent.Idle &&
		w.repo.hashOf(b.slots[b.booted].image) == want
}

// status is the component's, or an empty one while the config does not name it.
func status(s agent.Status, component string) agent.ComponentStatus {
	for _, c := range s.Components {
		if c.Name == component {
			return c
		}
	}
	return agent.ComponentStatus{}
}

// runs ends when rootfs runs release v for good.
func runs(version int) func(*World, agent.Status) bool {
	return func(w *World, s agent.Status) bool { return rests(w, s, rootfs, version) }
}

// keeps ends when rootfs is back on release v and says why it takes up no other.
func keeps(version int, reason agent.Reason) func(*World, agent.Status) bool {
	return func(w *World, s agent.Status) bool {
		c := status(s, rootfs)
		return rests(w, s, rootfs, version) && c.Waiting != nil && c.Waiting.Reason == reason
	}
}

// stories are all of them; each is also hit at every step by every fault.
var stories = slices.Concat(updates, trials, neighbours, removals, ownApps, times)

// updates are the stories of updates that go well, and of those that don't.
var updates = []story{
	{"a good release", func(t testing.TB) Scenario {
		return Scenario{repo: publishAll(t, fine, fine), end: runs(2)}
	}},
	{"a stolen timestamp key", stolenTimestampKey},
	{"a release that starts slowly", func(t testing.TB) Scenario {
		return Scenario{repo: publishAll(t, fine, slowStart), end: runs(2)}
	}},
	{"an unhealthy release", func(t testing.TB) Scenario {
		return Scenario{repo: publishAll(t, fine, unhealthy), end: keeps(1, agent.ReasonRejected)}
	}},
	{"a release that never starts", func(t testing.TB) Scenario {
		return Scenario{repo: publishAll(t, fine, neverStarts), end: keeps(1, agent.ReasonRejected)}
	}},
	{"a release in which the hook fails", func(t testing.TB) Scenario {
		return Scenario{repo: publishAll(t, fine, tornHook), end: keeps(1, agent.ReasonRejected)}
	}},
	{"a release that breaks the network", func(t testing.TB) Scenario {
		return Scenario{repo: publishAll(t, fine, breaksUplink), end: keeps(1, agent.ReasonHeld)}
	}},
	{"a newer release in the middle", func(t testing.TB) Scenario {
		return Scenario{repo: publishAll(t, fine, fine, fine), end: runs(3), at: func(w *World) int { return min(2, 1+w.steps/25) }}
	}},
	{"a better release after a bad one", func(t testing.TB) Scenario {
		return Scenario{repo: publishAll(t, fine, unhealthy, fine), end: runs(3),
			at: func(w *World) int { return 1 + min(1, int(w.ran/(24*time.Hour))) }}
	}},
	{"a release withdrawn while it is staged", func(t testing.TB) Scenario {
		return Scenario{repo: publishEach(t, publication{component: rootfs, how: fine}, publication{component: rootfs, how: fine},
			publication{component: rootfs}, publication{component: rootfs, how: fine}), end: runs(3),
			at: func(w *World) int { return min(3, 1+w.steps/17+int(w.ran/(24*time.Hour))) }}
	}},
	{"an outage in the trial", func(t testing.TB) Scenario {
		return Scenario{repo: publishAll(t, fine, fine), end: runs(2), down: func(w *World) bool {
			return w.boots == 2 && w.uptime < time.Hour || w.boots == 3 && w.uptime < 3*time.Hour
		}}
	}},
	{"short drives", func(t testing.TB) Scenario {
		return Scenario{repo: publishAll(t, fine, fine), end: runs(2), settle: 5 * time.Minute, drive: func(w *World) time.Duration {
			if w.boots > 12 {
				return 0
			}
			return 4 * time.Minute
		}}
	}},
	{"a bootloader that tries for three boots", func(t testing.TB) Scenario {
		return Scenario{repo: publishAll(t, fine, fine), end: runs(2), tries: 3}
	}},
	{"an image that demands floors", demandsFloors},
	{"an image that demands too much", demandsTooMuch},
	{"an image that refuses itself", refusesItself},
	{"a board on which nobody ever confirmed", func(t testing.TB) Scenario {
		return Scenario{repo: publishAll(t, fine, fine), end: runs(2), unconfirmed: true}
	}},
	{"an application that requires a system", func(t testing.TB) Scenario {
		return Scenario{repo: publishEach(t, publication{component: rootfs, how: fine}, publication{component: app, how: fine},
			publication{component: app, how: fine, requires: 2}, publication{component: rootfs, how: fine}),
			end: func(w *World, s agent.Status) bool { return rests(w, s, rootfs, 2) && rests(w, s, app, 2) }}
	}},
	{"an unhealthy application", func(t testing.TB) Scenario {
		return Scenario{repo: publishEach(t, publication{component: rootfs, how: fine}, publication{component: app, how: fine},
			publication{component: app, how: unhealthy}),
			end: func(w *World, s agent.Status) bool {
				c := status(s, app)
				return rests(w, s, app, 1) && c.Waiting != nil && c.Waiting.Reason == agent.ReasonRejected
			}}
	}},
	{"an operator who pauses in the middle", func(t testing.TB) Scenario {
		return Scenario{repo: publishAll(t, fine, fine), end: runs(2), events: []event{
			orders("pause", func(w *World) bool { return w.steps >= 20 }),
			orders("retry", func(w *World) bool { return w.ran > 3*time.Hour }),
			orders("resume", func(w *World) bool { return w.ran > 6*time.Hour }),
		}}
	}},
	{"a bootloader that falls back later", func(t testing.TB) Scenario {
		return Scenario{repo: publishAll(t, fine, fine), events: []event{fallsBack()}, end: func(w *World, s agent.Status) bool {
			again := w.lostRecord && w.happened > 0 && rests(w, s, rootfs, 2) // what nobody remembers is tried again
			return again || keeps(1, agent.ReasonDegraded)(w, s)
		}}
	}},
	{"a retry after a fall-back", func(t testing.TB) Scenario {
		return Scenario{repo: publishAll(t, fine, fine), end: func(w *World, s agent.Status) bool {
			return w.ran > 48*time.Hour && rests(w, s, rootfs, 2)
		}, events: []event{fallsBack(), orders("retry", func(w *World) bool {
			return w.ran > 24*time.Hour && w.boards[rootfs].booted == "A" && w.disk.state.Records[rootfs].ConfirmedSlot == "B" && w.edited == ""
		})}}
	}},
	{"an operator who rolls back", rollsBack},
	{"an operator who rolls back and back again", rollsBackTwice},
	{"a rollback to something broken", rollsBackToBroken},
	{"a rollback in a trial", rollsBackInTrial},
	{"a rollback in an outage", rollsBackInOutage},
	{"a rollback with an outage in its trial", rollsBackIntoOutage},
	{"a rollback while the next release is fetched", rollsBackWhileFetching},
	{"a rollback below the floor", rollsBackBelowTheFloor},
	{"a rollback of an application", rollsBackAnApplication},
	{"a rollback whose try fails", rollsBackInVain(agent.VerbTry)},
	{"a rollback whose confirm fails", rollsBackInVain(agent.VerbConfirm)},
	{"a release that can not be confirmed", canNotBeConfirmed},
	{"a reject that fails for ever", rejectsInVain},
	{"a reboot that does not come", rebootDoesNotCome},
	{"a hook that hangs in install and is cancelled", cancelsAHungInstall},
	{"a mirror that hangs", workersHang(3)},
	{"a status that is too early", saysTooEarly("one slot")},
	{"a booted slot that is marked good later", saysTooEarly("not good")},
	{"a provisioned slot that is marked good later", adoptsLate},
	{"a trial with a root that nobody published", shipsUnpublishedRoot},
	{"a trial with a newer root", shipsNewerRoot},
	{"a system that is listed anew", relistedSystem},
	{"a target that the config replaces", replacedTarget},
	{"a vendor whose role has expired", lapsedVendor},
	{"a vendor that names a role without bounds", boundlessVendor},
	{"a vendor with ever new roles", restlessVendor},
	{"a vendor whose role finds no room", growingVendor},
	{"a release that loses the state partition", losesItsState},
	{"a release that is cut short in each trial", cutShortEachTime},
	{"a release that loses the state partition on purpose", losesItsStateOnPurpose},
}

// stageAt is how many of some times of the world have come.
func stageAt(w *World, times ...time.Duration) int {
	n := 0
	for _, at := range times {
		if w.ran >= at {
			n++
		}
	}
	return n
}

// orders is a command of the operator's.
func orders(name string, when func(*World) bool) event {
	return event{name: "the operator says " + name, when: when, do: func(_ *World, a *agent.Agent) bool {
		return a.Obey(agent.Command{Name: name}) == nil
	}}
}

// fallsBack is a bootloader that gives up the confirmed slot by itself, once, a day later.
func fallsBack() event {
	return event{name: "the bootloader gives up its primary slot",
		when: func(w *World) bool { return w.ran > 24*time.Hour && w.disk.state.Records[rootfs].ConfirmedSlot == "B" },
		do:   func(w *World, _ *agent.Agent) bool { w.boards[rootfs].fallBack(); w.die(true); return true }}
}

// play runs one world and explains what went wrong, if anything did.
func play(s Scenario, seed uint64, plan map[int]Fault) (*World, string) {
	w := NewWorld(s, seed, plan)
	return w, w.Run()
}

// tail is a run's trace, without its middle where it is long, and what the agent said last.
func (w *World) tail() string {
	const first, last = 60, 120
	lines := w.trace
	if len(lines) > first+last {
		cut := fmt.Sprintf("     (%d lines)", len(lines)-first-last)
		lines = slices.Concat(lines[:first], []string{cut}, lines[len(lines)-last:])
	}
	return strings.Join(lines, "\n") + "\n" + w.lastStatus()
}

func (w *World) lastStatus() string {
	b, err := json.Marshal(w.said)
	if err != nil {
		return err.Error()
	}
	return "last status: " + string(b)
}

// TestStoriesWithoutFaults shows the trace of each story when nothing goes wrong.
func TestStoriesWithoutFaults(t *testing.T) {
	t.Parallel()
	for _, s := range stories {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			w, why := play(s.make(t), 1, nil)
			if why != "" {
				t.Fatalf("%s\n%s", why, w.tail())
			}
			t.Logf("%d steps, %d boots, %s\n%s", w.steps, w.boots, w.ran, strings.Join(w.trace, "\n"))
		})
	}
}
