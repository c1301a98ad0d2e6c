package sim

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ota-agent/ota-agent/agent"
)

// eyes are a lookout that sees what a test wants.
type eyes func() agent.Surroundings

func (e eyes) Look(context.Context) agent.Surroundings { return e() }

// A guard is a gate hook: it answers gate, and leaves the rest to the hooks.
type guard struct {
	agent.Installer
	answer func(way string) error
	asked  *int
}

func (g guard) Do(ctx context.Context, verb agent.Verb, j agent.Job) error {
	if verb != agent.VerbGate {
		return g.Installer.Do(ctx, verb, j)
	}
	*g.asked++
	return g.answer(j.Slot)
}

// gateOpens is when the gates of these tests open: 03:00 on a Tuesday, 27 h after a world's beginning.
const gateOpens = 27 * time.Hour

// A gateStory is one gate that is shut until gateOpens.
type gateStory struct {
	reason agent.Reason
	phase  agent.Phase // in which it holds the component
	config func(*agent.Config)
	seen   func(shut bool) agent.Surroundings
	hook   bool
	clock  []clockFault
	events []event
}

func parse(texts ...string) (all []agent.Window) {
	for _, text := range texts {
		w, err := agent.ParseWindow(text)
		if err != nil {
			panic(err)
		}
		all = append(all, w)
	}
	return all
}

var gateStories = map[string]gateStory{
	"pause": {reason: agent.ReasonPaused, phase: agent.Idle, events: []event{
		orders("pause", func(w *World) bool { return w.ran >= 0 }),
		orders("resume", func(w *World) bool { return w.ran >= gateOpens })}},
	"inhibit": {reason: agent.ReasonInhibited, phase: agent.Idle,
		config: func(c *agent.Config) { c.Gates.InhibitDir = "/inhibit" },
		seen: func(shut bool) agent.Surroundings {
			if !shut {
				return agent.Surroundings{}
			}
			return agent.Surroundings{Inhibitors: []agent.Inhibitor{{Name: "mission", Text: "on patrol"}}}
		}},
	"download window": {reason: agent.ReasonWindow, phase: agent.Idle,
		config: func(c *agent.Config) { c.Gates.Download = parse("Tue 03:00-04:00") }},
	"installation window": {reason: agent.ReasonWindow, phase: agent.Staged,
		config: func(c *agent.Config) { c.Gates.Install = parse("Tue 03:00-04:00", "Tue 04:30-05:00") }},
	"a clock that nobody set": {reason: agent.ReasonClockUnsure, phase: agent.Staged,
		config: func(c *agent.Config) { c.Gates.Install = parse("00:00-24:00") },
		clock:  []clockFault{{span: span{0, gateOpens}}}},
	"metered": {reason: agent.ReasonMetered, phase: agent.Idle,
		config: func(c *agent.Config) { c.Gates.MeteredFile = "/metered" },
		seen:   func(shut bool) agent.Surroundings { return agent.Surroundings{Metered: shut} }},
	"battery": {reason: agent.ReasonBattery, phase: agent.Staged,
		config: func(c *agent.Config) { c.Gates.BatteryMin = 50 },
		seen:   func(shut bool) agent.Surroundings { return agent.Surroundings{Battery: 49, Mains: !shut} }},
	"temperature": {reason: agent.ReasonTemperature, phase: agent.Staged,
		config: func(c *agent.Config) { c.Gates.TemperatureMax = 70 },
		seen: func(shut bool) agent.Surroundings {
			return agent.Surroundings{Thermometer: true, Temperature: map[bool]int{true: 71, false: 70}[shut]}
		}},
	"gate hook": {reason: agent.ReasonGateHook, phase: agent.Idle, hook: true,
		config: func(c *agent.Config) { c.Gates.Hook = "/gate" }},
}

// A gateWatch follows a world at its gate.
type gateWatch struct {
	shutAt int // steps when the gate was first seen shut; -1: never
	moved  bool
	asked  int
	seqs   map[uint64]bool // of the status documents while it was shut
}

// scenario is the gate's story; w tells of it.
func (g gateStory) scenario(repo *repository, watch *gateWatch) Scenario {
	*watch = gateWatch{shutAt: -1, seqs: map[uint64]bool{}}
	shut := func(w *World) bool { return w.ran < gateOpens }
	return Scenario{repo: repo, clock: g.clock, events: g.events,
		tune: func(_ *World, c *agent.Config) {
			if g.config != nil {
				g.config(c)
			}
		},
		equip: func(w *World, p *agent.Ports) {
			if g.seen != nil {
				p.Lookout = eyes(func() agent.Surroundings { return g.seen(shut(w)) })
			}
			p.Installer = guard{p.Installer, func(string) error {
				if shut(w) {
					return &agent.Problem{Reason: agent.ReasonHookBusy, Text: "busy", RetryAfter: time.Hour}
				}
				return nil
			}, &watch.asked}
		},
		end: func(w *World, s agent.Status) bool {
			c := status(s, rootfs)
			if shut(w) && c.Waiting != nil && c.Waiting.Reason == g.reason {
				if watch.shutAt < 0 && (g.reason != agent.ReasonPaused || w.ran > time.Hour) {
					watch.shutAt = w.steps
				}
				watch.moved = watch.moved || watch.shutAt >= 0 && w.steps != watch.shutAt || c.Phase != g.phase
				watch.seqs[s.Seq] = true
			}
			return !shut(w) && rests(w, s, rootfs, 2)
		}}
}

// TestGatesDelayAndLetThrough: each gate holds its component, in its phase, for as long as it is shut; nothing is written
// meanwhile and the status document hardly changes, over half a dozen polls. Then the update goes on by itself.
func TestGatesDelayAndLetThrough(t *testing.T) {
	t.Parallel()
	repo := publishAll(t, fine, fine)
	for name, g := range gateStories {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var watch gateWatch
			w, why := play(g.scenario(repo, &watch), 1, nil)
			switch {
			case why != "":
				t.Fatalf("%s\n%s", why, w.tail())
			case watch.shutAt < 0:
				t.Fatalf("it never waited with reason %s\n%s", g.reason, w.tail())
			case watch.moved && len(g.clock) == 0: // a device whose clock is not synchronised makes its time durable
				t.Errorf("something was written, or the phase was not %s, while it was shut\n%s", g.phase, w.tail())
			case w.ran > gateOpens+3*time.Hour && (g.events == nil || w.ran > gateOpens+7*time.Hour): // people act at the next poll
				t.Errorf("it opened after %s, and the update came to its end after %s", gateOpens, w.ran)
			case len(watch.seqs) > 20:
				t.Errorf("%d status documents said something new while it was shut", len(watch.seqs))
			case g.hook && (watch.asked < 27 || watch.asked > 33):
				t.Errorf("the hook was asked %d times, and wanted to be asked each hour", watch.asked)
			}
		})
	}
}

// TestGatesSurviveCrashes hits each gate's story at each of its steps.
func TestGatesSurviveCrashes(t *testing.T) {
	t.Parallel()
	repo := publishAll(t, fine, fine)
	for name, g := range gateStories {
		t.Run(name, func(t *testing.T) {
			var watch gateWatch
			steps := calmSteps(t, g.scenario(repo, &watch))
			n := 0
			for job := range singles(Scenario{}, steps, effortOf(t).stride, Faults) {
				var watch gateWatch
				if w, why := play(g.scenario(repo, &watch), 1, job.plan); why != "" {
					t.Fatalf("%s\nfaults: %v\n%s", why, job.plan, w.tail())
				}
				n++
			}
			t.Logf("%d crash points over %d steps", n, steps)
		})
	}
}

// TestADownloadEndsAtItsGate is in package agent: a world's tasks run to their end.

// TestADeferralEnds: windows that never open, a link that is always metered and a hook that always says no hold an update
// back for defer_max of uptime, also where each drive is short. Pause, inhibitors and the battery do so for ever.
func TestADeferralEnds(t *testing.T) {
	t.Parallel()
	repo := publishAll(t, fine, fine)
	const deferMax = 36 * time.Hour
	all := func(c *agent.Config) {
		c.Gates = agent.Gates{Download: parse("Sun 00:00-00:01"), Install: parse("Sun 00:00-00:01"), MeteredFile: "/metered", Hook: "/gate",
			InhibitDir: "/inhibit", BatteryMin: 50, TemperatureMax: 70, DeferMax: deferMax}
	}
	for name, c := range map[string]struct {
		drive time.Duration
		seen  agent.Surroundings
		end   func(w *World, s agent.Status) bool
		least time.Duration // of the world's time
	}{
		"in one boot": {seen: agent.Surroundings{Metered: true, Battery: 100}, end: runs(2), least: deferMax},
		"in drives of two hours": {drive: 2 * time.Hour, seen: agent.Surroundings{Metered: true, Battery: 100}, end: runs(2),
			least: deferMax/2*5 - 12*time.Hour},
		"but not on an empty battery": {seen: agent.Surroundings{Battery: 10}, least: 3 * 24 * time.Hour,
			end: waitsFor(agent.Staged, agent.ReasonBattery)},
		"but not when it is hot": {seen: agent.Surroundings{Thermometer: true, Temperature: 71, Mains: true}, least: 3 * 24 * time.Hour,
			end: waitsFor(agent.Staged, agent.ReasonTemperature)},
		"but not against an inhibitor": {seen: agent.Surroundings{Battery: -1, Inhibitors: []agent.Inhibitor{{Name: "no"}}},
			least: 3 * 24 * time.Hour, end: waitsFor(agent.Idle, agent.ReasonInhibited)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			asked := 0
			s := Scenario{repo: repo, tune: func(_ *World, a *agent.Config) { all(a) },
				drive: func(w *World) time.Duration {
					if w.ran > 30*24*time.Hour {
						return 0
					}
					return c.drive
				},
				equip: func(_ *World, p *agent.Ports) {
					p.Lookout = eyes(func() agent.Surroundings { return c.seen })
					p.Installer = guard{p.Installer, func(string) error { return &agent.Problem{Reason: agent.ReasonHookBusy, Text: "no"} }, &asked}
				},
				end: func(w *World, s agent.Status) bool {
					if w.ran < c.least && (status(s, rootfs).Phase == agent.Trial || rests(w, s, rootfs, 2)) {
						w.breach("an update after %s", w.ran)
					}
					return w.ran >= c.least && c.end(w, s)
				}}
			w, why := play(s, 1, nil)
			if why != "" {
				t.Fatalf("%s\n%s", why, w.tail())
			}
			t.Logf("after %s, %d boots and %d steps", w.ran, w.boots, w.steps)
		})
	}
}

// waitsFor ends when rootfs waits in a phase, for a reason.
func waitsFor(phase agent.Phase, reason agent.Reason) func(*World, agent.Status) bool {
	return func(_ *World, s agent.Status) bool {
		c := status(s, rootfs)
		return c.Phase == phase && c.Waiting != nil && c.Waiting.Reason == reason
	}
}

// TestExpiryIsJudgedAfterAGate: the metadata expires while the image waits for its window. It is not tried.
func TestExpiryIsJudgedAfterAGate(t *testing.T) {
	t.Parallel()
	s := Scenario{repo: publishAll(t, fine, fine), clock: []clockFault{{span: span{10 * time.Hour, 1 << 62}, off: expiry, synchronised: true}},
		tune: func(_ *World, c *agent.Config) { c.Gates.Install = parse("Tue-Sun 00:00-24:00") },
		end: func(w *World, s agent.Status) bool {
			if w.boots > 1 || w.boards[rootfs].try != "" {
				w.breach("an image was tried whose metadata had expired")
			}
			return w.ran > 4*24*time.Hour && s.Repository.LastProblem != nil && s.Repository.LastProblem.Reason == agent.ReasonExpired
		}}
	w, why := play(s, 1, nil)
	if why != "" {
		t.Fatalf("%s\n%s", why, w.tail())
	}
	if r := w.disk.state.Records[rootfs]; r.Phase != agent.Switched {
		t.Errorf("the release is %s: it did not pass the gate\n%s", r.Phase, w.tail())
	}
}

// An urgent release skips the windows where the config lets it.
func TestUrgentSkipsWindows(t *testing.T) {
	t.Parallel()
	urgent := publishEach(t, publication{component: rootfs, how: fine}, publication{component: rootfs, how: fine, urgent: true})
	plain := publishAll(t, fine, fine)
	for name, c := range map[string]struct {
		repo  *repository
		skips bool
		least time.Duration
	}{
		"urgent, and it may":     {urgent, true, 0},
		"urgent, and it may not": {urgent, false, gateOpens},
		"not urgent":             {plain, true, gateOpens},
	} {
		w, why := play(Scenario{repo: c.repo, end: runs(2), tune: func(_ *World, a *agent.Config) {
			a.Gates.Download, a.Gates.Install = parse("Tue 03:00-05:00"), parse("Tue 03:00-05:00")
			a.Components[0].UrgentSkipsWindows = c.skips
		}}, 1, nil)
		if why != "" || w.ran < c.least || w.ran > c.least+3*time.Hour {
			t.Errorf("%s: after %s, want %s: %s\n%s", name, w.ran, c.least, why, w.tail())
		}
	}
}

// A meter counts what crosses the network, by true days. What metadata a restart makes forgotten is bounded by a step.
type meter struct {
	w                *World
	total            int64
	images, metadata map[int64]int64
	restarts         map[int64]int64
	starts           int
	fileMax          int64 // the largest metadata file so far
	overdrawn        string
}

func (m *meter) day() int64 { return m.w.now().Unix() / (24 * 60 * 60) }

// took counts bytes of an image, and looks whether they may come. A restart may forget, or forfeit, a step of the budget, and
// the metadata file that had just come: what it costs is known only then.
func (m *meter) took(n int64) {
	day := m.day()
	m.images[day] += n
	if n > 0 && m.images[day]+m.metadata[day] > dayBytes+m.restarts[day]*(dayBytes/8+m.fileMax) {
		m.overdrawn = fmt.Sprintf("%d bytes of images and %d of metadata came on day %d with %d restarts, and the budget is %d",
			m.images[day], m.metadata[day], day, m.restarts[day], dayBytes)
	}
}

// A meteredMirror is a mirror whose bytes are counted.
type meteredMirror struct {
	mirror
	m *meter
}

func (r meteredMirror) Metadata(ctx context.Context, name string, bytesMax int64) ([]byte, error) {
	b, err := r.mirror.Metadata(ctx, name, bytesMax)
	r.m.total += int64(len(b))
	r.m.metadata[r.m.day()] += int64(len(b))
	r.m.fileMax = max(r.m.fileMax, int64(len(b)))
	return b, err
}

func (r meteredMirror) Image(ctx context.Context, q agent.ImageRequest) (agent.ImageBody, error) {
	body, err := r.mirror.Image(ctx, q)
	if err == nil {
		body.ReadCloser = countedBody{body.ReadCloser, r.m}
	}
	return body, err
}

type countedBody struct {
	io.ReadCloser
	m *meter
}

func (b countedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.m.total += int64(n)
	b.m.took(int64(n))
	return n, err
}

// dayBytes is a budget that lets the metadata of a day's polls through, and a part of an image.
const dayBytes = 4 << 10

// budgetStory is an update that takes days, since the budget is small beside it.
func budgetStory(repo *repository) (Scenario, *meter) {
	m := &meter{images: map[int64]int64{}, metadata: map[int64]int64{}, restarts: map[int64]int64{}}
	waited := func(w *World, s agent.Status) bool {
		if c := status(s, rootfs); c.Waiting != nil && c.Waiting.Reason == agent.ReasonByteBudget && c.Problem != nil && c.Problem.Reason == agent.ReasonByteBudget {
			w.breach("a budget that is used up counts as a failure: %+v", c.Problem)
		}
		return runs(2)(w, s)
	}
	return Scenario{repo: repo, end: waited,
		tune: func(_ *World, c *agent.Config) { c.DayBytesMax, c.FlushBytes = dayBytes, chunkBytes },
		equip: func(w *World, p *agent.Ports) {
			m.w = w
			if m.starts++; m.starts > 1 {
				m.restarts[m.day()]++
			}
			from := m.total
			p.Repository = meteredMirror{mirror{w}, m}
			p.Counters = func() agent.Counters { return agent.Counters{BytesFetched: m.total - from} }
		}}, m
}

// TestByteBudget: a download goes on for as many days as its budget makes it, never beyond it, and over crashes at each step
// nothing is counted too low. A day's counting costs few commits.
func TestByteBudget(t *testing.T) {
	t.Parallel()
	repo := publishAll(t, fine, fine)
	s, m := budgetStory(repo)
	w, why := play(s, 1, nil)
	if why != "" || m.overdrawn != "" {
		t.Fatalf("%s %s\n%s", why, m.overdrawn, w.tail())
	}
	if len(m.images) < 2 {
		t.Fatalf("it took %d days: the budget held nothing back\n%s", len(m.images), w.tail())
	}
	charges := 0
	for _, line := range w.trace {
		if strings.HasSuffix(line, "commit device") {
			charges++
		}
	}
	if days := int(w.ran/(24*time.Hour)) + 1; charges == 0 || charges > 8*days {
		t.Errorf("%d charges in %d days, want at most 8 a day", charges, days)
	}
	for job := range singles(Scenario{}, w.steps, effortOf(t).stride, slices.Concat(Faults, []Fault{{Power: true, Also: ImageRots}})) {
		s, m := budgetStory(repo)
		if w, why := play(s, 1, job.plan); why != "" || m.overdrawn != "" {
			t.Fatalf("%s %s\nfaults: %v\n%s", why, m.overdrawn, job.plan, w.tail())
		}
	}
}

// TestADeferralEndsOnShortDrives: the link is always metered, and each drive ends before half an hour. What was held back must not
// begin anew with each.
func TestADeferralEndsOnShortDrives(t *testing.T) {
	t.Parallel()
	s := Scenario{repo: publishAll(t, fine, fine), end: runs(2), tune: func(_ *World, c *agent.Config) {
		c.Poll = time.Hour
		c.Gates = agent.Gates{MeteredFile: "/metered", DeferMax: 8 * time.Hour}
	}, equip: func(_ *World, p *agent.Ports) {
		p.Lookout = eyes(func() agent.Surroundings { return agent.Surroundings{Metered: true} })
	}, drive: func(*World) time.Duration { return 25 * time.Minute }}
	w, why := play(s, 1, nil)
	if why != "" {
		t.Fatalf("%s\n%s", why, w.tail())
	}
	if uptime := time.Duration(w.boots) * 25 * time.Minute; uptime < 8*time.Hour {
		t.Errorf("it held back for %s of uptime", uptime)
	}
}
