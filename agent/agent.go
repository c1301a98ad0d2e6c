package agent

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"
)

// An Agent runs the update machine until its context ends. Its methods may be called from any goroutine.
type Agent struct {
	engine *engine
	log    *slog.Logger

	wakes    chan Wake
	asks     chan ask
	commands chan commanded
	pings    chan struct{}
	nudge    chan struct{} // there is something new to show

	view    atomic.Pointer[Status]
	broker  atomic.Pointer[BrokerStatus] // nil: there is none
	mu      sync.Mutex
	changed chan struct{}
	beat    atomic.Int64 // turns of the loop
	turning *task        // of Turn
}

// An ask waits for the end of a refresh that begins after it.
type ask struct {
	answer chan error
}

// A Command is what an operator asks for.
type Command struct {
	// Name is "pause", "resume", "bandwidth", "retry", "rollback" or "cancel".
	Name string `json:"command"`
	// Component is what retry and cancel are about; empty: all of them. It is also what rollback is about;
	// empty: the only one.
	Component string `json:"component,omitempty"`
	// Bandwidth is the cap in bytes per second; 0: none; nil: the config's.
	Bandwidth *int64 `json:"bandwidth,omitempty"`
}

type commanded struct {
	Command
	answer chan error
}

// progressEvery is how often a running download renews the status document.
const progressEvery = 500 * time.Millisecond

// hookEvery is how often the status document is renewed while a hook runs: how far it says it has come is news.
const hookEvery = 2 * time.Second

// New loads the state and prepares the agent; nothing is done before Run. It fails where the state can't be loaded.
func New(cfg Config, p Ports, log *slog.Logger) (*Agent, error) {
	e, err := newEngine(cfg, p, log)
	if err != nil {
		return nil, err
	}
	a := &Agent{engine: e, log: log, wakes: make(chan Wake, 8), asks: make(chan ask), commands: make(chan commanded),
		pings: make(chan struct{}), nudge: make(chan struct{}, 1), changed: make(chan struct{})}
	a.publish()
	return a, nil
}

// Run does what there is to do until ctx ends, which is no error. It returns an error when a commit failed: its
// outcome is unknown, and the process must end and start again.
func (a *Agent) Run(ctx context.Context) error {
	ctx, stop := context.WithCancel(ctx)
	workers := newCrew(a.engine)
	defer workers.leave()
	defer stop()
	var waiting []ask
	answer := false // a refresh ended: whoever asked hears of it once the document shows what follows from it
	ended := func(t *task) { answer = answer || t.lost != nil && !a.engine.plan.now }
	for {
		for _, t := range workers.overdue() {
			if err := workers.abandon(t); err != nil {
				return err
			}
			ended(t)
		}
		tasks, err := a.engine.advance()
		if err != nil {
			return err
		}
		for _, t := range tasks {
			workers.start(ctx, t)
		}
		a.publish()
		if answer {
			waiting, answer = answerAll(waiting, a.engine.lastRefusal()), false
		}
		if !workers.stuck() {
			a.beat.Add(1)
		}
		timer := time.NewTimer(min(a.pause(), workers.next()))
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil
		case <-timer.C:
		case <-a.pings:
		case <-a.nudge:
		case w := <-a.wakes:
			a.engine.wake(w)
		case q := <-a.asks:
			waiting = append(waiting, q)
			a.engine.ask()
		case c := <-a.commands:
			err := a.engine.command(c.Command)
			a.publish() // before the answer, likewise
			c.answer <- err
			if err := a.engine.book.failure(); err != nil {
				return err
			}
		case x := <-workers.ended:
			if !workers.back(x.task) {
				break
			}
			if err := a.engine.finish(x.task, x.outcome); err != nil {
				return err
			}
			ended(x.task)
		}
		timer.Stop()
	}
}

// Turn takes every step that can be taken now in the caller's goroutine, and returns how long nothing more happens
// by itself; 0: there is more to do. It is Run without its goroutines, for a caller who must know exactly what
// happens when: the simulation that crashes the agent at every step.
func (a *Agent) Turn(ctx context.Context) (time.Duration, error) {
	for len(a.wakes) > 0 {
		a.engine.wake(<-a.wakes)
	}
	tasks, err := a.engine.advance()
	if err != nil {
		return 0, err
	}
	for _, t := range tasks {
		t.worker = &worker{began: time.Now(), alone: true}
		own, cancel := context.WithCancel(t.worker.context(ctx))
		t.cancel, a.turning = cancel, t
		o := t.run(own)
		cancel()
		if t.worker.isAbandoned() {
			continue
		}
		if err := a.engine.finish(t, o); err != nil {
			return 0, err
		}
	}
	if len(tasks) > 0 {
		return 0, nil
	}
	a.publish() // once it comes to rest: nobody looks in between
	return a.engine.deadline(), nil
}

// Obey is Command for a caller of Turn.
func (a *Agent) Obey(c Command) error { return a.engine.command(c) }

// Abandon is what Run does with an overdue worker, for a caller of Turn: the task that runs just now, and
// that it is called from, is left behind. What the task does afterwards is what a worker does that wakes up
// late.
func (a *Agent) Abandon() error { return a.engine.abandon(a.turning) }

func answerAll(waiting []ask, p *Problem) []ask {
	var err error
	if p != nil {
		err = p
	}
	for _, q := range waiting {
		q.answer <- err
	}
	return nil
}

// pause is how long the loop may sleep.
func (a *Agent) pause() time.Duration {
	d := a.engine.deadline()
	if a.engine.fetches > 0 {
		d = min(d, progressEvery)
	}
	if a.engine.hookBusy {
		d = min(d, hookEvery)
	}
	return d
}

// Status is the status document as of the last turn of the loop.
func (a *Agent) Status() Status { return *a.view.Load() }

// Changed returns a channel that is closed when the status document changes.
func (a *Agent) Changed() <-chan struct{} {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.changed
}

// Now is the time that certificates are judged by: a clock that the kernel calls synchronised, else the effective time.
func (a *Agent) Now() time.Time {
	clock, synchronised := a.engine.p.System.Clock()
	now, _, _ := a.engine.effectiveTime()
	return certificateTime(clock, synchronised, now)
}

// NowIsFloor reports that no clock vouches for Now, or only one that is below the floor: all that is certain
// is that this time has passed. A certificate that begins later may be valid, and must not be refused for
// that: one that was renewed would lock a device without a clock out for good.
func (a *Agent) NowIsFloor() bool {
	clock, synchronised := a.engine.p.System.Clock()
	_, _, floor := a.engine.effectiveTime()
	return !clockCounts(clock, synchronised, a.engine.cfg.NoRTC, floor)
}

// Beat counts the loop's turns: a watchdog is fed only while it moves or has nothing to do. It does not move
// while a worker is overdue that can't be abandoned.
func (a *Agent) Beat() int64 { return a.beat.Load() }

// Ping makes the loop turn once, and does nothing else. It waits for a loop that is stuck until ctx ends.
func (a *Agent) Ping(ctx context.Context) error {
	select {
	case a.pings <- struct{}{}:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("ping the loop: %w", ctx.Err())
	}
}

// Wake notes a hint. It never blocks: a full queue already holds a wake that does as well.
func (a *Agent) Wake(w Wake) {
	select {
	case a.wakes <- w:
	default:
	}
}

// Check asks for a refresh and waits for its outcome, a *Problem where it was refused or failed.
func (a *Agent) Check(ctx context.Context) error {
	q := ask{answer: make(chan error, 1)}
	select {
	case a.asks <- q:
	case <-ctx.Done():
		return fmt.Errorf("ask for a check: %w", ctx.Err())
	}
	select {
	case err := <-q.answer:
		return err
	case <-ctx.Done():
		return fmt.Errorf("wait for the check: %w", ctx.Err())
	}
}

// Command does what the operator asks for. An unknown command or component is an error and changes nothing.
func (a *Agent) Command(ctx context.Context, c Command) error {
	x := commanded{Command: c, answer: make(chan error, 1)}
	select {
	case a.commands <- x:
	case <-ctx.Done():
		return fmt.Errorf("command %s: %w", c.Name, ctx.Err())
	}
	select {
	case err := <-x.answer:
		return err
	case <-ctx.Done():
		return fmt.Errorf("command %s: %w", c.Name, ctx.Err())
	}
}
