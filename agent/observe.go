package agent

import (
	"slices"
	"time"
)

// facts observes a component.
func (e *engine) facts(c *live, r Record) Facts {
	now, _, _ := e.effectiveTime()
	up := e.p.System.Uptime()
	f := Facts{
		Component: c.component, BootID: e.p.System.BootID(), Uptime: up, Now: now, Slots: c.slots, Offer: c.offer,
		Fresh:   e.lastBegan >= 0 && e.failing(c) == nil && up-e.lastBegan <= FreshMax,
		Failing: e.failing(c) != nil, Unanswered: c.misses, AskedFrom: up - e.askedFrom, Asked: up - e.askedAt,
		Reached: c.reached, ReachedAge: up - c.reachedFrom, Local: e.last.local,
		Backoff: max(0, c.notBefore-up), Failure: c.failure, Failures: c.failures, Blind: c.blind, Looks: c.observed, LookIn: max(0, c.lookAt-up),
		StateNew: e.stateNew(c), ProveNew: e.cfg.ProveWithoutState,
		Busy: e.busy(c), Awaited: e.awaited(c),
		TrialAge: up - c.trialFrom, Anew: c.anew, Healthy: c.healthy, HealthyFor: up - c.healthyFrom, HealthIn: c.healthAt - up,
	}
	if e.lastProblem != nil {
		f.Unanswered = e.plan.failures
		if e.lastProblem.Reason == ReasonHung {
			f.Unanswered = max(f.Unanswered, UnansweredMax) // it was silent for as long as several that fail
		}
	}
	if c.blind != nil {
		f.BlindFor = up - c.lookedFrom
	}
	if c.rebootAt > 0 {
		f.RebootFor = max(1, up-c.rebootAt)
	}
	if r.RollbackAsked {
		f.NoRollback = e.noRollback(c, r)
	}
	rel := r.Release
	if rel == nil {
		rel = c.offer.Release
	}
	c.gates = e.gates(c, rel, now)
	f.FetchGate, f.InstallGate = firstOf(c.gates, holdsDownload), firstOf(c.gates, holdsInstall)
	if r.Doubted && !e.cfg.ProveWithoutState { // the reboot that leaves its slot installs nothing of what is on offer
		f.InstallGate = firstOf(filter(c.gates, func(g gate) bool { return g.Gate != gateRequires }), holdsInstall)
	}
	if r.Back && rel != nil { // a rollback was asked for by name: nothing but what its release requires holds it up
		f.FetchGate, f.InstallGate = nil, e.requiresGate(c.name, rel.Info().Requires)
	}
	return f
}

// trial is what governs a component's trial: the config or, where that no longer names the component, its record.
func (e *engine) trial(c *live) *Component {
	r := e.book.record(c.name)
	return trialOf(c.component, &r)
}

// stateNew reports whether nothing says that the component had another life here: the state began empty or,
// where a whole system boots, was lost with its database. A floor of what was confirmed, an update that
// ended, and a trial of the system under another name show such a life. What can't be told apart is done
// again rather than kept.
func (e *engine) stateNew(c *live) bool {
	if _, confirmed := e.book.floors().Index[c.name]; confirmed || c.last != nil {
		return false
	}
	for _, other := range e.live {
		if r := e.book.record(other.name); other != c && r.Reboot && !slices.Contains([]Phase{Idle, Fetching, Staged, Writing}, r.Phase) {
			return false
		}
	}
	return e.book.began() || c.reboots()
}

// busy names another component that writes, tries or reboots: one at a time. One that found an empty state
// where it should not is to be left.
func (e *engine) busy(c *live) string {
	for _, other := range e.live {
		r := e.book.record(other.name)
		if other != c && r.Doubted && !e.cfg.ProveWithoutState {
			return other.name
		}
		if other != c && !slices.Contains([]Phase{Idle, Fetching, Staged}, r.Phase) && !r.stuck(other.failures, e.p.System.BootID()) {
			return other.name
		}
	}
	return ""
}

// awaited reports whether another component waits for the busy one.
func (e *engine) awaited(c *live) bool {
	for _, other := range e.live {
		if other != c && other.waiting.busy() {
			return true
		}
	}
	return false
}

// busy reports whether a component waits for another one.
func (w *Waiting) busy() bool { return w != nil && w.Reason == ReasonBusy }

// note lets what is known in this process follow the end of a task.
func (e *engine) note(c *live, r Record, a Action, o outcome) {
	up := e.p.System.Uptime()
	switch a.Kind {
	case Observe:
		e.looked(c, &r, o)
	case Examine:
		// A check that took longer than a whole trial may was slept through.
		if o.problem == nil && (!c.healthy || up-c.healthAt > e.trial(c).healthEvery()+e.trial(c).trialDeadline()) {
			c.healthyFrom = up
		}
		c.healthAt = up + e.trial(c).healthEvery()
		c.healthy = o.problem == nil
	case Restart:
		if o.problem == nil {
			c.rebootAt = max(1, up)
		}
	case Fetch:
	default:
		c.slots, c.observed, c.lookAt = nil, 0, 0 // the hook may have changed them, also when it failed
	}
	if o.problem == nil {
		if a.Kind == Observe {
			return
		}
		if c.done = a.Kind; !a.Kind.shows() {
			c.failure, c.failures, c.refused = nil, 0, refusal{}
		}
		return
	}
	n := c.observed
	if a.Kind != Observe {
		c.failure = o.problem
		c.failures++
		c.attempt = max(c.failures, r.Attempts+1)
		n = c.attempt
	}
	e.log.Warn("failed", "component", c.name, "action", a.Kind, "reason", o.problem.Reason,
		"release", describe(r.Release), "attempt", n, "err", o.problem.Text)
	if a.Kind != Examine && a.Kind != Observe {
		c.failedAt = up
		c.refused.meets(o.problem.Reason, up)
		wait := c.refused.backoff(o.problem.Reason, c.attempt, up, e.cfg.BackoffMin, e.cfg.BackoffMax, e.p.Random())
		c.notBefore = up + max(wait, min(o.problem.RetryAfter, e.cfg.BackoffMax))
	}
}

// backoff is the wait after the n-th failure.
func (e *engine) backoff(reason Reason, n int) time.Duration {
	return Backoff(reason, n, e.cfg.BackoffMin, e.cfg.BackoffMax, e.p.Random())
}

// resumed is the uptime at which the back-off ends that a process finds in a record. Right after a boot it is
// a short one: a drive may be short, too, and the next one would begin the wait anew.
func (e *engine) resumed(r *Record) time.Duration {
	up, wait := e.p.System.Uptime(), time.Duration(0)
	switch {
	case r.Phase == Idle && r.Setback.Count > 0:
		wait = e.backoff(ReasonTrialNoRepo, r.Setback.Count)
	case r.Attempts > 0 && (r.Phase == Fetching || r.Phase == Writing || r.Phase == Switched):
		wait = e.backoff(ReasonBackoff, r.Attempts)
	}
	if up < retrySoonMax {
		wait = min(wait, max(retrySoonMax, e.cfg.BackoffMin))
	}
	return up + wait
}

// looked is note for the hook's status. While a trial's deadline runs it is asked for as often as health: one
// answer that did not come must not be what condemns a release.
func (e *engine) looked(c *live, r *Record, o outcome) {
	up, reason := e.p.System.Uptime(), ReasonSlot
	if o.problem == nil {
		c.slots = &o.slots
	} else {
		reason = o.problem.Reason
	}
	if (o.problem == nil) != (c.blind == nil) {
		c.observed = 0
	}
	if c.observed == 0 {
		c.lookedFrom = up
	}
	c.blind = o.problem
	c.observed++
	wait := e.backoff(reason, c.observed)
	here := r.BootID == e.p.System.BootID()
	if r.Phase == Trial && here || (r.Phase == Trial || r.Phase == Switched) && !here && up-c.trialFrom < e.trial(c).trialDeadline() {
		wait = min(wait, e.trial(c).healthEvery())
	}
	c.lookAt = up + wait
}

// transition follows a committed change of phase. Where a failure led back to what comes before the attempt,
// its back-off goes on: the attempt will be the same again.
func (e *engine) transition(c *live, from, to Record, a Action, p *Problem) {
	up := e.p.System.Uptime()
	rel := to.Release
	if rel == nil {
		rel = from.Release
	}
	attrs := []any{"component", c.name, "from", from.Phase, "to", to.Phase, "action", a.Kind, "release", describe(rel), "attempt", to.Attempts}
	if a.Problem != nil {
		attrs = append(attrs, "reason", a.Problem.Reason, "err", a.Problem.Text)
	}
	e.log.Info(LogStep, attrs...)
	// What failed and made room for another component is not tried again at once, nor is what a failure led back to.
	if a.Kind != Restage && a.Kind != Order && (p == nil || to.Phase != Fetching && to.Phase != Writing) {
		c.notBefore, c.failures = 0, 0
	}
	c.blind, c.observed, c.lookAt = nil, 0, 0
	switch {
	case to.Phase == Trial, a.Kind == Settle:
		c.trialFrom, c.healthAt, c.healthy, c.reached = up, up, false, false
		e.plan.now = e.plan.now || to.Phase == Trial || to.Unreachable != ""
	case a.Kind == Rearm && to.Attempts == from.Attempts:
		c.notBefore = e.resumed(&to)
	case a.Kind == Rearm, a.Kind == CountLost:
		c.notBefore = up + e.backoff(ReasonBackoff, to.Attempts)
		if c.trialFrom = up; to.Cuts.Count > from.Cuts.Count { // the next one comes after a longer life of what runs now
			c.notBefore = max(c.notBefore, up+e.trial(c).trialDeadline()+time.Second)
		}
	}
	if a.Kind == Settle && from.Verdict == nil {
		c.notBefore = up + e.backoff(ReasonTrialNoRepo, to.Setback.Count)
	}
	if to.Phase == Idle {
		c.failure = nil
		c.last = ended(from, a, p)
	}
	if path := e.targetPath(c, &to); path != e.targetPath(c, &from) {
		c.offer, c.unfound = Offer{}, nil // they are of another target than the one that counts from now on
		e.plan.now = e.plan.now || path != ""
	}
}

// deadline is how long nothing happens by itself.
func (e *engine) deadline() time.Duration {
	up := e.p.System.Uptime()
	boot, floor := e.p.System.BootID(), e.book.timeFloor()
	wait := left(floor.accrueAfter(boot, up), floor.passed(boot, up))
	if left, waits := e.awaitsLook(); !e.refreshing && waits {
		wait = min(wait, max(left, e.plan.next()-up))
	} else if !e.refreshing {
		wait = min(wait, e.plan.next()-up)
	}
	if look := e.tooLate(); look > 0 {
		wait = min(wait, look)
	}
	for _, c := range e.live {
		wait = min(wait, e.gatesIn(c, up))
		if c.running != nil {
			continue
		}
		for _, at := range [...]time.Duration{c.notBefore, c.lookAt} {
			if at > up {
				wait = min(wait, at-up)
			}
		}
		if c.waiting != nil && c.waiting.Left > 0 {
			wait = min(wait, time.Duration(min(c.waiting.Left, secondsMax))*time.Second)
		}
		if e.book.record(c.name).Phase == Trial && c.healthAt > up {
			wait = min(wait, c.healthAt-up)
		}
	}
	return max(0, wait)
}
