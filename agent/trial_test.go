package agent

import (
	"testing"
	"time"
)

// TestBootsAreLostInARow: short drives lose a boot now and then; only three of them in a row say something.
func TestBootsAreLostInARow(t *testing.T) {
	r := Record{Phase: Switched, Release: releaseV2, TargetSlot: "B", BootID: "boot-0", Acted: true, Reboot: true}
	old := &Slots{Booted: "A", Primary: "A", Slots: map[string]Slot{"A": {Good: true}, "B": {}}}
	trial := &Slots{Booted: "B", Primary: "A", Slots: old.Slots}
	for range 2 * LostBootsMax {
		for _, boot := range []*Slots{old, old, trial} {
			f := Facts{Component: &Component{}, BootID: "boot-1", Slots: boot}
			a := Next(r, f)
			if a.Kind == Condemn {
				t.Fatalf("condemned after boots of which each third was not lost: %s", a.Problem.Text)
			}
			r = Step(r, a, nil)
			r.Phase, r.Acted, r.BootID = Switched, true, "boot-0" // the next trial is ordered
		}
	}
}

// TestLookIsNotDelayed: the back-off of earlier attempts must not outlast a short drive before its trial even began.
func TestLookIsNotDelayed(t *testing.T) {
	r := Record{Phase: Switched, Release: releaseV2, TargetSlot: "B", BootID: "boot-1", Acted: true, Reboot: true, Attempts: 9}
	f := Facts{Component: &Component{}, BootID: "boot-2", Backoff: time.Hour, LookIn: time.Hour}
	if a := Next(r, f); a.Kind != Observe {
		t.Errorf("after the boot the action is %s, expected a look at the slots", a.Kind)
	}
	f.Blind = &Problem{Reason: ReasonHookFailed}
	if a := Next(r, f); a.Kind != Wait {
		t.Errorf("after a look that failed the action is %s, expected a wait", a.Kind)
	}
}

// TestFailingRejectRebootsSeldom: a hook that can't go back is left by a reboot, but one that fails wherever it is
// booted must not have the machine reboot for ever.
func TestFailingRejectRebootsSeldom(t *testing.T) {
	r := Record{Phase: Rejecting, Release: releaseV2, TargetSlot: "B", BootID: "boot-1", Reboot: true}
	f := Facts{Component: &Component{}, BootID: "boot-1", Failures: RejectFailuresMax,
		Slots: &Slots{Booted: "B", Primary: "A", Slots: map[string]Slot{"A": {Good: true}, "B": {}}}}
	reboots := 0
	for range 10 * LostBootsMax {
		a := Next(r, f)
		var p *Problem
		if a.Kind == Reject {
			p = &Problem{Reason: ReasonHookFailed}
		} else {
			reboots++
		}
		r = Step(r, a, p)
	}
	if reboots != LostBootsMax {
		t.Errorf("%d reboots, expected %d", reboots, LostBootsMax)
	}
}

// TestTrialOfAReleaseFromAStick: what was found without a network need not reach one to be confirmed. But a stick that
// happens to be there does not speak for a release that came over the network.
func TestTrialOfAReleaseFromAStick(t *testing.T) {
	slots := &Slots{Booted: "B", Primary: "A", Slots: map[string]Slot{"A": {Good: true}, "B": {}}}
	// The power may go after try and before its record.
	for n, found := range []bool{true, true, false, false} {
		noted := n%2 == 0
		r := Record{Phase: Switched, Release: releaseV2, TargetSlot: "B", BootID: "boot-1", Reboot: true}
		f := Facts{Component: &Component{}, BootID: "boot-1", Fresh: true, Offer: Offer{Known: true, Release: releaseV2}, Local: found,
			Slots: &Slots{Booted: "A", Primary: "A", Slots: slots.Slots}}
		a := Next(r, f)
		for ; a.Kind == Source; a = Next(r, f) {
			r = Step(r, a, nil)
		}
		if a.Kind != Try {
			t.Fatalf("the action is %s", a.Kind)
		}
		a.BootID = "boot-1"
		if noted {
			r = Step(r, a, nil)
		}
		f = Facts{Component: &Component{}, BootID: "boot-2", Slots: slots, Local: true, Healthy: true, Offer: f.Offer}
		r = Step(r, Action{Kind: Enter, BootID: "boot-2"}, nil)
		if a := Next(r, f); (a.Kind == Approve) != found {
			t.Errorf("found without a network: %v; the action in the trial is %s", found, a.Kind)
		}
		f.Reached = true
		if a := Next(r, f); a.Kind != Approve {
			t.Errorf("reached over the network: the action is %s", a.Kind)
		}
	}
}

// TestDeadlineThatWasSleptThrough: a device that was suspended in a trial looks once more before it judges.
func TestDeadlineThatWasSleptThrough(t *testing.T) {
	r := Record{Phase: Trial, Release: releaseV2, TargetSlot: "B", BootID: "boot-1", Acted: true, Reboot: true}
	f := Facts{Component: &Component{}, BootID: "boot-1", TrialAge: 9 * time.Hour, HealthIn: -time.Hour,
		Slots: &Slots{Booted: "B", Primary: "A", Slots: map[string]Slot{"A": {Good: true}, "B": {}}}}
	if a := Next(r, f); a.Kind != Examine {
		t.Errorf("the action is %s, expected a health check", a.Kind)
	}
	f.HealthIn = time.Second
	if a := Next(r, f); a.Kind != Condemn {
		t.Errorf("after a check that failed the action is %s, expected the verdict", a.Kind)
	}
}

// TestDeadlineOfAnEarlierProcess: a process that starts when the trial's deadline is over has asked nobody yet. It looks once,
// and asks the repository once, before it gives the trial up.
func TestDeadlineOfAnEarlierProcess(t *testing.T) {
	d := &bareDevice{state: State{Records: map[string]Record{"rootfs": {Schema: RecordSchema, Component: "rootfs", Phase: Trial, Release: releaseV2,
		TargetSlot: "B", BootID: "boot-1", Reboot: true, TrialFrom: 10 * time.Minute}}}}
	e := d.start(t, "rootfs").engine
	r := e.book.record("rootfs")
	f := e.facts(e.live[0], r)
	if f.TrialAge != 50*time.Minute {
		t.Errorf("the trial is %s old, expected 50 min", f.TrialAge)
	}
	f.Slots = &Slots{Booted: "B", Primary: "A", Slots: map[string]Slot{"A": {Good: true}, "B": {}}}
	if a := Next(r, f); a.Kind != Examine {
		t.Fatalf("the action is %s, expected a health check", a.Kind)
	}
	f.Healthy, f.HealthIn = true, time.Second
	if a := Next(r, f); a.Kind != Check {
		t.Errorf("the action is %s, expected that the repository is asked", a.Kind)
	}
	if f.Failing = true; Next(r, f).Kind != GiveUp {
		t.Errorf("after a refresh that failed the action is %s", Next(r, f).Kind)
	}
	if entered := Step(r, Action{Kind: Enter, BootID: "boot-1", Uptime: 3 * time.Minute}, nil); entered.TrialFrom != 3*time.Minute {
		t.Errorf("a trial that begins anew begins at %s", entered.TrialFrom)
	}
}
