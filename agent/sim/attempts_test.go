package sim

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/ota-agent/ota-agent/agent"
	"github.com/ota-agent/ota-agent/verifier"
)

// verbInstall stands for Install, which is no verb of Do.
const verbInstall agent.Verb = "install"

// An oddHook stands before a hook: it fails, or changes what the hook says.
type oddHook struct {
	agent.Installer
	// fails answers a verb instead of the hook, where it says so.
	fails func(verb agent.Verb, j agent.Job) (instead bool, err error)
	// says changes the answer to status.
	says func(j agent.Job, s *agent.Slots) error
	// then follows a verb that ended well.
	then func(verb agent.Verb, j agent.Job)
	ran  map[agent.Verb]int
}

// behind puts h before the hooks of a world, in a scenario of its own.
func (h *oddHook) behind(_ *World, p *agent.Ports) {
	h.Installer, p.Installer = p.Installer, h
	if h.ran == nil {
		h.ran = map[agent.Verb]int{}
	}
}

func (h *oddHook) Status(ctx context.Context, j agent.Job) (agent.Slots, error) {
	s, err := h.Installer.Status(ctx, j)
	if err == nil && h.says != nil {
		err = h.says(j, &s)
	}
	return s, err
}

func (h *oddHook) Install(ctx context.Context, j agent.Job, v verifier.Verified, i agent.Image) error {
	h.ran[verbInstall]++
	if h.fails != nil {
		if instead, err := h.fails(verbInstall, j); instead {
			return err
		}
	}
	return h.Installer.Install(ctx, j, v, i)
}

func (h *oddHook) Do(ctx context.Context, verb agent.Verb, j agent.Job) error {
	h.ran[verb]++
	if h.fails != nil {
		if instead, err := h.fails(verb, j); instead {
			return err
		}
	}
	err := h.Installer.Do(ctx, verb, j)
	if err == nil && h.then != nil {
		h.then(verb, j)
	}
	return err
}

// failing is a hook some verb of which fails each time.
func failing(verb agent.Verb, reason agent.Reason) *oddHook {
	return &oddHook{fails: func(v agent.Verb, _ agent.Job) (bool, error) {
		return v == verb, &agent.Problem{Reason: reason, Text: "it fails"}
	}}
}

// lasts ends a run after some time.
func lasts(d time.Duration) func(*World, agent.Status) bool {
	return func(w *World, _ agent.Status) bool { return w.ran >= d }
}

// TestAttemptsBackOff: whatever a hook fails with, and whatever is done between two attempts, they come ever more seldom, up to
// BackoffMax (8 h here). A flash that does not keep what is written to it would be worn out otherwise.
func TestAttemptsBackOff(t *testing.T) {
	t.Parallel()
	for _, verb := range []agent.Verb{verbInstall, agent.VerbVerify, agent.VerbTry, agent.VerbConfirm, agent.VerbReject} {
		for _, reason := range []agent.Reason{agent.ReasonHookFailed, agent.ReasonHookMissing, agent.ReasonDiskFull, agent.ReasonStore,
			agent.ReasonInternal, agent.ReasonHashMismatch} {
			how := fine
			if verb == agent.VerbReject {
				how = unhealthy
			}
			h := failing(verb, reason)
			w, why := play(Scenario{repo: publishAll(t, fine, how), end: lasts(7 * day), equip: h.behind}, 1, nil)
			if n := max(h.ran[verb], h.ran[verbInstall]); why != "" || n > 80 {
				t.Errorf("%s fails with %s: %s; it ran %d times in %s\n%s", verb, reason, why, n, w.ran, w.lastStatus())
			}
		}
	}
}

// TestSuccessWithoutEffect: a confirm or reject that ends well, and that the next status does not show, has failed. It is
// reported and backs off like any other failure.
func TestSuccessWithoutEffect(t *testing.T) {
	t.Parallel()
	apps := func(how string) *repository {
		return publishEach(t, publication{component: rootfs, how: fine}, publication{component: app, how: fine}, publication{component: app, how: how})
	}
	for _, c := range []struct {
		verb      agent.Verb
		component string
		repo      *repository
	}{
		{agent.VerbConfirm, rootfs, publishAll(t, fine, fine)},
		{agent.VerbConfirm, app, apps(fine)},
		{agent.VerbReject, app, apps(unhealthy)},
	} {
		h := &oddHook{fails: func(v agent.Verb, _ agent.Job) (bool, error) { return v == c.verb, nil }}
		w, why := play(Scenario{repo: c.repo, end: lasts(2 * day), equip: h.behind}, 1, nil)
		if why != "" || h.ran[c.verb] > 40 {
			t.Errorf("%s: it ran %d times in %s: %s\n%s", c.verb, h.ran[c.verb], w.ran, why, w.lastStatus())
		}
		told := slices.ContainsFunc(w.disk.state.Events, func(e agent.Event) bool {
			return e.Kind == agent.EventFailed && e.Problem.Reason == agent.ReasonSlot
		})
		if p := status(w.said, c.component).Problem; !told || p == nil || p.Reason != agent.ReasonSlot {
			t.Errorf("%s had no effect; an event tells of it: %t; the status says %+v", c.verb, told, p)
		}
	}
}

// rollsBackInVain: the try of a rollback, or its confirm, fails each time. After RollbackFailuresMax in a row the rollback ends.
func rollsBackInVain(verb agent.Verb) func(testing.TB) Scenario {
	return func(t testing.TB) Scenario { return rollsBackWithout(t, verb) }
}

func rollsBackWithout(t testing.TB, verb agent.Verb) Scenario {
	s := rollsBack(t)
	s.end = unlessForgotten(rootfs, 2, func(w *World, s agent.Status) bool {
		return w.happened == 1 && rests(w, s, rootfs, 2) && w.disk.state.Records[rootfs].Previous == nil
	})
	s.equip = func(w *World, p *agent.Ports) {
		h := &oddHook{fails: func(v agent.Verb, _ agent.Job) (bool, error) {
			return v == verb && w.disk.state.Records[rootfs].Back, &agent.Problem{Reason: agent.ReasonHookFailed, Text: "it fails"}
		}}
		h.behind(w, p)
	}
	return s
}

// TestARollbackInVainEnds counts how often it was tried.
func TestARollbackInVainEnds(t *testing.T) {
	t.Parallel()
	for _, verb := range []string{"try", "confirm"} {
		w := tell(t, "a rollback whose "+verb+" fails")
		n := 0
		for _, e := range w.disk.state.Events {
			if e.Kind == agent.EventFailed {
				n++
			}
		}
		if n != agent.RollbackFailuresMax {
			t.Errorf("%s failed %d times, expected %d\n%s", verb, n, agent.RollbackFailuresMax, w.tail())
		}
	}
}
