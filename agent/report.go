package agent

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/ota-agent/ota-agent/verifier"
)

// publish renews the status document. Seq rises, and Changed fires, only when something in it is news.
func (a *Agent) publish() {
	s := a.engine.status()
	s.MQTT = a.broker.Load()
	old := a.view.Load()
	if old != nil {
		s.Seq = old.Seq
		if sameNews(*old, s) {
			a.view.Store(&s)
			return
		}
	}
	s.Seq++
	a.view.Store(&s)
	a.mu.Lock()
	close(a.changed)
	a.changed = make(chan struct{})
	a.mu.Unlock()
}

// sameNews compares two documents but for what changes all the time.
func sameNews(a, b Status) bool {
	if !a.MQTT.same(b.MQTT) {
		return false
	}
	for _, s := range []*Status{&a, &b} {
		s.MQTT = nil
		s.Time, s.Repository.NextIn, s.Counters, s.Budget = TimeStatus{}, 0, Counters{}, nil
		s.Components = slices.Clone(s.Components)
		for i := range s.Components {
			s.Components[i].Gates = StillGates(s.Components[i].Gates)
			if c := s.Components[i].Condition; c != nil {
				still := *c
				still.Left, still.Elapsed, still.Limit = 0, 0, 0
				s.Components[i].Condition = &still
			}
			if w := s.Components[i].Waiting; w != nil {
				s.Components[i].Waiting = &Waiting{Reason: w.Reason, Text: w.Text}
			}
		}
	}
	return reflect.DeepEqual(a, b)
}

// status builds the status document.
func (e *engine) status() Status {
	now, source, floor := e.effectiveTime()
	s := Status{
		Schema: StatusSchema, Agent: e.cfg.Version, Device: e.cfg.Device, IDBefore: e.idBefore, BootID: e.p.System.BootID(), Started: e.started.Microseconds(),
		Time:   TimeStatus{Effective: now, Source: source, Floor: floor},
		Paused: e.book.paused(), Recovered: e.book.recovered(), Abandoned: e.abandoned, LastEvent: e.book.lastEvent(),
		Components: []ComponentStatus{}, // never null: whoever reads it counts on a list
		Repository: RepositoryStatus{
			URL: e.cfg.RepositoryURL, Credentials: e.credentials(), Checks: e.checks, LastSuccess: e.lastSuccess, LastProblem: e.lastRefusal(),
			LastCheck: e.lastCheck, Bandwidth: e.bandwidth, NextIn: SecondsOf(max(0, e.plan.next()-e.p.System.Uptime())),
		},
	}
	s.Journal = e.book.journalID()
	if !e.book.committed() {
		s.LastFailure = e.cfg.LastFailure
	}
	for _, r := range e.roles {
		s.Repository.Roles = append(s.Repository.Roles, RoleStatus{Role: r.Role, Version: r.Version, Expires: r.Expires})
	}
	s.Budget = e.account.status()
	if e.p.Counters != nil {
		s.Counters = e.p.Counters()
	}
	for _, c := range e.live {
		s.Components = append(s.Components, e.componentStatus(c))
	}
	return s
}

func (e *engine) componentStatus(c *live) ComponentStatus {
	r := e.book.record(c.name)
	s := ComponentStatus{
		Name: c.name, Phase: r.Phase, Slot: r.TargetSlot, Waiting: c.waiting, Gates: gateStatuses(c.gates),
		Attempts: r.Attempts, Spent: r.spent(), Problem: c.failure, Rejected: r.Rejected, Last: c.last,
	}
	condition := conditionOf(e.standing(c, r))
	s.Condition = &condition
	switch {
	case c.blind != nil:
		s.Problem, s.Attempts = c.blind, c.observed
	case s.Problem != nil:
		s.Attempts = c.attempt
	case c.unfound != nil:
		s.Problem, s.Attempts = c.unfound, c.misses
	case r.Cuts.ID == c.concerns(&r):
		s.Problem = r.Cuts.problem()
	}
	if g := c.progress.Load(); g != nil {
		s.Progress = g.progress(e.p.System.Uptime())
	}
	if r.Release != nil {
		rel := releaseStatus(r.Release)
		s.Release = &rel
	}
	if r.Previous != nil {
		rel := releaseStatus(r.Previous)
		s.Previous = &rel
		if c.component != nil {
			s.NoRollback = timeless(e.noRollback(c, r))
		}
	}
	if r.Confirmed != nil {
		s.Running = releaseStatus(r.Confirmed)
	}
	if c.slots != nil {
		s.Booted, s.Primary = c.slots.Booted, c.slots.Primary
		if slot := c.slots.Slots[c.slots.Booted]; slot.SHA256 != "" && slot.SHA256 != s.Running.SHA256 {
			s.Running = ReleaseStatus{Version: slot.Version, SHA256: slot.SHA256}
		}
	}
	return s
}

// concerns is the ID of the release that a component is about: the one under way or on offer or, before the
// first answer, the one whose trials were cut short last.
func (c *live) concerns(r *Record) string {
	switch {
	case r.Release != nil:
		return r.Release.ID()
	case !c.offer.Known:
		return r.Cuts.ID
	}
	return c.offer.id()
}

// timeless is a problem that holds now, rather than one that happened: with the time it would be news all the time.
func timeless(p *Problem) *Problem {
	if p != nil {
		p.At = time.Time{}
	}
	return p
}

func releaseStatus(r *Release) ReleaseStatus {
	return ReleaseStatus{Version: r.Info().Version, SHA256: r.SHA256(), Length: r.Target.Length}
}

// describe names a release in a log line: its version where it has one, and the beginning of its hash.
func describe(r *Release) string {
	if r == nil {
		return ""
	}
	return strings.TrimSpace(r.Info().Version + " " + r.ID()[:min(12, len(r.ID()))])
}

func rolesText(roles []verifier.RoleInfo) string {
	var parts []string
	for _, r := range roles {
		parts = append(parts, fmt.Sprintf("%s %d", r.Role, r.Version))
	}
	return strings.Join(parts, ", ")
}

// credentials is what is wrong with the repository's key files, if anything is.
func (e *engine) credentials() *Problem {
	if e.p.Credentials == nil {
		return nil
	}
	return e.p.Credentials()
}

// withOlder are the roles that a refresh came to, and those that it was stopped before and that are trusted
// as before: an outage must not look as if the device had lost its targets. Under another root that is not
// known.
func withOlder(roles, older []verifier.RoleInfo) []verifier.RoleInfo {
	if len(older) == 0 || roles[0] != older[0] {
		return roles
	}
	all := slices.Clone(roles)
	for _, o := range older {
		if !slices.ContainsFunc(roles, func(r verifier.RoleInfo) bool { return r.Role == o.Role }) {
			all = append(all, o)
		}
	}
	return all
}
