package sim

import (
	"slices"
	"testing"
	"time"

	"github.com/ota-agent/ota-agent/agent"
)

// soon serves the second release for a while, and the third one from then on.
func soon(w *World) int { return 1 + min(1, int(w.ran/(45*time.Minute))) }

// readOnly is a hook's failure in a release that can't write its boot environment.
func readOnly() error {
	return &agent.Problem{Reason: agent.ReasonHookFailed, Text: "read-only file system"}
}

// canNotBeConfirmed: in release 2 confirm fails. Release 3, which mends that, is installed all the same.
func canNotBeConfirmed(t testing.TB) Scenario {
	return Scenario{repo: publishAll(t, fine, fine, fine), end: runs(3), at: soon, equip: func(w *World, p *agent.Ports) {
		h := &oddHook{fails: func(v agent.Verb, j agent.Job) (bool, error) {
			return v == agent.VerbConfirm && j.Release.Info().Version == "v2", readOnly()
		}}
		h.behind(w, p)
	}}
}

// rejectsInVain: reject fails everywhere and for ever. A try ends by itself all the same; release 3 must not wait for more.
func rejectsInVain(t testing.TB) Scenario {
	return Scenario{repo: publishAll(t, fine, unhealthy, fine), end: runs(3), at: soon, tries: 2, equip: func(w *World, p *agent.Ports) {
		h := &oddHook{fails: func(v agent.Verb, j agent.Job) (bool, error) { return v == agent.VerbReject, readOnly() }}
		h.behind(w, p)
	}}
}

// TestWayBackIsDead: the slot to go back to boots no more, so the bootloader comes back to the rejected one each time. The machine
// is not rebooted for ever, and says what is wrong; it goes on by itself once it gets back.
func TestWayBackIsDead(t *testing.T) {
	t.Parallel()
	for _, mended := range []bool{false, true} {
		s := Scenario{repo: publishAll(t, fine, unhealthy), end: lasts(10 * day), equip: func(w *World, p *agent.Ports) {
			h := &oddHook{then: func(v agent.Verb, _ agent.Job) {
				if b := w.boards[rootfs]; v == agent.VerbReject && (w.ran < 5*day || !mended) {
					b.try, b.left = "B", 1
				}
			}}
			h.behind(w, p)
		}}
		if mended {
			s.end = keeps(1, agent.ReasonRejected)
			s.events = []event{{name: "somebody switches it off and on", when: func(w *World) bool { return w.ran > 6*day },
				do: func(w *World, _ *agent.Agent) bool { w.die(true); return true }}}
		}
		w, why := play(s, 1, nil)
		if why != "" || w.boots > 3+2*agent.LostBootsMax {
			t.Errorf("mended: %t: %s; %d boots in %s\n%s", mended, why, w.boots, w.ran, w.tail())
		}
		told := slices.ContainsFunc(w.disk.state.Events, func(e agent.Event) bool {
			return e.Kind == agent.EventFailed && e.Problem.Reason == agent.ReasonSlot
		})
		if p := status(w.said, rootfs).Problem; !told || !mended && (p == nil || p.Reason != agent.ReasonSlot) {
			t.Errorf("an event tells of it: %t; the status says %+v", told, p)
		}
	}
}

// TestUnreachableTrialsBackOff: the modem needs a quarter of an hour after each boot, and a trial has four minutes: neither
// release reaches the repository in time, which counts for nothing. But the downloads and trials come ever more seldom, however often the
// broker wakes.
func TestUnreachableTrialsBackOff(t *testing.T) {
	t.Parallel()
	const weeks = 4
	var trials [weeks]int
	s := Scenario{repo: publishAll(t, fine, fine), end: lasts(weeks * 7 * day), down: func(w *World) bool { return w.uptime < 15*time.Minute },
		tune: func(_ *World, c *agent.Config) { c.BackoffMax = 0 }, // its default, a day
		equip: func(w *World, p *agent.Ports) {
			h := &oddHook{then: func(v agent.Verb, _ agent.Job) {
				if v == agent.VerbTry {
					trials[w.ran/(7*day)]++
				}
			}}
			h.behind(w, p)
		}}
	for hours := range weeks * 7 * 24 {
		s.events = append(s.events, event{name: "the broker wakes it", when: func(w *World) bool { return w.ran > time.Duration(hours)*time.Hour },
			do: func(_ *World, a *agent.Agent) bool { a.Wake(agent.Wake{Source: "mqtt"}); return true }})
	}
	w, why := play(s, 1, nil)
	if last := trials[weeks-1]; why != "" || trials[0] > 30 || last > 20 || last == 0 {
		t.Errorf("%s: trials by weeks: %d; %d downloads, %d boots", why, trials, w.fetched/imageBytes, w.boots)
	}
}

// TestGatesThatStayShutAreNoAttempts: drives of a quarter of an hour while a gate is shut for a week, with the release in its slot. No
// boot of them is held against it: once the gate is open it is tried within some drives.
func TestGatesThatStayShutAreNoAttempts(t *testing.T) {
	t.Parallel()
	const open = 7 * day
	repo := publishAll(t, fine, fine)
	for seed := range uint64(5) {
		s := Scenario{repo: repo, drive: func(*World) time.Duration { return 15 * time.Minute },
			end:  func(w *World, s agent.Status) bool { return runs(2)(w, s) || w.ran > open+7*day },
			tune: func(_ *World, c *agent.Config) { c.BackoffMax = 0 },
			events: []event{
				orders("pause", func(w *World) bool { return w.disk.state.Records[rootfs].Phase == agent.Switched }),
				orders("resume", func(w *World) bool { return w.ran > open }),
			}}
		w, why := play(s, seed, nil)
		if why != "" || w.ran > open+day {
			r := w.disk.state.Records[rootfs]
			t.Errorf("seed %d: %s: %s after the gate opened it is %s, after %d attempts\n%s", seed, why, w.ran-open, r.Phase, r.Attempts, w.tail())
		}
	}
}
