package agent

import (
	"context"
	"fmt"
)

// component finds a component by its name, or nil.
func (e *engine) component(name string) *live {
	for _, c := range e.live {
		if c.name == name {
			return c
		}
	}
	return nil
}

// ask begins a refresh at once, because somebody waits for it. Downloads that wait after a failure of the
// network, or after a server's refusal, are tried again at once, too.
func (e *engine) ask() {
	e.plan.now = true
	for _, c := range e.live {
		if p := c.failure; p != nil && (p.Reason.isNetwork() || p.Reason == ReasonHTTP) && e.book.record(c.name).Phase == Fetching {
			c.notBefore = 0
		}
	}
}

// wake notes a hint for the schedule.
func (e *engine) wake(w Wake) {
	e.log.Info("woken", "source", w.Source, "spread", min(w.Spread, e.plan.spreadMax))
	if w.Spread > e.plan.spreadMax {
		e.log.Warn("a wake asks for a longer spread than is allowed", "source", w.Source, "spread", w.Spread, "spread_max", e.plan.spreadMax,
			"hint", "raise spread_max in the config's table [mqtt], or send a shorter spread")
	}
	for _, c := range e.live {
		if w.Medium && e.book.record(c.name).Phase == Fetching {
			c.notBefore = 0
		}
	}
	e.plan.hint(w, e.cfg.Device.ID, e.p.System.Uptime())
}

// command does what the operator asks for.
func (e *engine) command(c Command) error {
	switch c.Name {
	case "pause", "resume":
		pause := c.Name == "pause"
		if e.book.paused() == pause {
			return nil
		}
		if pause {
			e.cancelFetches()
		}
		e.survey.age(e.p.System.Uptime())
		return e.book.setDevice(func(d *DeviceState) { d.Paused = pause }, nil)
	case "bandwidth":
		return e.setBandwidth(c.Bandwidth)
	case "retry":
		return e.retry(c.Component)
	case "rollback":
		return e.rollback(c.Component)
	case "cancel":
		return e.cancel(c.Component)
	}
	return fmt.Errorf("unknown command %q: it is one of pause, resume, bandwidth, retry, rollback, cancel", c.Name)
}

// retry forgets what was remembered against releases, ends all back-offs, and asks for a refresh.
func (e *engine) retry(name string) error {
	if name != "" && e.component(name) == nil {
		return fmt.Errorf("retry: there is no component %q", name)
	}
	for _, c := range e.live {
		if name != "" && c.name != name {
			continue
		}
		c.waiting = nil
		c.notBefore, c.failures, c.lookAt, c.observed, c.opinions = 0, 0, 0, 0, [2]opinion{}
		c.rebootAt, c.done = 0, "" // a reboot that did not come is ordered again
		r := e.book.record(c.name)
		r.Rejected, r.Held, r.Setback, r.Cuts, r.Attempts, r.RetryAsked = nil, nil, Setback{}, Cuts{Lived: r.Cuts.Lived}, 0, true
		r.uncancel()
		if err := e.book.put(r, false, nil); err != nil {
			return err
		}
	}
	e.plan.now = true
	return nil
}

func (e *engine) cancelFetches() {
	for _, c := range e.live {
		c.end(Fetch)
	}
}

// targetPath is what a component is looked up by: its record's path while it is being worked at, else the
// config's; "": nothing.
func (e *engine) targetPath(c *live, r *Record) string {
	switch {
	case r.Release != nil:
		return r.Release.Target.Path
	case c.component != nil:
		return c.component.TargetPath(e.cfg.Device)
	}
	return ""
}

// newRefresh makes the task of a refresh.
func (e *engine) newRefresh() *task {
	paths := map[string]string{}
	for _, c := range e.live {
		r := e.book.record(c.name)
		if path := e.targetPath(c, &r); path != "" {
			paths[c.name] = path
		}
	}
	old, onTrial, began := e.last, e.unproven(), e.p.System.Uptime()
	return &task{
		run: func(ctx context.Context) outcome {
			out := e.refresh(ctx, paths, old, onTrial)
			return outcome{refreshed: out, cancelled: ctx.Err() != nil && (out.problem != nil || len(out.unfound) > 0)}
		},
		lost: func(p *Problem) outcome {
			return outcome{refreshed: &refreshed{began: began, paths: paths, problem: p}}
		},
	}
}
