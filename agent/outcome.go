package agent

import "cmp"

// LastOutcome is how a component's last update ended, as the journal tells it; nil: it tells of none. The
// verdicts are durable with what they tell of, and the newest of a component is kept (journal.spare), so
// nothing else needs to be stored. What the journal does not keep, Spent and a long text's end, is missing.
func LastOutcome(events []Event, component string) *Outcome {
	_, o := lastOutcome(events, component)
	return o
}

// lastOutcome is LastOutcome with the place of the event that tells it, or -1.
func lastOutcome(events []Event, component string) (int, *Outcome) {
	for i := len(events) - 1; i >= 0; i-- {
		e := events[i]
		if e.Component != component || e.Release == nil {
			continue
		}
		o := &Outcome{Release: *e.Release, Problem: e.Problem}
		switch e.Kind {
		case EventConfirmed, EventRolledBack:
			o.Verdict = "confirmed"
			return i, o
		case EventRejected:
			if e.Problem != nil && e.Problem.Reason == ReasonOperator && leftBy(events[:i], e) {
				continue // of what a rollback left: how that ended is told by the event before
			}
			o.Verdict = "rejected"
			return i, o
		case EventWithdrawn, EventGivenUp:
			o.Verdict = "withdrawn"
			return i, o
		}
	}
	return -1, nil
}

// leftBy reports whether a rejection is of the same commit as the rollback before it.
func leftBy(before []Event, e Event) bool {
	for i := len(before) - 1; i >= 0; i-- {
		if b := before[i]; b.Component == e.Component {
			return b.Kind == EventRolledBack
		}
	}
	return false
}

// ended tells how an update ended, or nil; p is why it was dropped or refused.
func ended(from Record, a Action, p *Problem) *Outcome {
	if from.Release == nil {
		return nil
	}
	o := &Outcome{Release: releaseStatus(from.Release), Problem: cmp.Or(from.why(), p), Spent: from.spent()}
	switch {
	case a.Kind == Finish:
		o.Verdict = "confirmed"
	case from.Verdict != nil, a.Kind == Install:
		o.Verdict = "rejected"
	case a.Kind == Settle, a.Kind == Drop:
		o.Verdict = "withdrawn"
	}
	return o
}
