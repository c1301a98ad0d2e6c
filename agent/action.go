package agent

import "time"

// An ActionKind says what to do next with a component.
type ActionKind string

// Actions that touch nothing but the record: the loop commits what Step makes of them.
const (
	// TakeUp begins with the offered release: idle → fetching.
	TakeUp ActionKind = "take_up"
	// Adopt notes what a provisioned device runs as confirmed.
	Adopt ActionKind = "adopt"
	// Degrade notes that the bootloader went back from what was confirmed, Restore that it boots it again.
	Degrade ActionKind = "degrade"
	Restore ActionKind = "restore"
	// Unlist notes that the repository names nothing for the component's target path, Relist that it does again.
	Unlist ActionKind = "unlist"
	Relist ActionKind = "relist"
	// Doubt notes that a slot that boots only for its trial found an empty state, Trust that this is over.
	Doubt ActionKind = "doubt"
	Trust ActionKind = "trust"
	// Prove begins a trial of what is booted and nobody judged: idle → trial.
	Prove ActionKind = "prove"
	// RollBack begins the way to the release before, which the other slot still holds: idle → switched.
	RollBack ActionKind = "roll_back"
	// Decline forgets a rollback that was asked for and can't be done.
	Decline ActionKind = "decline"
	// Relent ends what retry is to end once it is known what is booted.
	Relent ActionKind = "relent"
	// Drop gives up a release that was never tried: → idle.
	Drop ActionKind = "drop"
	// Amend takes over what the publisher says now of the same image, until it is tried.
	Amend ActionKind = "amend"
	// Order names the slot: staged → writing.
	Order ActionKind = "order"
	// Restage makes room for another component, or asks for the slot again: writing → staged.
	Restage ActionKind = "restage"
	// Source notes, right before try, whether the trial has to reach the repository, and over the network.
	Source ActionKind = "source"
	// Begin notes that the try, or the reject, of a component that needs no reboot is about to run: it may
	// end the agent itself.
	Begin ActionKind = "begin"
	// Rearm goes back to switched, to try again in this boot.
	Rearm ActionKind = "rearm"
	// CountLost is Rearm after a trial boot in which the agent never recorded its start, or a try that ended
	// the agent and led nowhere. In rejecting it counts a reject that did.
	CountLost ActionKind = "count_lost"
	// Enter begins a trial in this boot.
	Enter ActionKind = "enter"
	// CountStart counts an agent that started anew in a trial.
	CountStart ActionKind = "count_start"
	// Approve ends a trial well: trial → confirming.
	Approve ActionKind = "approve"
	// Finish ends an update: confirming → idle.
	Finish ActionKind = "finish"
	// Condemn begins the way back with a verdict: → rejecting.
	Condemn ActionKind = "condemn"
	// Withdraw begins the way back without a verdict: → rejecting.
	Withdraw ActionKind = "withdraw"
	// GiveUp is Withdraw after a trial that could not reach the repository, or refused the very release that is on trial.
	GiveUp ActionKind = "give_up"
	// Settle ends the way back: rejecting → idle.
	Settle ActionKind = "settle"
	// Count counts an unreachable trial against its release, since the old one reaches the repository; Forgive
	// does not, since it can't either.
	Count   ActionKind = "count"
	Forgive ActionKind = "forgive"
)

// Actions that do something; each may be done again.
const (
	// Wait does nothing until something changes or Waiting.Left is over.
	Wait ActionKind = "wait"
	// Observe asks the hook for its status.
	Observe ActionKind = "observe"
	// Check asks for a refresh.
	Check ActionKind = "check"
	// Ask asks the gate hook. The machine never orders it: the engine does, where a component waits for that gate alone.
	Ask ActionKind = "ask"
	// Fetch downloads, verifies and stages the image.
	Fetch ActionKind = "fetch"
	// Install writes the image to the slot.
	Install ActionKind = "install"
	// Try verifies the slot and has the bootloader try it.
	Try ActionKind = "try"
	// Restart reboots the machine.
	Restart ActionKind = "restart"
	// Examine runs the health checks.
	Examine ActionKind = "examine"
	// Confirm has the bootloader keep the slot.
	Confirm ActionKind = "confirm"
	// Reject has the bootloader go back.
	Reject ActionKind = "reject"
)

// An Action is what to do next, with all that Step needs to know about it.
type Action struct {
	Kind ActionKind
	// Release is what TakeUp begins with, Amend takes over, Adopt keeps and Prove puts on trial.
	Release *Release
	// Hook, Reboot and Carried are the component's, for TakeUp, Prove and RollBack.
	Hook    string
	Reboot  bool
	Carried Carried
	// Slot is the slot that Order names, and the one Adopt or Prove found booted; Relent's is it only where
	// that still holds what was confirmed.
	Slot   string
	BootID string
	// Uptime is that of boot BootID, for what begins a trial.
	Uptime time.Duration
	// Local, of Source and Prove: the last refresh needed no network.
	Local bool
	// Lived, of Begin and Try: the release that runs has lived for longer than a trial may take.
	Lived bool
	// Offline, of RollBack and of a rollback's Source: the release that is left does not reach the repository.
	Offline bool
	// Path is the target path that Unlist notes.
	Path string
	// SHA256 is the hex hash of the image that Fetch staged.
	SHA256 string
	// Problem is Condemn's verdict, or why Unlist, Drop, Withdraw, GiveUp and Decline do what they do.
	Problem *Problem
	// Waiting says why, for Wait; nil when the component is at rest.
	Waiting *Waiting
	// Now is the effective time, for Count and Finish.
	Now time.Time
}

// shows reports whether a success of the action shows in what is seen then: if the machine orders the same
// once more, it had no effect.
func (k ActionKind) shows() bool { return k == Confirm || k == Reject || k == Restart }

// leavesAnew reports whether a step leaves what this process found in the record: the trial, or the verb that
// another one had begun.
func (a *Action) leavesAnew(from, to *Record) bool {
	return a.Kind != CountStart && to.Phase == from.Phase && to.Begun == from.Begun
}

// Pure reports whether the action touches nothing but the record.
func (a Action) Pure() bool {
	switch a.Kind {
	case Wait, Observe, Check, Fetch, Install, Try, Restart, Examine, Confirm, Reject:
		return false
	}
	return true
}
