package agent

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"time"

	"github.com/ota-agent/ota-agent/verifier"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// A fakeStore keeps the state, and may fail.
type fakeStore struct {
	state   State
	commits int
	fails   bool
}

func (s *fakeStore) Load() (State, error)                  { return s.state, nil }
func (s *fakeStore) Document(verifier.Key) ([]byte, error) { return nil, ErrAbsent }
func (s *fakeStore) Commit(c Change) error {
	if s.fails {
		return errors.New("the disk is gone")
	}
	s.commits++
	if c.Device != nil {
		s.state.Device = *c.Device
	}
	for _, r := range c.Records {
		if s.state.Records == nil {
			s.state.Records = map[string]Record{}
		}
		s.state.Records[r.Component] = r
	}
	return nil
}

// A fakeDevice is a machine, its repository and its images; only what a test asks for is there.
type fakeDevice struct {
	Repository
	Images
	Installer
	up    time.Duration
	now   time.Time
	sees  Surroundings
	looks int
}

func (d *fakeDevice) BootID() string                    { return "boot-1" }
func (d *fakeDevice) Uptime() time.Duration             { return d.up }
func (d *fakeDevice) Clock() (time.Time, bool)          { return d.now, true }
func (d *fakeDevice) Reboot(context.Context) error      { return nil }
func (d *fakeDevice) Local() bool                       { return false }
func (d *fakeDevice) Keep([]verifier.Target) error      { return nil }
func (d *fakeDevice) Look(context.Context) Surroundings { d.looks++; return d.sees }

// newGated is an agent with one component that is fetching, and gates.
func newGated(t *testing.T, gates Gates) (*Agent, *fakeDevice) {
	t.Helper()
	d := &fakeDevice{up: time.Hour, now: testNow, sees: Surroundings{Battery: -1}}
	store := &fakeStore{state: State{Records: map[string]Record{"rootfs": {Schema: 1, Component: "rootfs", Phase: Fetching, Release: releaseV2}}}}
	a, err := New(Config{Components: []Component{{Name: "rootfs"}}, Gates: gates, DayBytesMax: 1e6}, Ports{Store: store, Images: d, Repository: d,
		Installer: d, System: d, Lookout: d, Random: func() float64 { return 0.5 }, Counters: func() Counters { return Counters{} }},
		slog.New(slog.DiscardHandler))
	must(t, err)
	return a, d
}

// A download that runs ends when its window does, when somebody inhibits it and when the link becomes metered; a rollout, the
// hook and gates of the installation don't end it.
func TestADownloadEndsAtItsGate(t *testing.T) {
	for name, c := range map[string]struct {
		gates Gates
		sees  Surroundings
		ends  bool
	}{
		"no gate":                   {Gates{}, Surroundings{}, false},
		"inside of its window":      {Gates{Download: windows(t, "Sun 11:00-13:00")}, Surroundings{}, false},
		"its window is over":        {Gates{Download: windows(t, "Sun 11:00-12:00")}, Surroundings{}, true},
		"the installation's is":     {Gates{Install: windows(t, "Sun 11:00-12:00")}, Surroundings{}, false},
		"an inhibitor":              {Gates{InhibitDir: "/i"}, Surroundings{Inhibitors: []Inhibitor{{}}}, true},
		"a metered link":            {Gates{MeteredFile: "/m"}, Surroundings{Metered: true}, true},
		"what is not configured":    {Gates{}, Surroundings{Metered: true, Inhibitors: []Inhibitor{{}}}, false},
		"a battery":                 {Gates{BatteryMin: 50}, Surroundings{Battery: 1}, false},
		"a hook that was not asked": {Gates{Hook: "/h"}, Surroundings{}, false},
	} {
		t.Run(name, func(t *testing.T) {
			a, d := newGated(t, c.gates)
			d.sees = c.sees
			live := a.engine.live[0]
			ended := false
			live.running = &task{of: live, action: Action{Kind: Fetch}, cancel: func() { ended = true }}
			a.engine.plan.now, a.engine.plan.due = false, 1<<62
			for range 2 { // a look at the surroundings comes between
				tasks, err := a.engine.advance()
				must(t, err)
				for _, x := range tasks {
					must(t, a.engine.finish(x, x.run(t.Context())))
				}
			}
			if ended != c.ends {
				t.Errorf("the download ended: %t, want %t", ended, c.ends)
			}
		})
	}
}

// Figures that move by themselves make no new status document; a verdict does.
func TestGateFiguresAreNoNews(t *testing.T) {
	a, d := newGated(t, Gates{BatteryMin: 50, Download: windows(t, "Mon 01:00-02:00"), DeferMax: time.Hour})
	e := a.engine
	turn := func() uint64 {
		_, err := e.advance()
		must(t, err)
		a.publish()
		return a.Status().Seq
	}
	e.plan.now, e.plan.due = false, 1<<62
	e.survey = survey{seen: true, at: d.up, found: Surroundings{Battery: 80}}
	first := turn()
	shown := a.Status().Components[0]
	if shown.Waiting == nil || shown.Waiting.Reason != ReasonWindow || len(shown.Gates) != 4 {
		t.Fatalf("it waits for %+v at %+v", shown.Waiting, shown.Gates)
	}
	for percent := 79; percent >= 50; percent-- {
		d.up, d.now = d.up+time.Second, d.now.Add(time.Second)
		e.survey.found.Battery = percent
		if seq := turn(); seq != first {
			t.Fatalf("a new document at %d %%", percent)
		}
	}
	if s := a.Status(); s.Components[0].Gates[3].Figure != "on battery, 50 %" || s.Budget.Left != 1e6 {
		t.Errorf("the figures stand still: %+v, %+v", s.Components[0].Gates, s.Budget)
	}
	e.survey.found.Battery = 49
	if turn() == first {
		t.Error("the battery's verdict is no news")
	}
	since := a.Status().Components[0].Gates[3].Since
	d.up, d.now = d.up+time.Hour, d.now.Add(time.Hour)
	turn()
	gates := a.Status().Components[0].Gates
	if gates[1].Verdict != VerdictOverridden || !gates[3].Since.Equal(since) || gates[3].Verdict != VerdictClosed {
		t.Errorf("after an hour: %+v", gates)
	}
}

// A look that is stale is taken anew before anything goes on by it, and a gate that was shut stays so meanwhile.
func TestStaleLooks(t *testing.T) {
	a, d := newGated(t, Gates{InhibitDir: "/i"})
	e := a.engine
	c := e.live[0]
	e.plan.now, e.plan.due = false, 1<<62
	_, err := e.advance()
	must(t, err)
	if c.waiting == nil || c.waiting.Reason != ReasonLooking || c.running != nil {
		t.Fatalf("before any look it waits for %+v", c.waiting)
	}
	e.survey.runs = false
	for _, look := range []struct {
		waits Reason // until it is over
		sees  []Inhibitor
	}{{ReasonLooking, []Inhibitor{{Name: "x"}}}, {ReasonInhibited, []Inhibitor{{Name: "x"}}}, {ReasonInhibited, nil}} {
		d.up += surveyEvery
		d.sees.Inhibitors = look.sees
		tasks, err := e.advance()
		must(t, err)
		if len(tasks) != 1 || tasks[0].done == nil || c.waiting.Reason != look.waits {
			t.Fatalf("%d tasks, and it waits for %+v", len(tasks), c.waiting)
		}
		must(t, e.finish(tasks[0], tasks[0].run(t.Context())))
	}
	tasks, err := e.advance()
	must(t, err)
	if len(tasks) != 1 || tasks[0].action.Kind != Fetch || d.looks != 3 {
		t.Errorf("after %d looks: %+v", d.looks, tasks)
	}
	// A look for what waits out a failure is not worth telling.
	must(t, e.finish(tasks[0], outcome{problem: &Problem{Reason: ReasonCut}}))
	for range 3 {
		tasks, err := e.advance()
		must(t, err)
		if c.waiting == nil || c.waiting.Reason != ReasonCut {
			t.Fatalf("after a failure it waits for %+v", c.waiting)
		}
		for _, x := range tasks {
			must(t, e.finish(x, x.run(t.Context())))
		}
		e.survey.age(d.up)
	}
}
