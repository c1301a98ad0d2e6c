package agent

import (
	"context"
	"slices"
	"sync/atomic"
	"time"
)

// A survey is what was last seen of the surroundings.
type survey struct {
	found Surroundings
	seen  bool          // at all
	at    time.Duration // uptime
	runs  bool          // a look is under way
	// failures counts the looks in a row that did not end.
	failures int
}

// surveyEvery is how old what was seen may be: sensors are looked at while something waits for them, and
// right before it goes on.
const surveyEvery = time.Minute

// surveyHungMax bounds the wait after looks that did not end.
const surveyHungMax = time.Hour

// looksHungMax looks that hang are left behind at most. The next one waits until one of them has come back:
// it would hang as they do, and the agent can leave behind only so many workers (abandonedMax) before its
// watchdog ends it.
const looksHungMax = 2

// hangs notes that a look did not end. What the sensors say is not known then, and that holds nothing back.
// Whether there is an inhibitor is not known either, and that holds everything back. After each further look
// that does not end, the next one is tried later.
func (s *survey) hangs(p *Problem, inhibitDir string, uptime time.Duration) {
	s.found, s.seen, s.at, s.failures = Surroundings{Mains: true, Battery: -1}, true, uptime, s.failures+1
	if inhibitDir != "" {
		s.found.Inhibitors = []Inhibitor{{Name: "(unknown)", Text: p.Text}}
	}
}

// every is how old what was seen may be.
func (s *survey) every() time.Duration { return doubled(surveyEvery, s.failures, surveyHungMax) }

// age makes what was seen too old to go by: somebody looks at the device now, or something has changed.
func (s *survey) age(uptime time.Duration) {
	if s.failures == 0 {
		s.at = uptime - surveyEvery
	}
}

func (e *engine) surveyDue() bool {
	return e.p.Lookout != nil && !e.looksHang() && (!e.survey.seen || e.p.System.Uptime()-e.survey.at >= e.survey.every())
}

// looksHang reports whether so many looks hang that there is none before one of them comes back. What was
// found then stands.
func (e *engine) looksHang() bool {
	e.lostLooks = slices.DeleteFunc(e.lostLooks, func(back *atomic.Bool) bool { return back.Load() })
	return len(e.lostLooks) >= looksHungMax
}

// surveyed reports whether a component waits for what is seen.
func (e *engine) surveyed(c *live) bool {
	if c.running != nil {
		return c.running.action.Kind == Fetch
	}
	return c.looks || c.waiting != nil && c.waiting.gate != "" && c.waiting.gate != gatePause
}

// surveyTask looks at the surroundings where a component waits for them.
func (e *engine) surveyTask() *task {
	wanted := false
	for _, c := range e.live {
		wanted = wanted || e.surveyed(c)
	}
	if !wanted || e.survey.runs || !e.surveyDue() {
		return nil
	}
	e.survey.runs = true
	var found Surroundings
	back := new(atomic.Bool)
	return &task{
		run: func(ctx context.Context) outcome {
			defer back.Store(true)
			found = e.p.Lookout.Look(ctx)
			return outcome{cancelled: ctx.Err() != nil}
		},
		done: func(o outcome) {
			e.survey.runs = false
			up := e.p.System.Uptime()
			switch {
			case o.problem != nil:
				e.survey.hangs(o.problem, e.cfg.Gates.InhibitDir, up)
				e.lostLooks = append(e.lostLooks, back)
			case !o.cancelled:
				e.survey = survey{found: found, seen: true, at: up}
			}
		},
	}
}

// endAtGate ends a download at whose gate something has closed. What came stays.
func (e *engine) endAtGate(c *live) {
	if c.running.action.Kind != Fetch || c.running.cancel == nil {
		return
	}
	e.facts(c, e.book.record(c.name)) // asks the gates
	for _, g := range c.gates {
		if g.closed != nil && ends(g.Gate) {
			c.running.cancel()
		}
	}
}

// waitFor keeps why a component waits. A look at the surroundings takes no time worth telling: what it waited
// for before stays.
func (c *live) waitFor(w *Waiting) {
	c.looks = w != nil && w.gate == gateLook
	if !c.looks || c.waiting == nil {
		c.waiting = w
	}
}

// atGate is what there is to do while a component waits: the gate hook may have to be asked.
func (e *engine) atGate(c *live, r Record) (*task, error) {
	if c.looks {
		return nil, nil
	}
	if err := e.countDeferral(c, r); err != nil {
		return nil, err
	}
	return e.askHook(c, r), nil
}

// askHook asks the gate hook where a component waits for nothing else.
func (e *engine) askHook(c *live, r Record) *task {
	if c.waiting == nil || c.waiting.gate != gateHook || e.hookBusy {
		return nil
	}
	way, i := holdsDownload, 0
	for _, g := range c.gates {
		if g.closed == c.waiting && g.Holds == holdsInstall {
			way, i = holdsInstall, 1
		}
	}
	if !c.opinions[i].due(e.p.System.Uptime()) {
		return nil
	}
	job := e.job(c, r)
	job.Hook, job.Slot = e.cfg.Gates.Hook, way
	if c.component != nil {
		job.Env = c.component.Env // it is the config's hook, and no record's
	}
	if r.Release == nil && c.offer.Release != nil {
		job.Release = *c.offer.Release
	}
	e.hookBusy = true
	c.running = &task{of: c, action: Action{Kind: Ask},
		run: e.outcomeOf(func(ctx context.Context) (outcome, error) { return outcome{}, e.p.Installer.Do(ctx, VerbGate, job) }),
		done: func(o outcome) {
			c.opinions[i] = opinionOf(o.problem, e.p.System.Uptime())
			if o.problem != nil {
				e.log.Info("the gate hook says no", "component", c.name, "for", way, "reason", o.problem.Reason, "err", o.problem.Text)
			}
		}}
	return c.running
}

// countDeferral counts for how long a component's updates are held back, while they are.
func (e *engine) countDeferral(c *live, r Record) error {
	if e.cfg.Gates.DeferMax <= 0 {
		return nil
	}
	boot, up := e.p.System.BootID(), e.p.System.Uptime()
	changed := false
	switch {
	case c.waiting != nil && defers(c.waiting.gate):
		c.deferral, changed = c.deferral.begin(boot, up).accrue(boot, up)
	case r.Phase == Idle && c.offer.Known && (c.waiting == nil || c.waiting.gate == ""):
		c.deferral, changed = Deferral{}, true // at rest
	}
	if !changed || r.Deferral == c.deferral {
		return nil
	}
	r.Deferral = c.deferral
	return e.book.put(r, false, nil)
}

// gatesIn is how long the gates of a component stay as they are, as far as that is known.
func (e *engine) gatesIn(c *live, up time.Duration) time.Duration {
	wait := time.Duration(1<<63 - 1)
	if e.p.Lookout != nil && e.survey.seen && !e.survey.runs && e.surveyed(c) && !e.looksHang() {
		wait = max(0, e.survey.at+e.survey.every()-up)
	}
	if c.waiting == nil || c.running != nil {
		return wait
	}
	if c.waiting.Reason == ReasonClockUnsure {
		wait = min(wait, surveyEvery) // nothing tells when the clock is set
	}
	if d := e.cfg.Gates.DeferMax; d > 0 && defers(c.waiting.gate) {
		boot := e.p.System.BootID()
		age := c.deferral.age(boot, up)
		wait = min(wait, max(0, d-age), left(c.deferral.accrueAfter(boot, up), age-c.deferral.Accrued))
	}
	return wait
}
