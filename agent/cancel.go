package agent

import (
	"fmt"
	"time"
)

// Cancelling ends what is being done with a release, a hook that hangs included, and puts the release aside:
// it counts as rejected, by the operator's word, until retry or until another one is offered. What was tried
// goes back as after any verdict.

// cancel notes what the operator asks for, durably, and ends the work that is under way; the machine does the
// rest. name is empty for all components.
func (e *engine) cancel(name string) error {
	if name != "" && e.component(name) == nil {
		return fmt.Errorf("cancel: there is no component %q", name)
	}
	var refused *Problem
	cancelled := 0
	for _, c := range e.live {
		if name != "" && c.name != name {
			continue
		}
		r := e.book.record(c.name)
		if p := r.noCancel(); p != nil {
			refused = p
			continue
		}
		r.CancelAsked = true
		if err := e.book.put(r, false, nil); err != nil {
			return err
		}
		c.notBefore = 0 // what waits for its next attempt goes back at once
		c.end(Fetch, Install, Try, Examine)
		cancelled++
	}
	switch {
	case cancelled > 0:
		return nil
	case name == "" && len(e.live) > 1:
		return &Problem{Reason: ReasonNoUpdate, Text: "nothing to cancel: no component is at an update that can be cancelled"}
	}
	return refused
}

// end tells the work of these kinds to end, where it is under way. A hook gets SIGTERM and, after its grace,
// SIGKILL; its lane is free when all of its processes are gone.
func (c *live) end(kinds ...ActionKind) {
	for _, k := range kinds {
		if c.running != nil && c.running.action.Kind == k && c.running.cancel != nil {
			c.running.cancel()
		}
	}
}

// noCancel says why there is nothing to cancel, or nil.
func (r *Record) noCancel() *Problem {
	switch r.Phase {
	case Fetching, Staged, Writing, Switched, Trial:
		return nil
	case Confirming:
		return &Problem{Reason: ReasonNoUpdate, Text: fmt.Sprintf(
			"nothing to cancel: component %s has proved its release and is about to keep it; ota-agent rollback leaves it then", r.Component)}
	case Rejecting:
		return &Problem{Reason: ReasonNoUpdate, Text: fmt.Sprintf("nothing to cancel: component %s is on its way back already", r.Component)}
	}
	return &Problem{Reason: ReasonNoUpdate, Text: fmt.Sprintf("nothing to cancel: component %s is at no update", r.Component)}
}

// uncancel is what a retry makes of a cancel that has not come to its end: the later word counts. What was
// tried goes back all the same.
func (r *Record) uncancel() {
	r.CancelAsked = false
	if r.Verdict != nil && r.Verdict.Reason == ReasonCancelled {
		r.Verdict, r.Cause = nil, r.Verdict
	}
}

func cancelled(now time.Time) *Problem {
	return &Problem{Reason: ReasonCancelled, Text: "an operator cancelled it", At: now}
}

// cancelTried is the way back from a release that was switched to. A rollback goes back without a verdict:
// the release before did nothing wrong.
func (f *Facts) cancelTried(r *Record) Action {
	if r.Back {
		return withdraw(cancelled(f.Now))
	}
	return Action{Kind: Condemn, Problem: cancelled(f.Now)}
}
