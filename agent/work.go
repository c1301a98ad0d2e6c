package agent

import (
	"context"
	"fmt"
	"time"

	"github.com/ota-agent/ota-agent/verifier"
)

// An ordered reboot usually comes within rebootUsual. A machine that is still up after rebootMax is asked
// again: until then a service may take its time to stop.
const (
	rebootUsual = 2 * time.Minute
	rebootMax   = 10 * time.Minute
)

// rebootWaiting is what a component waits for that is to reboot the machine, or nil: it may. An order that
// was given is good for a while.
func (f *Facts) rebootWaiting() *Waiting {
	switch {
	case f.RebootFor <= 0 || f.RebootFor >= rebootMax:
		return nil
	case f.RebootFor < rebootUsual:
		return &Waiting{Reason: ReasonRebooting, Text: "a reboot has been ordered", Left: SecondsOf(rebootUsual - f.RebootFor)}
	}
	return &Waiting{Reason: ReasonRebootPending, Left: SecondsOf(rebootMax - f.RebootFor),
		Text: fmt.Sprintf("a reboot was ordered %s ago, and the machine is still up: see what keeps it, or the reboot command; it is ordered again",
			f.RebootFor.Truncate(time.Minute))}
}

// work is what an action does to the world. It may be run again after a crash: every verb is idempotent.
func (e *engine) work(c *live, r Record, a Action) func(context.Context) outcome {
	unseen := a.Kind == c.done && a.Kind.shows()
	do := func(ctx context.Context) (outcome, error) {
		if unseen {
			return outcome{}, noEffect(r, a.Kind)
		}
		switch a.Kind {
		case Observe:
			s, err := e.p.Installer.Status(ctx, e.job(c, r))
			return outcome{slots: s}, err
		case Fetch:
			return e.fetch(ctx, c, r.Release.Target)
		case Install:
			return outcome{}, e.install(ctx, c, r)
		case Try:
			job := e.job(c, r)
			if err := e.p.Installer.Do(ctx, VerbVerify, job); err != nil {
				return outcome{}, fmt.Errorf("verify slot %s right before try: %w", r.TargetSlot, err)
			}
			return outcome{}, e.p.Installer.Do(ctx, VerbTry, job)
		case Restart:
			return outcome{}, e.p.System.Reboot(ctx)
		}
		return outcome{}, e.p.Installer.Do(ctx, verbs[a.Kind], e.job(c, r))
	}
	return e.outcomeOf(do)
}

// noEffect says that a verb ended well, and that what is seen since orders it again. So it failed, and it is
// not done again before its back-off is over.
func noEffect(r Record, k ActionKind) *Problem {
	switch {
	case k == Restart:
		return &Problem{Reason: ReasonRebootPending, Text: "a reboot was ordered, the command reported success, and the machine is still up: " +
			"see what keeps it from stopping, or the reboot command in the config"}
	case k == Reject && r.Reboot:
		return &Problem{Reason: ReasonSlot, Text: "slot " + r.TargetSlot + " was rejected and is booted again and again: the other slot does not boot"}
	}
	return &Problem{Reason: ReasonSlot, Text: string(k) + " of slot " + r.TargetSlot + " ended well, and the hook's status does not show it"}
}

// outcomeOf runs do and sorts how it ended. A download that the byte budget stopped has not failed: its gate
// is closed now.
func (e *engine) outcomeOf(do func(context.Context) (outcome, error)) func(context.Context) outcome {
	return func(ctx context.Context) outcome {
		o, err := do(ctx)
		now, _, _ := e.effectiveTime()
		o.problem = problemOf(err, now)
		o.cancelled = err != nil && (ctx.Err() != nil || o.problem.Reason == ReasonByteBudget)
		return o
	}
}

var verbs = map[ActionKind]Verb{Examine: VerbHealth, Confirm: VerbConfirm, Reject: VerbReject}

// job tells the hook what it is about. Until the component is idle the record's hook and environment are
// used, then the config's.
func (e *engine) job(c *live, r Record) Job {
	j := Job{Component: c.name, Hook: r.Hook, Env: r.Carried.Env, Slot: r.TargetSlot, Attempt: r.Attempts + 1}
	if r.Release != nil {
		j.Release = *r.Release
	}
	if c.component != nil && r.Phase == Idle {
		j.Hook = c.component.Hook
	}
	if c.component != nil && (r.Phase == Idle || j.Env == nil) { // an older agent carried none
		j.Env = c.component.Env
	}
	return j
}

// install hashes the staged image and hands it over; the installer hashes it once more on its way.
func (e *engine) install(ctx context.Context, c *live, r Record) error {
	image, err := e.p.Images.Open(r.Release.Target)
	if err != nil {
		return unreadable(r, err)
	}
	defer image.Close()
	v, err := checkImage(ctx, image, r.Release.Target)
	switch {
	case err != nil && ctx.Err() == nil && !isBadImage(err):
		return unreadable(r, err)
	case err != nil:
		return err
	}
	return e.p.Installer.Install(ctx, e.job(c, r), v, image)
}

// unreadable says that a staged image can't be had: by its reason it is fetched again.
func unreadable(r Record, err error) error {
	return &Problem{Reason: ReasonNoImage, Err: err,
		Text: fmt.Sprintf("the staged image of %s can't be read, so it is fetched again: %v", r.Release.Target.Path, err)}
}

// fetch runs the download, measuring it for the status document.
func (e *engine) fetch(ctx context.Context, c *live, t verifier.Target) (outcome, error) {
	g := &gauge{total: t.Length}
	c.progress.Store(g)
	defer c.progress.CompareAndSwap(g, nil) // another one may run already, where this one was abandoned
	d := download{repo: metered{e.p.Repository, e.account}, images: fenced(ctx, e.p.Images), target: t, flushBytes: e.cfg.FlushBytes, uptime: e.p.System.Uptime,
		progress: func(done, resumed int64) { g.note(done, resumed, e.p.System.Uptime()) }}
	v, err := d.run(ctx)
	if err != nil {
		return outcome{}, err
	}
	return outcome{sha256: hexSHA256(v)}, nil
}
