package sim

import (
	"iter"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ota-agent/ota-agent/agent"
)

// always is longer than any run.
var always = span{0, 1000 * day}

// times are the stories of a device that does not know the time, or is told a wrong one.
var times = []story{
	{"a clock that begins at 1970", func(t testing.TB) Scenario {
		return Scenario{repo: publishAll(t, fine, fine), end: runs(2), clock: []clockFault{{span: always, dead: true}}}
	}},
	{"a clock that is set back", func(t testing.TB) Scenario {
		return Scenario{repo: publishAll(t, fine, fine, fine), end: runs(3), at: func(w *World) int { return 1 + min(1, int(w.ran/day)) },
			clock: []clockFault{{span: span{2 * time.Hour, 1000 * day}, off: -3 * day}}}
	}},
	{"a clock far ahead", func(t testing.TB) Scenario {
		// It fails closed and says why, asks seldom, and goes on as soon as the clock is set.
		return Scenario{repo: publishAll(t, fine, fine), clock: []clockFault{{span: span{0, day}, off: 200 * day}},
			events: []event{sees(agent.ReasonClockAhead)}, end: func(w *World, s agent.Status) bool {
				if w.ran < day && w.boots > 1 && w.boards[rootfs].booted == "B" {
					w.breach("expired metadata was followed")
				}
				return w.happened > 0 && runs(2)(w, s)
			}}
	}},
	{"network time spoofed by 80 days", func(t testing.TB) Scenario {
		// All metadata is still valid then, so the device goes on; and once the clock is right it is not locked out.
		return Scenario{repo: publishAll(t, fine, fine, fine), end: runs(3), at: func(w *World) int { return 1 + min(1, int(w.ran/(2*day))) },
			clock: []clockFault{{span: span{0, day}, off: 80 * day, synchronised: true}}}
	}},
	{"a dead clock and a reboot each day under a freeze", func(t testing.TB) Scenario {
		return Scenario{repo: publishFor(t, 3*day, publication{component: rootfs, how: fine}, publication{component: rootfs, how: fine}),
			noRTC: true, clock: []clockFault{{span: always, dead: true}}, end: expires,
			drive: func(*World) time.Duration { return 20 * time.Hour }}
	}},
	{"a dead clock and a build after the timestamp under a freeze", func(t testing.TB) Scenario {
		return Scenario{repo: publishFor(t, 3*day, publication{component: rootfs, how: fine}, publication{component: rootfs, how: fine}),
			noRTC: true, clock: []clockFault{{span: always, dead: true}}, end: expires,
			tune: func(_ *World, c *agent.Config) { c.BuildTime = epoch.Add(20 * time.Hour) }}
	}},
	{"a dead clock and timestamps that come as late as they can", lateTimestamps},
	{"a suspend under a freeze", func(t testing.TB) Scenario {
		return Scenario{repo: publishFor(t, 3*day, publication{component: rootfs, how: fine}, publication{component: rootfs, how: fine}),
			clock: []clockFault{{span: always, dead: true}}, end: expires,
			events: []event{sleeps(4*day, func(w *World) bool { return w.ran > time.Hour })}}
	}},
	{"a rollout under a replay of its beginning", func(t testing.TB) Scenario {
		// For all that the device knows it was stopped. It joins once it hears that it was not.
		return Scenario{repo: publishFor(t, 10*day, publication{component: rootfs, how: fine}, publication{component: rootfs, how: fine, rollout: 10 * day},
			publication{day: 13}), at: func(w *World) int { return 1 + min(1, int(w.ran/(13*day))) },
			end: func(w *World, s agent.Status) bool {
				if w.ran < 13*day && w.boards[rootfs].booted == "B" {
					w.breach("a timestamp of the rollout's first hour finishes it")
				}
				return runs(2)(w, s)
			}}
	}},
	{"a pause until the metadata has expired", func(t testing.TB) Scenario {
		// What waited at a gate is judged again before it is tried; then the publisher comes back.
		return Scenario{repo: publishFor(t, 3*day, publication{component: rootfs, how: fine}, publication{component: rootfs, how: fine},
			publication{component: rootfs, how: fine, day: 6}), at: func(w *World) int { return 1 + min(1, int(w.ran/(6*day))) },
			events: []event{
				orders("pause", func(w *World) bool { return w.disk.state.Records[rootfs].Phase == agent.Staged || w.steps >= 22 }),
				orders("resume", func(w *World) bool { return w.ran > 4*day }),
			}, end: func(w *World, s agent.Status) bool {
				if w.ran < 6*day && w.boards[rootfs].booted == "B" && !w.lostRecord {
					w.breach("a release is tried that only expired metadata names")
				}
				return runs(3)(w, s)
			}}
	}},
}

// lateTimestamps: the publisher signs each day, for four days. A mirror hands out the next day's timestamp
// when the one before is about to expire. That it gains four days by this can't be helped; what comes then
// must not turn the time back and gain it more.
func lateTimestamps(t testing.TB) Scenario {
	all := []publication{{component: rootfs, how: fine}}
	for n := 1; n <= 5; n++ {
		all = append(all, publication{day: n})
	}
	all = append(all, publication{component: rootfs, how: fine, day: 6})
	return Scenario{repo: publishFor(t, 4*day, all...), noRTC: true, clock: []clockFault{{span: always, dead: true}},
		at: func(w *World) int {
			has := max(0, int(w.disk.floors.Timestamp.Version-version(w.repo.stages[0]["metadata/timestamp.json"])))
			if w.agent != nil && w.agent.Now().Sub(epoch.Add(time.Duration(has)*day)) > 3*day+12*time.Hour {
				has++
			}
			return min(has, len(all)-1)
		}, end: runs(2), tune: func(_ *World, c *agent.Config) { c.BuildTime = epoch.Add(-12 * time.Hour) }}
}

// sees is the moment at which the status names this reason for the last refresh.
func sees(reason agent.Reason) event {
	return event{name: "the status says " + string(reason), do: func(*World, *agent.Agent) bool { return true },
		when: func(w *World) bool { p := w.said.Repository.LastProblem; return p != nil && p.Reason == reason }}
}

// sleeps is a suspend: the uptime goes on, the agent does not.
func sleeps(d time.Duration, when func(*World) bool) event {
	return event{name: "it is suspended for " + d.String(), when: when, do: func(w *World, _ *agent.Agent) bool {
		w.uptime += d
		w.ran += d
		return true
	}}
}

// expires ends when the agent has noticed that the repository is frozen, and rests: on the release that it was offered
// before, or where that was too late on the one before it.
func expires(w *World, s agent.Status) bool {
	p := s.Repository.LastProblem
	return w.happened == len(w.events) && p != nil && p.Reason == agent.ReasonExpired && (rests(w, s, rootfs, 2) || rests(w, s, rootfs, 1))
}

// TestSuspendAnywhere suspends the device for nine hours between any two steps. No deadline that went by in
// its sleep may be held against a release.
func TestSuspendAnywhere(t *testing.T) {
	t.Parallel()
	e := effortOf(t)
	eachStory(t, "suspends", func(_ *testing.T, s Scenario, steps int) iter.Seq[job] {
		return func(yield func(job) bool) {
			for n := 1; n <= steps && s.events == nil; n += e.stride {
				asleep := s
				asleep.events = []event{sleeps(napTime, func(w *World) bool { return w.steps >= n })}
				if !yield(job{s: asleep, seed: 1, suspended: n}) {
					return
				}
			}
		}
	})
}

// TestShortDrivesUnderAFreeze: no drive lasts for half an hour. At a few writes a day it takes weeks until
// eight hours of them are durable, but it comes to that.
func TestShortDrivesUnderAFreeze(t *testing.T) {
	t.Parallel()
	w, why := play(Scenario{repo: publishFor(t, 8*time.Hour, publication{component: rootfs, how: fine}, publication{component: rootfs, how: fine}),
		noRTC: true, clock: []clockFault{{span: always, dead: true}}, end: expires, drive: func(*World) time.Duration { return 25 * time.Minute }}, 1, nil)
	if why != "" {
		t.Fatalf("%s\n%s", why, w.tail())
	}
	writes := strings.Count(strings.Join(w.trace, "\n"), "commit time")
	if days := int(w.ran / day); writes > 4*days {
		t.Errorf("%d writes in %d days of %d drives", writes, days, w.boots)
	}
}

// TestASuspendCountsAsTime: a device without a clock that slept for four days knows at its next check that metadata of
// three days' life has expired.
func TestASuspendCountsAsTime(t *testing.T) {
	t.Parallel()
	w := tell(t, "a suspend under a freeze")
	if awake := w.ran - 4*day; awake > day {
		t.Errorf("noticed %s after it woke up\n%s", awake, w.tail())
	}
}

// TestAClockThatIsSetIsHeeded: metadata that a wrong clock calls expired is asked for as seldom as any that
// is refused, and again at once when the clock is set.
func TestAClockThatIsSetIsHeeded(t *testing.T) {
	t.Parallel()
	w := tell(t, "a clock far ahead")
	if late := w.ran - day; late > 10*time.Minute {
		t.Errorf("the clock was right for %s before the update was done\n%s", late, w.tail())
	}
	if w.asks > 50 {
		t.Errorf("the repository was asked %d times within a day", w.asks)
	}
}

// tell plays the story of that name without faults.
func tell(t *testing.T, name string) *World {
	t.Helper()
	i := slices.IndexFunc(stories, func(s story) bool { return s.name == name })
	w, why := play(stories[i].make(t), 1, nil)
	if why != "" {
		t.Fatalf("%s\n%s", why, w.tail())
	}
	return w
}
