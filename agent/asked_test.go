package agent

import (
	"log/slog"
	"testing"
	"time"

	"github.com/ota-agent/ota-agent/release"
)

// A sleeper is a vendored device whose time goes on when the test says so.
type sleeper struct {
	*vendored
	up time.Duration
}

func (s *sleeper) Uptime() time.Duration { return s.up }

// TestATrialThatWasSleptThroughAsksOnceMore: the first refreshes of a trial found no network yet, and then the device slept until long after
// the deadline, perhaps in the middle of one. The network is there when it wakes: what was known before says nothing, even while the next
// refresh is under way, nor does the one that was slept through.
func TestATrialThatWasSleptThroughAsksOnceMore(t *testing.T) {
	for name, within := range map[string]bool{"between two refreshes": false, "in a refresh": true} {
		t.Run(name, func(t *testing.T) { testSleptThrough(t, within) })
	}
}

func testSleptThrough(t *testing.T, within bool) {
	v := newVendored()
	s := &sleeper{v, time.Minute}
	listed := v.engine(t)
	v.refresh(t, listed)
	v.slots = &Slots{Booted: "B", Primary: "A", Slots: map[string]Slot{"A": {Good: true}, "B": {}}}
	v.state.Records = map[string]Record{"rootfs": {Schema: RecordSchema, Component: "rootfs", Phase: Trial, Release: listed.live[0].offer.Release,
		TargetSlot: "B", BootID: "boot-1", TrialFrom: time.Minute, Reboot: true, Hook: "/hook"}}
	v.down, v.mirror = []bool{true}, 0
	e, err := newEngine(Config{Anchor: v.repo.Anchor(), Components: []Component{{Name: "rootfs", Target: "rootfs", Reboot: true}}},
		Ports{Store: v, Images: v, Repository: v, Installer: v, System: s, Random: func() float64 { return 0.5 }}, slog.New(slog.DiscardHandler))
	must(t, err)
	turn := func(slow bool) (late []*task) {
		tasks, err := e.advance()
		must(t, err)
		for _, x := range tasks {
			if slow && x.of == nil {
				late = append(late, x) // a network is slower than a health check
				continue
			}
			must(t, e.finish(x, x.run(t.Context())))
		}
		return late
	}
	pass := func() { s.up += 2 * time.Second }
	for ; e.plan.failures < UnansweredMax; pass() {
		turn(false)
	}
	var late []*task
	for ; within && late == nil; pass() {
		late = turn(true)
	}
	var ended []outcome
	for _, x := range late {
		ended = append(ended, x.run(t.Context())) // it began before the sleep, which its connection does not outlive
	}
	s.up += 9 * time.Hour
	for i, o := range ended {
		must(t, e.finish(late[i], o))
	}
	v.down, v.mirror, late = []bool{false}, 0, nil
	for range 20 {
		late = append(late, turn(true)...)
		pass()
	}
	if r := e.book.record("rootfs"); len(late) != 1 || r.Phase != Trial {
		t.Fatalf("%d refreshes are under way, and the phase is %s: %+v; expected one, and a trial that waits for it", len(late), r.Phase, r.Cause)
	}
	must(t, e.finish(late[0], late[0].run(t.Context())))
	for range 5 {
		turn(false)
		pass()
	}
	if r := e.book.record("rootfs"); r.Phase != Confirming {
		t.Errorf("after the refresh that reached the repository the phase is %s, expected confirming", r.Phase)
	}
}

// TestARollbackAsksAtOnce: the last refresh failed hours ago, and the next one is hours away. A rollback waits for neither.
func TestARollbackAsksAtOnce(t *testing.T) {
	v := newVendored()
	s := &sleeper{v, time.Minute}
	v.slots = bothGood()
	v.state.Records = map[string]Record{"rootfs": {Schema: RecordSchema, Component: "rootfs", Phase: Idle, Confirmed: releaseV3, ConfirmedSlot: "B",
		Previous: releaseV2, PreviousSlot: "A"}}
	v.down = []bool{true}
	e, err := newEngine(Config{Anchor: v.repo.Anchor(), Components: []Component{{Name: "rootfs", Target: "rootfs", Reboot: true}}},
		Ports{Store: v, Images: v, Repository: v, Installer: v, System: s, Random: func() float64 { return 0.5 }}, slog.New(slog.DiscardHandler))
	must(t, err)
	turn := func() (refreshed bool) {
		tasks, err := e.advance()
		must(t, err)
		for _, x := range tasks {
			refreshed = refreshed || x.of == nil
			must(t, e.finish(x, x.run(t.Context())))
		}
		return refreshed
	}
	s.up = time.Hour
	turn()
	turn()
	if e.lastRefusal() == nil {
		t.Fatal("the refresh did not fail")
	}
	e.plan.due = 1 << 62
	s.up += 6 * time.Hour
	must(t, e.rollback("rootfs"))
	if !turn() {
		t.Error("the repository is not asked before the rollback")
	}
	turn()
	if r := e.book.record("rootfs"); r.Phase != Switched || !r.Offline {
		t.Errorf("after a refresh that failed just now the phase is %s, offline %v; expected a rollback that need not reach the repository", r.Phase, r.Offline)
	}
}

// TestALookThatLastsIsWaitedFor: a look at the surroundings, or a question to the gate hook, must not spin the loop while it lasts.
func TestALookThatLastsIsWaitedFor(t *testing.T) {
	a, d := newGated(t, Gates{InhibitDir: "/run/inhibit"})
	d.sees.Inhibitors = []Inhibitor{{Name: "mission"}}
	e := a.engine
	for range 4 {
		tasks, err := e.advance()
		must(t, err)
		for _, x := range tasks {
			if x.of != nil || x.done != nil { // the refresh lasts for ever
				must(t, e.finish(x, x.run(t.Context())))
			}
		}
	}
	d.up += surveyEvery + time.Second
	for range 3 {
		_, err := e.advance()
		must(t, err)
	}
	if !e.survey.runs || e.deadline() <= 0 {
		t.Errorf("a look is under way: %v, and the loop wakes in %s; expected to sleep until it ends", e.survey.runs, e.deadline())
	}
}

// TestNetworkTimeThatIsCorrected: spoofed network time made the metadata too old. As soon as it is right again the repository is asked.
func TestNetworkTimeThatIsCorrected(t *testing.T) {
	v := newVendored()
	right := v.clock
	e := v.engine(t)
	v.clock, v.synchronised = right.AddDate(5, 0, 0), true
	v.refresh(t, e)
	if p := e.lastRefusal(); p == nil || p.Reason != ReasonExpired || e.clockWasSet() {
		t.Fatalf("the problem is %+v, and the clock was set: %v; expected metadata that has expired", p, e.clockWasSet())
	}
	if e.deadline() > clockLookSure {
		t.Errorf("the clock is looked at in %s, expected at most %s", e.deadline(), clockLookSure)
	}
	v.clock = right
	if !e.clockWasSet() || e.refreshTask() == nil {
		t.Error("the clock is right again, and the repository is not asked")
	}
}

// TestAWaitForCenturies: the loop sleeps for as long as it may.
func TestAWaitForCenturies(t *testing.T) {
	v := newVendored()
	e := v.engine(t)
	v.refresh(t, e)
	e.plan.now, e.plan.due = false, 1<<62
	before := e.deadline()
	e.live[0].waiting = &Waiting{Reason: ReasonRollout, Left: SecondsOf(1<<63 - 1)}
	if got := e.deadline(); got != before || got <= 0 {
		t.Errorf("the loop wakes in %s, without that wait in %s", got, before)
	}
}

// TestSecondsOf: a wait is never shown as over before it is, nor as less than none, however far ahead a signed time lies.
func TestSecondsOf(t *testing.T) {
	for d, want := range map[time.Duration]Seconds{0: 0, 1: 1, time.Second: 1, time.Second + 1: 2, -time.Minute: 0, 1<<63 - 1: 9223372037} {
		if got := SecondsOf(d); got != want {
			t.Errorf("%s is %d s, expected %d", d, got, want)
		}
	}
	far := &release.Rollout{Start: testNow.AddDate(900, 0, 0), Duration: time.Hour}
	if w := rolloutGate(far, "device", "release", testNow, testNow); w == nil || w.Left <= 0 {
		t.Errorf("a rollout in 900 years: %+v", w)
	}
}

// TestCountersOfACheckAndOfAnUpdate: status tells what the last check cost, and an update over all its boots.
func TestCountersOfACheckAndOfAnUpdate(t *testing.T) {
	v := newVendored()
	v.state.Records = map[string]Record{"rootfs": {Schema: RecordSchema, Component: "rootfs", Phase: Fetching, Release: releaseV2,
		Spent: Counters{BytesWritten: 1000, Fsyncs: 10}}}
	e := v.engine(t)
	counted := Counters{Requests: 1, BytesWritten: 5, Fsyncs: 1}
	e.p.Counters = func() Counters { return counted }
	task := e.refreshTask()
	counted.Requests, counted.Fsyncs = 4, 3
	must(t, e.finish(task, task.run(t.Context())))
	if got := e.status().Repository.LastCheck; got == nil || *got != (Counters{Requests: 3, Fsyncs: 2}) {
		t.Errorf("the last check cost %+v, expected 3 requests and 2 fsyncs", got)
	}
	c := e.component("rootfs")
	must(t, e.step(c, e.book.record("rootfs"), Action{Kind: Fetch, SHA256: "ab"}, nil))
	counted.BytesWritten = 105
	if got := e.status().Components[0].Spent; got == nil || *got != (Counters{Requests: 4, BytesWritten: 1005, Fsyncs: 13}) {
		t.Errorf("the update has cost %+v so far", got)
	}
	commits, events := v.commits, e.book.lastEvent()
	must(t, e.step(c, e.book.record("rootfs"), Action{Kind: Observe}, nil))
	must(t, e.step(c, e.book.record("rootfs"), Action{Kind: Observe}, &Problem{Reason: ReasonHookFailed}))
	if v.commits != commits || e.book.lastEvent() != events {
		t.Errorf("%d commits and %d events for what changes nothing but the counters", v.commits-commits, e.book.lastEvent()-events)
	}
	must(t, e.step(c, e.book.record("rootfs"), Action{Kind: Drop, Problem: &Problem{Reason: ReasonWithdrawn}}, nil))
	if got := e.status().Components[0]; got.Spent != nil || got.Last == nil || got.Last.Spent == nil || got.Last.Spent.BytesWritten != 1105 {
		t.Errorf("afterwards %+v, and of the last one %+v; expected 1,105 bytes written in it", got.Spent, got.Last)
	}
	must(t, e.step(c, e.book.record("rootfs"), Action{Kind: TakeUp, Release: releaseV3}, nil))
	if got := e.status().Components[0].Spent; got != nil {
		t.Errorf("the next update begins with %+v", got)
	}
}

// TestWhatNeedsNoNetworkIsApprovedWithoutIt: an old answer over the network holds up neither a trial that needs none, nor one beside
// whose device the repository is now.
func TestWhatNeedsNoNetworkIsApprovedWithoutIt(t *testing.T) {
	r := Record{Phase: Trial, Release: releaseV2, TargetSlot: "B", BootID: "boot-1", Reboot: true}
	f := Facts{Component: &Component{}, BootID: "boot-1", Slots: &Slots{Booted: "B", Primary: "A", Slots: map[string]Slot{"A": {Good: true}, "B": {}}},
		Healthy: true, HealthIn: time.Second, Reached: true, ReachedAge: time.Hour}
	if a := Next(r, f); a.Kind != Check {
		t.Errorf("over the network: %s, expected that the repository is asked once more", a.Kind)
	}
	for name, change := range map[string]func(){
		"a release from a stick":      func() { r.Local = true },
		"a rollback in an outage":     func() { r.Local, r.Offline = false, true },
		"a stick that was plugged in": func() { r.Local, r.Offline, f.Local = false, false, true },
	} {
		was, had := r, f
		if change(); Next(r, f).Kind != Approve {
			t.Errorf("%s: %s, expected approve", name, Next(r, f).Kind)
		}
		r, f = was, had
	}
}
