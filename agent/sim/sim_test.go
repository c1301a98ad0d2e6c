package sim

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/ota-agent/ota-agent/agent"
)

// runs reports whether the device runs release v for good: booted, primary, good and idle.
func runs(version int) func(*World, agent.Status) bool {
	return func(w *World, s agent.Status) bool {
		b := w.board
		return b.booted == b.primary && b.slots[b.booted].good && s.Components[0].Phase == agent.Idle && b.try == "" &&
			strings.HasPrefix(string(b.slots[b.booted].image), fmt.Sprintf("fine v%d", version))
	}
}

// keeps reports whether the device is back on v1 and remembers v2 as rejected or holds it back.
func keeps(reason agent.Reason) func(*World, agent.Status) bool {
	return func(w *World, s agent.Status) bool {
		c := s.Components[0]
		return runs(1)(w, s) && c.Waiting != nil && c.Waiting.Reason == reason
	}
}

// A story is a repository and how it must end.
type story struct {
	name string
	repo func(testing.TB) *repository
	end  func(*World, agent.Status) bool
}

var stories = []story{
	{"a good release", func(t testing.TB) *repository { return publishAll(t, fine, fine) }, runs(2)},
	{"an unhealthy release", func(t testing.TB) *repository { return publishAll(t, fine, unhealthy) }, keeps(agent.ReasonRejected)},
	{"a release that never starts", func(t testing.TB) *repository { return publishAll(t, fine, neverStarts) }, keeps(agent.ReasonRejected)},
	{"a release that breaks the network", func(t testing.TB) *repository { return publishAll(t, fine, breaksUplink) }, keeps(agent.ReasonHeld)},
	{"a newer release in the middle", func(t testing.TB) *repository {
		return publishAll(t, fine, fine, fine).with(func(r *repository) {
			r.at = func(w *World) int { return min(2, 1+w.steps/25) }
		})
	}, runs(3)},
	{"a release withdrawn for a better one after it failed", func(t testing.TB) *repository {
		return publishAll(t, fine, unhealthy, fine).with(func(r *repository) {
			r.at = func(w *World) int { return 1 + min(1, int(w.ran/(24*time.Hour))) }
		})
	}, runs(3)},
	{"an outage in the trial", func(t testing.TB) *repository {
		return publishAll(t, fine, fine).with(func(r *repository) {
			r.down = func(w *World) bool {
				return w.boots == 2 && w.uptime < time.Hour || w.boots == 3 && w.uptime < 3*time.Hour
			}
		})
	}, runs(2)},
}

// play runs one world and explains what went wrong, if anything did.
func play(r *repository, end func(*World, agent.Status) bool, plan map[int]Fault) (*World, string) {
	w := NewWorld(r, epoch.Add(time.Hour), plan)
	ended := w.Run(end)
	switch {
	case len(w.broken) > 0:
		return w, "broken: " + strings.Join(w.broken, "; ")
	case !ended:
		return w, fmt.Sprintf("did not converge within %s and %d steps", w.ran, w.steps)
	}
	return w, ""
}

func report(t *testing.T, w *World, plan map[int]Fault, why string) {
	t.Helper()
	t.Fatalf("%s\nfaults: %v\n%s", why, plan, strings.Join(w.trace[max(0, len(w.trace)-80):], "\n"))
}

// TestStoriesWithoutFaults shows the trace of each story when nothing goes wrong.
func TestStoriesWithoutFaults(t *testing.T) {
	t.Parallel()
	for _, s := range stories {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			w, why := play(s.repo(t), s.end, nil)
			if why != "" {
				report(t, w, nil, why)
			}
			t.Logf("%d steps, %d boots, %s\n%s", w.steps, w.boots, w.ran, strings.Join(w.trace, "\n"))
		})
	}
}

// stride is 1; with -short (the race detector, another CPU) every seventh step stands for the rest.
func stride() int {
	if testing.Short() {
		return 7
	}
	return 1
}

// TestEveryStepEveryFault hits each story at each single step with each kind of fault.
func TestEveryStepEveryFault(t *testing.T) {
	t.Parallel()
	for _, s := range stories {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			r := s.repo(t)
			calm, why := play(r, s.end, nil)
			if why != "" {
				report(t, calm, nil, why)
			}
			points := 0
			for step := 1; step <= calm.steps; step += stride() {
				for _, f := range Faults {
					plan := map[int]Fault{step: f}
					if w, why := play(r, s.end, plan); why != "" {
						report(t, w, plan, why)
					}
					points++
				}
			}
			t.Logf("%d crash points over %d steps", points, calm.steps)
		})
	}
}

// TestRecoveryIsHitToo hits the first steps after a first fault with a second one: the recovery, above all.
func TestRecoveryIsHitToo(t *testing.T) {
	t.Parallel()
	const within = 12 // steps after the first fault
	r := stories[0].repo(t)
	calm, why := play(r, stories[0].end, nil)
	if why != "" {
		report(t, calm, nil, why)
	}
	pairs := 0
	for first := 1; first <= calm.steps; first += stride() {
		for second := first + 1; second <= first+within; second++ {
			for _, f := range Faults {
				for _, g := range Faults {
					plan := map[int]Fault{first: f, second: g}
					if w, why := play(r, stories[0].end, plan); why != "" {
						report(t, w, plan, why)
					}
					pairs++
				}
			}
		}
	}
	t.Logf("%d pairs over %d steps", pairs, calm.steps)
}
