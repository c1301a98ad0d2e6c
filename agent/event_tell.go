package agent

import (
	"cmp"
	"time"
	"unicode/utf8"
)

// Bounds of an event's texts, in bytes. Together with those of a release they keep its JSON below EventBytesMax.
const (
	eventTextMax = 256
	eventNameMax = 64
	// EventBytesMax bounds an event's JSON, whatever its texts hold: JSON takes up to six bytes for one.
	EventBytesMax = 4 << 10
)

// tell says what became of a component, from its record before and after a commit; p is what failed, or why a
// release was dropped, or nil. It is pure. What changes only what the agent remembers tells of nothing.
func tell(from, to Record, p *Problem) []Event {
	var told []Event
	add := func(k EventKind, r *Release, p *Problem) {
		told = append(told, Event{Component: to.Component, Kind: k, Release: eventRelease(r), Slot: to.TargetSlot, Problem: p})
	}
	began := to.Release != nil && (from.Release == nil || from.Release.ID() != to.Release.ID())
	if began {
		add(EventTakenUp, to.Release, nil)
	}
	moved := began || from.Phase != to.Phase
	if to.Cuts.Count > from.Cuts.Count {
		add(EventFailed, to.Release, to.Cuts.problem())
	}
	switch {
	case from.Release != nil && to.Release == nil:
		told = append(told, tellEnd(from, to, p)...)
	case to.Phase == Trial && (moved || from.BootID != to.BootID):
		add(EventTrial, to.Release, nil)
	case moved && to.Phase == Rejecting:
		add(EventGoingBack, to.Release, to.why())
	case to.Unlisted != from.Unlisted:
		told = append(told, tellListing(to, p))
	case p != nil:
		add(EventFailed, to.Release, p)
	case from.Phase == Fetching && to.Phase == Staged:
		add(EventStaged, to.Release, nil)
	case from.Phase == Writing && to.Phase == Switched:
		add(EventInstalled, to.Release, nil)
	}
	return append(told, tellRest(from, to)...)
}

// tellEnd says how an update ended; p is why it was dropped, or nil.
func tellEnd(from, to Record, p *Problem) []Event {
	e := Event{Component: to.Component, Kind: EventWithdrawn, Release: eventRelease(from.Release), Slot: from.TargetSlot}
	id := from.Release.ID()
	switch rejected := newlyRejected(from.Rejected, to.Rejected); {
	case from.Phase == Confirming && to.Confirmed != nil && to.Confirmed.ID() == id:
		e.Kind = EventConfirmed
		if rejected != nil && from.Confirmed != nil && rejected.ID == from.Confirmed.ID() {
			e.Kind = EventRolledBack // it is confirmed in the place of what was left
		}
	case rejected != nil && rejected.ID == id:
		e.Kind, e.Problem = EventRejected, &rejected.Last
	case from.Phase == Rejecting && to.Unreachable == id:
		e.Kind = EventGivenUp
		e.Problem = cmp.Or(from.Cause, &Problem{Reason: ReasonTrialNoRepo, Text: "the trial did not reach the repository, or refused the release itself"})
	default:
		e.Problem = cmp.Or(from.why(), p)
	}
	return []Event{e}
}

// tellListing says that the repository names nothing for the component any more, or something again.
func tellListing(to Record, p *Problem) Event {
	if to.Unlisted == "" {
		return Event{Component: to.Component, Kind: EventRelisted}
	}
	return Event{Component: to.Component, Kind: EventUnlisted, Problem: p}
}

// tellRest says what changed for a component beside its update.
func tellRest(from, to Record) []Event {
	var told []Event
	add := func(k EventKind, r *ReleaseStatus, slot string, p *Problem) {
		told = append(told, Event{Component: to.Component, Kind: k, Release: r, Slot: slot, Problem: p})
	}
	same := from.Confirmed != nil && to.Confirmed != nil && from.Confirmed.ID() == to.Confirmed.ID() && from.ConfirmedSlot == to.ConfirmedSlot
	switch {
	case from.Release == nil && to.Confirmed != nil && !same:
		add(EventAdopted, eventRelease(to.Confirmed), to.ConfirmedSlot, nil)
	case same && to.Degraded && !from.Degraded:
		add(EventDegraded, eventRelease(to.Confirmed), to.ConfirmedSlot, &Problem{Reason: ReasonDegraded,
			Text: "slot " + to.ConfirmedSlot + " was confirmed with this release, and another slot is booted"})
	case same && from.Degraded && !to.Degraded:
		add(EventRestored, eventRelease(to.Confirmed), to.ConfirmedSlot, nil)
	}
	if to.Doubted && !from.Doubted {
		add(EventStateNew, nil, "", &Problem{Reason: ReasonStateNew, Text: stateNewText})
	}
	if x := newlyRejected(from.Rejected, to.Rejected); x != nil && (from.Release == nil || from.Release.ID() != x.ID) {
		rel, slot := &ReleaseStatus{Version: x.Version, SHA256: x.ID}, ""
		if from.Confirmed != nil && from.Confirmed.ID() == x.ID { // what was left by a rollback
			rel, slot = eventRelease(from.Confirmed), from.ConfirmedSlot
		}
		add(EventRejected, rel, slot, &x.Last)
	}
	for _, h := range to.Held {
		if !h.Until.IsZero() && !heldAs(from.Held, h) {
			add(EventHeld, &ReleaseStatus{SHA256: h.ID}, "", &Problem{Reason: ReasonHeld,
				Text: h.why("this release") + "; held back until " + h.Until.UTC().Format(time.RFC3339)})
		}
	}
	return told
}

// newlyRejected is the rejection that the later list has beyond the earlier one, or nil.
func newlyRejected(from, to []Rejection) *Rejection {
	for i := len(to) - 1; i >= 0; i-- {
		count := 0
		for _, old := range from {
			if old.ID == to[i].ID {
				count = old.Count
			}
		}
		if to[i].Count > count {
			return &to[i]
		}
	}
	return nil
}

func heldAs(list []Hold, h Hold) bool {
	for _, old := range list {
		if old.ID == h.ID && old.Until.Equal(h.Until) {
			return true
		}
	}
	return false
}

func eventRelease(r *Release) *ReleaseStatus {
	if r == nil {
		return nil
	}
	s := releaseStatus(r)
	return &s
}

// stamp completes events that happened together. now is the effective time.
func stamp(told []Event, now time.Time, bootID string) []Event {
	for i := range told {
		e := &told[i]
		e.Schema, e.At, e.BootID = EventSchema, now, cut(bootID, eventNameMax)
		e.Component, e.Slot = cut(e.Component, eventNameMax), cut(e.Slot, eventNameMax)
		if p := e.Problem; p != nil {
			e.Problem = &Problem{Reason: p.Reason, Text: cut(p.Text, eventTextMax), At: p.At}
		}
	}
	return told
}

// cut keeps a text's first bytes, whole characters only.
func cut(s string, bytesMax int) string {
	if len(s) <= bytesMax {
		return s
	}
	for bytesMax > 0 && !utf8.RuneStart(s[bytesMax]) {
		bytesMax--
	}
	return s[:bytesMax]
}
