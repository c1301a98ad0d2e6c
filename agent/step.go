package agent

import "time"

// Step says what becomes of a record once an action has ended. It is pure and total. p is nil when the action
// succeeded; for pure actions it is always nil. A result that equals r means that there is nothing to commit.
func Step(r Record, a Action, p *Problem) Record {
	if p != nil {
		r.failed(&a, p)
	} else {
		r.succeeded(&a)
	}
	return r // r is this function's own; its lists and releases are shared, and replaced rather than changed
}

func (r *Record) succeeded(a *Action) {
	switch a.Kind {
	case TakeUp:
		r.takeUp(a.Release, a)
	case Adopt:
		r.confirm(a.Release, a.Slot)
	case Degrade, Restore:
		r.Degraded = a.Kind == Degrade
	case Unlist, Relist:
		r.Unlisted = a.Path
	case Doubt, Trust:
		r.Doubted, r.BlindBoots, r.RebootedIn = a.Kind == Doubt, 0, ""
	case RollBack:
		r.rollBack(a)
	case Decline:
		r.RollbackAsked = false
	case Relent:
		r.relent(a)
	case Prove:
		r.takeUp(a.Release, a)
		r.enter(Trial, a)
		r.TargetSlot, r.Local = a.Slot, a.Local
	case Drop:
		r.drop(a)
	case Amend:
		r.Release = a.Release
	case Fetch:
		staged := *r.Release
		staged.ImageSHA256 = a.SHA256
		r.Phase, r.Release = Staged, &staged
	case Order:
		if r.Phase, r.TargetSlot = Writing, a.Slot; r.PreviousSlot == a.Slot {
			r.Previous, r.PreviousSlot = nil, ""
		}
	case Restage:
		r.Phase, r.TargetSlot = Staged, ""
	case Install:
		r.enter(Switched, a)
	case Restart:
		r.reboot(a.BootID)
	case Try:
		r.Acted, r.BootID, r.Cuts.Lived = true, a.BootID, a.Lived
	case Reject:
		r.rejected(a.BootID)
	case Begin:
		r.Begun, r.Cuts.Lived = a.BootID, a.Lived || r.Cuts.Lived && r.Phase == Rejecting
	case Source:
		r.Local, r.Offline = a.Local, a.Offline
	case Rearm:
		r.rearm(a)
	case CountLost:
		if r.Attempts++; r.Phase == Rejecting {
			r.Begun = ""
			break
		}
		r.enter(Switched, a)
		r.LostBoots++
	case Enter:
		if r.BootID != a.BootID {
			r.Cuts = r.cutsAfter(a.Now) // the bootloader tries it for some boots, and one of them has ended
		}
		r.enter(Trial, a)
		r.LostBoots = 0 // only boots lost in a row count
	case CountStart:
		r.Starts++
		if r.TrialFrom == 0 {
			r.TrialFrom = max(1, a.Uptime)
		}
	case Approve:
		r.enter(Confirming, a)
	case Condemn, Withdraw, GiveUp:
		r.goBack(a)
	case Finish, Settle, Count, Forgive:
		r.end(a)
	} // observed, confirmed, examined, asked for: the facts say what came of it
}

// drop gives up a release that was never tried. One that an operator cancelled is put aside.
func (r *Record) drop(a *Action) {
	release, put := r.Release, r.CancelAsked && a.Problem != nil
	if r.rest(); put && release != nil {
		r.Rejected = reject(r.Rejected, release.ID(), release.Info().Version, *a.Problem)
	}
}

// reboot notes a reboot that was ordered for want of a hook that answers: the first one in a boot counts,
// which bounds how often a hook that fails everywhere reboots the machine. One that only follows a verb needs
// no bound, and no write.
func (r *Record) reboot(bootID string) {
	switch {
	case r.RebootedIn == bootID:
		return
	case r.Phase == Rejecting && !r.Acted:
		r.LostBoots++
	case (r.Phase == Switched || r.Phase == Trial) && r.BootID != bootID, r.Phase == Idle:
		r.BlindBoots++
	case r.Phase != Trial:
		return
	}
	r.RebootedIn = bootID
}

// takeUp begins an update.
func (r *Record) takeUp(release *Release, a *Action) {
	r.Phase, r.Release, r.Hook, r.Reboot, r.Carried = Fetching, release, a.Hook, a.Reboot, a.Carried
	r.TargetSlot, r.BootID, r.Begun, r.Acted, r.Attempts, r.LostBoots, r.Verdict = "", "", "", false, 0, 0, nil
}

// rearm begins another attempt. A boot that went by without a try was none.
func (r *Record) rearm(a *Action) {
	if r.Phase == Trial && r.Back && r.RebootedIn == r.BootID {
		r.Unreached++ // it was left by an ordered reboot
	}
	if r.Phase != Switched || r.Acted || r.Begun != "" {
		r.Attempts++
	}
	r.Cuts = r.cutsAfter(a.Now)
	r.enter(Switched, a)
}

// rejected notes that the hook's reject succeeded in boot bootID, and counts the boots in which it had to be
// said again.
func (r *Record) rejected(bootID string) {
	switch {
	case !r.Acted:
		r.LostBoots = 0
	case r.BootID != bootID && r.LostBoots < LostBootsMax:
		r.LostBoots++
	}
	r.Acted, r.BootID, r.Begun = true, bootID, ""
}

// goBack begins the way back.
func (r *Record) goBack(a *Action) {
	if r.Phase != Switched {
		r.Cuts = Cuts{} // this trial came to an end, or that row did
	}
	r.enter(Rejecting, a)
	r.LostBoots, r.RollbackAsked, r.CancelAsked = 0, false, false
	switch a.Kind {
	case GiveUp:
		r.Unreachable = r.Release.ID()
		r.Cause = a.Problem
	case Withdraw:
		r.Cause = a.Problem
	default:
		r.Verdict = a.Problem
	}
}

// end handles the actions that end something.
func (r *Record) end(a *Action) {
	done, slot, left, verdict, cause, back := r.Release, r.TargetSlot, r.Confirmed, r.Verdict, r.Cause, r.Back
	switch a.Kind {
	case Finish:
		r.rest()
		if back && left != nil {
			r.Rejected = reject(r.Rejected, left.ID(), left.Info().Version, *rolledBack(a.Now))
		}
		r.confirm(done, slot)
		r.Unreachable, r.UnreachableBoot, r.Setback, r.Cuts = "", "", Setback{}, Cuts{}
		r.Rejected, r.Held = without(r.Rejected, done.ID()), withoutHold(r.Held, done.ID())
	case Settle:
		if r.rest(); r.Unreachable != "" {
			r.UnreachableBoot = a.BootID
		}
		if back {
			r.Previous, r.PreviousSlot = nil, "" // reject called the slot bad
		} else if verdict == nil {
			r.setBack(done.ID())
			if cause != nil && cause.Reason == ReasonTrialCut {
				x := Hold{ID: done.ID(), Count: CutsMax, Until: a.Now.Add(HoldFor), Reason: ReasonTrialCut}
				r.Held = newest(append(withoutHold(r.Held, x.ID), x))
			}
		}
		if verdict != nil {
			r.Cuts = Cuts{}
			r.Rejected = reject(r.Rejected, done.ID(), done.Info().Version, *verdict)
		}
	case Count:
		r.Held = hold(r.Held, r.Unreachable, a.Now)
		r.Unreachable, r.UnreachableBoot = "", ""
	case Forgive:
		r.Unreachable, r.UnreachableBoot = "", ""
	}
}

// setBack counts a release that came back without a verdict.
func (r *Record) setBack(id string) {
	if r.Setback.ID != id {
		r.Setback = Setback{ID: id}
	}
	r.Setback.Count++
}

// failed handles an action that failed. Only a bad health verdict, and a hook that refuses the release, count
// against the release; a network failure changes nothing.
func (r *Record) failed(a *Action, p *Problem) {
	if a.Kind == Try || a.Kind == Reject {
		r.Begun = "" // the process lives and knows what came of it
	}
	switch {
	case a.Kind == Examine && p.Reason.isVerdict(),
		a.Kind == Try && p.Reason == ReasonHookRefused:
		a.Problem = p
		r.goBack(a)
	case a.Kind == Try && r.Back && p.Reason.imageIsBad():
		r.goBack(a) // nothing is staged that could be written again
		r.Cause = p
	case a.Kind == Install && p.Reason == ReasonHookRefused:
		// Nothing was tried: there is nothing to go back from.
		refused := r.Release
		r.rest()
		r.Rejected = reject(r.Rejected, refused.ID(), refused.Info().Version, *p)
	case a.Kind == Install && p.Reason.imageIsBad():
		r.Phase, r.TargetSlot = Fetching, ""
		r.Attempts++
	case a.Kind == Try && p.Reason.imageIsBad():
		r.Phase, r.BootID = Writing, ""
		r.Attempts++
	case a.Kind == Install || a.Kind == Try || a.Kind == Confirm || a.Kind == Reject:
		if p.Reason.fromHook() {
			r.Attempts++
		}
	}
}

// isVerdict: a health check came to an end and said no. One that did not (time-out, "not yet") is asked again until
// the trial's deadline.
func (x Reason) isVerdict() bool {
	return x == ReasonUnhealthy || x == ReasonHookFailed || x == ReasonHookRefused
}

// imageIsBad: what is staged, or what the slot holds, is not the release.
func (x Reason) imageIsBad() bool {
	return x == ReasonHashMismatch || x == ReasonLengthMismatch || x == ReasonNoImage
}

// fromHook: the hook ran and did not succeed.
func (x Reason) fromHook() bool {
	return x == ReasonHookFailed || x == ReasonHookTimeout || x == ReasonSlot
}

// enter moves to a phase that belongs to a boot.
func (r *Record) enter(p Phase, a *Action) {
	r.Phase, r.BootID, r.Acted, r.Begun, r.BlindBoots, r.TrialFrom, r.Starts = p, a.BootID, false, "", 0, 0, 0
	if p == Trial {
		r.TrialFrom = max(1, a.Uptime)
	}
}

// rest is idle, with what is remembered.
func (r *Record) rest() {
	*r = Record{
		Schema: RecordSchema, Component: r.Component, Phase: Idle, Unreachable: r.Unreachable, UnreachableBoot: r.UnreachableBoot, Setback: r.Setback, Cuts: r.Cuts.atRest(),
		Confirmed: r.Confirmed, ConfirmedSlot: r.ConfirmedSlot, Degraded: r.Degraded, Previous: r.Previous, PreviousSlot: r.PreviousSlot,
		Rejected: r.Rejected, Held: r.Held, Unlisted: r.Unlisted, RollbackAsked: r.RollbackAsked, RetryAsked: r.RetryAsked,
		Deferral: r.Deferral,
	}
}

func reject(list []Rejection, id, version string, p Problem) []Rejection {
	x := Rejection{ID: id, Version: version, First: p, Count: 1, Last: p}
	for _, old := range list {
		if old.ID == id {
			x.First, x.Count = old.First, old.Count+1
		}
	}
	return newest(append(without(list, id), x))
}

func hold(list []Hold, id string, now time.Time) []Hold {
	x := Hold{ID: id, Count: 1}
	for _, old := range list {
		if old.ID == id && old.Until.IsZero() {
			x.Count = old.Count + 1
		}
	}
	if x.Count >= HoldAfter {
		x.Until = now.Add(HoldFor)
	}
	return newest(append(withoutHold(list, id), x))
}

func without(list []Rejection, id string) []Rejection {
	return filter(list, func(x Rejection) bool { return x.ID != id })
}

func withoutHold(list []Hold, id string) []Hold {
	return filter(list, func(x Hold) bool { return x.ID != id })
}

// filter copies what is to be kept.
func filter[T any](list []T, keep func(T) bool) []T {
	var out []T
	for _, x := range list {
		if keep(x) {
			out = append(out, x)
		}
	}
	return out
}

func newest[T any](list []T) []T { return list[max(0, len(list)-RememberedMax):] }
