package agent

import (
	"slices"
	"time"
)

// refreshTask is the next refresh when it is due and none runs.
func (e *engine) refreshTask() *task {
	if e.last.provisional && !e.unproven() {
		e.plan.now, e.last.provisional = true, false // what was seen in the trial is kept now
	}
	if e.refreshing || e.p.System.Uptime() < e.plan.next() && !e.clockWasSet() {
		return nil
	}
	if _, waits := e.awaitsLook(); waits {
		return nil
	}
	e.refreshing = true
	if e.p.Counters != nil {
		e.checkFrom = e.p.Counters()
	}
	e.plan.begun()
	return e.newRefresh()
}

// clockLook is how often the clock is looked at that was ahead of all metadata. It costs no request. One that
// vouches for itself is rarely what is wrong when metadata is too old.
const (
	clockLook     = time.Minute
	clockLookSure = time.Hour
)

// failing is why the last refresh has no answer for a component, or nil: what was wrong with the top-level
// roles, or with the search for its target. What another component's search met does not count.
func (e *engine) failing(c *live) *Problem {
	if e.lastProblem != nil {
		return e.lastProblem
	}
	return c.unfound
}

// lastRefusal is what was wrong with the last refresh, for any component, or nil.
func (e *engine) lastRefusal() *Problem {
	p := e.lastProblem
	for _, c := range e.live {
		if p == nil {
			p = c.unfound
		}
	}
	return p
}

// tooLate is how often the clock is looked at because the last refresh was refused for what time it is, or 0:
// it was not.
func (e *engine) tooLate() time.Duration {
	switch p := e.lastRefusal(); {
	case p == nil:
	case p.Reason == ReasonClockAhead:
		return clockLook
	case p.Reason == ReasonExpired:
		return clockLookSure
	}
	return 0
}

// clockWasSet reports whether it is earlier now than when something was refused for being too old.
func (e *engine) clockWasSet() bool {
	now, _, _ := e.effectiveTime()
	return e.tooLate() > 0 && now.Before(e.lastRefusal().At)
}

// refreshEnded takes the answers of a refresh.
func (e *engine) refreshEnded(o outcome) error {
	e.refreshing = false
	out := o.refreshed
	if out.fatal != nil {
		return out.fatal
	}
	if o.cancelled {
		return nil
	}
	e.checks++
	if e.p.Counters != nil {
		spent := e.p.Counters().since(e.checkFrom)
		e.lastCheck = &spent
	}
	e.lastProblem = out.problem
	if !out.provisional || out.refused() {
		e.provisional.clear() // it is kept now, or of no use
	}
	e.survey.age(e.p.System.Uptime())
	if len(out.roles) > 0 {
		e.roles = withOlder(out.roles, e.roles)
	}
	up := e.p.System.Uptime()
	e.askedFrom, e.askedAt = out.began, up
	e.plan.ended(out.problem, up, e.p.Random())
	for _, c := range e.live {
		r := e.book.record(c.name)
		if out.problem == nil {
			e.searched(c, out.unfound[c.name])
		}
		if out.paths[c.name] == e.targetPath(c, &r) {
			if offer, ok := out.offers[c.name]; ok {
				if offer.id() != c.offer.id() || (offer.Problem == nil) != (c.offer.Problem == nil) {
					c.waiting = nil // it was for something else
				}
				c.offer = offer
			}
		} else {
			c.unfound = nil
		}
		failing := e.failing(c) != nil
		if out.began >= c.trialFrom && !out.local {
			c.reached, c.reachedFrom = !failing, out.began
		}
		if r.Unreachable != "" || r.Phase == Trial && (failing || !r.Local) {
			if failing || out.local {
				e.plan.soon(up)
			}
		}
		if out.problem == nil && e.endsWait(c, &r, out) {
			c.notBefore = 0
		}
		if r.Release != nil && !r.Back && c.offer.left(&r) {
			c.end(Fetch, Install) // what is being fetched, or written, is no longer wanted
		}
	}
	if out.problem != nil {
		e.log.Warn("refresh refused or failed", "reason", out.problem.Reason, "err", out.problem.Text)
		return nil
	}
	e.last, e.lastBegan = out, out.began
	if e.lastRefusal() == nil {
		e.lastSuccess, _, _ = e.effectiveTime()
	}
	e.log.Info("refreshed", "roles", rolesText(out.roles))
	return nil
}

// searched takes what a component's search met, or nil, and lets it be tried again by its own back-off: one
// that fails for good must not make the retries after an outage slow.
func (e *engine) searched(c *live, p *Problem) {
	c.unfound = p
	if p == nil {
		c.misses, c.unlisted = 0, refusal{}
		return
	}
	c.misses++
	c.unlisted.meets(p.Reason, e.p.System.Uptime())
	e.log.Warn("search refused or failed", "component", c.name, "reason", p.Reason, "err", p.Text)
	e.plan.retry(p, c.misses, c.unlisted, e.p.System.Uptime(), e.p.Random())
}

// endsWait reports whether a refresh that succeeded ends a download's wait after a failure. What failed on
// the network is tried again once the network is there, and what the server refused once the publisher has
// signed something: it may be uploaded by now. A server that names a time is given that time, and nothing is
// tried more often than after the shortest wait.
func (e *engine) endsWait(c *live, r *Record, out *refreshed) bool {
	if r.Phase != Fetching || c.failure == nil || c.notBefore == 0 || c.failure.RetryAfter > 0 || out.began < c.failedAt+e.cfg.BackoffMin {
		return false
	}
	return c.failure.Reason.isNetwork() && !out.local || Permanent(c.failure.Reason) && !slices.Equal(e.last.roles, out.roles)
}
