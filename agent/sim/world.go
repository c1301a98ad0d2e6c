package sim

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/ota-agent/ota-agent/agent"
	"github.com/ota-agent/ota-agent/verifier"
)

// errDead is what a port says to a process that has died. Nothing it still asks for has any effect.
var errDead = errors.New("the process has died")

// A Fault hits one step.
type Fault struct {
	// Effect: the step took effect before the fault.
	Effect bool
	// Power: the power dies, not only the process.
	Power bool
}

func (f Fault) String() string {
	return fmt.Sprintf("%s and the %s dies", map[bool]string{true: "takes effect", false: "does not take effect"}[f.Effect],
		map[bool]string{true: "power", false: "process"}[f.Power])
}

// Faults are the four ways in which a step can be hit.
var Faults = []Fault{{false, false}, {true, false}, {false, true}, {true, true}}

// A World is one device, its repository, and the faults that are planned.
type World struct {
	disk  *disk
	board *board
	repo  *repository

	boots  int
	uptime time.Duration
	epoch  time.Time // wall clock at the first boot; it goes on through a power cut
	ran    time.Duration

	dead, powerLost bool
	steps           int
	plan            map[int]Fault
	trace           []string
	broken          []string // promises that were broken
	highest         verifier.Floors
}

// NewWorld is a device that was provisioned with release v1 in slot A, at a time.
func NewWorld(r *repository, epoch time.Time, plan map[int]Fault) *World {
	w := &World{repo: r, epoch: epoch, plan: plan, boots: 1}
	w.disk = newDisk(w)
	w.board = newBoard(w, r.releases[0])
	return w
}

// step is one thing that happens to the world, and the only place where a fault hits.
func (w *World) step(name string, effect func() error) error {
	if w.dead {
		return errDead
	}
	w.steps++
	f, hit := w.plan[w.steps]
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
	w.dead, w.powerLost = true, f.Power
	return errDead
}

func (w *World) note(format string, args ...any) {
	w.trace = append(w.trace, fmt.Sprintf("%4d boot %d %8s  ", w.steps, w.boots, w.uptime.Round(time.Second))+fmt.Sprintf(format, args...))
}

func (w *World) breach(format string, args ...any) {
	w.broken = append(w.broken, fmt.Sprintf("step %d: ", w.steps)+fmt.Sprintf(format, args...))
}

// Run lets the device live until done says so, and reports whether it did within the bounds.
func (w *World) Run(done func(*World, agent.Status) bool) bool {
	for range livesMax {
		if w.live(done) {
			return true
		}
		if w.ran > lifeMax || len(w.broken) > 0 {
			return false
		}
	}
	return false
}

// Bounds of a run: far more than any run that converges needs.
const (
	livesMax = 64
	turnsMax = 2000
	lifeMax  = 21 * 24 * time.Hour
)

// live is one life of the process, from its start to its death or to the end of the run.
func (w *World) live(done func(*World, agent.Status) bool) bool {
	w.dead, w.powerLost = false, false
	if w.board.agentNeverStarts() {
		w.note("slot %s never starts the agent; the watchdog resets the board", w.board.booted)
		w.elapse(time.Minute)
		w.reboot()
		return false
	}
	a, err := agent.New(w.repo.config(w), w.ports(), slog.New(slog.DiscardHandler))
	if err == nil {
		for range turnsMax {
			var idle time.Duration
			if idle, err = a.Turn(context.Background()); err != nil || w.dead || w.board.rebooting {
				break
			}
			if idle == 0 {
				continue
			}
			if done(w, a.Status()) {
				return true
			}
			w.elapse(idle)
		}
	}
	switch {
	case w.board.rebooting || w.powerLost:
		w.reboot()
	case w.dead || err != nil:
		w.note("the process starts again")
		w.elapse(time.Second)
	}
	return false
}

func (w *World) elapse(d time.Duration) {
	d = max(d, time.Millisecond)
	w.uptime += d
	w.ran += d
}

// reboot loses what was not flushed and lets the boot environment decide.
func (w *World) reboot() {
	w.disk.losePower()
	w.board.boot()
	w.boots++
	w.uptime = 0
	w.ran += 20 * time.Second
	w.dead = false
	w.note("boot %d into slot %s", w.boots, w.board.booted)
	w.check()
}

func (w *World) ports() agent.Ports {
	return agent.Ports{Store: w.disk, Images: w.disk.images, Repository: w.repo.seenFrom(w), Installer: w.board, System: system{w},
		Random: func() float64 { return 0.5 }}
}

// system is the machine's clock and identity. The clock is right: wrong ones are a world of their own.
type system struct{ w *World }

func (s system) BootID() string           { return fmt.Sprintf("boot-%d", s.w.boots) }
func (s system) Uptime() time.Duration    { return s.w.uptime }
func (s system) Clock() (time.Time, bool) { return s.w.epoch.Add(s.w.ran), true }
func (s system) Reboot(context.Context) error {
	return s.w.step("reboot", func() error { s.w.board.rebooting = true; return nil })
}
