package agent

import (
	"fmt"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ota-agent/ota-agent/verifier"
)

var (
	testNow   = time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)
	releaseV2 = testRelease('2')
	amendedV2 = &Release{Target: verifier.Target{Length: releaseV2.Target.Length, SHA256: releaseV2.Target.SHA256, Path: releaseV2.Target.Path,
		Custom: []byte(`{"ota":{"version":"2, amended"}}`)}}
	releaseV3 = testRelease('3')
)

func testRelease(b byte) *Release {
	return &Release{Target: verifier.Target{Path: "board/stable/rootfs.img", Name: "board/stable/rootfs.img", Length: 3,
		SHA256: slices.Repeat([]byte{b}, 32)}}
}

// world enumerates records and facts over small domains: every combination that makes a difference to the machine.
func world(visit func(Record, Facts)) {
	bools := []bool{false, true}
	for _, phase := range []Phase{Idle, Fetching, Staged, Writing, Switched, Trial, Confirming, Rejecting, "from-the-future"} {
		for _, acted := range bools {
			for _, reboot := range bools {
				for _, boot := range []string{"boot-1", "boot-2"} {
					for _, lost := range []int{0, LostBootsMax - 1} {
						r := Record{Schema: RecordSchema, Component: "rootfs", Phase: phase, Acted: acted, Reboot: reboot, BootID: boot, LostBoots: lost}
						if !reboot && (phase == Switched || phase == Rejecting) {
							r.Begun = map[int]string{0: "", LostBootsMax - 1: "boot-1"}[lost]
						}
						if phase != Idle {
							r.Release, r.TargetSlot = releaseV2, "B"
						}
						worldOfFacts(func(f Facts) {
							visit(r, f)
							if f.Anew = r.Begun != ""; f.Anew { // another process began the verb
								visit(r, f)
								f.Anew = false
							}
							if phase == Idle && lost == 0 && reboot {
								worldOfNewStates(r, f, visit)
							}
							if lost == 0 && reboot {
								worldOfOrders(r, f, visit)
							}
						})
					}
				}
			}
		}
	}
}

// worldOfOrders adds what an operator asks for. A rollback goes on whatever the repository offers, so another release
// on offer stands for all.
func worldOfOrders(r Record, f Facts, visit func(Record, Facts)) {
	if f.Offer.id() != releaseV3.ID() {
		return
	}
	if r.Phase == Trial || r.Phase == Switched || r.Phase == Rejecting || r.Phase == Confirming {
		back := r
		back.Back, back.Offline, back.Confirmed, back.ConfirmedSlot = true, f.HealthIn == 0, releaseV3, "A"
		visit(back, f)
	}
	if r.noCancel() == nil {
		ended := r
		ended.CancelAsked = true
		visit(ended, f)
		ended.Back = r.Phase == Switched || r.Phase == Trial
		visit(ended, f)
	}
	r.Previous, r.PreviousSlot, r.Confirmed, r.ConfirmedSlot = releaseV2, "B", releaseV3, "A"
	r.RollbackAsked = true
	visit(r, f)
	if f.NoRollback = (&Problem{Reason: ReasonNoRollback}); r.Phase == Idle {
		visit(r, f)
		r.RetryAsked = true
		visit(r, f)
	}
}

// worldOfNewStates adds a state that began where nothing was.
func worldOfNewStates(r Record, f Facts, visit func(Record, Facts)) {
	f.StateNew = true
	for _, doubted := range []bool{false, true} {
		for _, prove := range []bool{false, true} {
			r.Doubted, f.ProveNew = doubted, prove
			visit(r, f)
		}
	}
}

func worldOfFacts(visit func(Facts)) {
	bools := []bool{false, true}
	slots := []*Slots{nil}
	for _, booted := range []string{"A", "B"} {
		for _, primary := range []string{"A", "B"} {
			for _, good := range bools {
				for _, held := range []string{"", releaseV2.SHA256()} {
					if held != "" && booted == "A" {
						continue // what an inactive slot holds makes no difference
					}
					slots = append(slots, &Slots{Booted: booted, Primary: primary,
						Slots: map[string]Slot{"A": {Good: true}, "B": {Good: good, SHA256: held}}})
				}
			}
		}
	}
	slots = append(slots, &Slots{Booted: "B", Primary: "A", Slots: map[string]Slot{"A": {}, "B": {SHA256: releaseV2.SHA256()}}})
	offers := []Offer{{}, {Known: true}, {Known: true, Release: releaseV2}, {Known: true, Release: releaseV3},
		{Known: true, Release: releaseV2, Problem: &Problem{Reason: ReasonWrongHardware, Text: "other hardware"}},
		{Known: true, Missing: &Missing{Path: "a/b", Roles: []string{"targets"}}, Problem: &Problem{Reason: ReasonNotListed, Text: "not listed"}}, {Known: true, Release: amendedV2}}
	closed, asked := &Waiting{Reason: ReasonPaused}, &Waiting{Reason: ReasonLooking}
	for _, s := range slots {
		for _, o := range offers {
			for bits := range 1 << 8 {
				is := func(n int) bool { return bits&(1<<n) != 0 }
				f := Facts{Component: &Component{Name: "rootfs", Hook: "/hook"}, BootID: "boot-1", Now: testNow, Slots: s, Offer: o,
					Fresh: is(0), Reached: is(1), Healthy: is(2), HealthyFor: time.Second, HealthIn: time.Second}
				if is(4) && !is(3) { // the answer that reached is from before health was proven, that which failed from before the rollback
					f.ReachedAge, f.AskedFrom, f.Asked = ReachedMax+time.Second, FreshMax+time.Second, FreshMax+time.Second
				}
				if is(3) {
					f.Backoff = time.Second
				}
				if is(4) {
					f.InstallGate, f.FetchGate = closed, closed
					if is(2) {
						f.InstallGate = asked
					}
				}
				if f.Failing = is(7) && !is(0); f.Failing && is(1) {
					f.Unanswered = UnansweredMax
				}
				if is(5) {
					f.TrialAge = defaultTrialDeadline + FreshMax/2
				}
				if is(6) {
					f.Busy, f.Failures, f.Awaited, f.Blind, f.Looks, f.BlindFor = "app", RejectFailuresMax, true, &Problem{Reason: ReasonHookFailed}, BlindLooksMin, BlindMin
					if is(5) {
						f.BlindFor = defaultTrialDeadline
					}
				}
				if is(7) {
					f.HealthIn = 0
				}
				visit(f)
			}
		}
	}
}

// TestMachineKeepsItsPromises checks, in every combination, what may never come out of the machine.
func TestMachineKeepsItsPromises(t *testing.T) {
	n := 0
	world(func(r Record, f Facts) {
		n++
		a := Next(r, f)
		if why := broken(r, f, a); why != "" {
			t.Fatalf("%s\nrecord %+v\nfacts %+v\nslots %+v\naction %+v", why, r, f, f.Slots, a)
		}
		if again := Next(r, f); !reflect.DeepEqual(a, again) {
			t.Fatalf("the same record and facts gave %v and then %v", a.Kind, again.Kind)
		}
	})
	t.Logf("%d combinations", n)
}

// broken names the promise that an action breaks, or is empty.
func broken(r Record, f Facts, a Action) string {
	booted, primary, good := "", "", false
	if f.Slots != nil {
		booted, primary, good = f.Slots.Booted, f.Slots.Primary, f.Slots.Slots["B"].Good
	}
	switch {
	case a.Kind == Install && (booted == "" || booted == r.TargetSlot):
		return "writes to a slot that is booted, or that may be"
	case a.Kind == Order && a.Slot == booted:
		return "orders the booted slot to be written"
	case a.Kind == Try && !r.Back && !(f.Fresh && f.Offer.Known && f.Offer.Problem == nil && f.Offer.id() == r.Release.ID()):
		return "tries without a fresh refresh that names this release"
	case a.Kind == Approve && !(f.Healthy && f.HealthIn > 0 && (f.Reached || r.Back && r.Offline) && booted == r.TargetSlot && f.BootID == r.BootID):
		return "approves without health, while a check is due, without reachability, or in another boot or slot"
	case a.Kind == Approve && !r.Offline && !r.Local && !f.Local && f.ReachedAge > ReachedMax && f.ReachedAge > f.HealthyFor:
		return "approves what reached the repository before its health was proven"
	case a.Kind == GiveUp && f.Offer.id() != r.Release.ID() && !(f.AskedFrom <= f.TrialAge-defaultTrialDeadline && (f.Unanswered >= UnansweredMax || f.Fresh)):
		return "gives a trial up without having asked the repository after its deadline, and some times"
	case (a.Kind == Restage || a.Waiting.looks() && f.Busy != "" && r.Phase == Staged) && f.InstallGate.looks() && f.Backoff == 0 && f.BlindFor < defaultTrialDeadline && booted != r.TargetSlot:
		return "makes room, or asks a gate beside a busy one, although none is closed"
	case a.Kind == Amend && (r.Back || r.Acted && r.Phase == Switched || a.Release.ID() != r.Release.ID() || r.Release.saysAs(a.Release)):
		return "amends what is on its way back, was tried, is another image, or says the same"
	case (a.Kind == Order || a.Kind == Install || a.Kind == Fetch || a.Kind == Try) && !r.Back && f.Offer.Release == amendedV2:
		return "goes on with what the publisher does not say any more"
	case a.Kind == Confirm && !(booted == r.TargetSlot && f.BootID == r.BootID):
		return "confirms a slot that is not booted, or in a boot that did not prove it"
	case a.Kind == Finish && !(booted == r.TargetSlot && primary == r.TargetSlot && good):
		return "finishes before status shows booted = primary = good"
	case a.Kind == Order && (f.Slots.Slots[a.Slot].Good || primary == a.Slot) && !f.Slots.Slots[booted].Good:
		return "orders the way back to be written"
	case a.Kind == Order && f.Slots.Slots[a.Slot].Good && primary == a.Slot:
		return "orders the primary slot to be written, which is good and not the booted one"
	case a.Kind == Adopt && !(booted == primary && f.Slots.Slots[booted].Good && f.Offer.Problem == nil):
		return "adopts what does not boot for good, or what is refused"
	case a.Kind == Prove && !(booted != primary && f.Slots.Slots[primary].Good && f.Offer.Problem == nil && f.InstallGate == nil && f.Busy == ""):
		return "puts on trial what has no good slot to go back to, or what is refused or gated"
	case (a.Kind == Prove || a.Kind == TakeUp) && f.StateNew && !f.ProveNew && booted != primary && f.Slots.Slots[primary].Good:
		return "goes on in a slot that boots only for its trial and found an empty state"
	case a.Kind == Restart && r.Phase == Idle && !(r.Doubted && booted != primary && f.Slots.Slots[primary].Good && f.InstallGate == nil):
		return "reboots an idle device that has no better slot, or at a gate"
	case (a.Kind == Try || a.Kind == Reject && !r.Acted) && !r.Reboot && r.Begun != f.BootID:
		return "runs a verb that may end the agent, and no record says so"
	case a.Kind == Try && f.Slots.Booted == r.TargetSlot && !r.Reboot:
		return "tries what runs already"
	case a.Kind == RollBack && !(r.RollbackAsked && f.NoRollback == nil && f.Busy == "" && (f.Fresh || f.Failing && f.Asked <= FreshMax) && a.Offline == !f.Fresh):
		return "rolls back unasked, beside another component, without having asked the repository, or to what is refused"
	case r.CancelAsked && (a.Kind == Install || a.Kind == Fetch || a.Kind == Order || a.Kind == Try || a.Kind == Approve):
		return "a release is worked at that an operator cancelled"
	case r.RollbackAsked && (a.Kind == TakeUp || a.Kind == Install || a.Kind == Fetch || a.Kind == Approve):
		return "goes on with an update instead of the rollback that was asked for"
	case r.Back && (a.Kind == Install || a.Kind == Fetch || a.Kind == Withdraw && !r.CancelAsked && f.Failures < RollbackFailuresMax && f.BlindFor < defaultTrialDeadline):
		return "fetches or writes in a rollback, or ends it for what the repository offers"
	case a.Kind == Condemn && !r.RollbackAsked && !r.CancelAsked && !(f.TrialAge >= defaultTrialDeadline && r.Phase == Trial || f.Slots != nil && r.LostBoots >= LostBootsMax-1 && (r.Acted && r.Reboot || r.Begun == f.BootID && f.Anew && !r.Reboot)):
		return "condemns without a deadline passed or enough lost boots"
	case a.Kind == Settle && (booted == "" || booted == r.TargetSlot || !r.Acted && (primary == r.TargetSlot || r.Reboot && f.BootID == r.BootID)):
		return "settles before it is known that the device is back for good"
	case a.Kind == TakeUp && (f.Offer.Problem != nil || f.FetchGate != nil):
		return "takes up a release that is refused or gated"
	case (a.Kind == Order || a.Kind == Install || a.Kind == Fetch) && f.Backoff > 0:
		return "goes on in its back-off"
	case a.Kind == Order && f.Failing:
		return "orders what the repository gives no answer about to be written"
	case (a.Kind == Fetch || a.Kind == Order || a.Kind == Install || a.Kind == Try) && f.InstallGate != nil:
		return "goes through a closed gate"
	case a.Kind == Restart && r.Phase == Switched && f.Slots == nil && !(f.BootID != r.BootID && f.TrialAge >= defaultTrialDeadline &&
		f.Blind != nil && r.BlindBoots < LostBootsMax && (r.Acted || f.InstallGate == nil)):
		return "reboots blindly before the deadline, without having looked, too often, or unordered through a closed gate"
	case a.Kind == Restart && r.Phase == Switched && f.Slots != nil && (f.InstallGate != nil ||
		!r.Back && !(f.Fresh && f.Offer.Known && f.Offer.Problem == nil && f.Offer.id() == r.Release.ID())):
		return "reboots into a trial through a closed gate, or without a fresh refresh that names this release"
	case a.Kind == Restart && r.Phase == Trial && f.Slots != nil && !(r.Back && !r.Offline && !f.Reached && f.TrialAge >= defaultTrialDeadline && r.Unreached+1 < HoldAfter):
		return "leaves a trial by a reboot that is no rollback's, reached the repository, still has time, or was left so too often"
	case a.Kind == Restart && r.Phase != Trial && !(r.Reboot && (f.BootID == r.BootID && r.Acted || f.Slots == nil && r.Phase == Switched ||
		r.Phase == Rejecting && f.Failures >= RejectFailuresMax && r.LostBoots < LostBootsMax)):
		return "reboots without having acted, or tried to, in this boot"
	}
	return ""
}

// TestStepIsTotal checks that every action, ended well or badly, leads to a record that the machine knows, and that
// steps of a failure on the network or of the disk never count against the release.
func TestStepIsTotal(t *testing.T) {
	phases := []Phase{Idle, Fetching, Staged, Writing, Switched, Trial, Confirming, Rejecting}
	innocent := []Reason{ReasonUnreachable, ReasonExpired, ReasonHashMismatch, ReasonDiskFull, ReasonHookTimeout, ReasonHookBusy,
		ReasonHookMissing, ReasonRollback, ReasonMalformed}
	n := 0
	world(func(r Record, f Facts) {
		n++
		a := Next(r, f)
		before := ""
		if n%97 == 0 { // a look at every one would take half a minute
			before = fmt.Sprintf("%+v", r)
		}
		next := Step(r, a, nil)
		if !slices.Contains(phases, next.Phase) && next.Phase != r.Phase {
			t.Fatalf("%s led to phase %q", a.Kind, next.Phase)
		}
		if next.Phase != Idle && next.Release == nil && !a.Pure() {
			t.Fatalf("%s led to %s without a release", a.Kind, next.Phase)
		}
		if !a.Pure() && a.Kind != Wait {
			for _, reason := range innocent {
				failed := Step(r, a, &Problem{Reason: reason})
				if len(failed.Rejected) > len(r.Rejected) || failed.Phase == Rejecting && r.Phase != Rejecting && !(r.Back && failed.Verdict == nil) {
					t.Fatalf("%s that failed with %s counted against the release", a.Kind, reason)
				}
			}
		}
		if before != "" && fmt.Sprintf("%+v", r) != before {
			t.Fatalf("Step changed the record it was given")
		}
	})
}

// TestPureStepsComeToRest follows pure actions from every combination: they end within the bound.
func TestPureStepsComeToRest(t *testing.T) {
	world(func(r Record, f Facts) {
		path := []string{string(r.Phase)}
		for range passesMax {
			a := Next(r, f)
			if !a.Pure() {
				return
			}
			next := Step(r, a, nil)
			f.Anew = f.Anew && a.leavesAnew(&r, &next)
			r = next
			path = append(path, string(a.Kind)+" "+string(r.Phase))
		}
		t.Fatalf("no rest: %s", strings.Join(path, " → "))
	})
}

// TestStateDiagram compares the diagram in ARCHITECTURE.md with what the machine does. Run it with
// OTA_WRITE_DIAGRAM=1 to print the lines that belong there.
func TestStateDiagram(t *testing.T) {
	seen := map[string]bool{}
	verdicts := []*Problem{nil, {Reason: ReasonUnhealthy}, {Reason: ReasonHookRefused}, {Reason: ReasonHashMismatch}}
	world(func(r Record, f Facts) {
		if r.Phase == "from-the-future" {
			return
		}
		a := Next(r, f)
		for _, p := range verdicts {
			if p != nil && a.Pure() {
				continue
			}
			if to := Step(r, a, p); to.Phase != r.Phase {
				label := string(a.Kind)
				if p != nil {
					label += " (" + string(p.Reason) + ")"
				}
				seen[fmt.Sprintf("    %s --> %s: %s", r.Phase, to.Phase, label)] = true
			}
		}
	})
	var lines []string
	for line := range seen {
		lines = append(lines, line)
	}
	slices.Sort(lines)
	diagram := strings.Join(lines, "\n")
	if os.Getenv("OTA_WRITE_DIAGRAM") != "" {
		fmt.Println(diagram)
	}
	text, err := os.ReadFile("../ARCHITECTURE.md")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(text), diagram+"\n") {
		t.Errorf("the state diagram in ARCHITECTURE.md is not what the machine does; it should hold:\n%s", diagram)
	}
}
