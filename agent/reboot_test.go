package agent

import (
	"context"
	"log/slog"
	"slices"
	"testing"
	"time"
)

// A stubborn device has a reboot command that succeeds and does nothing.
type stubborn struct {
	*waiting
	ordered []time.Duration
	verbs   []string
}

func (s *stubborn) Reboot(context.Context) error {
	s.ordered = append(s.ordered, s.up)
	return nil
}

func (s *stubborn) Do(_ context.Context, verb Verb, j Job) error {
	s.verbs = append(s.verbs, j.Component+" "+string(verb))
	return nil
}

// newStubborn has a system that was tried and waits for its reboot, and an application that was staged.
func newStubborn(t *testing.T) *stubborn {
	s := &stubborn{waiting: &waiting{vendored: newVendored(), up: time.Hour, fails: ErrAbsent}}
	e := s.vendored.engine(t)
	s.vendored.refresh(t, e)
	s.slots = &Slots{Booted: "A", Primary: "A", Slots: map[string]Slot{"A": {Good: true}, "B": {}}}
	s.state.Records = map[string]Record{
		"rootfs": {Schema: RecordSchema, Component: "rootfs", Phase: Switched, Release: e.live[0].offer.Release, TargetSlot: "B", BootID: "boot-1",
			Acted: true, Reboot: true, Hook: "/hook"},
		"app": {Schema: RecordSchema, Component: "app", Phase: Staged, Release: e.live[1].offer.Release, Hook: "/hook"},
	}
	e, err := newEngine(Config{Anchor: s.repo.Anchor(), Components: []Component{
		{Name: "rootfs", Target: "rootfs", Hook: "/hook", Reboot: true}, {Name: "app", Target: "app", Hook: "/hook"}}},
		Ports{Store: s, Images: s, Repository: s, Installer: s, System: s, Random: func() float64 { return 0.5 }}, slog.New(slog.DiscardHandler))
	must(t, err)
	s.engine = e
	e.plan.now = true
	return s
}

func (s *stubborn) reason(component int) Reason {
	if w := s.engine.status().Components[component].Waiting; w != nil {
		return w.Reason
	}
	return ""
}

// TestOnlyWhatNeedsTheRebootWaits: a reboot command that succeeds and does nothing parked the engine for ten
// minutes at a time: no polls, a check hung, pause and retry had no effect. And the reason was "internal".
func TestOnlyWhatNeedsTheRebootWaits(t *testing.T) {
	s := newStubborn(t)
	s.passes(t, time.Minute)
	if len(s.ordered) != 1 || s.reason(0) != ReasonRebooting {
		t.Fatalf("%d reboots were ordered, and the system waits for %q", len(s.ordered), s.reason(0))
	}
	checks := s.engine.checks
	s.engine.ask()
	s.passes(t, time.Second)
	if s.engine.checks != checks+1 {
		t.Error("a check asks nobody")
	}
	s.passes(t, 3*time.Minute)
	if s.reason(0) != ReasonRebootPending || s.reason(1) != ReasonBusy {
		t.Errorf("after minutes the system waits for %q, and the application for %q", s.reason(0), s.reason(1))
	}
	must(t, s.engine.command(Command{Name: "pause"}))
	s.passes(t, time.Hour)
	if len(s.ordered) != 1 || s.reason(0) != ReasonPaused {
		t.Errorf("paused, and %d reboots were ordered; it waits for %q", len(s.ordered), s.reason(0))
	}
	must(t, s.engine.command(Command{Name: "resume"}))
	s.passes(t, time.Second)
	must(t, s.engine.command(Command{Name: "retry"}))
	s.passes(t, time.Second)
	if len(s.ordered) != 2 {
		t.Errorf("after retry %d reboots were ordered; expected another one at once", len(s.ordered))
	}
	s.passes(t, 11*time.Minute)
	if p := s.engine.status().Components[0].Problem; p == nil || p.Reason != ReasonRebootPending {
		t.Errorf("when it has not come: %+v", p)
	}
	s.passes(t, 12*time.Hour)
	if n := len(s.ordered); n < 4 || n > 30 {
		t.Errorf("%d reboots were ordered in 12 hours", n)
	}
}

// TestARebootThatDoesNotComeMakesRoom for a component that waits, once the agent has seen often enough that
// it does not come: the system's release is taken back without a verdict, and tried again later.
func TestARebootThatDoesNotComeMakesRoom(t *testing.T) {
	s := newStubborn(t)
	s.passes(t, 20*time.Minute)
	if phase := s.engine.book.record("app").Phase; phase != Staged {
		t.Errorf("the application is in %s while the reboot may still come", phase)
	}
	s.passes(t, 40*time.Minute)
	system, app := s.engine.book.record("rootfs"), s.engine.book.record("app")
	if app.Phase == Staged || len(system.Rejected) > 0 || !slices.Contains(s.verbs, "rootfs reject") {
		t.Errorf("the application is in %s, waiting for %q; the system in %s, after %v", app.Phase, s.reason(1), system.Phase, s.verbs)
	}
}

// TestARollbackWhoseRebootDoesNotComeMakesRoom, too, where another component waits for it, and goes on trying else.
func TestARollbackWhoseRebootDoesNotComeMakesRoom(t *testing.T) {
	r := Record{Phase: Switched, Release: releaseV2, TargetSlot: "B", BootID: "boot-1", Acted: true, Reboot: true, Back: true}
	f := Facts{Component: &Component{}, BootID: "boot-1", Failures: RollbackFailuresMax, Failure: &Problem{Reason: ReasonRebootPending},
		Slots: &Slots{Booted: "A", Primary: "A", Slots: map[string]Slot{"A": {Good: true}, "B": {Good: true}}}}
	if a := Next(r, f); a.Kind != Restart {
		t.Errorf("nobody waits: %s", a.Kind)
	}
	f.Awaited = true
	if a := Next(r, f); a.Kind != Withdraw || a.Problem.Reason != ReasonRebootPending {
		t.Errorf("another component waits: %s", a.Kind)
	}
}
