package sim

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/ota-agent/ota-agent/agent"
)

// TestASuspendIsNoHealth: health must hold for five minutes. It holds at the first check; then the device is suspended, between
// two checks or in one. It holds at the check right after that, and no longer a minute later: checks say nothing of the time
// between them.
func TestASuspendIsNoHealth(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		nap    time.Duration
		within bool // a check
	}{"between two checks": {nap: 6 * time.Minute}, "for long": {nap: napTime}, "in a check": {nap: napTime, within: true}} {
		healthyOnce := func(w *World) bool {
			return w.disk.state.Records[rootfs].Phase == agent.Trial && w.boards[rootfs].provenIn == w.boots
		}
		s := Scenario{repo: publishAll(t, fine, unhealthy), settle: 5 * time.Minute, end: keeps(1, agent.ReasonRejected),
			equip: func(w *World, p *agent.Ports) {
				hookDoes(w, p, func(v agent.Verb, _ agent.Job) (bool, error) {
					if v == agent.VerbHealth && c.within && w.uptime >= time.Minute && w.uptime < 2*time.Minute {
						w.uptime += c.nap
						w.ran += c.nap
					} else if v != agent.VerbHealth || w.uptime%c.nap >= time.Minute {
						return false, nil
					}
					w.boards[rootfs].provenIn = w.boots
					return true, nil
				})
			}}
		if !c.within {
			s.events = []event{sleeps(c.nap, healthyOnce)}
		}
		n := runAll(t, singles(s, calmSteps(t, s), effortOf(t).stride, Faults))
		t.Logf("%s: %d crash points", name, n)
	}
}

// trials are the stories of what must not speak against a release on trial.
var trials = []story{
	{"a hook that is busy after the first boot", busyAfterABoot},
	{"a release withdrawn before its reboot", rebootsLate},
	{"an operator who pauses before the reboot", pausedBeforeItsReboot},
	{"an operator who pauses while the installation fails", pausedWhileItFails},
	{"a release whose try lasts for three boots and whose hook fails", func(t testing.TB) Scenario {
		return Scenario{repo: publishAll(t, fine, tornHook), end: keeps(1, agent.ReasonRejected), tries: 3}
	}},
}

// A lateReboot fails until it is late enough: a user's session inhibits it, say. It breaks a promise where the machine is rebooted
// into a trial although forbidden says why that must not be.
type lateReboot struct {
	agent.System
	w         *World
	late      time.Duration // of the world's time
	forbidden func() string
}

func (s lateReboot) Reboot(ctx context.Context) error {
	if s.w.ran < s.late {
		return errors.New("a session inhibits the reboot")
	}
	if why := s.forbidden(); why != "" && s.w.disk.state.Records[rootfs].Phase == agent.Switched {
		s.w.breach("the machine is rebooted into a trial although %s", why)
	}
	return s.System.Reboot(ctx)
}

// rebootsLate: the machine can't be rebooted for half a day. Meanwhile the repository withdraws the release, and the device is told.
func rebootsLate(t testing.TB) Scenario {
	return Scenario{repo: publishEach(t, publication{component: rootfs, how: fine}, publication{component: rootfs, how: fine}, publication{component: rootfs}),
		at: func(w *World) int { return 1 + min(1, int(w.ran/time.Hour)) },
		end: func(w *World, s agent.Status) bool { // a power cut may have begun the trial before that
			return w.ran > 2*day && (rests(w, s, rootfs, 1) || rests(w, s, rootfs, 2))
		},
		equip: func(w *World, p *agent.Ports) {
			p.System = lateReboot{p.System, w, 12 * time.Hour, func() string {
				return map[bool]string{true: "the repository has said that it withdrew the release"}[w.asked > time.Hour]
			}}
		}}
}

// pausedBeforeItsReboot: the machine can't be rebooted for two hours, and somebody pauses updates meanwhile.
func pausedBeforeItsReboot(t testing.TB) Scenario {
	return Scenario{repo: publishAll(t, fine, fine), end: runs(2), events: []event{
		orders("pause", func(w *World) bool { return w.ran > 30*time.Minute }),
		orders("resume", func(w *World) bool { return w.ran > day }),
	}, equip: func(w *World, p *agent.Ports) {
		p.System = lateReboot{p.System, w, 2 * time.Hour, func() string {
			return map[bool]string{true: "updates are paused"}[w.disk.state.Device.Paused]
		}}
	}}
}

// pausedWhileItFails: the installation fails three times, and somebody pauses updates after the first.
func pausedWhileItFails(t testing.TB) Scenario {
	s := Scenario{repo: publishAll(t, fine, fine), end: runs(2), events: []event{
		orders("pause", func(w *World) bool { return w.noted > 0 || w.ran > time.Hour }),
		orders("resume", func(w *World) bool { return w.ran > day }),
	}}
	s.equip = func(w *World, p *agent.Ports) {
		hookDoes(w, p, func(v agent.Verb, _ agent.Job) (bool, error) {
			if v != verbInstall {
				return false, nil
			}
			if w.disk.state.Device.Paused {
				w.breach("a slot is written to while updates are paused")
			}
			w.noted++
			return w.noted <= 3, &agent.Problem{Reason: agent.ReasonHookFailed, Text: "the hook fails with exit status 1"}
		})
	}
	return s
}

// TestAReleaseThatLosesTheNetwork: two minutes after its start the release on trial reaches the repository no more. Its health must hold
// for five.
func TestAReleaseThatLosesTheNetwork(t *testing.T) {
	t.Parallel()
	s := Scenario{repo: publishAll(t, fine, fine), settle: 5 * time.Minute,
		end: func(w *World, s agent.Status) bool {
			r := w.disk.state.Records[rootfs] // without its config nobody knows for how long health must hold
			return keeps(1, agent.ReasonHeld)(w, s) || w.edited != "" && r.Phase == agent.Idle && r.ConfirmedSlot == "B"
		},
		down: func(w *World) bool { return w.boards[rootfs].booted == "B" && w.uptime > 2*time.Minute }}
	n := runAll(t, singles(s, calmSteps(t, s), 4*effortOf(t).stride, Faults))
	t.Logf("%d crash points", n)
}

// busyAfterABoot: in the second boot, should the old release run in it (the power went right before try), its hook asks for
// patience for longer than a trial may take. That says nothing about the new release.
func busyAfterABoot(t testing.TB) Scenario {
	return Scenario{repo: publishAll(t, fine, fine), end: runs(2), equip: func(w *World, p *agent.Ports) {
		hookSays(w, p, func(agent.Job, *agent.Slots) error {
			if w.boots == 2 && w.uptime < 20*time.Minute && w.boards[rootfs].booted == "A" {
				return busyHook()
			}
			return nil
		})
	}}
}

// TestAnOutageIsNotCounted: three times there is no coverage in the trial, nor after the way back, when the driver parks; and there
// is on the next drive. That says nothing about the release. Three times there is coverage again as soon as the old release is back:
// as far as anybody can tell the release breaks the network.
func TestAnOutageIsNotCounted(t *testing.T) {
	t.Parallel()
	repo := publishAll(t, fine, fine)
	for _, backAtOnce := range []bool{false, true} {
		s := Scenario{repo: repo, end: func(w *World, _ agent.Status) bool { return w.ran > 2*day },
			down: func(w *World) bool {
				onTrial := w.boards[rootfs].booted == "B"
				return w.boots < 12 && (onTrial || w.boots%3 == 0 && !backAtOnce)
			}, drive: func(w *World) time.Duration {
				if w.boots < 12 && w.boots%3 == 0 && !backAtOnce {
					return time.Minute
				}
				return 0
			}}
		w, why := play(s, 1, nil)
		r := w.disk.state.Records[rootfs]
		if held := len(r.Held) > 0; why != "" || held != backAtOnce || !held && r.ConfirmedSlot != "B" {
			t.Errorf("the network is back at once: %v; %s: held %+v, confirmed in slot %s\n%s", backAtOnce, why, r.Held, r.ConfirmedSlot, w.tail())
		}
	}
}
