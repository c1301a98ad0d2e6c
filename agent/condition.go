package agent

import (
	"cmp"
	"fmt"
	"strings"
	"time"
)

// A ConditionCode says how a component stands. Each component has exactly one at any time. Codes are never reused.
type ConditionCode string

// The conditions. docs/status.md says of each what it means.
const (
	// ConditionCurrent: it runs what the repository names, as of the last answer. Nothing is to be done.
	ConditionCurrent ConditionCode = "up_to_date"
	// ConditionUnlisted: the repository names nothing for its target path.
	ConditionUnlisted ConditionCode = "not_listed"
	// ConditionUnasked: the repository has not been asked about it since the agent started.
	ConditionUnasked ConditionCode = "not_asked"
	// ConditionUnanswered: the repository can't be asked, or what it answered was refused.
	ConditionUnanswered ConditionCode = "unanswered"
	// ConditionWaiting: something holds it up that the agent does not bring about by itself, or not now.
	ConditionWaiting ConditionCode = "waiting"
	// ConditionWorking: the agent is at it, and this ends by itself.
	ConditionWorking ConditionCode = "working"
)

// A Condition is how a component stands, for people and programs.
type Condition struct {
	Code ConditionCode `json:"code"`
	Text string        `json:"text"`
	// Reason is why, where there is one.
	Reason Reason `json:"reason,omitempty"`
	// Left is for how long it waits; 0: until something else changes.
	Left Seconds `json:"left,omitempty"`
	// Elapsed, Limit and Percent are of what runs: for how long it has, when it is stopped (0: as long as it
	// gets on), and how far a hook says it has come (nil: it does not say).
	Elapsed Seconds `json:"elapsed,omitempty"`
	Limit   Seconds `json:"limit,omitempty"`
	Percent *int    `json:"percent,omitempty"`
	// Path, Roles and Nearest are of not_listed: what was looked for, the trusted roles that do not list it,
	// and the listed path that is most like it.
	Path    string   `json:"path,omitempty"`
	Roles   []string `json:"roles,omitempty"`
	Nearest string   `json:"nearest,omitempty"`
}

// A standing is all that a condition depends on.
type standing struct {
	phase   Phase
	named   bool       // by the config
	running ActionKind // what is being done; empty: nothing
	elapsed time.Duration
	hook    *HookRun // that runs for it; nil: none
	// queued is what it would do if others left it a lane, and first are the names of those others.
	queued  ActionKind
	first   []string
	waiting *Waiting
	failing *Problem // why the last refresh has no answer about it
	offer   Offer
	slots   *Slots
	blind   *Problem // why the hook's status could not be had
	runs    bool     // the booted slot holds the offered release
	asking  bool     // a refresh runs
	// unlisted is the path that the repository did not list when it was asked last, maybe by another process.
	unlisted string
}

// standing is what the engine knows of a component now.
func (e *engine) standing(c *live, r Record) standing {
	s := standing{phase: r.Phase, named: c.component != nil, waiting: c.waiting, failing: e.failing(c), offer: c.offer, slots: c.slots, blind: c.blind,
		asking: e.refreshing, unlisted: r.Unlisted, queued: c.queued}
	if c.queued != "" {
		s.first = e.ahead(c.queued)
	}
	if c.running != nil {
		s.running, s.elapsed = c.running.action.Kind, e.p.System.Uptime()-c.begunAt
		if run, ok := e.p.Installer.Running(c.name); ok {
			s.hook = &run
		}
	}
	if c.offer.Release != nil {
		f := Facts{Slots: c.slots}
		s.runs = f.runs(&r, c.offer.Release)
	}
	return s
}

// conditionOf says how a component stands. It is pure and total.
func conditionOf(s standing) Condition {
	if s.phase == Idle {
		return s.atRest()
	}
	switch w := s.waiting; {
	case s.running != "" && s.running != Ask:
		return s.atWork()
	case w == nil && len(s.first) > 0:
		return s.inLine()
	case w == nil:
		return working("between two steps of " + string(s.phase))
	case w.Reason == ReasonRefreshFirst && s.failing != nil:
		return Condition{Code: ConditionWaiting, Reason: s.failing.Reason, Text: "the repository must answer first: " + s.failing.Text}
	}
	return s.waiting.stands()
}

// ahead names the components that hold the lanes which an action needs.
func (e *engine) ahead(k ActionKind) (names []string) {
	for _, other := range e.live {
		if other.running != nil && (other.running.action.Kind == Fetch) == (k == Fetch) {
			names = append(names, other.name)
		}
	}
	return names
}

// inLine says whose work comes first.
func (s *standing) inLine() Condition {
	names := strings.Join(s.first, " and ")
	if s.queued == Fetch {
		return working("it waits for its turn to download: " + names + " go first")
	}
	return working("it waits for its turn: one hook runs at a time, and now it is that of " + names)
}

// atRest is conditionOf for a component that is at no release.
func (s *standing) atRest() Condition {
	switch w := s.waiting; {
	case !s.named:
		return Condition{Code: ConditionUnanswered, Reason: ReasonWithdrawn, Text: "the config does not name this component any more"}
	case w == nil, w.Reason == ReasonNotListed, s.failing != nil && w.Reason == s.failing.Reason, s.slots == nil && s.blind != nil:
	default:
		return w.stands()
	}
	switch {
	case s.failing != nil:
		return Condition{Code: ConditionUnanswered, Reason: s.failing.Reason, Text: "the repository gave no answer about it: " + s.failing.Text}
	case !s.offer.Known:
		return s.unasked()
	case s.offer.Release == nil:
		return unlisted(s.offer)
	case s.slots == nil && s.blind != nil && s.running != Observe:
		return Condition{Code: ConditionWaiting, Reason: s.blind.Reason, Text: "the hook does not say which slot is booted: " + s.blind.Text,
			Left: s.waiting.left()}
	case s.slots == nil:
		return s.atWork()
	case !s.runs:
		return working("about to take up the release that the repository names")
	}
	return s.current()
}

// unasked is atRest before the first answer. The first check may wait for the hook.
func (s *standing) unasked() Condition {
	c := Condition{Code: ConditionUnasked, Text: "the repository has not been asked since the agent started"}
	switch {
	case s.asking:
		c.Text = "the repository is being asked, and has not answered since the agent started"
	case s.slots == nil && s.running == Observe:
		work := s.atWork()
		c.Text += ", and the hook has not said yet which slot is booted"
		c.Elapsed, c.Limit = work.Elapsed, work.Limit
	}
	c.Text += lastTime(s.unlisted)
	return c
}

// atWork says what is being done, since when, and how far it is.
func (s *standing) atWork() Condition {
	c := working(cmp.Or(doing[s.running], string(s.running), doing[Observe]))
	if s.running == Examine && s.waiting != nil {
		c = s.waiting.stands() // one check after the other is no news
	}
	if s.running == "" && len(s.first) > 0 {
		return s.inLine()
	}
	if s.running == "" {
		return c
	}
	c.Elapsed = SecondsOf(s.elapsed)
	if h := s.hook; h != nil {
		c.Elapsed, c.Limit = SecondsOf(h.Elapsed), SecondsOf(h.Limit)
		if h.Percent >= 0 {
			c.Percent = new(min(h.Percent, 100))
		}
	}
	return c
}

// current is atRest where the booted slot holds what the repository names.
func (s *standing) current() Condition {
	booted := s.slots.Booted
	switch p := s.offer.Problem; {
	case p != nil:
		return Condition{Code: ConditionWaiting, Reason: p.Reason, Text: "it runs what the repository names, which is refused now: " + p.Text}
	case s.slots.Primary != booted || !s.slots.Slots[booted].Good:
		return Condition{Code: ConditionWaiting, Reason: ReasonSlot, Text: fmt.Sprintf(
			"slot %s holds what the repository names, but it is not both primary and good: its hook says primary %s, good %t",
			booted, s.slots.Primary, s.slots.Slots[booted].Good)}
	}
	return Condition{Code: ConditionCurrent, Text: "it runs what the repository names"}
}

// StoredCondition is the condition of a component of an agent that does not run.
func StoredCondition(r Record) Condition {
	if r.Phase != Idle {
		return Condition{Code: ConditionWaiting, Text: "the agent does not run; it goes on once it does"}
	}
	return Condition{Code: ConditionUnasked, Text: "the agent does not run, so nothing was asked" + lastTime(r.Unlisted)}
}

// lastTime says that the repository named nothing when it was asked last.
func lastTime(unlisted string) string {
	if unlisted == "" {
		return ""
	}
	return "; the last time it named nothing for " + unlisted
}

func unlisted(o Offer) Condition {
	c := Condition{Code: ConditionUnlisted, Reason: ReasonNotListed, Text: "the repository names nothing for it"}
	if o.Problem != nil {
		c.Text = o.Problem.Text
	}
	if m := o.Missing; m != nil {
		c.Path, c.Roles, c.Nearest = m.Path, m.Roles, m.Nearest
	}
	return c
}

// stands is the condition of a wait.
func (w *Waiting) stands() Condition {
	c := Condition{Code: ConditionWaiting, Reason: w.Reason, Text: w.Text, Left: w.Left}
	if w.underWay() {
		c.Code = ConditionWorking
	}
	return c
}

func working(text string) Condition { return Condition{Code: ConditionWorking, Text: text} }

// underWay reports whether a wait is part of the work: the agent itself brings about what ends it.
func (w *Waiting) underWay() bool {
	switch w.Reason {
	case ReasonLooking, ReasonRefreshFirst, ReasonTrial, ReasonTrialNoRepo, ReasonRebooting:
		return true
	}
	return false
}

func (w *Waiting) left() Seconds {
	if w == nil {
		return 0
	}
	return w.Left
}

// doing says of each action that touches the world what is being done.
var doing = map[ActionKind]string{
	Observe: "asking the hook which slot is booted",
	Check:   "asking the repository",
	Fetch:   "downloading the image",
	Install: "writing the image to its slot",
	Try:     "verifying the slot, and having the bootloader try it",
	Restart: "rebooting",
	Examine: "checking the health of the release on trial",
	Confirm: "having the bootloader keep the slot",
	Reject:  "having the bootloader go back",
}
