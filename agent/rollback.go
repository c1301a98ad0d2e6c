package agent

import (
	"fmt"
	"time"
)

// A rollback on demand goes back to the release before, which the other slot still holds, through the same phases as an
// update from switched on: so one that goes back to something broken comes back. In a trial there is nothing to go
// back to but the release that is left: then a rollback is a reject with the operator's verdict.

// rollback notes what the operator asks for, durably; the machine does it. It refuses what can't be done.
func (e *engine) rollback(name string) error {
	c := e.component(name)
	switch {
	case name == "" && len(e.live) == 1:
		c = e.live[0]
	case name == "":
		return fmt.Errorf("rollback: this device has %d components: name one of them", len(e.live))
	}
	if c == nil || c.component == nil {
		return fmt.Errorf("rollback: there is no component %q", name)
	}
	r := e.book.record(c.name)
	if p := e.noRollback(c, r); p != nil {
		return p
	}
	c.end(Fetch)
	r.RollbackAsked = true
	return e.book.put(r, false, nil)
}

// noRollback is the package's noRollback with what the engine knows.
func (e *engine) noRollback(c *live, r Record) *Problem {
	floor := max(e.book.floors().Index[c.name].Version, e.cfg.Minimum.Index[c.name].Version)
	p := noRollback(r, c.slots, floor, e.configured())
	if p == nil && r.Phase != Trial {
		if w := e.requiresGate(c.name, r.Previous.Info().Requires); w != nil {
			p = &Problem{Reason: w.Reason, Text: "no rollback: the release before " + w.Text}
		}
	}
	if p != nil {
		p.At, _, _ = e.effectiveTime()
	}
	return p
}

// configured are the records of the components that the config names. What another one ran is nothing that
// anybody keeps up to date any more, so it holds nothing back.
func (e *engine) configured() map[string]Record {
	records := map[string]Record{}
	for _, c := range e.live {
		if c.component != nil {
			records[c.name] = e.book.record(c.name)
		}
	}
	return records
}

// noRollback says why a component can't leave what it runs, or nil. floor is its rollback_index floor: it counts even
// where its signers do not any more, since going back is not urgent enough to find that out.
func noRollback(r Record, s *Slots, floor int64, records map[string]Record) *Problem {
	refuse := func(reason Reason, format string, args ...any) *Problem {
		return &Problem{Reason: reason, Text: fmt.Sprintf("no rollback of component %s: ", r.Component) + fmt.Sprintf(format, args...)}
	}
	switch r.Phase {
	case Trial:
		return nil
	case Idle, Fetching, Staged:
	default:
		return refuse(ReasonBusy, "it is %s: ask again when it is on trial or idle", r.Phase)
	}
	switch {
	case s == nil:
		return refuse(ReasonSlot, "its hook has not said yet which slot is booted: ask again, and see its last problem in the status")
	case r.Confirmed != nil && s.Booted != r.ConfirmedSlot:
		return refuse(ReasonDegraded, "slot %s was confirmed and slot %s is booted: the bootloader fell back already", r.ConfirmedSlot, s.Booted)
	case r.Confirmed == nil || r.Previous == nil || r.PreviousSlot != s.Inactive():
		return refuse(ReasonNoRollback, "no release is known in another slot than the booted one (%s)", s.Booted)
	}
	other, booted := s.Slots[r.PreviousSlot], s.Slots[s.Booted]
	if !other.Good || !booted.Good || s.Primary != s.Booted {
		return refuse(ReasonNoRollback, "slot %s must be good (it is: %t), and slot %s primary and good, to come back to (%t, %t)",
			r.PreviousSlot, other.Good, s.Booted, s.Primary == s.Booted, booted.Good)
	}
	if want := r.Previous.SHA256(); other.SHA256 != "" && want != "" && other.SHA256 != want {
		return refuse(ReasonNoRollback, "slot %s holds another image than the one that was confirmed there", r.PreviousSlot)
	}
	index := confirmedIndex(Record{Confirmed: r.Previous})
	if floor > 0 && index < floor {
		return refuse(ReasonIndexTooLow, "release %s has rollback_index %d, and this device demands index %d, which it has confirmed or its image ships",
			describe(r.Previous), index, floor)
	}
	return wanted(r, index, records, refuse)
}

// wanted refuses a rollback to an index below what a release needs that another component has confirmed.
func wanted(r Record, index int64, records map[string]Record, refuse func(Reason, string, ...any) *Problem) *Problem {
	for name, other := range records {
		if name == r.Component || other.Confirmed == nil {
			continue
		}
		for _, q := range other.Confirmed.Info().Requires {
			if q.Component == r.Component && index < q.RollbackIndex {
				return refuse(ReasonRequires, "component %s runs a release that requires index %d, and release %s has %d: roll that back first",
					name, q.RollbackIndex, describe(r.Previous), index)
			}
		}
	}
	return nil
}

// nextRollback is nextIdle once a rollback was asked for. It asks the repository before, to find out whether
// the release that is left reaches it: where that one does not, it can't be asked of the release before
// either.
func nextRollback(f *Facts) Action {
	switch {
	case f.Busy != "":
		return waitFor(busyWaiting(f.Busy))
	case f.NoRollback != nil && f.Looks < BlindLooksMin:
		return f.lookAgain(&Waiting{Reason: f.NoRollback.Reason, Text: f.NoRollback.Text})
	case f.NoRollback != nil:
		return Action{Kind: Decline, Problem: f.NoRollback}
	case !f.asked():
		return askFirst()
	}
	return Action{Kind: RollBack, Hook: f.Component.Hook, Reboot: f.Component.Reboot, Carried: f.Component.carried(), Offline: !f.Fresh}
}

// askFirst asks the repository before a rollback's try.
func askFirst() Action {
	return Action{Kind: Check, Waiting: &Waiting{Reason: ReasonRefreshFirst,
		Text: "finding out whether the repository can be reached, before the rollback"}}
}

// byOperator ends a trial with the operator's verdict.
func byOperator(f *Facts) Action { return Action{Kind: Condemn, Problem: rolledBack(f.Now)} }

func rolledBack(now time.Time) *Problem {
	return &Problem{Reason: ReasonOperator, Text: "an operator rolled it back", At: now}
}

func (r *Record) rollBack(a *Action) {
	r.RollbackAsked = false
	if r.Previous == nil {
		return // never ordered
	}
	r.takeUp(r.Previous, a)
	r.enter(Switched, a)
	r.TargetSlot, r.Back, r.Offline = r.PreviousSlot, true, a.Offline
}

// relent lets what was confirmed, and what the bootloader fell back from or somebody flashed over, be installed again.
func (r *Record) relent(a *Action) {
	r.RetryAsked = false
	if r.ConfirmedSlot != a.Slot {
		r.Confirmed, r.ConfirmedSlot, r.Degraded = nil, "", false
	}
}

// confirm notes what a slot was confirmed with; what was confirmed in the other one is the release before.
func (r *Record) confirm(done *Release, slot string) {
	switch {
	case r.Confirmed != nil && r.ConfirmedSlot != slot:
		r.Previous, r.PreviousSlot = r.Confirmed, r.ConfirmedSlot
	case r.PreviousSlot == slot:
		r.Previous, r.PreviousSlot = nil, ""
	}
	r.Confirmed, r.ConfirmedSlot, r.Degraded = done, slot, false
}
