package agent

import "time"

// Facts are what is observed about one component and its surroundings. They are never stored.
type Facts struct {
	// Component is what the config says; nil when the config no longer names the component.
	Component *Component
	BootID    string
	// Slots is the hook's answer, or nil: not asked since something changed.
	Slots *Slots
	// Offer is what the repository names.
	Offer Offer
	// Fresh: a refresh succeeded a short while ago (FreshMax).
	Fresh bool
	// Failing: the last refresh failed or was refused. Unanswered counts how many did in a row. AskedFrom is
	// the uptime since the last one that ended began, Asked that since it ended, whatever came of it.
	Failing          bool
	Unanswered       int
	AskedFrom, Asked time.Duration
	// NoRollback is why a rollback that was asked for can't be done; nil: it can, or none was asked for.
	NoRollback *Problem
	// Reached: a refresh over the network succeeded in this run of the trial, or in the boot after it, and
	// none has failed since. ReachedAge is the uptime since the last one that succeeded began.
	Reached    bool
	ReachedAge time.Duration
	// Local: the last refresh that succeeded needed no network (a directory, a USB stick).
	Local bool
	// Backoff is what is left of the wait after a failure, and Failure is that failure. Failures counts how many there
	// were in a row in this phase and process. Those of the hook's status apart: that it answers between two attempts
	// says nothing about the attempts.
	Backoff  time.Duration
	Failure  *Problem
	Failures int
	// Blind is why the hook's status could not be had when it was last asked, and LookIn is what is left of
	// the wait before it is asked again; Blind is nil where it was had, or was not asked yet.
	Blind *Problem
	// BlindFor is for how long the status has not been had, where it was asked for since.
	BlindFor time.Duration
	// Looks counts the answers to status in a row that came, or did not, in this process and phase.
	Looks  int
	LookIn time.Duration
	// FetchGate and InstallGate are the first closed gates on the way to a download and to a switch; nil: open.
	FetchGate, InstallGate *Waiting
	// StateNew: nothing says that the component had another life in this state, and ProveNew: the config lets
	// a release prove itself all the same.
	StateNew, ProveNew bool
	// RebootFor is the uptime since this component ordered a reboot that has not come; 0: none.
	RebootFor time.Duration
	// Busy names another component that is writing, trying or rebooting, or is empty.
	Busy string
	// Awaited: another component waits until this one is not busy any more.
	Awaited bool
	// Uptime is that of this boot.
	Uptime time.Duration
	// TrialAge is the uptime since the trial began in this boot.
	TrialAge time.Duration
	// Anew: this process found in its record a trial of this boot, and Starts does not count this process
	// yet. Or it found a verb that another process of this boot had begun.
	Anew bool
	// Healthy and HealthyFor tell of the health checks of this trial: the last one passed, and for how long they
	// have passed without a break, none of them missed.
	Healthy    bool
	HealthyFor time.Duration
	// HealthIn is the time to the next health check.
	HealthIn time.Duration
	// Now is the effective time.
	Now time.Time
}

// Bounds of the machine.
const (
	// FreshMax is how long before try the refresh may lie that still names the release: long enough for a slow
	// hook to verify a slot, short enough that a release withdrawn meanwhile is not tried.
	FreshMax = 10 * time.Minute
	// ReachedMax is how long before a release is approved its refresh may have begun, where health was proven since.
	ReachedMax = time.Minute
	// UnansweredMax refreshes in a row without an answer end a trial that must reach the repository, and let
	// a release that waits for one make room for another component.
	UnansweredMax = 3
	// LostBootsMax trial boots in which the agent never recorded its start reject a release: one can be a power
	// cut, three in a row are not.
	LostBootsMax = 3
	// BlindLooksMin is how often in a row, and BlindMin for how long, the hook's status must have failed
	// before that condemns a release whose time is over: an agent that starts again at the end of a trial has
	// not looked before.
	BlindLooksMin = 3
	BlindMin      = time.Minute
	// OfflineRollbackMax is for how long a rollback of a component that needs no reboot waits in its trial
	// for a repository. It can be left by reject alone, which calls a good slot bad.
	OfflineRollbackMax = 24 * time.Hour
	// RejectFailuresMax failures of reject in a row are enough to see whether the device is back all the same, and else to
	// leave the trial by a reboot.
	RejectFailuresMax = 3
	// RollbackFailuresMax failures of try, or of confirm, in a row end a rollback: unlike a release, nobody withdraws it.
	RollbackFailuresMax = 5
	// TrialStartsMax is how often the agent may start anew in a trial whose deadline is over: one that is
	// ended ever again before health has settled can't say anything about the release.
	TrialStartsMax = 5
	// HoldAfter trials that could not reach a repository which the old release reached hold a release back for
	// HoldFor.
	HoldAfter = 3
	HoldFor   = 7 * 24 * time.Hour
)

// An Offer is what the trusted metadata names for a component.
type Offer struct {
	// Known: a refresh and a search came to an answer since the agent started.
	Known bool
	// Release is what the repository lists; nil: nothing.
	Release *Release
	// Missing says who does not list the target path, where Release is nil.
	Missing *Missing
	// Problem refuses the offered release for this device, or says that there is none; nil: it may run.
	Problem *Problem
}

// id is the offered release's ID, or "" for nothing.
func (o *Offer) id() string {
	if o.Release == nil {
		return ""
	}
	return o.Release.ID()
}

// left reports whether the repository is known not to name r's release any more, or to name it with something
// that refuses it.
func (o *Offer) left(r *Record) bool {
	return o.Known && (o.id() != r.Release.ID() || o.Problem != nil)
}

// amended is r's release with what the publisher says of the same image now, or nil: it says what it said.
func (f *Facts) amended(r *Record) *Release {
	o := f.Offer.Release
	if !f.Offer.Known || f.Offer.Problem != nil || o == nil || o.ID() != r.Release.ID() || r.Release.saysAs(o) {
		return nil
	}
	return o.as(r.Release)
}

// trial is what governs r's trial.
func (f *Facts) trial(r *Record) *Component { return trialOf(f.Component, r) }

// asked reports whether it is known from a short while ago whether the repository can be reached.
func (f *Facts) asked() bool { return f.Fresh || f.Failing && f.Asked <= FreshMax }

// askedAfter reports whether the repository was asked after the trial's deadline, limit, and in vain several
// times in a row by then, or only here and not over the network. The device may have slept through the
// deadline, the process may be younger, and one answer that did not come is nothing.
func (f *Facts) askedAfter(limit time.Duration) bool {
	return f.AskedFrom <= f.TrialAge-limit && (f.Unanswered >= UnansweredMax || f.Fresh)
}

// unanswered is why nothing new is begun with a release, or nil: try would wait for the repository's answer,
// and keep others waiting.
func (f *Facts) unanswered() *Waiting {
	if !f.Failing {
		return nil
	}
	return refreshFirst()
}

// deaf reports whether the hook has not said for a whole trial what is booted, while another component waits
// for this one.
func (f *Facts) deaf(r *Record) bool {
	return f.Slots == nil && f.Awaited && f.Blind != nil && f.Looks >= BlindLooksMin && f.BlindFor >= f.trial(r).trialDeadline()
}

// fellBack reports whether another slot is booted than the one that was confirmed, with something else in it.
func (f *Facts) fellBack(r *Record) bool {
	return r.Confirmed != nil && f.Slots.Booted != r.ConfirmedSlot && !f.runs(r, r.Confirmed)
}

// runs reports whether the booted slot holds the release, as far as the hook or the record can tell.
func (f *Facts) runs(r *Record, rel *Release) bool {
	if f.Slots == nil {
		return false
	}
	held, want := f.Slots.Slots[f.Slots.Booted].SHA256, rel.SHA256()
	if held != "" && want != "" {
		return held == want
	}
	return r.Confirmed != nil && r.Confirmed.ID() == rel.ID() && r.ConfirmedSlot == f.Slots.Booted
}
