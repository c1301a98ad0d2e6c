package sim

import (
	"testing"

	"github.com/ota-agent/ota-agent/agent"
)

// TestMakingRoomIsNoWayAroundTheBackOff: an application waits for the very system whose installation fails: it can't use the room, and the system must not be written more often for it.
func TestMakingRoomIsNoWayAroundTheBackOff(t *testing.T) {
	for _, reason := range []agent.Reason{agent.ReasonHookFailed, agent.ReasonHookMissing, agent.ReasonDiskFull, agent.ReasonInternal, agent.ReasonHookBusy} {
		n, commits := [2]int{}, [2]int{}
		for i := range 2 {
			all := []publication{{component: rootfs, how: fine}, {component: app, how: fine}, {component: rootfs, how: fine}}
			if i == 1 {
				all = append(all, publication{component: app, how: fine, requires: 2})
			}
			h := failing(verbInstall, reason)
			_, why := play(Scenario{repo: publishEach(t, all...), end: lasts(7 * day), equip: func(w *World, p *agent.Ports) {
				h.behind(w, p)
				p.Store = watcher{p.Store, func(agent.Change) { commits[i]++ }}
			}}, 1, nil)
			if n[i] = h.ran[verbInstall]; why != "" {
				t.Error(why)
			}
		}
		if n[1] > 2*n[0] || commits[1] > 500 {
			t.Errorf("%s: in a week %d installs and %d commits; without the application %d and %d", reason, n[1], commits[1], n[0], commits[0])
		}
	}
}

// TestTwoThatFailMakeRoomForEachOtherSeldom: two components whose installations fail hand each other the turn, at the pace of their back-off.
func TestTwoThatFailMakeRoomForEachOtherSeldom(t *testing.T) {
	for _, reason := range []agent.Reason{agent.ReasonHookFailed, agent.ReasonHookMissing, agent.ReasonDiskFull, agent.ReasonInternal} {
		repo := publishEach(t, publication{component: rootfs, how: fine}, publication{component: app, how: fine},
			publication{component: rootfs, how: fine}, publication{component: app, how: fine})
		h := failing(verbInstall, reason)
		_, why := play(Scenario{repo: repo, end: lasts(7 * day), equip: h.behind}, 1, nil)
		if why != "" || h.ran[verbInstall] > 160 {
			t.Errorf("%s: %s: %d installs in a week, of two components", reason, why, h.ran[verbInstall])
		}
	}
}

// TestAVerbThatFailsKeepsNoSystemWaiting: whatever verb of an application's hook fails until the next system runs, that system comes.
func TestAVerbThatFailsKeepsNoSystemWaiting(t *testing.T) {
	for _, verb := range []agent.Verb{verbInstall, agent.VerbVerify, agent.VerbTry, agent.VerbConfirm, agent.VerbReject} {
		s := beside(t)
		s.end = both
		if verb == agent.VerbReject { // with a release that the application goes back from
			s.repo = publishEach(t, publication{component: rootfs, how: fine}, publication{component: app, how: fine},
				publication{component: app, how: unhealthy}, publication{component: rootfs, how: fine})
			s.end = func(w *World, s agent.Status) bool { return rests(w, s, rootfs, 2) && rests(w, s, app, 1) }
		}
		s.equip = func(w *World, p *agent.Ports) {
			hookDoes(w, p, func(v agent.Verb, j agent.Job) (bool, error) {
				return v == verb && j.Component == app && w.repo.index(w.boards[rootfs].slots[w.boards[rootfs].booted].image) < 2,
					&agent.Problem{Reason: agent.ReasonHookFailed, Text: "the hook fails with exit status 1"}
			})
		}
		if w, why := play(s, 1, nil); why != "" {
			t.Errorf("%s fails: %s: app %s, rootfs %s", verb, why, w.disk.state.Records[app].Phase, w.disk.state.Records[rootfs].Phase)
		}
	}
}
