package agent

import (
	"testing"
	"time"
)

// TestSetback: a release that came back without a verdict waits before it is taken up again, longer each time; another one does
// not wait, and what is confirmed ends it.
func TestSetback(t *testing.T) {
	back := func(r Record, rel *Release) Record {
		r = Step(r, Action{Kind: TakeUp, Release: rel}, nil)
		r.Phase, r.TargetSlot = Trial, "B"
		return Step(Step(r, Action{Kind: GiveUp}, nil), Action{Kind: Settle}, nil)
	}
	f := Facts{Component: &Component{}, BootID: "boot-1", Slots: bothGood(), Offer: Offer{Known: true, Release: releaseV2},
		Backoff: time.Hour, Reached: true, TrialAge: time.Hour}
	r := Record{Schema: RecordSchema, Component: "rootfs", Phase: Idle}
	for n := 1; n <= 3; n++ {
		r = back(r, releaseV2)
		if r.Setback != (Setback{ID: releaseV2.ID(), Count: n}) {
			t.Fatalf("came back %d times: %+v", n, r.Setback)
		}
	}
	r.Unreachable = ""
	if a := Next(r, f); a.Kind != Wait || a.Waiting.Reason != ReasonBackoff || a.Waiting.Left != 3600 {
		t.Errorf("the action is %s (%+v), expected a wait of an hour", a.Kind, a.Waiting)
	}
	if a := Next(r, Facts{Component: f.Component, Slots: f.Slots, Offer: f.Offer}); a.Kind != TakeUp {
		t.Errorf("after the wait the action is %s", a.Kind)
	}
	f.Offer.Release = testRelease('4')
	if a := Next(r, f); a.Kind != TakeUp {
		t.Errorf("with another release on offer the action is %s", a.Kind)
	}
	if other := back(r, releaseV3); other.Setback != (Setback{ID: releaseV3.ID(), Count: 1}) {
		t.Errorf("after another release's setback: %+v", other.Setback)
	}
	r = Step(r, Action{Kind: TakeUp, Release: releaseV3}, nil)
	r.Phase, r.TargetSlot = Confirming, "B"
	if r = Step(r, Action{Kind: Finish}, nil); r.Setback != (Setback{}) {
		t.Errorf("after a confirm: %+v", r.Setback)
	}
}

// TestBackOffAfterABoot: a process that starts right after a boot waits for minutes only, however many attempts failed before; one that
// starts later in it does not spare itself the wait that way.
func TestBackOffAfterABoot(t *testing.T) {
	for _, r := range []Record{
		{Phase: Switched, Release: releaseV2, Attempts: 30},
		{Phase: Writing, Release: releaseV2, Attempts: 30},
		{Phase: Idle, Setback: Setback{ID: releaseV2.ID(), Count: 30}},
	} {
		d := &bareDevice{}
		e := d.start(t).engine
		if late := e.resumed(&r) - d.Uptime(); late < time.Hour {
			t.Errorf("%s: an hour after the boot the wait is %s", r.Phase, late)
		}
		e.p.System = justBooted{d}
		if early := e.resumed(&r); early < defaultBackoffMin || early > retrySoonMax {
			t.Errorf("%s: right after the boot the wait is %s", r.Phase, early)
		}
	}
}

type justBooted struct{ *bareDevice }

func (justBooted) Uptime() time.Duration { return 0 }
