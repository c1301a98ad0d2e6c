package agent

import (
	"fmt"
	"time"
)

// A release on trial that does not mount the partition with the state finds an empty one, and so does a
// device that is fresh from the factory. What tells them apart is what boots: a fresh device boots its slot
// for good, and a trial's is not the primary one. Nothing is known of what that release must prove, what was
// rejected, or what its trial has cost so far. It is not confirmed: then the old state would never be seen
// again. A database that was lost in a trial is not this, as long as the floors show that something was
// confirmed here before.

// doubtedMax bounds how long a boot stays in a slot that found an empty state, and so how often such a device
// reboots for nothing.
const doubtedMax = 24 * time.Hour

// stateNewText says what happened, for the journal and the log.
const stateNewText = "a slot that boots only for its trial found a state directory in which nothing was ever confirmed: what the release before knew is not there, as when its " +
	"partition is not mounted"

// doubts reports whether what is booted is on trial and the state began empty. Where there is no good slot to
// go back to nothing is in doubt: the device has nothing else.
func (f *Facts) doubts(r *Record) bool {
	return f.StateNew && r.Confirmed == nil && f.Slots.Booted != f.Slots.Primary && f.Slots.Slots[f.Slots.Primary].Good
}

// doubt notes that it is so, or no more. What the hook says first after a boot may be too early.
func (f *Facts) doubt(so bool) Action {
	switch {
	case !so:
		return Action{Kind: Trust}
	case f.Looks < BlindLooksMin:
		return f.lookAgain(f.stateNew())
	}
	return Action{Kind: Doubt}
}

func (f *Facts) stateNew() *Waiting {
	return &Waiting{Reason: ReasonStateNew, Text: fmt.Sprintf("slot %s boots only for its trial and found a state directory in which nothing was ever confirmed: what slot %s "+
		"knows is not there, as when its partition is not mounted; so the release is not confirmed, and a reboot goes back (state_lost in the config)",
		f.Slots.Booted, f.Slots.Primary)}
}

// nextDoubted leaves a slot that found an empty state by a reboot, once a trial's time is over: the try ends
// by itself in some boots, and what is known lies in the other slot. Each boot that leads here again stays
// for longer, up to a day: nobody must have to switch the device off. The hook is asked again meanwhile:
// somebody may make the slot the one that boots for good.
func nextDoubted(r *Record, f *Facts) Action {
	w, earlier := f.stateNew(), r.BlindBoots
	if r.RebootedIn == f.BootID {
		earlier-- // it was ordered in this boot and did not come
	}
	left := doubled(f.Component.trialDeadline(), earlier, doubtedMax) - f.Uptime
	switch {
	case !f.Component.Reboot:
		return f.lookAgain(w)
	case left > 0:
		w.Left = SecondsOf(left)
		return f.lookAgain(w)
	case f.InstallGate != nil:
		return waitFor(f.InstallGate)
	}
	return f.waitOr(Restart)
}
