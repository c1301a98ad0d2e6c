package sim

import (
	"slices"
	"testing"

	"github.com/ota-agent/ota-agent/agent"
)

// replacedTarget: while a release is staged the config comes to name another target, and then the old one gets yet another release.
// What is worked at may still be dropped for that; what is taken up is of the new target.
func replacedTarget(t testing.TB) Scenario {
	const beta = "beta"
	repo := publishEach(t, publication{component: rootfs, how: fine}, publication{component: beta, how: fine},
		publication{component: rootfs, how: fine}, publication{component: rootfs, how: fine})
	replaced := func(w *World) bool { return w.happened > 0 }
	return Scenario{repo: repo,
		at: func(w *World) int {
			if replaced(w) {
				return 3
			}
			return 2
		},
		tune: func(w *World, c *agent.Config) {
			c.Components = slices.DeleteFunc(c.Components, func(x agent.Component) bool { return x.Name != rootfs })
			if replaced(w) && len(c.Components) > 0 {
				c.Components[0].Target = "{hardware}/{channel}/" + beta + ".img"
			}
		},
		events: []event{{name: "the config names another target",
			when: func(w *World) bool { return w.disk.state.Records[rootfs].Phase == agent.Staged },
			do:   func(w *World, _ *agent.Agent) bool { w.die(false); return true }}},
		end: func(w *World, s agent.Status) bool {
			b := w.boards[rootfs]
			return replaced(w) && b.booted == b.primary && status(s, rootfs).Phase == agent.Idle &&
				w.repo.hashOf(b.slots[b.booted].image) == w.repo.hashOf(w.repo.releases[beta][0])
		}}
}
