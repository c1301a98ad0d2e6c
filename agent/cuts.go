package agent

import (
	"fmt"
	"time"
)

// A trial is cut short when it ends before anything was proven: its boot ended, or the bootloader or a
// launcher left its slot. A crash does that, and so do a power cut and a drive that was short. None of them
// is a verdict. But a release that crashes each time would be tried for ever, so such trials are counted,
// shown from the first one on, and made ever more seldom; and many of them in a row hold the release back for
// a while, as far as the release that runs otherwise lived for longer in between.

// CutsMax trials in a row that were cut short, with a longer life of the release that runs otherwise in
// between, hold a release back for HoldFor. Eight: a power cut in a trial is rare where the power lasts for
// longer than a trial in between.
const CutsMax = 8

// Cuts counts the trials of a release in a row that were cut short.
type Cuts struct {
	ID    string `json:"id,omitempty"`
	Count int    `json:"count,omitempty"`
	// Against counts those that speak against the release: the first one, and each one before which the
	// release that runs otherwise had lived for longer than a trial's deadline. In a vehicle of short drives
	// none but the first counts.
	Against int `json:"against,omitempty"`
	// Lived: it has lived for so long before the try that is under way.
	Lived bool `json:"lived,omitempty"`
	// At is the effective time at which the last one was found out.
	At time.Time `json:"at,omitzero"`
}

// and is c with one more trial of a release that was cut short.
func (c Cuts) and(id string, now time.Time) Cuts {
	next := Cuts{ID: id, Count: 1, Against: 1, At: now}
	if c.ID != id {
		return next
	}
	next.Count, next.Against = c.Count+1, c.Against
	if c.Lived {
		next.Against++
	}
	return next
}

// atRest is what of c is kept while nothing is under way.
func (c Cuts) atRest() Cuts {
	if c.Count == 0 {
		return Cuts{}
	}
	c.Lived = false
	return c
}

// problem tells of them, or is nil where there is nothing to tell.
func (c Cuts) problem() *Problem {
	if c.Count == 0 {
		return nil
	}
	return &Problem{Reason: ReasonTrialCut, At: c.At, Text: fmt.Sprintf("%d trials in a row were cut short: the release reached its trial, and its slot was left before "+
		"anything was proven, by a crash, a power cut, a watchdog or a drive that was too short; %d of %d count against it", c.Count, c.Against, CutsMax)}
}

// lived reports whether the release that runs before a try has lived for longer than a trial may take. What
// reboots lives as long as the boot.
func (f *Facts) lived(r *Record) bool {
	age := f.TrialAge
	if r.Reboot {
		age = f.Uptime
	}
	return age > f.trial(r).trialDeadline()
}

// cutShort is what follows a trial that ended in the other slot.
func cutShort(r *Record, f *Facts) Action {
	cuts := r.cutsAfter(f.Now)
	if cuts.Against >= CutsMax {
		return withdraw(cuts.problem())
	}
	return Action{Kind: Rearm, Problem: cuts.problem()}
}

// cutsAfter is what is counted once a trial has ended in the other slot. One of a rollback that was left by
// an ordered reboot was not cut.
func (r *Record) cutsAfter(now time.Time) Cuts {
	if r.Phase != Trial && r.Phase != Confirming || r.Back && r.RebootedIn == r.BootID {
		return r.Cuts
	}
	return r.Cuts.and(r.Release.ID(), now)
}
