package agent

import (
	"fmt"
	"time"
)

// Next says what to do next with a component. It is pure and total: any record and any facts give an action. An
// action that touches the world comes only out of a record that orders it, so the record is durable before the
// action runs, and after a crash the same record orders the same action again.
func Next(r Record, f Facts) Action {
	a := next(&r, &f) // copies of its own, which nothing below changes: handed on by value they would fill the binary
	if a.Kind == Restart {
		if w := f.rebootWaiting(); w != nil {
			a = waitFor(w)
		}
	}
	a.BootID, a.Uptime, a.Now = f.BootID, f.Uptime, f.Now
	return a
}

func next(r *Record, f *Facts) Action {
	if r.Phase != Idle && r.Release == nil {
		return Action{Kind: Drop} // no phase but idle is without a release: a record that says so is worth nothing
	}
	switch r.Phase {
	case Idle:
		return nextIdle(r, f)
	case Fetching:
		return nextFetching(r, f)
	case Staged:
		return nextStaged(r, f)
	case Writing:
		return nextWriting(r, f)
	case Switched:
		return nextSwitched(r, f)
	case Trial:
		return nextTrial(r, f)
	case Confirming:
		return nextConfirming(r, f)
	case Rejecting:
		return nextRejecting(r, f)
	}
	// A newer agent's phase: what is seen decides how to go on, as after the loss of the record.
	if r.CancelAsked {
		return Action{Kind: Drop, Problem: cancelled(f.Now)}
	}
	return Action{Kind: Drop, Problem: &Problem{Reason: ReasonUnsupported, At: f.Now,
		Text: fmt.Sprintf("a newer agent began it, and this one does not know its phase %.40q", r.Phase)}}
}

// waitOr returns Wait while a back-off runs, else the action of kind k. To look costs nothing: only an
// Observe that failed waits, or a short drive would end before its trial began.
func (f *Facts) waitOr(k ActionKind) Action {
	left, why := f.Backoff, f.Failure
	if k == Observe {
		left, why = f.LookIn, f.Blind
	}
	if left > 0 && (k != Observe || why != nil) {
		return waitFor(backoffWaiting(left, why))
	}
	return Action{Kind: k}
}

// lookAgain waits for another answer of the hook's status, which is asked for ever more seldom: what the
// first one after a boot says may be too early.
func (f *Facts) lookAgain(w *Waiting) Action {
	if f.LookIn <= 0 {
		return Action{Kind: Observe, Waiting: w}
	}
	return waitFor(w)
}

func waitFor(w *Waiting) Action { return Action{Kind: Wait, Waiting: w} }

func backoffWaiting(left time.Duration, why *Problem) *Waiting {
	w := &Waiting{Reason: ReasonBackoff, Text: "the next attempt", Left: SecondsOf(left)}
	if why != nil {
		w.Reason, w.Text = why.Reason, "the next attempt, after: "+why.Text
	}
	return w
}

func nextIdle(r *Record, f *Facts) Action {
	if f.Component == nil {
		return waitFor(nil)
	}
	switch m := f.Offer.Missing; {
	case m != nil && r.Unlisted != m.Path:
		return Action{Kind: Unlist, Path: m.Path, Problem: f.Offer.Problem}
	case r.Unlisted != "" && f.Offer.Release != nil:
		return Action{Kind: Relist}
	}
	if f.Slots == nil {
		return f.waitOr(Observe)
	}
	if back := f.fellBack(r); back != r.Degraded {
		if back {
			return Action{Kind: Degrade}
		}
		return Action{Kind: Restore}
	}
	if doubt := f.doubts(r); doubt != r.Doubted {
		return f.doubt(doubt)
	}
	if r.Doubted && !f.ProveNew {
		return nextDoubted(r, f)
	}
	if r.Unreachable != "" {
		switch { // it tells something only right after the trial: later, or on the next drive, an outage may be over
		case f.TrialAge > f.Component.trialDeadline(), r.UnreachableBoot != "" && r.UnreachableBoot != f.BootID:
			return Action{Kind: Forgive}
		case f.Reached:
			return Action{Kind: Count}
		}
		return Action{Kind: Check, Waiting: &Waiting{Reason: ReasonTrialNoRepo,
			Text: "finding out whether the release before the trial reaches the repository"}}
	}
	switch {
	case r.RetryAsked:
		a := Action{Kind: Relent}
		if r.Confirmed != nil && f.runs(r, r.Confirmed) { // somebody may have flashed the slot since
			a.Slot = f.Slots.Booted
		}
		return a
	case r.RollbackAsked:
		return nextRollback(f)
	case f.Offer.Missing != nil:
		return waitFor(&Waiting{Reason: ReasonNotListed, Text: f.Offer.Problem.Text})
	case !f.Offer.Known || f.Offer.Release == nil:
		return waitFor(nil)
	}
	return nextOffered(r, f, f.Offer.Release)
}

// nextOffered is nextIdle with a release on offer.
func nextOffered(r *Record, f *Facts, offered *Release) Action {
	if f.runs(r, offered) {
		return nextRunning(r, f, offered)
	}
	if p := f.Offer.Problem; p != nil {
		return waitFor(&Waiting{Reason: p.Reason, Text: p.Text})
	}
	if r.Confirmed != nil && r.Confirmed.ID() == offered.ID() {
		return waitFor(&Waiting{Reason: ReasonDegraded, Text: fmt.Sprintf(
			"slot %s was confirmed with the release on offer, %s, but slot %s is booted, with something else in it",
			r.ConfirmedSlot, describe(offered), f.Slots.Booted)})
	}
	if w := r.remembered(offered, f.Now); w != nil {
		return waitFor(w)
	}
	if f.FetchGate != nil {
		return waitFor(f.FetchGate)
	}
	if r.Setback.ID == offered.ID() && f.Backoff > 0 {
		return f.waitOr(TakeUp)
	}
	return Action{Kind: TakeUp, Release: offered, Hook: f.Component.Hook, Reboot: f.Component.Reboot, Carried: f.Component.carried()}
}

// nextRunning is nextOffered where the booted slot holds the offered release. What boots for good is adopted,
// and again where the publisher says something else of the image now, since others may wait for its index.
// What boots only now is a trial whose record was lost with the database: it goes on from its beginning,
// since the bootloader would otherwise fall back from a release that nobody judged. It needs a good slot to
// go back to.
func nextRunning(r *Record, f *Facts, offered *Release) Action {
	known := r.Confirmed != nil && r.Confirmed.ID() == offered.ID()
	if known {
		offered = offered.as(r.Confirmed)
	}
	// Nothing is adopted while another component is on trial: what is known then may have to be forgotten
	// with its release.
	if f.Offer.Problem != nil || known && (f.Busy != "" || r.Confirmed.saysAs(offered)) {
		return waitFor(nil)
	}
	booted, primary := f.Slots.Slots[f.Slots.Booted], f.Slots.Slots[f.Slots.Primary]
	switch {
	case f.Slots.Primary == f.Slots.Booted && booted.Good:
		return Action{Kind: Adopt, Release: offered, Slot: f.Slots.Booted}
	case known:
		return waitFor(nil)
	case f.Slots.Primary == f.Slots.Booted || !primary.Good:
		return f.lookAgain(nil)
	}
	if w := firstClosed(r.remembered(offered, f.Now), busyWaiting(f.Busy), f.InstallGate); w != nil {
		return waitFor(w)
	}
	return Action{Kind: Prove, Release: offered, Hook: f.Component.Hook, Reboot: f.Component.Reboot, Carried: f.Component.carried(), Slot: f.Slots.Booted,
		Local: f.Local}
}

func busyWaiting(other string) *Waiting {
	if other == "" {
		return nil
	}
	return &Waiting{Reason: ReasonBusy, Text: "component " + other + " is being updated"}
}

// remembered says why a release is not taken up again, or nil.
func (r *Record) remembered(offered *Release, now time.Time) *Waiting {
	id := offered.ID()
	for _, x := range r.Rejected {
		if x.ID == id {
			return &Waiting{Reason: ReasonRejected, Text: "the release on offer, " + describe(offered) + ", was rejected: " + x.Last.Text}
		}
	}
	for _, h := range r.Held {
		// What is held for longer was held by a clock that was ahead. One that went back since, to a boot's
		// floor, lets nothing go.
		if left := h.Until.Sub(now); h.ID == id && left > 0 && left <= 2*HoldFor {
			return &Waiting{Reason: ReasonHeld, Text: h.why("the release on offer, " + describe(offered) + ","), Left: SecondsOf(left)}
		}
	}
	return nil
}

// why says what a release is held back for, in a sentence that names it.
func (h Hold) why(release string) string {
	if h.Reason == ReasonTrialCut {
		return fmt.Sprintf("%d trials in a row of %s were cut short before anything was proven", h.Count, release)
	}
	return fmt.Sprintf("%d trials of %s could not reach the repository, or refused the release itself", h.Count, release)
}

// unwanted is why a release that was not tried yet is to be dropped, or nil.
func unwanted(r *Record, f *Facts) *Problem {
	switch {
	case r.CancelAsked:
		return cancelled(f.Now)
	case r.RollbackAsked:
		return rolledBack(f.Now)
	case f.Component == nil:
		return &Problem{Reason: ReasonWithdrawn, Text: "the config does not name this component any more", At: f.Now}
	case f.Offer.left(r):
		return f.departure(r)
	}
	return nil
}

func nextFetching(r *Record, f *Facts) Action {
	if why := unwanted(r, f); why != nil {
		return Action{Kind: Drop, Problem: why}
	}
	if again := f.amended(r); again != nil {
		return Action{Kind: Amend, Release: again}
	}
	if f.FetchGate != nil {
		return waitFor(f.FetchGate)
	}
	return f.waitOr(Fetch)
}

func nextStaged(r *Record, f *Facts) Action {
	if why := unwanted(r, f); why != nil {
		return Action{Kind: Drop, Problem: why}
	}
	if again := f.amended(r); again != nil {
		return Action{Kind: Amend, Release: again}
	}
	if f.Backoff > 0 {
		return f.waitOr(Order) // its installation failed, and here it keeps no other component waiting
	}
	if f.Busy != "" && f.InstallGate.looks() {
		return waitFor(busyWaiting(f.Busy)) // to ask a gate now would only take the hooks' one lane from the one that is busy
	}
	if w := firstClosed(f.InstallGate, f.unanswered(), busyWaiting(f.Busy)); w != nil {
		return waitFor(w)
	}
	if f.Slots == nil {
		return f.waitOr(Observe)
	}
	slot := f.Slots.Inactive()
	if slot == "" {
		return f.lookAgain(&Waiting{Reason: ReasonSlot, Text: "the hook's status does not name exactly one slot that is not booted"})
	}
	if f.wayBack(slot) {
		return f.lookAgain(&Waiting{Reason: ReasonSlot, Text: fmt.Sprintf(
			"slot %s is booted and was not confirmed, so slot %s is the way back and is not written to; a reboot goes there",
			f.Slots.Booted, slot)})
	}
	return Action{Kind: Order, Slot: slot}
}

// wayBack reports whether what is booted has not proved itself, and slot is what the device goes back to. A
// booted slot that is good, beside a primary one that is good, too, is the trial of a rollback whose record
// was lost.
func (f *Facts) wayBack(slot string) bool {
	good, primary := f.Slots.Slots[slot].Good, f.Slots.Primary == slot
	if f.Slots.Slots[f.Slots.Booted].Good {
		return good && primary
	}
	return good || primary
}

func nextWriting(r *Record, f *Facts) Action {
	if why := unwanted(r, f); why != nil {
		return Action{Kind: Drop, Problem: why}
	}
	if again := f.amended(r); again != nil {
		return Action{Kind: Amend, Release: again}
	}
	if f.Awaited && (f.Backoff > 0 || f.InstallGate != nil && !f.InstallGate.looks()) || f.deaf(r) {
		return Action{Kind: Restage} // another one may repair what makes this one fail
	}
	if f.Slots == nil {
		return f.waitOr(Observe)
	}
	if f.Slots.Booted == r.TargetSlot {
		return Action{Kind: Restage} // someone else switched slots: what is booted is never written to
	}
	if f.InstallGate != nil && f.Backoff <= 0 {
		return waitFor(f.InstallGate) // one may have closed since it was ordered, as after a power cut
	}
	return f.waitOr(Install)
}
