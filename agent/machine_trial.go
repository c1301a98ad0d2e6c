package agent

import (
	"fmt"
	"time"
)

// This is the machine from the switch on: what tries a release, judges it, keeps it or goes back.

func nextSwitched(r *Record, f *Facts) Action {
	if r.CancelAsked {
		return f.cancelTried(r)
	}
	if r.RollbackAsked {
		return byOperator(f) // asked for in the trial, which a power cut has ended since
	}
	if f.Slots == nil {
		if r.Reboot && f.BootID != r.BootID {
			return nextBlind(r, f)
		}
		if f.deaf(r) {
			return withdraw(f.Blind)
		}
		return f.waitOr(Observe)
	}
	if f.BootID != r.BootID {
		return afterSwitchBoot(r, f)
	}
	if !r.Reboot {
		switch {
		case r.Acted, f.Slots.Booted == r.TargetSlot: // whoever started it, it has been tried: where it is the agent itself, try ended the process
			return Action{Kind: Enter}
		case f.ended(r):
			return lost(r, f)
		}
	}
	switch { // what holds before try holds before the reboot, too: it may be long after, where the machine can't be rebooted at once
	case !r.Back && f.Offer.left(r):
		return withdraw(f.departure(r))
	case !r.Back && !r.Acted && f.amended(r) != nil:
		return Action{Kind: Amend, Release: f.amended(r)}
	case !r.Back && f.Awaited && f.Unanswered >= UnansweredMax: // what lists it may never be had again
		return withdraw(&Problem{Reason: ReasonRefreshFirst, At: f.Now,
			Text: fmt.Sprintf("the repository gave no answer about it %d times in a row, and another component waits", f.Unanswered)})
	case f.InstallGate.unmet() && f.Awaited: // the one that waits may be the very one that is required
		return withdraw(&Problem{Reason: f.InstallGate.Reason, Text: f.InstallGate.Text, At: f.Now})
	case r.Back && (!r.Acted || f.Awaited) && f.Failures >= RollbackFailuresMax, !r.Back && f.Awaited && f.Failures >= RejectFailuresMax: // of try or, after it, of the reboot
		return withdraw(f.Failure)
	case f.InstallGate != nil:
		return waitFor(f.InstallGate)
	case f.Backoff > 0:
		return f.waitOr(Try)
	case !r.Back && (!f.Fresh || !f.Offer.Known):
		return Action{Kind: Check, Waiting: refreshFirst()}
	case r.Back && !r.Acted && !f.asked():
		return askFirst()
	case r.Acted:
		return Action{Kind: Restart}
	}
	return sourceOrTry(r, f)
}

func refreshFirst() *Waiting {
	return &Waiting{Reason: ReasonRefreshFirst, Text: "asking the repository once more whether it still names this release"}
}

// nextBlind is nextSwitched where the hook does not say, after a boot, which slot was booted. It may be the
// old release's, whose hook is only busy: that says nothing about the new one. It may be the new one's, which
// has as long as a trial; then the try ends by itself in some boots, and in the old release it counts as a
// lost one. Where nothing was ordered the gates are heard.
func nextBlind(r *Record, f *Facts) Action {
	a, limit := f.waitOr(Observe), f.trial(r).trialDeadline()
	if a.Kind == Observe || r.BlindBoots >= LostBootsMax && r.RebootedIn != f.BootID {
		return a
	}
	switch {
	case f.TrialAge < limit:
		a.Waiting.Left = min(a.Waiting.Left, SecondsOf(limit-f.TrialAge))
		return a
	case !r.Acted && f.InstallGate != nil:
		return waitFor(f.InstallGate)
	}
	return f.waitOr(Restart)
}

// sourceOrTry notes first where the release came from: the power may go between try and its record.
func sourceOrTry(r *Record, f *Facts) Action {
	offline := r.Back && !f.Fresh
	if r.Local != f.Local || r.Offline != offline {
		return Action{Kind: Source, Local: f.Local, Offline: offline}
	}
	if !r.Reboot && r.Begun != f.BootID {
		return Action{Kind: Begin, Lived: f.lived(r)}
	}
	return Action{Kind: Try, Lived: f.lived(r)}
}

// ended reports whether a process of this boot began the verb of this phase and ended before it knew what
// came of it, as where the verb restarts the agent itself.
func (f *Facts) ended(r *Record) bool { return f.Anew && !r.Reboot && r.Begun == f.BootID }

// afterSwitchBoot judges the first observation after a boot in switched.
func afterSwitchBoot(r *Record, f *Facts) Action {
	if f.Slots.Booted == r.TargetSlot {
		return Action{Kind: Enter}
	}
	// Only a boot that was ordered and went by without the agent's noticing counts: try may not have happened
	// before the power went.
	if !r.Acted || !r.Reboot {
		return Action{Kind: Rearm}
	}
	return lost(r, f)
}

// lost is what follows a try of which nothing was recorded, once the old release runs again.
func lost(r *Record, f *Facts) Action {
	if r.LostBoots+1 >= LostBootsMax {
		return Action{Kind: Condemn, Problem: &Problem{Reason: ReasonNeverBooted, At: f.Now,
			Text: fmt.Sprintf("slot %s was tried %d times, and nothing was recorded in it: the bootloader ignored try or could not boot it, no agent started there, "+
				"its hook never answered, or it found another state directory than this one (a partition that it does not mount)", r.TargetSlot, LostBootsMax)}}
	}
	return Action{Kind: CountLost}
}

func nextTrial(r *Record, f *Facts) Action {
	if r.CancelAsked {
		return f.cancelTried(r)
	}
	if r.RollbackAsked {
		return byOperator(f)
	}
	limit := f.trial(r).trialDeadline()
	if f.Anew {
		// It is counted before anything else is done, since it may not live for longer.
		if r.Starts >= TrialStartsMax && f.TrialAge >= limit {
			return withdraw(&Problem{Reason: ReasonAgentDied, At: f.Now, // no verdict: a full memory or disk may be what ends it
				Text: fmt.Sprintf("the agent ended and was started again %d times in the trial, before its health was proven", r.Starts+1)})
		}
		return Action{Kind: CountStart}
	}
	if f.Slots == nil {
		return f.observeInTrial(r)
	}
	if f.Slots.Booted != r.TargetSlot {
		return cutShort(r, f)
	}
	if f.BootID != r.BootID {
		return Action{Kind: Enter}
	}
	if !r.Back && f.Offer.left(r) {
		if f.Offer.id() == r.Release.ID() {
			// The release before took it, and its own config, anchor or floors refuse it. Brought back without being
			// counted, it would be taken up again at once, for ever.
			return Action{Kind: GiveUp, Problem: f.departure(r)}
		}
		return withdraw(f.departure(r))
	}
	reached := f.Reached || r.Local || r.Offline
	// A device that slept through its deadline looks once more: only a check that comes to its end after it
	// has the last word.
	if f.TrialAge >= limit && f.HealthIn > 0 {
		if !f.Healthy {
			return Action{Kind: Condemn, Problem: overdue(f, r, limit)}
		}
		if !reached && f.askedAfter(limit) {
			if r.Back && r.Reboot && r.Unreached+1 < HoldAfter {
				return f.waitOr(Restart) // a reject would call a good slot bad, perhaps for an outage; the try ends by itself
			}
			if !r.Back || r.Reboot || f.TrialAge >= limit+OfflineRollbackMax {
				return Action{Kind: GiveUp, Problem: &Problem{Reason: ReasonTrialNoRepo, At: f.Now,
					Text: fmt.Sprintf("slot %s did not reach the repository within %s of its trial", r.TargetSlot, limit)}}
			}
		}
	}
	if f.HealthIn <= 0 {
		return Action{Kind: Examine} // also before a release is approved: what was healthy may have slept since
	}
	if settled := f.HealthyFor - f.trial(r).trialSettle(); f.Healthy && settled >= 0 && reached {
		if overNetwork := !r.Local && !r.Offline && !f.Local; overNetwork && f.ReachedAge > max(ReachedMax, settled) {
			return Action{Kind: Check, Waiting: &Waiting{Reason: ReasonTrial, Left: SecondsOf(f.HealthIn),
				Text: "on trial: health is proven; asking whether the repository can still be reached"}}
		}
		return Action{Kind: Approve}
	}
	if !reached {
		return Action{Kind: Check, Waiting: &Waiting{Reason: ReasonTrial, Left: SecondsOf(f.HealthIn),
			Text: "on trial: has not reached the repository yet"}}
	}
	return waitFor(&Waiting{Reason: ReasonTrial, Left: SecondsOf(min(f.HealthIn, limit-f.TrialAge)),
		Text: "on trial: health has not been proven yet"})
}

// observeInTrial is Observe. In the boot of the trial, a hook that does not answer until its deadline
// condemns the release.
func (f *Facts) observeInTrial(r *Record) Action {
	limit, bounded := f.trial(r).trialDeadline(), f.BootID == r.BootID
	if bounded && f.TrialAge >= limit && f.Looks >= BlindLooksMin && f.BlindFor >= BlindMin {
		return Action{Kind: Condemn, Problem: overdue(f, r, limit)}
	}
	if !bounded && r.Reboot {
		return nextBlind(r, f)
	}
	a := f.waitOr(Observe)
	if bounded && a.Waiting != nil && f.TrialAge < limit {
		a.Waiting.Left = min(a.Waiting.Left, SecondsOf(limit-f.TrialAge))
	}
	return a
}

func withdraw(why *Problem) Action { return Action{Kind: Withdraw, Problem: why} }

// departure says why the repository's answer ends r's release, from which it is known to have gone.
func (f *Facts) departure(r *Record) *Problem {
	if f.Offer.id() == r.Release.ID() {
		return f.Offer.Problem
	}
	return &Problem{Reason: ReasonWithdrawn, Text: "the repository does not name this release any more", At: f.Now}
}

func overdue(f *Facts, r *Record, limit time.Duration) *Problem {
	why := "no health check came to an end"
	if f.Blind != nil {
		why = f.Blind.Text
	} else if f.Failure != nil {
		why = f.Failure.Text
	}
	return &Problem{Reason: ReasonUnhealthy, At: f.Now,
		Text: fmt.Sprintf("slot %s was not healthy within %s of its trial: %s", r.TargetSlot, limit, why)}
}

func nextConfirming(r *Record, f *Facts) Action {
	if f.deaf(r) {
		return withdraw(f.Blind)
	}
	if f.Slots == nil {
		return f.waitOr(Observe)
	}
	switch {
	case f.Slots.Booted != r.TargetSlot:
		return cutShort(r, f)
	case f.Slots.Primary == r.TargetSlot && f.Slots.Slots[r.TargetSlot].Good:
		return Action{Kind: Finish}
	case f.BootID != r.BootID:
		return Action{Kind: Enter}
	case f.Failures > 0 && !r.Back && f.Offer.left(r), !r.Back && f.Awaited && f.Failures >= RejectFailuresMax, r.Back && f.Failures >= RollbackFailuresMax:
		return withdraw(f.Failure) // what can't be confirmed must not keep out what is offered in its place, nor another component
	}
	return f.waitOr(Confirm)
}

func nextRejecting(r *Record, f *Facts) Action {
	if !r.Acted && f.Failures >= RejectFailuresMax {
		switch {
		case f.Slots == nil && f.LookIn <= 0:
			return Action{Kind: Observe}
		case f.isBack(r):
			return Action{Kind: Settle}
		case r.leavesByReboot(f.BootID):
			return f.waitOr(Restart) // the hook fails in the release that it goes back from: the try ends by itself in some boots
		}
	}
	if !r.Acted {
		return rejectOrBack(r, f)
	}
	if f.Slots == nil {
		return f.waitOr(Observe)
	}
	if f.Slots.Booted != r.TargetSlot {
		return Action{Kind: Settle}
	}
	if r.Reboot && f.BootID == r.BootID && r.LostBoots < LostBootsMax {
		return f.waitOr(Restart)
	}
	return f.waitOr(Reject) // it was done and yet the slot is booted, or booted again and again: do it again, and report it
}

// rejectOrBack goes back, also where the status can't be had: that needs no leave. A reject that ended the
// agent itself is not said again where it has done its work, and counts as one that failed where it has not.
func rejectOrBack(r *Record, f *Facts) Action {
	switch {
	case f.ended(r) && f.Slots == nil && f.Blind == nil:
		return f.waitOr(Observe)
	case f.ended(r) && f.isBack(r):
		return Action{Kind: Settle}
	case f.ended(r):
		return Action{Kind: CountLost}
	case f.Backoff <= 0 && !r.Reboot && r.Begun != f.BootID:
		return Action{Kind: Begin}
	}
	return f.waitOr(Reject)
}

// stuck reports whether nothing is left but to repeat a reject that fails, ever more seldom: no other
// component waits for that, since its release may be what repairs the hook.
func (r *Record) stuck(failures int, bootID string) bool {
	return r.Phase == Rejecting && failures >= RejectFailuresMax && !r.leavesByReboot(bootID)
}

// leavesByReboot reports whether a slot whose reject fails may still be left by a reboot: not too often, and
// one that was ordered and did not come is ordered again.
func (r *Record) leavesByReboot(bootID string) bool {
	return r.Reboot && (r.LostBoots < LostBootsMax || r.RebootedIn == bootID)
}

// isBack reports whether the device has gone back although no reject succeeded: another slot runs and is
// primary, and a boot has shown that no try is pending.
func (f *Facts) isBack(r *Record) bool {
	return f.Slots != nil && f.Slots.Booted != r.TargetSlot && f.Slots.Primary != r.TargetSlot && (!r.Reboot || f.BootID != r.BootID)
}
