package agent

import (
	"context"
	"testing"
	"time"

	"github.com/ota-agent/ota-agent/verifier"
)

// rottenSlot is a device in whose slots nothing lies any more that anybody verified.
type rottenSlot struct {
	*bareDevice
	ran []Verb
}

func (d *rottenSlot) Do(_ context.Context, v Verb, _ Job) error {
	d.ran = append(d.ran, v)
	if v == VerbVerify {
		return &Problem{Reason: ReasonHashMismatch, Text: "the slot holds another image"}
	}
	return nil
}

// TestASlotThatDoesNotVerifyIsNotTried: nor in a rollback, where nothing was written right before.
func TestASlotThatDoesNotVerifyIsNotTried(t *testing.T) {
	for _, back := range []bool{false, true} {
		d := &rottenSlot{bareDevice: &bareDevice{}}
		e := d.start(t, "rootfs").engine
		e.p.Installer = d
		r := Record{Component: "rootfs", Phase: Switched, Release: releaseV2, TargetSlot: "B", BootID: "boot-1", Hook: "/hook", Back: back}
		o := e.work(e.live[0], r, Action{Kind: Try})(t.Context())
		if o.problem == nil || o.problem.Reason != ReasonHashMismatch || len(d.ran) != 1 {
			t.Errorf("a rollback: %t: it ran %v and ended with %v", back, d.ran, o.problem)
		}
	}
}

// TestNoRollbackBelowWhatTheImageShips: also on a device that has lost its own floors.
func TestNoRollbackBelowWhatTheImageShips(t *testing.T) {
	for shipped, want := range map[int64]Reason{0: "", 5: "", 6: ReasonIndexTooLow} {
		for known := range int64(2) {
			r := rollable(Idle)
			e := &engine{book: &ledger{state: State{Records: map[string]Record{"rootfs": r},
				Floors: verifier.Floors{Index: map[string]verifier.Floor{"rootfs": {Version: known}}}}}}
			e.cfg.Minimum.Index = map[string]verifier.Floor{"rootfs": {Version: shipped}}
			e.p.System = &bareDevice{}
			e.live = []*live{{name: "rootfs", component: &Component{}, slots: bothGood()}}
			var got Reason
			if p := e.noRollback(e.live[0], r); p != nil {
				got = p.Reason
			}
			if got != want {
				t.Errorf("the image demands %d, the device knows %d, and the release before has 5: reason %q, expected %q", shipped, known, got, want)
			}
		}
	}
}

// TestARefreshLowersNoIndexFloor: a refresh that began before a release was confirmed commits floors of
// before; the index that was confirmed meanwhile stays.
func TestARefreshLowersNoIndexFloor(t *testing.T) {
	d := &bareDevice{}
	e := d.start(t, "rootfs").engine
	began := e.book.floors()
	confirmed := Record{Component: "rootfs", Phase: Idle, Confirmed: indexed('3', 7, ""), ConfirmedSlot: "B"}
	if err := e.book.put(confirmed, true, nil); err != nil {
		t.Fatal(err)
	}
	began.Snapshot.Version = 9
	for _, index := range []map[string]verifier.Floor{nil, {"rootfs": {Version: 3}}} {
		began.Index = index
		if err := e.book.commit(Change{Metadata: verifier.Change{Floors: &began}}, nil); err != nil {
			t.Fatal(err)
		}
		for where, f := range map[string]verifier.Floors{"kept": d.state.Floors, "known": e.book.floors()} {
			if f.Index["rootfs"].Version != 7 || f.Snapshot.Version != 9 {
				t.Errorf("%s are %+v, expected index 7 and snapshot 9", where, f)
			}
		}
	}
}

// TestATrialKeepsNothingThatItsImageDemands: whichever floor the image on trial has raised, what is accepted
// under it is not kept; where it has raised none, it is.
func TestATrialKeepsNothingThatItsImageDemands(t *testing.T) {
	_, r, _ := signedRefresh(t)
	now := r.Floors()
	lower := map[string]func(*verifier.Floors){
		"none":      func(*verifier.Floors) {},
		"root":      func(f *verifier.Floors) { f.RootVersion-- },
		"timestamp": func(f *verifier.Floors) { f.Timestamp.Version-- },
		"snapshot":  func(f *verifier.Floors) { f.Snapshot.Version-- },
	}
	for raised, by := range lower {
		began := now
		by(&began)
		for _, onTrial := range []bool{false, true} {
			e := (&bareDevice{}).start(t).engine
			if got, want := e.keeper(t.Context(), r, began, onTrial).nothing, onTrial && raised != "none"; got != want {
				t.Errorf("on trial: %t, raised: %s: nothing is kept: %t, expected %t", onTrial, raised, got, want)
			}
		}
	}
}

// TestRetryAfterIsCapped: a server that says "in a year" is asked again after backoff_max, for metadata and
// for an image.
func TestRetryAfterIsCapped(t *testing.T) {
	year := &Problem{Reason: ReasonServerBusy, Text: "503", RetryAfter: 365 * 24 * time.Hour}
	e := (&bareDevice{}).start(t, "rootfs").engine
	e.cfg.BackoffMax = 3 * time.Hour
	c, up := e.live[0], e.p.System.Uptime()
	e.note(c, Record{Component: "rootfs", Phase: Fetching, Release: releaseV2}, Action{Kind: Fetch}, outcome{problem: year})
	if wait := c.notBefore - up; wait != 3*time.Hour {
		t.Errorf("an image is asked for again after %s", wait)
	}
	s := schedule{poll: 30 * 24 * time.Hour, backoffMin: time.Minute, backoffMax: 3 * time.Hour}
	s.ended(year, up, 0.5)
	if wait := s.due - up; wait != 3*time.Hour {
		t.Errorf("metadata is asked for again after %s", wait)
	}
	soon := &Problem{Reason: ReasonServerBusy, Text: "503", RetryAfter: time.Hour}
	if s.ended(soon, up, 0.5); s.due-up != time.Hour {
		t.Errorf("after a server that says an hour it is asked again after %s", s.due-up)
	}
}

// inAnotherZone runs f on a machine whose own zone is five hours off.
func inAnotherZone(f func()) {
	local := time.Local
	time.Local = time.FixedZone("here", 5*60*60)
	defer func() { time.Local = local }()
	f()
}

// TestAWindowWithoutAZoneIsInUTC: whatever zone the machine has, which may differ from slot to slot.
func TestAWindowWithoutAZoneIsInUTC(t *testing.T) {
	w, err := ParseWindow("12:00-13:00") // testNow is at 12:00 UTC
	if err != nil {
		t.Fatal(err)
	}
	inAnotherZone(func() {
		if shut := windowGate("installations", []Window{w}, nil, testNow, true); shut != nil {
			t.Errorf("at noon in UTC it is %+v", shut)
		}
		if shut := windowGate("installations", []Window{w}, nil, testNow.Add(-5*time.Hour), true); shut == nil {
			t.Error("it is open at noon of the machine's own zone")
		}
	})
}
