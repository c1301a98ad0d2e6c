package agent

import (
	"testing"
	"time"
)

// What the journal says after a restart is what the process before it said: for each way in which an update can end.
func TestTheJournalTellsHowTheLastUpdateEnded(t *testing.T) {
	operator := &Problem{Reason: ReasonOperator, Text: "an operator rolled it back"}
	sick := &Problem{Reason: ReasonUnhealthy, Text: "sick"}
	v1, v2 := &ReleaseStatus{Version: "1"}, &ReleaseStatus{Version: "2"}
	for _, tt := range []struct {
		name    string
		events  []Event
		verdict string
		release string
	}{
		{"nothing yet", []Event{{Kind: EventTakenUp, Release: v1}}, "", ""},
		{"confirmed, and at the next", []Event{{Kind: EventConfirmed, Release: v1}, {Kind: EventTakenUp, Release: v2}, {Kind: EventStaged, Release: v2}}, "confirmed", "1"},
		{"adopted is no update", []Event{{Kind: EventAdopted, Release: v1}}, "", ""},
		{"rejected", []Event{{Kind: EventConfirmed, Release: v1}, {Kind: EventRejected, Release: v2, Problem: sick}}, "rejected", "2"},
		{"withdrawn", []Event{{Kind: EventWithdrawn, Release: v2}}, "withdrawn", "2"},
		{"given up, then held", []Event{{Kind: EventGivenUp, Release: v2}, {Kind: EventHeld, Release: v2}}, "withdrawn", "2"},
		{"rolled back", []Event{{Kind: EventConfirmed, Release: v2}, {Kind: EventRolledBack, Release: v1}, {Kind: EventRejected, Release: v2, Problem: operator}}, "confirmed", "1"},
		{"rolled back in its trial", []Event{{Kind: EventGoingBack, Release: v2}, {Kind: EventRejected, Release: v2, Problem: operator}}, "rejected", "2"},
		{"another component's", []Event{{Kind: EventWithdrawn, Release: v1}, {Component: "other", Kind: EventConfirmed, Release: v2}}, "withdrawn", "1"},
	} {
		got := LastOutcome(tt.events, "")
		if got == nil {
			got = &Outcome{}
		}
		if got.Verdict != tt.verdict || got.Release.Version != tt.release {
			t.Errorf("%s: got %+v", tt.name, got)
		}
	}
}

// Each end of an update in this process is what the next one reads: both come from one step.
func TestTheNextProcessSaysTheSameOfTheLastUpdate(t *testing.T) {
	sick := &Problem{Reason: ReasonUnhealthy, Text: "sick", At: testNow}
	at := func(p Phase) Record {
		return Record{Schema: RecordSchema, Component: "rootfs", Phase: p, Release: releaseV2, TargetSlot: "B", Confirmed: releaseV3, ConfirmedSlot: "A"}
	}
	back := at(Confirming)
	back.Back = true
	for name, tt := range map[string]struct {
		r Record
		a Action
		p *Problem
	}{
		"confirmed":   {at(Confirming), Action{Kind: Finish, Now: testNow}, nil},
		"rolled back": {back, Action{Kind: Finish, Now: testNow}, nil},
		"rejected":    {at(Rejecting).with(func(r *Record) { r.Verdict = sick }), Action{Kind: Settle}, nil},
		"came back":   {at(Rejecting).with(func(r *Record) { r.Cause = sick }), Action{Kind: Settle}, nil},
		"given up":    {at(Rejecting).with(func(r *Record) { r.Cause, r.Unreachable = sick, releaseV2.ID() }), Action{Kind: Settle}, nil},
		"dropped":     {at(Staged), Action{Kind: Drop, Problem: sick}, nil},
		"refused":     {at(Writing), Action{Kind: Install}, &Problem{Reason: ReasonHookRefused, Text: "no", At: testNow}},
	} {
		p := tt.p
		if tt.a.Kind == Drop {
			p = tt.a.Problem
		}
		next := Step(tt.r, tt.a, tt.p)
		now := ended(tt.r, tt.a, p)
		later := LastOutcome(stamp(tell(tt.r, next, p), time.Time{}, ""), "rootfs")
		if now == nil || later == nil || later.Verdict != now.Verdict || later.Release != now.Release ||
			(later.Problem == nil) != (now.Problem == nil) || now.Problem != nil && later.Problem.Reason != now.Problem.Reason {
			t.Errorf("%s: this process says %+v, the next one %+v", name, now, later)
		}
	}
}

// However many verdicts come of one component, and whether a broker hears of them or not, how another one's
// last update ended stays.
func TestTheLastVerdictOfAComponentStays(t *testing.T) {
	for _, told := range []uint64{0, 1, EventVerdictsMax, 1000} { // how many the broker has heard of
		j := journal{mark: JournalMark{ID: "j"}}
		left := &Problem{Reason: ReasonOperator}
		j = j.with([]Event{{Kind: EventRolledBack, Component: "quiet", Release: &ReleaseStatus{Version: "7"}},
			{Kind: EventRejected, Component: "quiet", Release: &ReleaseStatus{Version: "8"}, Problem: left}})
		for range 3 * EventVerdictsMax {
			j.mark.Told = min(told, j.mark.Last)
			j = j.with([]Event{{Kind: EventConfirmed, Component: "busy", Release: &ReleaseStatus{Version: "1"}},
				{Kind: EventHeld, Component: "busy", Release: &ReleaseStatus{Version: "2"}}})
			if len(j.events) > EventVerdictsMax {
				t.Fatalf("the journal holds %d verdicts", len(j.events))
			}
		}
		if got := LastOutcome(j.events, "quiet"); got == nil || got.Verdict != "confirmed" || got.Release.Version != "7" {
			t.Errorf("with %d told: got %+v", told, got)
		}
	}
}

// A device with more components than there is room for keeps the newest.
func TestOutcomesOfManyComponentsAreBounded(t *testing.T) {
	j := journal{mark: JournalMark{ID: "j"}}
	for i := range 100 {
		j.mark.Told = j.mark.Last
		j = j.with([]Event{{Kind: EventConfirmed, Component: string(rune(0x4e00 + i)), Release: &ReleaseStatus{}}})
		if len(j.events) > EventVerdictsMax {
			t.Fatalf("the journal holds %d verdicts", len(j.events))
		}
	}
	if LastOutcome(j.events, string(rune(0x4e00+99))) == nil {
		t.Error("the newest verdict is gone")
	}
}
