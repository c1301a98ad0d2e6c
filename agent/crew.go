package agent

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// A crew runs the tasks of the engine in goroutines and knows which of them are overdue. It belongs to the loop.
type crew struct {
	engine *engine
	ended  chan end
	group  sync.WaitGroup
	// running are the tasks whose lanes are taken.
	running map[*task]bool
	// left counts the goroutines that were abandoned and have not come back.
	left int
	// starves: a task is overdue that can't be abandoned, and the log says so.
	starves bool
}

// An end is a task and what came of it.
type end struct {
	task    *task
	outcome outcome
}

func newCrew(e *engine) *crew {
	return &crew{engine: e, ended: make(chan end), running: map[*task]bool{}}
}

// start runs a task until it ends or ctx does.
func (c *crew) start(ctx context.Context, t *task) {
	t.worker = &worker{began: time.Now()}
	own, cancel := context.WithCancel(t.worker.context(ctx))
	t.cancel = cancel
	c.running[t] = true
	c.group.Go(func() {
		defer cancel()
		o := t.run(own)
		select {
		case c.ended <- end{t, o}:
		case <-ctx.Done(): // the agent stops: nobody waits for it any more
		}
	})
}

// back takes a task that has ended. It returns false for one that was abandoned: nothing of it counts.
func (c *crew) back(t *task) bool {
	if !c.running[t] {
		c.left--
		return false
	}
	delete(c.running, t)
	return true
}

// overdue are the tasks to abandon now.
func (c *crew) overdue() (list []*task) {
	for t := range c.running {
		if c.remaining(t) <= 0 && c.mayAbandon(t) {
			list = append(list, t)
		}
	}
	return list
}

// mayAbandon: a hook holds its lane until all of its processes are gone, and what was left behind takes room.
func (c *crew) mayAbandon(t *task) bool { return !t.isHook() && c.left < abandonedMax }

// remaining is for how long a task may go on from now if it gets no further.
func (c *crew) remaining(t *task) time.Duration {
	ran, silent := t.worker.ran()
	silence, total := c.engine.patience(t)
	if silence > 0 {
		return min(total-ran, silence-silent)
	}
	return total - ran
}

// next is when the first task may be overdue.
func (c *crew) next() time.Duration {
	next := forever
	for t := range c.running {
		if left := c.remaining(t); left > 0 {
			next = min(next, left)
		}
	}
	return next
}

// stuck reports whether a task is overdue that can't be abandoned: only another process can go on then. The
// log says so once.
func (c *crew) stuck() bool {
	var overdue *task
	for t := range c.running {
		if c.remaining(t) <= 0 && !c.mayAbandon(t) {
			overdue = t
		}
	}
	if overdue != nil && !c.starves {
		ran, _ := overdue.worker.ran()
		c.engine.log.Warn("a worker hangs and can't be abandoned: the watchdog is fed no more, so that the agent is started anew",
			"work", overdue.name(), "reason", ReasonHung, "ran", ran.Round(time.Second), "abandoned", c.left)
	}
	c.starves = overdue != nil
	return c.starves
}

// abandon leaves an overdue task behind and has the engine go on without it.
func (c *crew) abandon(t *task) error {
	delete(c.running, t)
	c.left++
	t.cancel()
	return c.engine.abandon(t)
}

// leave waits for the workers after their context has ended, no longer than need be, and lets nothing of the
// others count: they end with the process.
func (c *crew) leave() {
	patience := stopMax
	for t := range c.running {
		if t.isHook() {
			patience = stopMax + c.engine.p.HookGrace
		}
	}
	gone := make(chan struct{})
	go func() { c.group.Wait(); close(gone) }()
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case <-gone:
		return
	case <-timer.C:
	}
	for t := range c.running {
		c.engine.book.abandon(t.worker)
	}
	c.engine.log.Warn("stopped without some workers, which do not end", "workers", len(c.running)+c.left)
}

// forever is longer than any wait.
const forever = time.Duration(1<<63 - 1)

// isHook reports whether a task runs a hook or the reboot command.
func (t *task) isHook() bool { return t.of != nil && t.action.Kind != Fetch }

// patience is for how long a task may get no further, and for how long it may run in all. silence is 0 where
// only the whole counts.
func (e *engine) patience(t *task) (silence, total time.Duration) {
	switch {
	case t.isHook():
		return 0, e.hookMax(t)
	case t.of != nil:
		return silenceMax, forever
	case t.lost == nil:
		return 0, lookMax
	case e.trialOverdue():
		return trialSilenceMax, refreshMax
	}
	return silenceMax, refreshMax
}

// hookMax is after how long a hook's task is overdue: its limits have failed then.
func (e *engine) hookMax(t *task) time.Duration {
	limit := hookUnknownMax
	if e.p.HookLimit != nil {
		limit = e.p.HookLimit(t.of.name, t.action.Kind)
	}
	return limit + hookMargin
}

const (
	// hookUnknownMax bounds a hook's task where nobody says what bounds its verbs.
	hookUnknownMax = 24 * time.Hour
	// hookMargin is on top of the verb's own limit: for what is asked before it, for the image that is
	// hashed, and for killed processes that take their time.
	hookMargin = time.Hour
)

// trialOverdue reports whether a trial's deadline is over that has not reached the repository yet.
func (e *engine) trialOverdue() bool {
	up, boot := e.p.System.Uptime(), e.p.System.BootID()
	for _, c := range e.live {
		r := e.book.record(c.name)
		if r.Phase == Trial && r.BootID == boot && !c.reached && !r.Local && !r.Offline && up-c.trialFrom >= e.trial(c).trialDeadline() {
			return true
		}
	}
	return false
}

// abandon takes a task that did not end: nothing that it does counts any more, its lane is free, and its
// failure is told.
func (e *engine) abandon(t *task) error {
	ran, silent := t.worker.ran()
	e.book.abandon(t.worker)
	e.abandoned++
	now, _, _ := e.effectiveTime()
	p := &Problem{Reason: ReasonHung, At: now, Text: fmt.Sprintf("%s got no further for %s (it ran for %s), and was abandoned: "+
		"what it waited for does not answer and does not fail either; see docs/status.md",
		t.name(), silent.Round(time.Second), ran.Round(time.Second))}
	e.log.Warn("a worker hangs and is abandoned", "work", t.name(), "reason", p.Reason, "ran", ran.Round(time.Second),
		"silent", silent.Round(time.Second), "abandoned", e.abandoned)
	if t.lost != nil {
		return e.finish(t, t.lost(p))
	}
	return e.finish(t, outcome{problem: p})
}

// name is what a task does, for people.
func (t *task) name() string {
	switch {
	case t.of != nil && t.action.Kind == Fetch:
		return "the download for component " + t.of.name
	case t.of != nil:
		return string(t.action.Kind) + " of component " + t.of.name
	case t.lost == nil:
		return "the look at the surroundings"
	}
	return "the refresh"
}
