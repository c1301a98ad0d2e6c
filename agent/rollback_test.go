package agent

import (
	"errors"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/ota-agent/ota-agent/verifier"
)

// indexed is a release with a rollback_index; it may require a component.
func indexed(b byte, index int, requires string) *Release {
	r := testRelease(b)
	if requires != "" {
		requires = `,"requires":[` + requires + `]`
	}
	r.Target.Custom = fmt.Appendf(nil, `{"ota":{"version":"v%c","rollback_index":%d%s}}`, b, index, requires)
	return r
}

// rollable is a component that runs v3 in slot B, and whose slot A holds v2.
func rollable(phase Phase) Record {
	return Record{Schema: RecordSchema, Component: "rootfs", Phase: phase, Confirmed: indexed('3', 5, ""), ConfirmedSlot: "B",
		Previous: indexed('2', 5, ""), PreviousSlot: "A"}
}

func bothGood() *Slots {
	return &Slots{Booted: "B", Primary: "B", Slots: map[string]Slot{"A": {Good: true, SHA256: releaseV2.SHA256()},
		"B": {Good: true, SHA256: releaseV3.SHA256()}}}
}

func TestNoRollback(t *testing.T) {
	needs := Record{Component: "app", Confirmed: indexed('7', 1, `{"component":"rootfs","rollback_index":5}`)}
	for name, c := range map[string]struct {
		change func(*Record, *Slots)
		slots  bool
		floor  int64
		others map[string]Record
		want   Reason
	}{
		"a good release in the other slot":       {slots: true},
		"at the floor":                           {slots: true, floor: 5},
		"below the floor":                        {slots: true, floor: 6, want: ReasonIndexTooLow},
		"without an index, and a floor":          {slots: true, floor: 1, change: func(r *Record, _ *Slots) { r.Previous = releaseV2 }, want: ReasonIndexTooLow},
		"without an index, and no floor":         {slots: true, change: func(r *Record, _ *Slots) { r.Previous = releaseV2 }},
		"in a trial, whatever else":              {change: func(r *Record, _ *Slots) { r.Phase, r.Previous = Trial, nil }},
		"while fetching":                         {slots: true, change: func(r *Record, _ *Slots) { r.Phase = Fetching }},
		"while staged":                           {slots: true, change: func(r *Record, _ *Slots) { r.Phase = Staged }},
		"while writing":                          {slots: true, change: func(r *Record, _ *Slots) { r.Phase = Writing }, want: ReasonBusy},
		"while switched":                         {slots: true, change: func(r *Record, _ *Slots) { r.Phase = Switched }, want: ReasonBusy},
		"while confirming":                       {slots: true, change: func(r *Record, _ *Slots) { r.Phase = Confirming }, want: ReasonBusy},
		"slots not known":                        {want: ReasonSlot},
		"nothing remembered":                     {slots: true, change: func(r *Record, _ *Slots) { r.Previous = nil }, want: ReasonNoRollback},
		"nothing confirmed":                      {slots: true, change: func(r *Record, _ *Slots) { r.Confirmed = nil }, want: ReasonNoRollback},
		"remembered in the booted slot":          {slots: true, change: func(r *Record, _ *Slots) { r.PreviousSlot = "B" }, want: ReasonNoRollback},
		"the other slot is bad":                  {slots: true, change: func(_ *Record, s *Slots) { s.Slots["A"] = Slot{} }, want: ReasonNoRollback},
		"the booted slot is bad":                 {slots: true, change: func(_ *Record, s *Slots) { s.Slots["B"] = Slot{} }, want: ReasonNoRollback},
		"the booted slot is not primary":         {slots: true, change: func(_ *Record, s *Slots) { s.Primary = "A" }, want: ReasonNoRollback},
		"the other slot holds something else":    {slots: true, change: func(_ *Record, s *Slots) { s.Slots["A"] = Slot{Good: true, SHA256: "ff"} }, want: ReasonNoRollback},
		"the hook can't tell what it holds":      {slots: true, change: func(_ *Record, s *Slots) { s.Slots["A"] = Slot{Good: true} }},
		"the bootloader fell back already":       {slots: true, change: func(_ *Record, s *Slots) { s.Booted, s.Primary = "A", "A" }, want: ReasonDegraded},
		"another component needs what runs":      {slots: true, change: func(r *Record, _ *Slots) { r.Previous = indexed('2', 4, "") }, others: map[string]Record{"app": needs}, want: ReasonRequires},
		"another component needs less than that": {slots: true, others: map[string]Record{"app": needs}},
	} {
		r, s := rollable(Idle), bothGood()
		if c.change != nil {
			c.change(&r, s)
		}
		if !c.slots {
			s = nil
		}
		var got Reason
		if p := noRollback(r, s, c.floor, c.others); p != nil {
			got = p.Reason
		}
		if got != c.want {
			t.Errorf("%s: reason %q, expected %q", name, got, c.want)
		}
	}
}

// TestRollbackRemembersWhatItLeft follows a rollback to its end, and another one back: each time what was left is not
// installed again by itself, and each time it can be gone back to.
func TestRollbackRemembersWhatItLeft(t *testing.T) {
	r := rollable(Idle)
	f := Facts{Component: &Component{Hook: "/hook"}, BootID: "boot-1", Slots: bothGood(), Fresh: true, Healthy: true, HealthIn: time.Second, Now: testNow}
	for i, want := range []struct{ runs, left *Release }{{r.Previous, r.Confirmed}, {r.Confirmed, r.Previous}} {
		r.RollbackAsked = true
		f.Offer = Offer{Known: true, Release: want.left} // the repository goes on naming what is left
		f.Reached = true
		for step := range passesMax {
			a := Next(r, f)
			if a.Kind == Wait && r.Phase == Idle {
				if a.Waiting == nil || a.Waiting.Reason != ReasonRejected {
					t.Fatalf("round %d: at rest with %+v", i, a.Waiting)
				}
				break
			}
			switch a.Kind {
			case Try:
				f.Slots = &Slots{Booted: r.TargetSlot, Primary: r.ConfirmedSlot, Slots: f.Slots.Slots}
			case Confirm:
				f.Slots = &Slots{Booted: r.TargetSlot, Primary: r.TargetSlot, Slots: f.Slots.Slots}
			case Fetch, Install, Drop, Wait, Condemn, Withdraw, GiveUp:
				t.Fatalf("round %d, step %d: %s in %s (%+v)", i, step, a.Kind, r.Phase, a.Waiting)
			}
			r = Step(r, a, nil)
		}
		if r.Confirmed.ID() != want.runs.ID() || r.Previous.ID() != want.left.ID() || r.RollbackAsked || r.Back {
			t.Fatalf("round %d: ends as %+v", i, r)
		}
		if len(r.Rejected) != 1 || r.Rejected[0].ID != want.left.ID() || r.Rejected[0].Last.Reason != ReasonOperator {
			t.Fatalf("round %d: remembers %+v", i, r.Rejected)
		}
	}
}

// TestRollbackThatCanNotBeTried ends without a verdict on the release that it was to go back to, and leaves
// the slot bad.
func TestRollbackThatCanNotBeTried(t *testing.T) {
	asked := rollable(Idle)
	asked.RollbackAsked = true
	began := Step(asked, Next(asked, Facts{Component: &Component{}, BootID: "boot-1", Slots: bothGood(), Failing: true}), nil)
	if began.Phase != Switched || !began.Offline || began.TargetSlot != "A" {
		t.Fatalf("%+v", began)
	}
	f := Facts{Component: &Component{}, BootID: "boot-1", Slots: bothGood(), Failing: true}
	if began = Step(began, Next(began, f), nil); began.Begun != f.BootID { // it needs no reboot, so its try may end the agent
		t.Fatalf("%+v", began)
	}
	torn := Step(began, Next(began, f), &Problem{Reason: ReasonHashMismatch})
	f.Failures = RollbackFailuresMax
	failing := Step(began, Next(began, f), nil)
	for _, r := range []Record{torn, failing} {
		if r.Phase != Rejecting || r.Verdict != nil {
			t.Fatalf("%s with verdict %+v", r.Phase, r.Verdict)
		}
		r = Step(Step(r, Action{Kind: Reject, BootID: "boot-1"}, nil), Action{Kind: Settle}, nil)
		if r.Phase != Idle || len(r.Rejected) != 0 || r.Previous != nil || r.Confirmed.ID() != releaseV3.ID() {
			t.Errorf("ends as %+v", r)
		}
	}
}

// TestRollbackThatReachesNothing: each trial that does not reach the repository is left by a reboot, which
// calls no slot bad, and before the next one it is found out anew whether what is left reaches it. Where that
// does each time, the third trial ends the rollback.
func TestRollbackThatReachesNothing(t *testing.T) {
	for name, left := range map[string]Facts{"an outage": {Failing: true}, "what is left reaches it": {Fresh: true}} {
		r := rollable(Switched)
		r.Release, r.TargetSlot, r.Back, r.Reboot, r.BootID = r.Previous, "A", true, true, "boot-1"
		trials := 0
		for trials <= HoldAfter && r.Phase != Rejecting && r.Phase != Confirming {
			trials++
			f := Facts{Component: &Component{}, BootID: "boot-1", Slots: bothGood(), Fresh: left.Fresh, Failing: left.Failing}
			if a := Next(r, Facts{Component: f.Component, BootID: "boot-1", Slots: f.Slots}); a.Kind != Check {
				t.Fatalf("%s: without having asked the repository: %s", name, a.Kind)
			}
			for a := Next(r, f); r.Phase == Switched && a.Kind != Restart; a = Next(r, f) {
				r = Step(r, a, nil)
			}
			onTrial := bothGood()
			onTrial.Booted = "A"
			f = Facts{Component: &Component{}, BootID: "boot-2", Slots: onTrial, Failing: true, Unanswered: UnansweredMax, Healthy: true, HealthIn: time.Second, TrialAge: defaultTrialDeadline}
			r = Step(r, Next(r, f), nil) // enter
			if r = Step(r, Next(r, f), nil); r.Phase == Trial {
				f.BootID, f.Slots = "boot-1", bothGood()
				r = Step(r, Next(r, f), nil) // back in what is left
			}
		}
		if ended := map[bool]Phase{true: Confirming, false: Rejecting}[left.Failing]; r.Phase != ended || (trials == 1) != left.Failing || trials > HoldAfter {
			t.Errorf("%s: %s after %d trials", name, r.Phase, trials)
		}
	}
}

// TestWritingASlotEndsThePrevious: once a slot is ordered to be written, nobody may go back to what it held.
func TestWritingASlotEndsThePrevious(t *testing.T) {
	r := rollable(Staged)
	if kept := Step(r, Action{Kind: Order, Slot: "C"}, nil); kept.Previous == nil {
		t.Error("another slot is written, and the previous release is forgotten")
	}
	if ended := Step(r, Action{Kind: Order, Slot: "A"}, nil); ended.Previous != nil || ended.PreviousSlot != "" {
		t.Errorf("slot A is ordered to be written, and %+v is still said to be in it", ended.Previous)
	}
}

// TestRollbackLeavesTheFloor: the floor's signers are of today; those of the release before may be revoked.
func TestRollbackLeavesTheFloor(t *testing.T) {
	floor := verifier.Floors{Index: map[string]verifier.Floor{"rootfs": {Version: 5, Signers: []verifier.KeyHash{{1}}}}}
	r := rollable(Confirming)
	r.Release, r.TargetSlot, r.Back = r.Previous, "A", true
	slots := bothGood()
	slots.Booted, slots.Primary = "A", "A"
	d := &bareDevice{slots: slots, state: State{Floors: floor, Records: map[string]Record{"rootfs": r}}}
	turns(t, d.start(t, "rootfs"))
	if got := d.state.Records["rootfs"]; got.Phase != Idle || got.ConfirmedSlot != "A" {
		t.Fatalf("the rollback did not end: %+v", got)
	}
	if got := d.state.Floors.Index["rootfs"]; len(got.Signers) != 1 || got.Signers[0] != (verifier.KeyHash{1}) {
		t.Errorf("the floor is %+v after a rollback", got)
	}
}

// TestRollbackCommand: what can't be done is refused with its reason and changes nothing; what can is durable
// before the answer, and done by whichever process comes next.
func TestRollbackCommand(t *testing.T) {
	d := &bareDevice{slots: bothGood(), state: State{Records: map[string]Record{"rootfs": rollable(Idle), "app": {Component: "app", Phase: Idle}}}}
	a := d.start(t, "rootfs", "app")
	turns(t, a)
	for name, want := range map[string]Reason{"": "", "none": "", "app": ReasonNoRollback} {
		err := a.Obey(Command{Name: "rollback", Component: name})
		p, _ := errors.AsType[*Problem](err)
		if err == nil || (p != nil) != (want != "") || p != nil && (p.Reason != want || p.At.IsZero()) {
			t.Errorf("rollback of %q: %v", name, err)
		}
	}
	if d.state.Records["rootfs"].RollbackAsked || d.state.Records["app"].RollbackAsked {
		t.Fatal("a rollback that was refused is remembered")
	}
	if err := a.Obey(Command{Name: "rollback", Component: "rootfs"}); err != nil {
		t.Fatal(err)
	}
	if !d.state.Records["rootfs"].RollbackAsked {
		t.Fatal("the rollback was answered for and is not durable")
	}
	turns(t, d.start(t, "rootfs", "app"))
	if r := d.state.Records["rootfs"]; r.Phase == Idle || !r.Back || r.TargetSlot != "A" {
		t.Errorf("the next process did not begin the rollback: %+v", r)
	}
}

// TestDeclinedRollback: what was possible when it was asked for may not be any more; then it ends, and says why.
func TestDeclinedRollback(t *testing.T) {
	r := rollable(Idle)
	r.RollbackAsked = true
	slots := bothGood()
	slots.Slots["A"] = Slot{}
	d := &bareDevice{slots: slots, state: State{Records: map[string]Record{"rootfs": r}}}
	a := d.start(t, "rootfs")
	if turns(t, a); !d.state.Records["rootfs"].RollbackAsked {
		t.Error("declined by the first look, which may be too early")
	}
	a.engine.live[0].observed = BlindLooksMin
	turns(t, a)
	if r := d.state.Records["rootfs"]; r.RollbackAsked || r.Phase != Idle {
		t.Errorf("%+v", r)
	}
	if p := a.Status().Components[0].Problem; p == nil || p.Reason != ReasonNoRollback {
		t.Errorf("the status says %+v", p)
	}
}

// TestRetryOutlivesItsProcess: a retry that comes before the slots are known, and whose process dies, is done
// by the next.
func TestRetryOutlivesItsProcess(t *testing.T) {
	r := rollable(Idle)
	r.Rejected = reject(nil, releaseV2.ID(), "", Problem{Reason: ReasonUnhealthy})
	d := &bareDevice{state: State{Records: map[string]Record{"rootfs": r}}}
	a := d.start(t, "rootfs")
	turns(t, a)
	if err := a.Obey(Command{Name: "retry"}); err != nil {
		t.Fatal(err)
	}
	turns(t, a)
	if r := d.state.Records["rootfs"]; !r.RetryAsked || r.Rejected != nil || r.Confirmed == nil {
		t.Fatalf("before the slots are known: %+v", r)
	}
	fallen := bothGood()
	fallen.Booted, fallen.Primary = "A", "A"
	d.slots = fallen
	turns(t, d.start(t, "rootfs"))
	if r := d.state.Records["rootfs"]; r.RetryAsked || r.Confirmed != nil {
		t.Errorf("the next process did not end the degraded state: %+v", r)
	}
}

// TestLastFailure: why the last process ended is said until this one has committed something.
func TestLastFailure(t *testing.T) {
	d := &bareDevice{slots: bothGood()}
	cfg := Config{Anchor: []byte("not a root"), LastFailure: &Problem{Reason: ReasonDiskFull, Text: "no room"}}
	a, err := New(cfg, Ports{Store: d, Images: d, Repository: d, Installer: d, System: d, Random: func() float64 { return 0.5 }},
		slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	turns(t, a)
	if p := a.Status().LastFailure; p == nil || p.Reason != ReasonDiskFull {
		t.Fatalf("the status says %+v", p)
	}
	if err := a.Obey(Command{Name: "pause"}); err != nil {
		t.Fatal(err)
	}
	turns(t, a)
	if p := a.Status().LastFailure; p != nil {
		t.Errorf("after a commit the status still says %+v", p)
	}
}

// The status offers a rollback exactly where the command would be obeyed, and says why not elsewhere.
func TestTheStatusOffersNoRollbackThatIsRefused(t *testing.T) {
	otherBad := bothGood()
	otherBad.Slots["A"] = Slot{}
	fellBack := bothGood()
	fellBack.Booted, fellBack.Primary = "A", "A"
	for name, tt := range map[string]struct {
		slots  *Slots
		phase  Phase
		reason Reason
	}{
		"it can be done":           {bothGood(), Idle, ""},
		"the other slot is bad":    {otherBad, Idle, ReasonNoRollback},
		"the bootloader fell back": {fellBack, Idle, ReasonDegraded},
		"the hook does not answer": {nil, Idle, ReasonSlot},
		"it is going back":         {bothGood(), Rejecting, ReasonBusy},
	} {
		r := rollable(tt.phase)
		if tt.phase != Idle {
			r.Release, r.TargetSlot = releaseV2, "A"
		}
		d := &bareDevice{slots: tt.slots, state: State{Records: map[string]Record{"rootfs": r}}}
		a := d.start(t, "rootfs")
		c := a.engine.live[0]
		c.slots = tt.slots
		a.publish()
		seq := a.Status().Seq
		a.publish()
		got := a.Status().Components[0].NoRollback
		err := a.engine.rollback("rootfs")
		if (err != nil) != (got != nil) || got != nil && got.Reason != tt.reason || got == nil && tt.reason != "" {
			t.Errorf("%s: the status says %+v, the command %v", name, got, err)
		}
		if a.Status().Seq != seq || a.Status().Components[0].Previous == nil {
			t.Errorf("%s: %+v", name, a.Status())
		}
	}
}
