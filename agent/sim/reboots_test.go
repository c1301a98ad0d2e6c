package sim

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/ota-agent/ota-agent/agent"
)

// A slowMachine answers some orders to reboot by itself, instead of rebooting.
type slowMachine struct {
	agent.System
	first func() (answer bool, err error)
}

func (s slowMachine) Reboot(ctx context.Context) error {
	if answer, err := s.first(); answer {
		return err
	}
	return s.System.Reboot(ctx)
}

// TestARebootThatIsRefusedIsNotAskedForAtFullSpeed: a session inhibits the reboot with which a hook that never answers is left.
func TestARebootThatIsRefusedIsNotAskedForAtFullSpeed(t *testing.T) {
	calls := 0
	s := Scenario{repo: publishAll(t, fine, tornHook), end: keeps(1, agent.ReasonRejected), equip: func(w *World, p *agent.Ports) {
		p.System = slowMachine{p.System, func() (bool, error) {
			inhibited := w.boards[rootfs].booted == "B" && w.uptime < 2*time.Hour
			if inhibited {
				calls++
			}
			return inhibited, errors.New("a session inhibits the reboot")
		}}
	}}
	w, why := play(s, 1, nil)
	if why != "" || calls > 60 {
		t.Errorf("%s; %d reboots were asked for in vain in %s of boot %d", why, calls, w.uptime, w.boots)
	}
}

// TestARebootThatDoesNotComeCountsOnce: a unit does not stop, and each ten minutes the reboot is asked for again. When it comes at last, the device must still go back.
func TestARebootThatDoesNotComeCountsOnce(t *testing.T) {
	for _, how := range []string{tornHook, unhealthy} {
		s := Scenario{repo: publishAll(t, fine, how),
			end: func(w *World, _ agent.Status) bool {
				return w.boots > 2 && w.boards[rootfs].booted == "A" || w.ran > 10*day
			},
			equip: func(w *World, p *agent.Ports) {
				h := &oddHook{fails: func(v agent.Verb, _ agent.Job) (bool, error) {
					return v == agent.VerbReject && w.boards[rootfs].booted == "B", readOnly()
				}}
				h.behind(w, p)
				p.System = slowMachine{p.System, func() (bool, error) { return w.boards[rootfs].booted == "B" && w.uptime < time.Hour, nil }}
			}}
		w, why := play(s, 1, nil)
		if r := w.disk.state.Records[rootfs]; why != "" || w.boards[rootfs].booted != "A" {
			t.Errorf("%s: %s: after %s it runs slot %s, %s, in boot %d (blind %d, lost %d)", how, why, w.ran, w.boards[rootfs].booted, r.Phase, w.boots, r.BlindBoots, r.LostBoots)
		}
	}
}

// TestARollbackInAnOutageWaitsForASlowReboot: an outage of three hours, and a reboot that takes its time: neither ends the rollback.
func TestARollbackInAnOutageWaitsForASlowReboot(t *testing.T) {
	s := rollsBackIntoOutage(t)
	s.equip = func(w *World, p *agent.Ports) {
		p.System = slowMachine{p.System, func() (bool, error) {
			return w.disk.state.Records[rootfs].Phase == agent.Trial && w.uptime < 40*time.Minute, nil
		}}
	}
	if w, why := play(s, 1, nil); why != "" {
		r := w.disk.state.Records[rootfs]
		t.Errorf("%s: %s, previous kept: %v, A good: %v", why, r.Phase, r.Previous != nil, w.boards[rootfs].slots["A"].good)
	}
}

// TestARollbackInAnOutageWhoseTryLastsForSomeBoots: the reboot that leaves the trial leads into the same slot again, as often as the bootloader tries.
func TestARollbackInAnOutageWhoseTryLastsForSomeBoots(t *testing.T) {
	for tries := 1; tries <= 3; tries++ {
		s := rollsBackIntoOutage(t)
		s.tries = tries
		s.down = func(w *World) bool {
			return w.boots >= 3 && w.boots <= 6 && w.uptime < 3*time.Hour && w.ran < 80*time.Hour
		}
		if w, why := play(s, 1, nil); why != "" {
			r := w.disk.state.Records[rootfs]
			t.Errorf("tries %d: %s: %s, previous kept: %v, A good: %v, boots %d", tries, why, r.Phase, r.Previous != nil, w.boards[rootfs].slots["A"].good, w.boots)
		}
	}
}
