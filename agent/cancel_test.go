package agent

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

// installing is a device whose hook hangs in install.
func installing(t *testing.T) (*hanging, *Agent, func() time.Duration) {
	d := newHanging()
	d.deaf = true
	a, stop := d.runs(t, Config{}, aSystem)
	time.Sleep(time.Hour)
	synctest.Wait()
	if phase := a.Status().Components[0].Phase; phase != Writing {
		t.Fatalf("phase %s", phase)
	}
	return d, a, stop
}

// TestCancelEndsAnInstallThatHangs: nobody could end it. A pause does not, as docs/gates.md says.
func TestCancelEndsAnInstallThatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, a, stop := installing(t)
		must(t, a.Command(context.Background(), Command{Name: "pause"}))
		time.Sleep(time.Minute)
		if phase := a.Status().Components[0].Phase; phase != Writing {
			t.Errorf("after pause: phase %s", phase)
		}
		must(t, a.Command(context.Background(), Command{Name: "resume"}))
		must(t, a.Command(context.Background(), Command{Name: "cancel", Component: "rootfs"}))
		time.Sleep(time.Second)
		if phase := a.Status().Components[0].Phase; phase != Writing {
			t.Errorf("phase %s while the hook's processes are there", phase)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		for range 2 {
			s := a.Status().Components[0]
			if s.Phase != Idle || len(s.Rejected) != 1 || s.Rejected[0].Last.Reason != ReasonCancelled || s.Last == nil || s.Last.Problem.Reason != ReasonCancelled {
				t.Errorf("phase %s, rejected %+v, last %+v", s.Phase, s.Rejected, s.Last)
			}
			if err := a.Command(context.Background(), Command{Name: "cancel"}); hungBy(err) != ReasonNoUpdate {
				t.Errorf("a second cancel: %v", err)
			}
			time.Sleep(24 * time.Hour) // refreshes name it as ever
		}
		synctest.Wait()
		d.deaf = false
		must(t, a.Command(context.Background(), Command{Name: "retry"}))
		time.Sleep(time.Hour)
		if phase := a.Status().Components[0].Phase; phase == Idle && len(a.Status().Components[0].Rejected) > 0 {
			t.Errorf("after retry: phase %s", phase)
		}
		stop()
	})
}

// TestRetryRightAfterCancel: it is the later word, and it was lost while the hook that is cancelled took its
// time to end.
func TestRetryRightAfterCancel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, a, stop := installing(t)
		must(t, a.Command(context.Background(), Command{Name: "cancel"}))
		d.deaf = false
		must(t, a.Command(context.Background(), Command{Name: "retry"}))
		time.Sleep(time.Hour)
		synctest.Wait()
		if s := a.Status().Components[0]; len(s.Rejected) > 0 || s.Phase == Idle {
			t.Errorf("phase %s, rejected %+v", s.Phase, s.Rejected)
		}
		stop()
	})
}

// TestRetryOnTheWayBackFromCancel: what was cancelled in its trial goes back all the same, and is taken up again then.
func TestRetryOnTheWayBackFromCancel(t *testing.T) {
	for reason, kept := range map[Reason]int{ReasonCancelled: 0, ReasonUnhealthy: 1} {
		d := &bareDevice{state: State{Records: map[string]Record{"rootfs": {Schema: RecordSchema, Component: "rootfs", Phase: Rejecting, Release: releaseV2,
			TargetSlot: "B", BootID: "boot-1", Verdict: &Problem{Reason: reason, Text: "why"}}}}}
		must(t, d.start(t, "rootfs").Obey(Command{Name: "retry"}))
		r := Step(d.state.Records["rootfs"], Action{Kind: Settle, Now: testNow}, nil)
		if r.Phase != Idle || len(r.Rejected) != kept {
			t.Errorf("%s: phase %s, rejected %+v", reason, r.Phase, r.Rejected)
		}
	}
}

// TestAWithdrawalEndsAnInstallThatHangs: the publisher names another release, and the hook writes the old one
// for hours.
func TestAWithdrawalEndsAnInstallThatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, a, stop := installing(t)
		id := a.Status().Components[0].Release.SHA256
		d.deaf = false
		d.mu.Lock()
		d.image, d.whole, d.data = []byte("better"), nil, nil
		d.mu.Unlock()
		d.repo.Targets().Add("rootfs", d.image)
		d.repo.Publish("targets")
		must(t, a.Check(context.Background()))
		time.Sleep(time.Hour)
		if s := a.Status().Components[0]; s.Release != nil && s.Release.SHA256 == id || len(s.Rejected) > 0 {
			t.Errorf("phase %s with the release that is not named any more, rejected %+v", s.Phase, s.Rejected)
		}
		stop()
	})
}

// TestCancelInEachPhase is the table of docs/commands.md.
func TestCancelInEachPhase(t *testing.T) {
	slots := &Slots{Booted: "A", Primary: "A", Slots: map[string]Slot{"A": {Good: true}, "B": {}}}
	for phase, want := range map[Phase]Phase{Idle: "", Fetching: Idle, Staged: Idle, Writing: Idle, Switched: Rejecting, Trial: Rejecting,
		Confirming: "", Rejecting: ""} {
		for _, back := range []bool{false, true} {
			if back && phase != Switched && phase != Trial {
				continue
			}
			d := &bareDevice{slots: slots, state: State{Records: map[string]Record{"rootfs": {Schema: RecordSchema, Component: "rootfs", Phase: phase,
				Release: releaseV2, TargetSlot: "B", BootID: "boot-1", Hook: "/hook", Back: back, TrialFrom: time.Hour}}}}
			if phase == Idle {
				d.state.Records = nil
			}
			a := d.start(t, "rootfs")
			err := a.Obey(Command{Name: "cancel", Component: "rootfs"})
			if refused := hungBy(err) == ReasonNoUpdate; refused != (want == "") {
				t.Errorf("%s: %v", phase, err)
				continue
			}
			if want == "" {
				continue
			}
			r := d.state.Records["rootfs"] // a crash here loses nothing
			got := Step(r, Next(r, Facts{Component: &Component{}, Slots: slots, BootID: "boot-1", Now: testNow}), nil)
			verdict := len(got.Rejected) == 1 && got.Rejected[0].Last.Reason == ReasonCancelled || got.Verdict != nil && got.Verdict.Reason == ReasonCancelled
			if !r.CancelAsked || got.Phase != want || verdict == back || got.CancelAsked {
				t.Errorf("%s (back %v): %s, expected %s; rejected %+v, verdict %+v, cause %+v", phase, back, got.Phase, want, got.Rejected, got.Verdict, got.Cause)
			}
		}
	}
	d := &bareDevice{slots: slots}
	if err := d.start(t, "rootfs").Obey(Command{Name: "cancel", Component: "nobody"}); err == nil || errors.As(err, new(*Problem)) {
		t.Errorf("cancel of a component that is not there: %v", err)
	}
}

// TestACancelOutlivesThePhase: an older agent drops an update whose phase it does not know. Where the operator
// had cancelled it, that is why its release is put aside, and a person reads so.
func TestACancelOutlivesThePhase(t *testing.T) {
	r := Record{Schema: RecordSchema, Component: "rootfs", Phase: "soaking", Release: releaseV2, TargetSlot: "B", Hook: "/hook", CancelAsked: true}
	a := Next(r, Facts{Component: &Component{Name: "rootfs", Reboot: true}, Now: testNow})
	if got := Step(r, a, nil); got.Phase != Idle || len(got.Rejected) != 1 || got.Rejected[0].Last.Reason != ReasonCancelled {
		t.Errorf("phase %s, rejected %+v; expected the release to be put aside as cancelled", got.Phase, got.Rejected)
	}
}
