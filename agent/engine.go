package agent

import (
	"context"
	"fmt"
	"log/slog"
	"reflect"
	"sync/atomic"
	"time"

	"github.com/ota-agent/ota-agent/verifier"
)

// Ports are what the agent needs of the world.
type Ports struct {
	Store      Store
	Images     Images
	Repository Repository
	Installer  Installer
	System     System
	// Throttle caps the bandwidth; nil: it can't be changed.
	Throttle Throttle
	// Credentials says which own key file of the repository can't be used, for the status document; nil, or a
	// nil answer: none.
	Credentials func() *Problem
	// Counters reads the adapters' counters for the status document; nil: none.
	Counters func() Counters
	// Lookout looks at the surroundings for the gates that need it; nil: none does.
	Lookout Lookout
	// HookLimit is for how long what an action runs of a component's hook may take; nil: nobody knows.
	HookLimit func(component string, action ActionKind) time.Duration
	// HookGrace is how long a hook has to end once it was told to.
	HookGrace time.Duration
	// Random returns a number in [0,1), for jitter.
	Random func() float64
}

// passesMax bounds how many pure steps may follow each other without an action: the longest real chain is four.
const passesMax = 32

// An engine decides and keeps count; it starts nothing itself. Whoever drives it (Agent.Run with goroutines, the
// simulation step by step) runs the tasks that advance returns and hands back what came of them. All methods are
// called from one goroutine, but for what refresh says of itself.
type engine struct {
	cfg  Config
	p    Ports
	log  *slog.Logger
	book *ledger

	started  time.Duration // uptime
	idBefore string        // the device's ID when its state was last written, where that was another one

	live  []*live
	plan  schedule
	roles []verifier.RoleInfo
	last  *refreshed // the last refresh that succeeded

	bandwidth   int64 // the cap in force
	checks      uint64
	checkFrom   Counters  // when the last refresh began
	lastCheck   *Counters // what was counted in the last one that ended
	lastSuccess time.Time
	lastBegan   time.Duration // uptime at which the last successful refresh began; -1: none in this process
	askedFrom   time.Duration // uptime at which the last refresh that ended began; long ago: none in this process
	askedAt     time.Duration // uptime at which it ended
	lastProblem *Problem      // of the last refresh, as far as it concerns all components

	hookBusy, refreshing bool
	fetches              int           // that run
	abandoned            uint64        // workers, since the start
	began                time.Duration // uptime
	provisional          *provisional
	stepped              bool          // a component's record may have changed since all were asked
	freedAt              time.Duration // uptime at which the last hook ended

	account   *account // nil: no byte budget
	survey    survey
	lostLooks []*atomic.Bool // looks that were abandoned; true: it has come back
}

// live is what this process knows about a component beyond its record.
type live struct {
	name      string
	component *Component // nil: the config does not name it
	slots     *Slots
	offer     Offer
	unfound   *Problem // why the last search for its target came to no answer; nil: it did
	misses    int      // how often in a row it did not
	unlisted  refusal  // of the search

	failure   *Problem
	failures  int
	attempt   int           // of failure: what the log calls it
	failedAt  time.Duration // uptime
	rebootAt  time.Duration // uptime of the reboot that it ordered last; 0: none
	refused   refusal       // of the download
	notBefore time.Duration // uptime
	done      ActionKind    // of the last attempt, which ended well

	blind      *Problem      // why the hook's status could not be had
	observed   int           // times in a row with the same outcome
	lookAt     time.Duration // uptime of the next one, where none is due before
	lookedFrom time.Duration // uptime of the first of the observed looks

	trialFrom   time.Duration // uptime at which the trial, or the time after it, began
	healthy     bool
	healthyFrom time.Duration
	healthAt    time.Duration
	reached     bool
	reachedFrom time.Duration // uptime at which the refresh began that did
	anew        bool          // the trial, or a verb that was begun, was found in the record, and this process is not counted in it yet

	metered  Counters // when its record was stored last
	running  *task
	begunAt  time.Duration         // uptime at which it began
	queued   ActionKind            // what it would do now if other components left it a lane; empty: nothing
	progress atomic.Pointer[gauge] // of the running download; nil: none
	waiting  *Waiting
	last     *Outcome

	gates    []gate     // as last asked
	looks    bool       // it waits for a look at the surroundings alone
	opinions [2]opinion // of the gate hook: on its download, on its installation
	deferral Deferral
}

// A task is one action that touches the world.
type task struct {
	of     *live // nil for a refresh
	action Action
	// run does it. It may block, and runs beside the engine.
	run func(ctx context.Context) outcome
	// done, where it is set, takes what came of it: the task is neither a refresh nor a step of the machine.
	done func(outcome)
	// cancel is set by whoever runs the task.
	cancel context.CancelFunc
	// worker is what the engine shares with the run.
	worker *worker
	// lost makes the outcome of a refresh that was abandoned, with the reason. Only a refresh has it.
	lost func(*Problem) outcome
}

// An outcome is what came of a task.
type outcome struct {
	problem   *Problem
	slots     Slots      // of Observe
	sha256    string     // of Fetch
	refreshed *refreshed // of a refresh
	cancelled bool
}

// longAgo is an uptime before any deadline's.
const longAgo = -1 << 61

func newEngine(cfg Config, p Ports, log *slog.Logger) (*engine, error) {
	book, err := openLedger(p.Store)
	if err != nil {
		return nil, err
	}
	e := &engine{cfg: cfg.withDefaults(), p: p, log: log, book: book, bandwidth: cfg.BandwidthMax, last: &refreshed{}, provisional: &provisional{}, lastBegan: -1, askedFrom: longAgo, askedAt: longAgo}
	book.outbox.random = p.Random
	book.outbox.now = func() (time.Time, string) {
		now, _, _ := e.effectiveTime()
		return now, p.System.BootID()
	}
	book.outbox.tellRecovered(book.recovered())
	e.identify(log)
	if e.account, err = newAccount(e); err != nil {
		return nil, err
	}
	up := p.System.Uptime()
	e.started = up
	book.state.Time = book.state.Time.from(e.cfg.BuildTime, p.System.BootID(), up) // durable when the floor is next
	e.plan, e.began = newSchedule(e.cfg, up, p.Random()), up
	for i := range e.cfg.Components {
		e.live = append(e.live, &live{name: e.cfg.Components[i].Name, component: &e.cfg.Components[i]})
	}
	for name, r := range book.records() {
		if e.component(name) == nil && r.Phase != Idle {
			e.live = append(e.live, &live{name: name}) // gone from the config: it is brought to rest all the same
		}
	}
	for _, c := range e.live {
		r := book.record(c.name)
		c.trialFrom, c.healthAt, c.deferral = up, up, r.Deferral
		c.last = LastOutcome(book.outbox.events, c.name)
		c.notBefore = e.resumed(&r)
		if r.Phase == Trial && r.TrialFrom > 0 && r.BootID == p.System.BootID() {
			c.trialFrom = min(up, r.TrialFrom) // the trial's deadline does not begin anew with each process
		}
		c.anew = r.Phase == Trial && r.BootID == p.System.BootID() || r.Begun == p.System.BootID()
		if r.Phase != Idle {
			// A release in the trial or beyond asks by itself, once it is known what booted.
			e.plan.now = e.plan.now || r.Phase == Fetching || r.Phase == Staged || r.Phase == Writing
			log.Info(LogGoingOn, "component", c.name, "phase", r.Phase, "release", describe(r.Release))
		}
	}
	e.sweep()
	return e, nil
}

// advance takes every step that can be taken now and returns the tasks to run.
func (e *engine) advance() ([]*task, error) {
	if err := e.accrue(); err != nil {
		return nil, err
	}
	var tasks []*task
	e.stepped = true
	for range passesMax {
		if !e.stepped {
			break
		}
		e.stepped = false // a step of one component may be what another one waits for
		for _, c := range e.live {
			t, err := e.advanceOne(c)
			if err != nil {
				return nil, err
			}
			if t != nil {
				tasks = append(tasks, t)
			}
		}
	}
	e.planJoin()
	for _, t := range []*task{e.refreshTask(), e.surveyTask()} {
		if t != nil {
			tasks = append(tasks, t)
		}
	}
	return tasks, nil
}

// advanceOne commits pure steps of a component until it waits or has something to do.
func (e *engine) advanceOne(c *live) (*task, error) {
	c.queued = ""
	if c.running != nil {
		e.endAtGate(c)
		return nil, nil
	}
	for range passesMax {
		r := e.book.record(c.name)
		f := e.facts(c, r)
		a := Next(r, f)
		if c.unfound != nil && (a.Kind == Wait && a.Waiting == nil || a.Waiting != nil && a.Waiting.Reason == ReasonRefreshFirst) {
			a.Waiting = &Waiting{Reason: c.unfound.Reason, Text: c.unfound.Text} // rather than for a release that nobody names
		}
		if a.Kind == Examine && c.waiting.soaks() {
			a.Waiting = c.waiting // a trial goes on while its health is checked
		}
		e.stepped = e.stepped || a.Waiting.busy() && !c.waiting.busy() // the busy one may make room
		c.waitFor(a.Waiting)
		switch {
		case a.Kind == Wait:
			return e.atGate(c, r)
		case a.Kind == Check:
			// A refresh that succeeded just now and was not enough needed no network: asking again at once
			// would spin. One that runs may be what is asked for; if it is not, the question comes again at
			// its end. Before a rollback no long back-off counts.
			back := r.Back || r.RollbackAsked
			e.plan.want(e.refreshing || f.Failing && (!back || f.asked()) || f.Local && f.Fresh)
			return nil, nil
		case !a.Pure():
			return e.begin(c, r, a), nil
		}
		if err := e.step(c, r, a, nil); err != nil {
			return nil, err
		}
	}
	return nil, fmt.Errorf("component %s: the machine does not come to rest in phase %s", c.name, e.book.record(c.name).Phase)
}

// fetchesMax is how many downloads run at once: each component has a lane of its own, so that one on a link
// that drips does not hold up another, and two share the link and the memory.
const fetchesMax = 2

// begin makes a task of an action, or nil while no lane is free: one hook runs at a time, and fetchesMax downloads.
func (e *engine) begin(c *live, r Record, a Action) *task {
	switch {
	case a.Kind == Fetch && e.fetches >= fetchesMax, a.Kind != Fetch && e.hookBusy:
		c.queued = a.Kind
		return nil
	case a.Kind == Fetch:
		e.fetches++
	default:
		e.hookBusy = true
	}
	if a.Kind == Examine && e.p.System.Uptime()-max(c.healthAt, e.freedAt) > e.trial(c).healthEvery() {
		c.healthy = false // checks were missed, as in a suspend: what they would have said is not known
	}
	c.begunAt = e.p.System.Uptime()
	c.running = &task{of: c, action: a, run: e.work(c, r, a)}
	if a.Kind != Observe {
		c.done = ""
	}
	return c.running
}

// finish takes what came of a task and commits the step that follows.
func (e *engine) finish(t *task, o outcome) error {
	switch {
	case t.of == nil && t.done != nil:
		t.done(o)
		return nil
	case t.of == nil:
		return e.refreshEnded(o)
	}
	c := t.of
	c.running = nil
	if t.action.Kind == Fetch {
		e.fetches--
		c.progress.Store(nil) // it may have been abandoned
	} else {
		e.hookBusy, e.freedAt = false, e.p.System.Uptime()
	}
	if err := e.book.failure(); err != nil {
		return err
	}
	switch {
	case o.cancelled:
		return nil
	case t.done != nil:
		t.done(o)
		return nil
	}
	r := e.book.record(c.name)
	e.note(c, r, t.action, o)
	t.action.SHA256 = o.sha256
	return e.step(c, r, t.action, o.problem)
}

// step commits what Step makes of the record, and then lets what is known in this process follow.
func (e *engine) step(c *live, r Record, a Action, p *Problem) error {
	next := Step(r, a, p)
	if !reflect.DeepEqual(next, r) { // what was counted is alone no reason to write
		e.meter(c, &r)
		next = Step(r, a, p)
	}
	if a.Kind == Drop || a.Kind == Unlist {
		p = a.Problem
	}
	e.stepped = true
	c.anew = c.anew && a.leavesAnew(&r, &next)
	if err := e.book.put(next, a.Kind == Finish && !r.Back || a.Kind == Adopt, p); err != nil {
		return err
	}
	if a.Kind == Doubt {
		e.log.Warn(stateNewText, "component", c.name, "reason", ReasonStateNew)
	}
	if a.Kind == Decline {
		c.failure = a.Problem
		e.log.Warn("rollback declined", "component", c.name, "reason", a.Problem.Reason, "err", a.Problem.Text)
	}
	if a.Kind == Unlist {
		e.log.Warn("nothing named", "component", c.name, "reason", a.Problem.Reason, "err", a.Problem.Text)
	}
	if next.Phase != r.Phase || next.BootID != r.BootID || next.Acted != r.Acted || a.Kind == CountLost {
		e.transition(c, r, next, a, p)
	}
	if next.Phase != r.Phase && (next.Phase == Idle || next.Phase == Fetching) {
		e.sweep()
	}
	return nil
}
