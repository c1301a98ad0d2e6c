package sim

import (
	"context"
	"fmt"
	"time"

	"github.com/ota-agent/ota-agent/agent"
	"github.com/ota-agent/ota-agent/verifier"
)

// A Fault hits one step.
type Fault struct {
	// Effect: the step took effect before the fault.
	Effect bool
	// Power: the power dies, not only the process.
	Power bool
	// Also is what else goes wrong before the process starts again.
	Also Mishap
}

func (f Fault) String() string {
	s := fmt.Sprintf("%s and the %s dies", map[bool]string{true: "takes effect", false: "does not take effect"}[f.Effect],
		map[bool]string{true: "power", false: "process"}[f.Power])
	if f.Also != "" {
		s += "; " + string(f.Also)
	}
	return s
}

// Faults are the four ways in which a step can be hit.
var Faults = []Fault{{}, {Effect: true}, {Power: true}, {Effect: true, Power: true}}

// A Mishap befalls a device whose process is dead.
type Mishap string

// The mishaps.
const (
	// DatabaseLost: the database is corrupt and was set aside; the floors file is there.
	DatabaseLost Mishap = "the database is lost"
	// ImageRots: a bit of every image and partial file flips.
	ImageRots Mishap = "the images rot"
	// ComponentRemoved: the config names rootfs no longer, for a day of this world.
	ComponentRemoved Mishap = "the config loses a component"
	// HookMoved: the config names another hook; the record's own governs until the component is idle.
	HookMoved Mishap = "the config names another hook"
	// OlderAgent: the agent that starts next does not know the phase that the newer one stored.
	OlderAgent Mishap = "an older agent reads a newer one's records"
)

// Mishaps are all of them.
var Mishaps = []Mishap{DatabaseLost, ImageRots, ComponentRemoved, HookMoved, OlderAgent}

// befall lets a mishap happen.
func (w *World) befall(m Mishap) {
	w.lostRecord = w.lostRecord || m == DatabaseLost || m == OlderAgent
	switch m {
	case DatabaseLost:
		w.disk.loseDatabase()
	case ImageRots:
		w.disk.images.rot()
	case ComponentRemoved, HookMoved:
		w.edited = m
		w.editedAt = w.ran
	case OlderAgent:
		w.disk.fromTheFuture()
	}
}

// A Scenario is what a world is like before any fault. Zero fields take what complete says.
type Scenario struct {
	repo *repository
	// at says which stage of the repository the mirror serves.
	at func(*World) int
	// down says whether the repository can't be reached now, for reasons that are nobody's fault.
	down func(*World) bool
	// drive is the uptime at which the power goes; 0: never.
	drive func(*World) time.Duration
	// tries is for how many boots the bootloader's try is good.
	tries int
	// unconfirmed: nobody ever called slot A good.
	unconfirmed bool
	// noRTC is the config's rtc = "none".
	noRTC bool
	// settle is the config's: how long health must hold.
	settle time.Duration
	// anchor is the trust anchor of the image that runs; nil: the repository's first root.
	anchor func(*World) []byte
	// minimum are the floors that the image that runs ships; nil: none.
	minimum func(*World) verifier.Floors
	// clock are the times at which the system clock is wrong.
	clock []clockFault
	// events happen one after the other, between two turns.
	events []event
	// chaos are random faults; nil: only planned ones.
	chaos *chaos
	// stolenTime: a thief has the timestamp key for a while, and drives the time's floor ahead.
	stolenTime bool
	// tune changes the device's config, and equip what it is made of; nil: as they are.
	tune  func(*World, *agent.Config)
	equip func(*World, *agent.Ports)
	// ownApp: the application is the agent, so what starts another one of its releases ends the process.
	ownApp bool
	// unchecked is for the contract tests: nothing in such a world is the agent's doing.
	unchecked bool
	// end says that the device is where it should come to.
	end func(*World, agent.Status) bool
}

// An event is something that people do to the device.
type event struct {
	name string
	when func(*World) bool
	do   func(*World, *agent.Agent) bool // false: it failed and will be done again
}

func (s Scenario) complete() Scenario {
	if s.at == nil {
		s.at = func(w *World) int { return len(w.repo.stages) - 1 }
	}
	if s.down == nil {
		s.down = func(*World) bool { return false }
	}
	if s.drive == nil {
		s.drive = func(*World) time.Duration { return 0 }
	}
	if s.anchor == nil {
		s.anchor = func(w *World) []byte { return w.repo.anchor }
	}
	if s.minimum == nil {
		s.minimum = func(*World) verifier.Floors { return verifier.Floors{} }
	}
	s.tries = max(1, s.tries)
	return s
}

// config is the device's.
func (s Scenario) config(w *World) agent.Config {
	c := agent.Config{
		Device: agent.Device{ID: "device-1", Hardware: "board", Channel: "stable"},
		Anchor: s.anchor(w), Minimum: s.minimum(w), BuildTime: epoch, Poll: 8 * time.Hour, BackoffMax: 8 * time.Hour, FlushBytes: chunkBytes, NoRTC: s.noRTC,
	}
	edited := w.edited
	for _, name := range s.repo.components {
		x := agent.Component{Name: name, Target: "{hardware}/{channel}/{component}.img", Hook: "/hook", Env: map[string]string{boardVariable: name}, Reboot: name == rootfs,
			HealthEvery: time.Minute, TrialSettle: s.settle, TrialDeadline: s.settle + 4*time.Minute}
		if name == rootfs && edited == HookMoved {
			x.Hook = "/moved-hook"
		}
		if name == rootfs && edited == ComponentRemoved {
			continue
		}
		c.Components = append(c.Components, x)
	}
	if s.tune != nil {
		s.tune(w, &c)
	}
	return c
}

// repaired reports that somebody has put the config right, for which the process starts again.
func (w *World) repaired() bool {
	if w.edited == "" || w.ran < w.editedAt+24*time.Hour {
		return false
	}
	w.edited = ""
	return true
}

// bother lets people and the broker do what they do: wakes come twice, late or not at all.
func (w *World) bother(a *agent.Agent) {
	for w.happened < len(w.events) && w.events[w.happened].when(w) {
		w.note("%s", w.events[w.happened].name)
		if !w.events[w.happened].do(w, a) {
			break
		}
		w.happened++
	}
	if w.calm() {
		if w.chaos != nil && a.Status().Paused {
			_ = a.Obey(agent.Command{Name: "resume"}) // tried again at the next turn
		}
		return
	}
	for w.random.Float64() < w.chaos.wakes {
		a.Wake(agent.Wake{Source: "mqtt", Nonce: "n", Spread: time.Duration(w.random.Int64N(int64(2 * time.Hour)))})
	}
	if w.random.Float64() < w.chaos.orders {
		name := []string{"pause", "resume", "retry"}[w.random.IntN(3)]
		w.note("the operator says %s", name)
		_ = a.Obey(agent.Command{Name: name}) // a failed commit ends the life at the next turn
	}
}

// A chaos is a time of random faults.
type chaos struct {
	until   time.Duration // of the world's time
	steps   int           // and no longer than this many steps
	rate    float64       // of faults per step
	mishaps float64       // of faults that bring a mishap
	kinds   []Mishap
	wakes   float64 // per turn
	orders  float64 // of the operator's commands, per turn
	hooks   float64 // of misbehaving hooks, per call
	attacks []attack
	outages []span
}

// A span of the world's time.
type span struct{ from, to time.Duration }

func (s span) holds(t time.Duration) bool { return s.from <= t && t < s.to }

// calm reports whether the random faults are over. Once they are, they stay over.
func (w *World) calm() bool {
	return w.chaos == nil || w.ran >= w.chaos.until || w.steps >= w.chaos.steps
}

func (w *World) chaosEnd() time.Duration {
	if w.chaos == nil {
		return 0
	}
	return w.chaos.until
}

// system is the machine's clock and identity.
type system struct{ w *World }

func (s system) BootID() string        { return fmt.Sprintf("boot-%d", s.w.boots) }
func (s system) Uptime() time.Duration { return s.w.uptime }
func (s system) Reboot(context.Context) error {
	return s.w.step("reboot", func() error { s.w.rebooting = true; return nil })
}

// Clock is right but for the scenario's faults.
func (s system) Clock() (time.Time, bool) {
	for _, f := range s.w.clock {
		if f.holds(s.w.ran) {
			if f.dead {
				return time.Unix(0, 0).Add(s.w.uptime), false
			}
			return s.w.now().Add(f.off), f.synchronised
		}
	}
	return s.w.now(), true
}

// now is the true time.
func (w *World) now() time.Time { return epoch.Add(24 * time.Hour).Add(w.ran) }

// A clockFault is a wrong system clock.
type clockFault struct {
	span
	dead         bool // it begins at 1970 with each boot
	off          time.Duration
	synchronised bool // and the kernel calls it right: a spoofed network time
}
