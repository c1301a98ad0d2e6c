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
		if r = Step(r, a, p); a.Kind == Restart {
			again := Step(r, Next(r, f), nil) // it does not come, and is asked for again
			if again.LostBoots != r.LostBoots {
				t.Error("a reboot that did not come counts as a boot")
			}
			f.BootID += "1"
		}
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
		f = Facts{Component: &Component{}, BootID: "boot-2", Slots: slots, Local: true, Healthy: true, HealthIn: time.Second, Offer: f.Offer}
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

// TestAHoldEndsWhateverTheClockSaid: network time was spoofed by 80 days when the third unreachable trial was
// counted. That must not hold the release back for 87; and a boot whose time is still a week behind must not
// let go what is held.
func TestAHoldEndsWhateverTheClockSaid(t *testing.T) {
	for name, c := range map[string]struct {
		ahead, later time.Duration
		held         bool
	}{
		"at once":                   {0, 0, true},
		"within the week":           {0, HoldFor - time.Second, true},
		"after the week":            {0, HoldFor, false},
		"before the clock is set":   {0, -HoldFor, true},
		"the spoofed clock is on":   {80 * 24 * time.Hour, 81 * 24 * time.Hour, true},
		"the clock is right again":  {80 * 24 * time.Hour, time.Minute, false},
		"and after the week it was": {80 * 24 * time.Hour, HoldFor + 24*time.Hour, false},
	} {
		r := Record{Schema: RecordSchema, Component: "rootfs", Phase: Idle}
		for range HoldAfter {
			r.Unreachable = releaseV3.ID()
			r = Step(r, Action{Kind: Count, Now: testNow.Add(c.ahead)}, nil)
		}
		if w := r.remembered(releaseV3, testNow.Add(c.later)); (w != nil) != c.held {
			t.Errorf("%s: %+v, want held: %t", name, w, c.held)
		}
	}
}

// TestBlindReboots: where the hook never says which slot was booted, a try is ended by a reboot, which counts
// as little as one that went by unseen; and a hook that fails in the old release must neither reject anything
// nor reboot the machine for ever.
func TestBlindReboots(t *testing.T) {
	slots := &Slots{Booted: "A", Primary: "A", Slots: map[string]Slot{"A": {Good: true}, "B": {}}}
	for _, acted := range []bool{true, false} {
		r := Record{Phase: Switched, Release: releaseV2, TargetSlot: "B", BootID: "boot-1", Acted: acted, Reboot: true}
		f := Facts{Component: &Component{}, BootID: "boot-2", Blind: &Problem{Reason: ReasonHookFailed}, LookIn: time.Second}
		if a := Next(r, f); a.Kind != Wait {
			t.Errorf("ordered: %v; before the deadline: %s", acted, a.Kind)
		}
		f.TrialAge, f.InstallGate = defaultTrialDeadline, &Waiting{Reason: ReasonInhibited}
		if a := Next(r, f); (a.Kind == Restart) != acted {
			t.Errorf("ordered: %v; through a closed gate: %s", acted, a.Kind)
		}
		f.InstallGate = nil
		reboots := 0
		for range 10 {
			a := Next(r, f)
			r = Step(r, a, nil)
			if a.Kind == Restart {
				reboots++
				if again := Step(r, Next(r, f), nil); again.BlindBoots != r.BlindBoots {
					t.Errorf("ordered: %v; a reboot that did not come counts as a boot", acted)
				}
				f.BootID += "1"
			}
		}
		if reboots != LostBootsMax || r.Phase != Switched {
			t.Errorf("ordered: %v; %d reboots, expected %d, and it is %s", acted, reboots, LostBootsMax, r.Phase)
		}
		f.Slots = slots
		if r = Step(r, Next(r, f), nil); r.BlindBoots != 0 || (r.LostBoots == 1) != acted || r.Phase != Switched {
			t.Errorf("ordered: %v; once the old release is seen: %+v", acted, r)
		}
	}
}

// TestDeadlineOfAnEarlierProcess: a process that starts when the trial's deadline is over has asked nobody
// yet. It looks once, and asks the repository once, before it gives the trial up.
func TestDeadlineOfAnEarlierProcess(t *testing.T) {
	d := &bareDevice{state: State{Records: map[string]Record{"rootfs": {Schema: RecordSchema, Component: "rootfs", Phase: Trial, Release: releaseV2,
		TargetSlot: "B", BootID: "boot-1", Reboot: true, TrialFrom: 10 * time.Minute}}}}
	e := d.start(t, "rootfs").engine
	if err := e.step(e.live[0], e.book.record("rootfs"), Next(e.book.record("rootfs"), e.facts(e.live[0], e.book.record("rootfs"))), nil); err != nil {
		t.Fatal(err)
	}
	r := e.book.record("rootfs")
	f := e.facts(e.live[0], r)
	if r.Starts != 1 || f.Anew {
		t.Errorf("%d starts in the trial, to count: %v; expected that this one was counted", r.Starts, f.Anew)
	}
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
	f.Failing, f.Unanswered, f.AskedFrom = true, UnansweredMax, f.TrialAge // before it slept, or before the deadline
	if a := Next(r, f); a.Kind != Check {
		t.Errorf("the action is %s after a refresh that failed before the deadline, expected that the repository is asked again", a.Kind)
	}
	f.AskedFrom, f.Unanswered = 0, UnansweredMax-1 // one that had reached it may have lost an answer, no more
	if a := Next(r, f); a.Kind != Check {
		t.Errorf("the action is %s after %d refreshes that failed, expected that the repository is asked again", a.Kind, f.Unanswered)
	}
	if f.Unanswered++; Next(r, f).Kind != GiveUp {
		t.Errorf("after refreshes that failed the action is %s", Next(r, f).Kind)
	}
	if entered := Step(r, Action{Kind: Enter, BootID: "boot-1", Uptime: 3 * time.Minute}, nil); entered.TrialFrom != 3*time.Minute {
		t.Errorf("a trial that begins anew begins at %s", entered.TrialFrom)
	}
}

// TestStartsInATrialEndIt: an agent that was ended ever again before health had settled goes back, without a
// verdict, once the trial's time is over: at its start, since it may not live for longer, and never later.
func TestStartsInATrialEndIt(t *testing.T) {
	r := Record{Phase: Trial, Release: releaseV2, TargetSlot: "B", BootID: "boot-1", Reboot: true}
	f := Facts{Component: &Component{}, BootID: "boot-1", Anew: true, TrialAge: defaultTrialDeadline - 1}
	for range TrialStartsMax {
		a := Next(r, f)
		if r = Step(r, a, nil); a.Kind != CountStart {
			t.Fatalf("at a start before the deadline the action is %s", a.Kind)
		}
	}
	f.TrialAge = defaultTrialDeadline
	if a := Next(r, f); a.Kind != Withdraw || a.Problem.Reason != ReasonAgentDied {
		t.Errorf("at start %d after the deadline the action is %s", r.Starts, a.Kind)
	}
	if f.Anew = false; Next(r, f).Kind == Withdraw {
		t.Error("a process that lives is interrupted")
	}
	if entered := Step(r, Action{Kind: Enter, BootID: "boot-2"}, nil); entered.Starts != 0 {
		t.Errorf("a trial that begins anew has had %d starts", entered.Starts)
	}
	if found := Step(Record{Phase: Trial, Release: releaseV2}, Action{Kind: CountStart, Uptime: time.Hour}, nil); found.TrialFrom != time.Hour {
		t.Errorf("a trial without a beginning, found at an hour, began at %s", found.TrialFrom)
	}
	r.Starts = TrialStartsMax - 1
	if f.Anew = true; Next(r, f).Kind != CountStart {
		t.Errorf("at start %d after the deadline the action is %s", r.Starts, Next(r, f).Kind)
	}
}

// TestLooksInATrialAreAsOftenAsHealthChecks: one answer of the hook that did not come, with the back-off of a
// hook that fails, took up all the time that a release has to prove itself.
func TestLooksInATrialAreAsOftenAsHealthChecks(t *testing.T) {
	for name, c := range map[string]struct {
		r    Record
		soon bool
	}{
		"on trial":                          {Record{Phase: Trial, Release: releaseV2, TargetSlot: "B", BootID: "boot-1", Reboot: true}, true},
		"after the boot, not yet seen":      {Record{Phase: Switched, Release: releaseV2, TargetSlot: "B", BootID: "boot-0", Reboot: true}, true},
		"before the try, nothing is urgent": {Record{Phase: Switched, Release: releaseV2, TargetSlot: "B", BootID: "boot-1", Reboot: true}, false},
		"idle":                              {Record{Phase: Idle}, false},
	} {
		c.r.Schema, c.r.Component = RecordSchema, "rootfs"
		d := &bareDevice{state: State{Records: map[string]Record{"rootfs": c.r}}}
		e := d.start(t, "rootfs").engine
		one := e.live[0]
		for range 5 {
			e.looked(one, &c.r, outcome{problem: &Problem{Reason: ReasonHookTimeout}})
		}
		if wait := one.lookAt - e.p.System.Uptime(); (wait <= one.component.healthEvery()) != c.soon {
			t.Errorf("%s: the next look is in %s", name, wait)
		}
	}
}

// TestOneLookDoesNotCondemn: an agent that starts again after the deadline of a trial asks more than once
// before it takes a hook that does not answer for the release's.
func TestOneLookDoesNotCondemn(t *testing.T) {
	r := Record{Phase: Trial, Release: releaseV2, TargetSlot: "B", BootID: "boot-1", Reboot: true}
	for looks := 1; looks <= BlindLooksMin; looks++ {
		f := Facts{Component: &Component{}, BootID: "boot-1", TrialAge: 2 * defaultTrialDeadline, Blind: &Problem{Reason: ReasonHookTimeout},
			Looks: looks, BlindFor: BlindMin, LookIn: time.Second}
		if a := Next(r, f); (a.Kind == Condemn) != (looks == BlindLooksMin) {
			t.Errorf("after %d looks in vain: %s", looks, a.Kind)
		}
		if f.BlindFor--; Next(r, f).Kind == Condemn {
			t.Errorf("condemned after %d looks in less than %s", looks, BlindMin)
		}
	}
}
