package sim

import (
	"fmt"
	"iter"
	"maps"
	"math"
	"os"
	"runtime"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// An effort is how much of the fault space a run of the tests covers. OTA_SIM names it; -short is for the race
// detector and slow CPUs.
type effort struct {
	// singles hits each stride-th step of each story with each kind of fault.
	stride int
	// pairStride and window choose the pairs: the first fault hits each pairStride-th step, the second each of the window
	// steps after it, as far as the run goes.
	pairStride, window int
	// seeds is how many swarms run.
	seeds int
	// within is how long after the start of the process pairs are still begun; 0: no bound. A slow machine leaves the others out,
	// and says how many.
	within time.Duration
}

// began is when this process did.
var began = time.Now()

func (e effort) over() bool { return e.within > 0 && time.Since(began) > e.within }

// efforts by name.
var efforts = map[string]effort{
	"short": {stride: 40, pairStride: 100, window: 1, seeds: 10},
	"":      {stride: 6, pairStride: 24, window: 2, seeds: 100},
	"crash": {stride: 1, pairStride: 1, window: 3, seeds: 3000, within: 510 * time.Second},
	"long":  {stride: 1, pairStride: 1, window: math.MaxInt / 2, seeds: 50000},
}

func effortOf(t testing.TB) effort {
	name := os.Getenv("OTA_SIM")
	if name == "" && testing.Short() {
		name = "short"
	}
	e, ok := efforts[name]
	if !ok {
		t.Fatalf("OTA_SIM=%q: it is one of short, crash, long, or empty", name)
	}
	return e
}

// A job is one world to run, or with window all those in which a second fault follows the planned one.
type job struct {
	s         Scenario
	seed      uint64
	plan      map[int]Fault
	window    int    // of the second faults; 0: none follows
	suspended int    // the step after which the device is suspended; 0: it is not
	replay    string // the command that runs a swarm again
}

// run runs the job's worlds until one goes wrong. It returns how many ran, and what went wrong.
func (j job) run(t *testing.T) (n int64, bad string) {
	if j.window == 0 {
		_, bad = j.play(t)
		return 1, bad
	}
	first := slices.Collect(maps.Keys(j.plan))[0]
	for second := first + 1; second <= first+j.window; second++ {
		for _, g := range Faults {
			pair := j
			pair.plan = map[int]Fault{first: j.plan[first], second: g}
			steps, bad := pair.play(t)
			switch {
			case bad != "":
				return n, bad
			case steps < second: // the run is over before, and so is that of each later second fault
				return n, ""
			}
			n++
		}
	}
	return n, ""
}

// play runs one world. It returns how many steps it took, and what went wrong.
func (j job) play(t *testing.T) (steps int, bad string) {
	w, why := play(j.s, j.seed, j.plan)
	if why == "" {
		return w.steps, ""
	}
	replay := j.replay
	if replay == "" {
		replay = replayOf(t, j)
	}
	return w.steps, fmt.Sprintf("%s\nfaults: %v, seed %d\n%s\n%s\n%s\n%s", why, j.plan, j.seed, replay, w.tail(), why, replay)
}

// runAll runs jobs on all CPUs and fails with the first that goes wrong. It returns how many worlds ran.
func runAll(t *testing.T, jobs iter.Seq[job]) int {
	t.Helper()
	queue := make(chan job)
	var done atomic.Int64
	var bad atomic.Pointer[string]
	var workers sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		workers.Go(func() {
			for j := range queue {
				ran, text := j.run(t)
				if text != "" {
					bad.CompareAndSwap(nil, &text)
				}
				done.Add(ran)
			}
		})
	}
	n, mine := 0, partOf(t)
	for j := range jobs {
		if bad.Load() != nil {
			break
		}
		if mine.takes(n) {
			queue <- j
		}
		n++
	}
	close(queue)
	workers.Wait()
	if text := bad.Load(); text != nil {
		t.Fatal(*text)
	}
	return int(done.Load())
}

// calmSteps is how many steps a story takes when nothing goes wrong.
func calmSteps(t *testing.T, s Scenario) int {
	t.Helper()
	w, why := play(s, 1, nil)
	if why != "" {
		t.Fatalf("without faults: %s\n%s", why, w.tail())
	}
	return w.steps
}

// eachStory runs a test of each story, and says in one line how much it covered.
func eachStory(t *testing.T, what string, jobs func(t *testing.T, s Scenario, steps int) iter.Seq[job]) {
	t.Helper()
	total := 0
	for _, x := range stories {
		t.Run(x.name, func(t *testing.T) {
			s := x.make(t)
			steps := calmSteps(t, s)
			n := runAll(t, jobs(t, s, steps))
			t.Logf("%d %s over %d steps", n, what, steps)
			total += n
		})
	}
	t.Logf("%d %s of %d stories", total, what, len(stories))
}

// TestCrashAtEveryStep hits each story at each single step with each kind of fault.
func TestCrashAtEveryStep(t *testing.T) {
	t.Parallel()
	e := effortOf(t)
	eachStory(t, "crash points", func(_ *testing.T, s Scenario, steps int) iter.Seq[job] {
		return singles(s, steps, e.stride, Faults)
	})
}

func singles(s Scenario, steps, stride int, faults []Fault) iter.Seq[job] {
	return func(yield func(job) bool) {
		for step := 1; step <= steps; step += stride {
			for _, f := range faults {
				if !yield(job{s: s, seed: 1, plan: map[int]Fault{step: f}}) {
					return
				}
			}
		}
	}
}

// TestMishapAtEveryStep has the process die at each step, and something else go wrong before it starts again.
func TestMishapAtEveryStep(t *testing.T) {
	t.Parallel()
	e := effortOf(t)
	var faults []Fault
	for _, m := range Mishaps {
		faults = append(faults, Fault{Effect: true, Also: m}, Fault{Power: true, Also: m})
	}
	eachStory(t, "crash points with a mishap", func(_ *testing.T, s Scenario, steps int) iter.Seq[job] {
		return singles(s, steps, e.stride, faults)
	})
}

// TestCrashAgain hits what follows a first fault with a second one: the recovery, above all.
func TestCrashAgain(t *testing.T) {
	t.Parallel()
	e := effortOf(t)
	eachStory(t, "pairs", func(t *testing.T, s Scenario, steps int) iter.Seq[job] {
		if e.over() {
			t.Skipf("%s are over: its pairs are left to make crash-long", e.within)
		}
		return pairs(t, s, steps, e)
	})
}

func pairs(t *testing.T, s Scenario, steps int, e effort) iter.Seq[job] {
	return func(yield func(job) bool) {
		left := 0
		for j := range singles(s, steps, e.pairStride, Faults) {
			if e.over() {
				left++
				continue
			}
			j.window = e.window
			if !yield(j) {
				return
			}
		}
		if left > 0 {
			t.Logf("%s are over: the pairs after %d first faults are left to make crash-long", e.within, left)
		}
	}
}

// number reads a number from the environment.
func number(t testing.TB, name string) (uint64, bool) {
	text := os.Getenv(name)
	if text == "" {
		return 0, false
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		t.Fatalf("%s=%q: %v", name, text, err)
	}
	return n, true
}
