package agent

import (
	"testing"

	"github.com/ota-agent/ota-agent/verifier"
)

// settle takes pure steps until an idle component rests or acts.
func settle(t *testing.T, r Record, f Facts) (Record, Action) {
	t.Helper()
	for range passesMax {
		a := Next(r, f)
		if !a.Pure() {
			return r, a
		}
		r = Step(r, a, nil)
		if r.Phase != Idle {
			return r, a
		}
	}
	t.Fatal("the machine does not come to rest")
	return r, Action{}
}

// A technician has flashed the very slot that was confirmed, with an older image; the state partition was kept. The status says
// what is the case and that retry ends it, and retry does.
func TestRetryAfterTheConfirmedSlotWasFlashed(t *testing.T) {
	f := Facts{Component: &Component{Name: "rootfs", Hook: "/hook"}, BootID: "boot-1", Now: testNow, Offer: Offer{Known: true, Release: releaseV3},
		Slots: &Slots{Booted: "A", Primary: "A", Slots: map[string]Slot{"A": {Good: true, SHA256: releaseV2.SHA256()}, "B": {}}}}
	r, a := settle(t, Record{Component: "rootfs", Phase: Idle, Confirmed: releaseV3, ConfirmedSlot: "A"}, f)
	if a.Waiting == nil || a.Waiting.Reason != ReasonDegraded {
		t.Errorf("%s, %+v; expected that it waits for retry", a.Kind, a.Waiting)
	}
	r.RetryAsked = true
	if _, a = settle(t, r, f); a.Kind != TakeUp {
		t.Errorf("after retry: %s, %+v; expected that the release is taken up again", a.Kind, a.Waiting)
	}
	f.Slots.Slots["A"] = Slot{Good: true} // a hook that can't tell what a slot holds: the record is believed
	if r, _ = settle(t, r, f); r.Confirmed == nil || r.RetryAsked {
		t.Errorf("retry forgot a release that may well run: %+v", r)
	}
}

// The publisher lists the image that runs with a rollback_index now, since another component requires it, or signs it with other
// keys. Nothing is installed for that, and what is confirmed is the release as it is listed now; but not before the bootloader shows it as
// kept, and not on the word of what is on trial.
func TestWhatRunsIsListedAnew(t *testing.T) {
	f := Facts{Component: &Component{Name: "rootfs", Hook: "/hook"}, BootID: "boot-1", Now: testNow, Slots: bothGood()}
	confirmed := *testRelease('3')
	confirmed.ImageSHA256 = confirmed.SHA256()
	old := Record{Component: "rootfs", Phase: Idle, Confirmed: &confirmed, ConfirmedSlot: "B", Previous: releaseV2, PreviousSlot: "A"}
	index, signed := indexed('3', 7, ""), *indexed('3', 7, "")
	signed.Signers = []verifier.KeyHash{{9}}
	for name, c := range map[string]struct {
		offer  Offer
		change func(*Facts)
		adopt  bool
	}{
		"with an index":           {offer: Offer{Known: true, Release: index}, adopt: true},
		"by other keys":           {offer: Offer{Known: true, Release: &signed}, adopt: true},
		"as it was":               {offer: Offer{Known: true, Release: testRelease('3')}},
		"with what is refused":    {offer: Offer{Known: true, Release: index, Problem: &Problem{Reason: ReasonIndexTooLow}}},
		"beside a trial":          {offer: Offer{Known: true, Release: index}, change: func(f *Facts) { f.Busy = "app" }},
		"in a slot that is tried": {offer: Offer{Known: true, Release: index}, change: func(f *Facts) { f.Slots.Primary = "A" }},
		"in a slot not yet good":  {offer: Offer{Known: true, Release: index}, change: func(f *Facts) { f.Slots.Slots["B"] = Slot{SHA256: confirmed.SHA256()} }},
	} {
		f := f
		f.Offer, f.Slots = c.offer, bothGood()
		if c.change != nil {
			c.change(&f)
		}
		r, a := settle(t, old, f)
		if a.Kind != Wait || a.Waiting != nil || r.Previous != releaseV2 || r.ConfirmedSlot != "B" || r.Confirmed.ImageSHA256 != confirmed.ImageSHA256 {
			t.Errorf("%s: %s, %+v, %+v", name, a.Kind, a.Waiting, r)
		}
		if adopted := r.Confirmed.saysAs(c.offer.Release) && !confirmed.saysAs(c.offer.Release); adopted != c.adopt {
			t.Errorf("%s: adopted %t, expected %t", name, adopted, c.adopt)
		}
	}
}
