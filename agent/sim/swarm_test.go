package sim

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/ota-agent/ota-agent/agent"
)

// A palette are the repositories that swarms choose from, made once.
type palette []paint

// A paint is a repository and where a device must come to with it.
type paint struct {
	repo *repository
	end  func(*World, agent.Status) bool
}

func newPalette(t testing.TB) palette {
	t.Helper()
	withApp := func(behaviours ...string) *repository {
		all := []publication{{component: rootfs, how: fine}, {component: app, how: fine}}
		for _, how := range behaviours {
			all = append(all, publication{component: rootfs, how: how})
		}
		return publishEach(t, append(all, publication{component: app, how: fine, requires: 2})...)
	}
	return palette{
		{publishAll(t, fine, fine), runs(2)},
		{publishAll(t, fine, fine, fine, fine), runs(4)},
		{publishAll(t, fine, unhealthy, fine), runs(3)},
		{publishAll(t, fine, neverStarts, fine), runs(3)},
		{publishAll(t, fine, fine, unhealthy), keepsOne(2)},
		{publishAll(t, fine, tornHook), keepsOne(1)},
		{publishAll(t, fine, breaksUplink, fine), runs(3)},
		{withApp(fine), func(w *World, s agent.Status) bool { return rests(w, s, rootfs, 2) && rests(w, s, app, 2) }},
		{publishEach(t, publication{component: rootfs, how: fine}, publication{component: rootfs, how: fine},
			publication{component: rootfs}, publication{component: rootfs, how: fine}), runs(3)},
	}
}

// keepsOne ends when rootfs runs some good release, the v-th or one before it, and takes up no other. The v-th may never have been offered
// while it was not yet outdone by a bad one.
func keepsOne(v int) func(*World, agent.Status) bool {
	return func(w *World, s agent.Status) bool {
		for i := 1; i <= v; i++ {
			if keeps(i, agent.ReasonRejected)(w, s) {
				return true
			}
		}
		return false
	}
}

// swarm is the scenario of a seed: some kinds of faults often, some seldom, some not at all.
func (p palette) swarm(seed uint64) Scenario {
	r := rand.New(rand.NewPCG(seed, 1))
	some := func(values ...float64) float64 { return values[r.IntN(len(values))] }
	chosen := p[r.IntN(len(p))]
	until := time.Duration(some(2, 12, 48, 240) * float64(time.Hour))
	stages := len(chosen.repo.stages)
	first := len(chosen.repo.components) - 1
	s := Scenario{repo: chosen.repo, end: chosen.end, tries: 1 + r.IntN(3)*r.IntN(2), noRTC: r.IntN(3) == 0, unconfirmed: r.IntN(6) == 0,
		settle: time.Duration(some(0, 0, 0, 5)) * time.Minute,
		at: func(w *World) int { // one publication after the other, in equal parts of the chaos
			return min(stages-1, first+int(float64(stages-first)*float64(w.ran)/float64(until)))
		},
		chaos: &chaos{until: until, steps: 1000, rate: some(0, 0.005, 0.02, 0.1), mishaps: some(0, 0, 0.1, 0.3),
			kinds: Mishaps[r.IntN(len(Mishaps)):], wakes: some(0, 0, 0.2, 0.5), orders: some(0, 0, 0, 0.1)}}
	within := func() span {
		from := time.Duration(r.Int64N(int64(until)))
		return span{from, from + time.Duration(r.Int64N(int64(until)/2))}
	}
	for range int(some(0, 1, 3)) {
		s.chaos.attacks = append(s.chaos.attacks, attack{within(), attackKinds[r.IntN(len(attackKinds))]})
	}
	for range int(some(0, 0, 2, 6)) {
		s.chaos.outages = append(s.chaos.outages, within())
	}
	for range int(some(0, 0, 1, 3)) {
		f := clockFault{span: within()}
		f.to = min(f.to, until)
		f.dead = r.IntN(3) == 0
		f.off = time.Duration(some(-400, -1, 80, 500)) * 24 * time.Hour
		f.synchronised = r.IntN(2) == 0
		s.clock = append(s.clock, f)
	}
	s.chaos.hooks = some(0, 0, 0, 0.03, 0.2)
	if short := time.Duration(some(0, 0, 0, 3, 15, 60)) * time.Minute; short > 0 {
		s.drive = func(w *World) time.Duration {
			if w.calm() {
				return 0
			}
			return short
		}
	}
	return s
}

// TestSwarm runs random worlds: faults at any step, attacks, wrong clocks, outages and short drives for a while. Then all
// that stops, and the device must come to rest where it should. OTA_SIM_SEED runs one seed and shows its trace.
func TestSwarm(t *testing.T) {
	t.Parallel()
	p := newPalette(t)
	if seed, ok := number(t, "OTA_SIM_SEED"); ok {
		w, why := play(p.swarm(seed), seed, nil)
		t.Logf("seed %d: %d steps, %d boots, %s\n%s", seed, w.steps, w.boots, w.ran, w.tail())
		if why != "" {
			t.Fatal(why)
		}
		return
	}
	from, _ := number(t, "OTA_SIM_FROM")
	seeds := effortOf(t).seeds
	n := runAll(t, func(yield func(job) bool) {
		for i := range seeds {
			seed := from + uint64(i)
			if !yield(job{s: p.swarm(seed), seed: seed, replay: fmt.Sprintf("OTA_SIM_SEED=%d go test -v -run 'TestSwarm$' ./agent/sim", seed)}) {
				return
			}
		}
	})
	t.Logf("%d seeds from %d; one is replayed by OTA_SIM_SEED=N go test -v -run 'TestSwarm$' ./agent/sim", n, from)
}
