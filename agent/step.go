package agent

import "time"

// Step says what becomes of a record once an action has ended. It is pure and total. p is nil when the action
// succeeded; for pure actions it is always nil. A result that equals r means that there is nothing to commit.
func Step(r Record, a Action, p *Problem) Record {
	if p != nil {
		return stepFailed(r, a, p)
	}
	switch a.Kind {
	case TakeUp:
		return r.with(func(r *Record) {
			r.Phase, r.Release, r.Hook, r.Reboot = Fetching, a.Release, a.Hook, a.Reboot
			r.TargetSlot, r.BootID, r.Acted, r.Attempts, r.LostBoots, r.Verdict = "", "", false, 0, 0, nil
		})
	case Adopt:
		return r.with(func(r *Record) { r.confirm(a.Release, a.Slot) })
	case Degrade, Restore:
		return r.with(func(r *Record) { r.Degraded = a.Kind == Degrade })
	case RollBack:
		return stepRollBack(r, a)
	case Decline:
		return r.with(func(r *Record) { r.RollbackAsked = false })
	case Relent:
		return stepRelent(r, a)
	case Prove:
		return Step(r, Action{Kind: TakeUp, Release: a.Release, Hook: a.Hook, Reboot: a.Reboot}, nil).enter(Trial, a).with(
			func(r *Record) { r.TargetSlot, r.Local = a.Slot, a.Local })
	case Drop:
		return r.rest()
	case Fetch:
		staged := *r.Release
		staged.ImageSHA256 = a.SHA256
		return r.with(func(r *Record) { r.Phase, r.Release = Staged, &staged })
	case Order:
		return r.with(func(r *Record) {
			if r.Phase, r.TargetSlot = Writing, a.Slot; r.PreviousSlot == a.Slot {
				r.Previous, r.PreviousSlot = nil, ""
			}
		})
	case Restage:
		return r.with(func(r *Record) { r.Phase, r.TargetSlot = Staged, "" })
	case Install:
		return r.enter(Switched, a)
	case Restart:
		if r.Phase == Rejecting && !r.Acted {
			return r.with(func(r *Record) { r.LostBoots++ }) // bounds how often a hook that fails everywhere reboots the machine
		}
		return r
	case Try:
		return r.with(func(r *Record) { r.Acted, r.BootID = true, a.BootID })
	case Reject:
		return r.with(func(r *Record) { r.Acted, r.BootID = true, a.BootID })
	case Source:
		return r.with(func(r *Record) { r.Local = a.Local })
	case Rearm:
		return r.enter(Switched, a).with(func(r *Record) { r.Attempts++ })
	case CountLost:
		return r.enter(Switched, a).with(func(r *Record) { r.LostBoots++; r.Attempts++ })
	case Enter:
		return r.enter(Trial, a).with(func(r *Record) { r.LostBoots = 0 }) // only boots lost in a row count
	case Approve:
		return r.enter(Confirming, a)
	case Condemn, Withdraw, GiveUp:
		return stepBack(r, a)
	}
	return stepEnded(r, a)
}

// stepBack begins the way back.
func stepBack(r Record, a Action) Record {
	return r.enter(Rejecting, a).with(func(r *Record) {
		r.Verdict, r.LostBoots, r.RollbackAsked = a.Problem, 0, false
		if a.Kind == GiveUp {
			r.Unreachable = r.Release.ID()
		}
	})
}

// stepEnded handles the actions that end something.
func stepEnded(r Record, a Action) Record {
	switch a.Kind {
	case Finish:
		done, slot, left := r.Release, r.TargetSlot, r.Confirmed
		if !r.Back {
			left = nil
		}
		return r.rest().with(func(r *Record) {
			if left != nil {
				r.Rejected = reject(r.Rejected, left.ID(), left.Info().Version, *rolledBack(a.Now))
			}
			r.confirm(done, slot)
			r.Unreachable = ""
			r.Rejected, r.Held = without(r.Rejected, done.ID()), withoutHold(r.Held, done.ID())
		})
	case Settle:
		id, version, verdict, back := r.Release.ID(), r.Release.Info().Version, r.Verdict, r.Back
		return r.rest().with(func(r *Record) {
			if back {
				r.Previous, r.PreviousSlot = nil, "" // reject called the slot bad
			}
			if verdict != nil {
				r.Rejected = reject(r.Rejected, id, version, *verdict)
			}
		})
	case Count:
		return r.with(func(r *Record) { r.Held = hold(r.Held, r.Unreachable, a.Now); r.Unreachable = "" })
	case Forgive:
		return r.with(func(r *Record) { r.Unreachable = "" })
	}
	return r // observed, confirmed, examined, asked for: the facts say what came of it
}

// stepFailed handles an action that failed. Only a bad health verdict, and a hook that refuses the release, count
// against the release; a network failure changes nothing.
func stepFailed(r Record, a Action, p *Problem) Record {
	switch {
	case a.Kind == Examine && p.Reason.isVerdict(),
		a.Kind == Try && p.Reason == ReasonHookRefused:
		a.Problem = p
		return stepBack(r, a)
	case a.Kind == Try && r.Back && p.Reason.imageIsBad():
		return stepBack(r, a) // nothing is staged that could be written again
	case a.Kind == Install && p.Reason == ReasonHookRefused:
		// Nothing was tried: there is nothing to go back from.
		id, version := r.Release.ID(), r.Release.Info().Version
		return r.rest().with(func(r *Record) { r.Rejected = reject(r.Rejected, id, version, *p) })
	case a.Kind == Install && p.Reason.imageIsBad():
		return r.with(func(r *Record) { r.Phase, r.TargetSlot = Fetching, "" })
	case a.Kind == Try && p.Reason.imageIsBad():
		return r.with(func(r *Record) { r.Phase, r.BootID = Writing, ""; r.Attempts++ })
	case a.Kind == Install || a.Kind == Try || a.Kind == Confirm || a.Kind == Reject:
		if p.Reason.fromHook() {
			return r.with(func(r *Record) { r.Attempts++ })
		}
	}
	return r
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

// with returns a changed copy; the receiver's slices are never written to.
func (r Record) with(change func(*Record)) Record {
	change(&r)
	return r
}

// enter moves to a phase that belongs to a boot.
func (r Record) enter(p Phase, a Action) Record {
	return r.with(func(r *Record) { r.Phase, r.BootID, r.Acted = p, a.BootID, false })
}

// rest is idle, with what is remembered.
func (r Record) rest() Record {
	return Record{
		Schema: RecordSchema, Component: r.Component, Phase: Idle, Unreachable: r.Unreachable,
		Confirmed: r.Confirmed, ConfirmedSlot: r.ConfirmedSlot, Degraded: r.Degraded, Previous: r.Previous, PreviousSlot: r.PreviousSlot,
		Rejected: r.Rejected, Held: r.Held, RollbackAsked: r.RollbackAsked, RetryAsked: r.RetryAsked,
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
