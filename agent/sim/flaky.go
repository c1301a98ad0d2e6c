package sim

import (
	"context"
	"maps"

	"github.com/ota-agent/ota-agent/agent"
	"github.com/ota-agent/ota-agent/verifier"
)

// How a hook misbehaves in the chaos. It may always be asked again.
const (
	hookFails   = "exits with 1"
	hookBusy    = "exits with 75"
	hookHangs   = "hangs until it is ended"
	hookLate    = "does it, and exits with 1"
	hookIdle    = "exits with 0 and does nothing"
	hookForgets = "names no slot but the booted one"
	hookDoubts  = "calls no slot good"
)

// flaky hooks misbehave now and then while the chaos lasts.
type flaky struct{ hooks }

// installer is what the agent calls hooks through.
func (w *World) installer() agent.Installer {
	if w.chaos == nil || w.chaos.hooks == 0 {
		return hooks{w}
	}
	return flaky{hooks{w}}
}

// whim is one of these, or "".
func (f flaky) whim(any ...string) string {
	w := f.w
	if w.dead || w.calm() || w.random.Float64() >= w.chaos.hooks {
		return ""
	}
	how := any[w.random.IntN(len(any))]
	w.note("its hook %s:", how)
	return how
}

// failure is what the runner makes of a hook that failed before it did anything, or nil.
func failure(how string) error {
	switch how {
	case hookFails:
		return &agent.Problem{Reason: agent.ReasonHookFailed, Text: "the hook exited with 1"}
	case hookBusy:
		return &agent.Problem{Reason: agent.ReasonHookBusy, Text: "the hook exited with 75: try later"}
	case hookHangs:
		return &agent.Problem{Reason: agent.ReasonHookTimeout, Text: "the hook did not end within its time and was ended"}
	}
	return nil
}

// Status implements agent.Installer.
func (f flaky) Status(ctx context.Context, j agent.Job) (agent.Slots, error) {
	how := f.whim(hookFails, hookBusy, hookHangs, hookForgets, hookDoubts)
	if err := failure(how); err != nil {
		return agent.Slots{}, err
	}
	s, err := f.hooks.Status(ctx, j)
	switch how {
	case hookForgets:
		maps.DeleteFunc(s.Slots, func(name string, _ agent.Slot) bool { return name != s.Booted })
	case hookDoubts:
		for name, slot := range s.Slots {
			slot.Good = false
			s.Slots[name] = slot
		}
	}
	return s, err
}

// Install implements agent.Installer.
func (f flaky) Install(ctx context.Context, j agent.Job, v verifier.Verified, image agent.Image) error {
	how := f.whim(hookFails, hookBusy, hookHangs, hookLate, hookIdle)
	if how == hookIdle {
		return nil
	}
	if err := failure(how); err != nil {
		return err
	}
	if err := f.hooks.Install(ctx, j, v, image); err != nil || how == "" {
		return err
	}
	return failure(hookFails)
}

// Do implements agent.Installer. A hook that says that it did try, and did not, can't be told from a release that never
// starts; and a health check that fails, or does not come to an end, is held against the release.
func (f flaky) Do(ctx context.Context, verb agent.Verb, j agent.Job) error {
	whims := []string{hookFails, hookBusy, hookHangs, hookLate}
	switch verb {
	case agent.VerbHealth:
		return f.hooks.Do(ctx, verb, j)
	case agent.VerbConfirm, agent.VerbReject:
		whims = append(whims, hookIdle)
	}
	how := f.whim(whims...)
	if how == hookIdle {
		return nil
	}
	if err := failure(how); err != nil {
		return err
	}
	if err := f.hooks.Do(ctx, verb, j); err != nil || how == "" {
		return err
	}
	return failure(hookFails)
}
