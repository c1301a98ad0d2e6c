package sim

import (
	"testing"
	"time"

	"github.com/ota-agent/ota-agent/agent"
)

// hookSays changes the answers to status.
func hookSays(w *World, p *agent.Ports, says func(agent.Job, *agent.Slots) error) {
	(&oddHook{says: says}).behind(w, p)
}

// hookDoes has verbs answered instead of the hook, where it says so.
func hookDoes(w *World, p *agent.Ports, instead func(agent.Verb, agent.Job) (bool, error)) {
	(&oddHook{fails: instead}).behind(w, p)
}

// busyHook is exit 75.
func busyHook() error {
	return &agent.Problem{Reason: agent.ReasonHookBusy, Text: "the boot environment is locked"}
}

// healthEvery is how often a device checks health; 0: by default.
func healthEvery(d time.Duration) func(*World, *agent.Config) {
	return func(_ *World, c *agent.Config) {
		for i := range c.Components {
			c.Components[i].HealthEvery = d
		}
	}
}

// TestAnotherHooksTimeIsNoSuspend: health checks of a trial come late while another component's gate hook takes its time; that is no reason to forget the ones before.
func TestAnotherHooksTimeIsNoSuspend(t *testing.T) {
	for _, with := range []bool{false, true} {
		repo := publishEach(t, publication{component: rootfs, how: fine}, publication{component: app, how: fine},
			publication{component: rootfs, how: fine}, publication{component: app, how: fine})
		s := Scenario{repo: repo, settle: 3 * time.Minute, end: func(w *World, s agent.Status) bool { return rests(w, s, rootfs, 2) || w.ran > 6*time.Hour },
			tune: func(w *World, c *agent.Config) {
				healthEvery(20*time.Second)(w, c)
				if with {
					c.Gates.Hook = "/gate"
				}
			},
			equip: func(w *World, p *agent.Ports) {
				hookDoes(w, p, func(v agent.Verb, j agent.Job) (bool, error) {
					if v != agent.VerbGate {
						return false, nil
					}
					if j.Component == rootfs {
						return true, nil
					}
					w.uptime += 45 * time.Second // it asks a person, who does not answer; its time-out is a minute
					w.ran += 45 * time.Second
					return true, &agent.Problem{Reason: agent.ReasonHookBusy, Text: "nobody answers", RetryAfter: time.Minute}
				})
			}}
		w, why := play(s, 1, nil)
		if r := w.disk.state.Records[rootfs]; why != "" || r.ConfirmedSlot != "B" {
			t.Errorf("gate hook: %v: %s after %s rootfs is %s (settle 3 min, deadline 7 min)", with, why, w.ran, r.Phase)
		}
	}
}

// TestABlindHookAfterACutTrialIsAskedSeldom: the power was cut in a trial, and the hook does not answer any more, for a week.
func TestABlindHookAfterACutTrialIsAskedSeldom(t *testing.T) {
	looks := 0
	s := Scenario{repo: publishAll(t, fine, fine), settle: 5 * time.Minute, end: lasts(7 * day), tune: healthEvery(20 * time.Second),
		events: []event{{name: "power cut", when: func(w *World) bool { return w.boots == 2 && w.disk.state.Records[rootfs].Phase == agent.Trial },
			do: func(w *World, _ *agent.Agent) bool { w.die(true); return true }}},
		equip: func(w *World, p *agent.Ports) {
			hookSays(w, p, func(agent.Job, *agent.Slots) error {
				if w.boots > 2 {
					looks++
					return readOnly()
				}
				return nil
			})
		}}
	w, why := play(s, 1, nil)
	if why != "" || looks > 400 {
		t.Errorf("%s: the status was asked for %d times in %s; phase %s, boot %d, slot %s", why, looks, w.ran, w.disk.state.Records[rootfs].Phase, w.boots, w.boards[rootfs].booted)
	}
}

// TestABlindHookInALaterBootOfATrialIsLeft: the try lasts for three boots, and in the second one the hook does not say what was booted.
func TestABlindHookInALaterBootOfATrialIsLeft(t *testing.T) {
	s := Scenario{repo: publishAll(t, fine, fine), tries: 3, settle: 5 * time.Minute,
		end: func(w *World, _ agent.Status) bool {
			return w.boards[rootfs].booted == "A" && w.boots > 2 || w.ran > 7*day
		},
		events: []event{{name: "power cut", when: func(w *World) bool { return w.boots == 2 && w.disk.state.Records[rootfs].Phase == agent.Trial },
			do: func(w *World, _ *agent.Agent) bool { w.die(true); return true }}},
		equip: func(w *World, p *agent.Ports) {
			hookSays(w, p, func(agent.Job, *agent.Slots) error {
				if w.boots > 2 && w.boards[rootfs].booted == "B" {
					return readOnly()
				}
				return nil
			})
		}}
	w, why := play(s, 1, nil)
	if why != "" || w.boards[rootfs].booted == "B" {
		t.Errorf("%s: after %s it runs slot %s in boot %d; %s", why, w.ran, w.boards[rootfs].booted, w.boots, w.disk.state.Records[rootfs].Phase)
	}
}

// TestAHookThatIsBusyForAMomentCondemnsNothing: an agent that starts again after the deadline of a trial finds the hook busy, for less than a minute.
func TestAHookThatIsBusyForAMomentCondemnsNothing(t *testing.T) {
	for _, busy := range []time.Duration{0, 40 * time.Second} {
		s := Scenario{repo: publishAll(t, fine, slowStart), settle: 8 * time.Minute,
			end: func(w *World, s agent.Status) bool { return runs(2)(w, s) || keeps(1, agent.ReasonRejected)(w, s) },
			tune: func(w *World, c *agent.Config) {
				healthEvery(0)(w, c) // its default, 5 s
				c.Components[0].TrialDeadline = 9 * time.Minute
			},
			events: []event{{name: "the agent is killed", when: func(w *World) bool { return w.boots == 2 && w.uptime >= 570*time.Second },
				do: func(w *World, _ *agent.Agent) bool { w.die(false); return true }}},
			equip: func(w *World, p *agent.Ports) {
				hookSays(w, p, func(agent.Job, *agent.Slots) error {
					if w.happened > 0 && w.boots == 2 && w.uptime < 570*time.Second+busy {
						return busyHook()
					}
					return nil
				})
			}}
		w, why := play(s, 1, nil)
		if r := w.disk.state.Records[rootfs]; why != "" || r.ConfirmedSlot != "B" {
			t.Errorf("busy for %s: %s", busy, why)
		}
	}
}
