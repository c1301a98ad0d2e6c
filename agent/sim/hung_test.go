package sim

import (
	"context"
	"testing"
	"time"

	"github.com/ota-agent/ota-agent/agent"
	"github.com/ota-agent/ota-agent/verifier"
)

// A hungHook hangs in install, after it has made the slot unbootable, for as long as the context lets it.
// Somebody comes after a while.
type hungHook struct {
	agent.Installer
	w     *World
	hangs func() bool
	came  func() // what whoever comes does
}

func (h hungHook) Install(ctx context.Context, j agent.Job, v verifier.Verified, image agent.Image) error {
	if !h.hangs() {
		return h.Installer.Install(ctx, j, v, image)
	}
	b := h.w.boards[j.Component]
	if err := h.w.step(j.Component+" slot "+j.Slot+": make unbootable, and hang", func() error {
		b.slots[j.Slot].good, b.slots[j.Slot].image = false, []byte("torn")
		return nil
	}); err != nil {
		return err
	}
	h.w.elapse(time.Hour)
	if h.w.dead {
		return errDead
	}
	h.came()
	if h.w.dead {
		return errDead
	}
	if err := ctx.Err(); err != nil {
		return &agent.Problem{Reason: agent.ReasonHookFailed, Err: err, Text: "the hook was stopped"}
	}
	h.w.elapse(time.Hour) // its time is over
	return &agent.Problem{Reason: agent.ReasonHookTimeout, Text: "the hook was stopped after two hours"}
}

// cancelsAHungInstall is a hook that hangs in install whenever it writes the second release, and an operator
// who cancels that; then a third release comes.
func cancelsAHungInstall(t testing.TB) Scenario {
	return Scenario{
		repo: publishAll(t, fine, fine, fine),
		at:   func(w *World) int { return 1 + min(1, int(w.ran/(48*time.Hour))) },
		equip: func(w *World, p *agent.Ports) {
			p.Installer = hungHook{p.Installer, w, func() bool { return w.ran < 48*time.Hour }, func() {
				w.note("the operator says cancel")
				w.cancelled = true
				_ = w.agent.Obey(agent.Command{Name: "cancel", Component: rootfs}) // a failed commit ends the life
			}}
		},
		end: runs(3),
	}
}

// TestAHungInstallIsCancelled: the release is put aside, and the device does as if it were not offered; the
// next one is installed.
func TestAHungInstallIsCancelled(t *testing.T) {
	s := cancelsAHungInstall(t)
	s.end = func(w *World, s agent.Status) bool { return w.ran > 24*time.Hour }
	w, why := play(s, 1, nil)
	r := w.disk.state.Records[rootfs]
	if why != "" || r.Phase != agent.Idle || len(r.Rejected) != 1 || r.Rejected[0].Last.Reason != agent.ReasonCancelled || w.boots != 1 {
		t.Errorf("%s: %s, rejected %+v, in boot %d\n%s", why, r.Phase, r.Rejected, w.boots, w.tail())
	}
}
