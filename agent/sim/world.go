package sim

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/ota-agent/ota-agent/agent"
	"github.com/ota-agent/ota-agent/verifier"
)

// errDead is what a port says to a process that has died. Nothing it still asks for has any effect.
var errDead = errors.New("the process has died")

// A World is one device, its repository, and the faults that are planned.
type World struct {
	Scenario
	disk     *disk
	hidden   *partition // what a release that mounts no partition does not see, or what lies beneath the partition; nil: nothing
	beneath  bool       // disk is what lies beneath
	broker   *broker
	boards   map[string]*board
	random   *rand.Rand // jitter, torn bytes and the chaos: all of it from one seed
	edited   Mishap     // how the config was edited
	editedAt time.Duration
	settings agent.Config // of the life that is

	boots  int
	uptime time.Duration
	ran    time.Duration // since the world began; power cuts take time, too

	rebooting, dead, powerLost bool
	steps                      int
	plan                       map[int]Fault
	trace                      []string
	broken                     []string // promises that were broken
	said                       agent.Status
	agent                      *agent.Agent // the life that is, for its effective time
	floor                      time.Time    // of the life that is, as it said last
	highest                    verifier.Floors
	earlyCuts                  int            // power cuts in a boot of a try before the agent recorded that it started, and ends of the process in one
	happened                   int            // of the scenario's events
	plant                      string         // a bug of the world's, planted on purpose
	lostRecord                 bool           // by a mishap
	asked                      time.Duration  // when a mirror last handed out a timestamp
	asks                       int            // how often
	fetched                    int64          // bytes of images that crossed the network
	began                      time.Duration  // uptime at which this life of the process began
	attempts                   map[string]int // of each component's verbs that change something, in this life
	ordered                    int            // reboots that the agent ordered
	rejects                    map[string]int // how often each component's reject ran on this way back
	noted                      int            // what a story counts for itself
	cancelled                  bool           // an operator cancelled an update
	late                       bool           // an abandoned worker goes on
	launches                   int            // of an agent that is an application
}

// NewWorld is a device that was provisioned with each component's first release in slot A.
func NewWorld(s Scenario, seed uint64, plan map[int]Fault) *World {
	w := &World{Scenario: s.complete(), plan: plan, boots: 1, boards: map[string]*board{}, rejects: map[string]int{}, random: rand.New(rand.NewPCG(seed, 0))}
	w.disk, w.broker = newDisk(w), newBroker(w)
	for name, releases := range w.repo.releases {
		w.boards[name] = newBoard(w, name, releases[0])
	}
	return w
}

// step is one thing that happens to the world, and the only place where a fault hits.
func (w *World) step(name string, effect func() error) error {
	if w.dead {
		return errDead
	}
	if w.late {
		w.breach("an abandoned worker does something: %s", name)
	}
	w.steps++
	f, hit := w.fault()
	if !hit {
		err := effect()
		w.note("%s", name)
		w.check()
		return err
	}
	if f.Effect {
		_ = effect()
	}
	w.note("%s: %s", name, f)
	w.check()
	w.die(f.Power)
	w.befall(f.Also)
	return errDead
}

// fault is what hits this step: a planned fault, or one of the chaos.
func (w *World) fault() (Fault, bool) {
	if f, hit := w.plan[w.steps]; hit {
		return f, true
	}
	if w.calm() || w.random.Float64() >= w.chaos.rate {
		return Fault{}, false
	}
	f := Faults[w.random.IntN(len(Faults))]
	if w.random.Float64() < w.chaos.mishaps {
		f.Also = w.chaos.kinds[w.random.IntN(len(w.chaos.kinds))]
	}
	return f, true
}

func (w *World) die(power bool) {
	w.dead, w.powerLost = true, power
	b := w.boards[rootfs]
	if r := w.disk.state.Records[rootfs]; power && b.booted != b.primary && r.Phase == agent.Switched {
		w.earlyCuts++
	}
	for _, r := range w.disk.state.Records { // what ended in the try of an application can't be told from what that try ended
		if !power && r.Phase == agent.Switched && r.Begun != "" {
			w.earlyCuts++
		}
	}
}

func (w *World) note(format string, args ...any) {
	w.trace = append(w.trace, fmt.Sprintf("%4d boot %d %8s  ", w.steps, w.boots, w.uptime.Round(time.Second))+fmt.Sprintf(format, args...))
}

func (w *World) breach(format string, args ...any) {
	w.broken = append(w.broken, fmt.Sprintf("step %d: ", w.steps)+fmt.Sprintf(format, args...))
}

// Bounds of a run: far more than any run that converges needs.
const (
	livesMax = 4000
	lifeMax  = 30 * 24 * time.Hour // after the last fault
	// A loop that turns more often than once in turnEvery on the average, after its first turnsFree turns, spins.
	turnsFree = 1000
	turnEvery = 5 * time.Second
)

// Run lets the device live until the scenario's end, and says what went wrong, if anything did.
func (w *World) Run() string {
	for range livesMax {
		ended := w.live()
		switch {
		case len(w.broken) > 0:
			return "broken: " + strings.Join(w.broken, "; ")
		case ended:
			return ""
		case w.ran > w.chaosEnd()+lifeMax:
			return fmt.Sprintf("did not converge within %s and %d steps", w.ran, w.steps)
		}
	}
	return fmt.Sprintf("did not converge within %d lives, %s and %d steps", livesMax, w.ran, w.steps)
}

// live is one life of the process, from its start to its death or to the end of the run.
func (w *World) live() bool {
	w.dead, w.powerLost = false, false
	w.began, w.attempts = w.uptime, map[string]int{}
	if b := w.boards[rootfs]; b.behaves(neverStarts) {
		w.note("slot %s never starts the agent; the watchdog resets the board", b.booted)
		w.ran += time.Minute
		w.reboot()
		return false
	}
	if w.ownApp && !w.launch() {
		return false
	}
	w.mount()
	w.disk.images.start()
	w.settings = w.config(w)
	a, err := agent.New(w.settings, w.ports(), slog.New(slog.DiscardHandler))
	w.agent, w.floor = a, time.Time{}
	if err == nil && w.turn(a) {
		return true
	}
	switch {
	case w.rebooting || w.powerLost:
		if w.rebooting {
			w.ordered++
			w.checkReboots()
		}
		w.reboot()
	default:
		w.note("the process starts again")
		w.uptime += time.Second
		w.ran += time.Second
	}
	return false
}

// turn turns the agent's loop until something ends its life, and reports whether that is the scenario's end.
func (w *World) turn(a *agent.Agent) bool {
	began := w.uptime
	for n := time.Duration(1); ; n++ {
		if n > turnsFree && w.uptime-began < n*turnEvery {
			w.breach("the loop turned %d times in %s", n, w.uptime-began)
			return false
		}
		w.bother(a)
		idle, err := a.Turn(context.Background())
		w.late = false
		if err != nil || w.dead || w.rebooting || len(w.broken) > 0 {
			return false
		}
		w.broker.exchange(a)
		if w.dead {
			return false
		}
		if idle == 0 {
			continue
		}
		w.said = a.Status()
		w.checkConditions(w.said)
		if w.said.Seq%statusPart == 0 {
			w.checkDocument("status", w.said)
		}
		w.checkEffectiveTime(w.said.Time.Effective, w.said.Time.Floor)
		if w.calm() && w.end(w, w.said) && w.broker.settled(a) {
			return true
		}
		w.elapse(idle)
		if w.dead || w.repaired() || w.ran > w.chaosEnd()+lifeMax {
			return false
		}
	}
}

// elapse lets time go by; a drive may end meanwhile, and with it the power.
func (w *World) elapse(d time.Duration) {
	d = max(d, time.Millisecond)
	if until := w.drive(w); until > 0 && w.uptime+d >= until {
		d = max(0, until-w.uptime)
		w.note("the drive ends, and the power with it")
		w.die(true)
		w.ran += parked
	}
	w.uptime += d
	w.ran += d
	if w.lostRecord && w.calm() && w.uptime > powerCycle {
		w.note("somebody switches it off and on")
		w.die(true)
	}
}

// powerCycle is the uptime after which somebody switches a device off and on that lost its records in an
// update, and only such a device: where nothing is known of a trial and its hook doesn't answer, the agent
// must not reboot by itself.
const powerCycle = 7 * 24 * time.Hour

// parked is the time between two drives.
const parked = 3 * time.Hour

// reboot loses what was not flushed and lets the boot environments decide.
func (w *World) reboot() {
	w.disk.losePower()
	for _, name := range slices.Sorted(maps.Keys(w.boards)) {
		w.boards[name].boot()
	}
	w.boots++
	w.uptime = 0
	w.ran += 20 * time.Second
	w.dead, w.rebooting = false, false
	w.note("boot %d into slot %s", w.boots, w.boards[rootfs].booted)
	w.check()
}

// believed is the time by which the agent judges certificates.
func (w *World) believed() time.Time {
	if w.plant == plantRawTLS {
		now, _ := system{w}.Clock()
		return now
	}
	return w.agent.Now()
}

func (w *World) ports() agent.Ports {
	began, fetched := w.steps, w.fetched
	p := agent.Ports{Store: w.disk, Images: w.disk.images, Repository: mirror{w}, Installer: w.installer(), System: system{w},
		Random: w.random.Float64, Counters: func() agent.Counters {
			return agent.Counters{Commits: int64(w.steps - began), BytesFetched: w.fetched - fetched}
		}}
	if w.equip != nil {
		w.equip(w, &p)
	}
	p.Installer = tiring{p.Installer, w}
	return p
}
