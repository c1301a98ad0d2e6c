package sim

import (
	"testing"
	"time"

	"github.com/ota-agent/ota-agent/agent"
)

// A watcher sees each change that is durable.
type watcher struct {
	agent.Store
	see func(agent.Change)
}

func (x watcher) Commit(c agent.Change) error {
	err := x.Store.Commit(c)
	if err == nil {
		x.see(c)
	}
	return err
}

// TestAComponentGoesOnWhenTheOtherIsDone: the application stands before the system in the config and waits for nothing but the
// system's release. It goes on as soon as that is confirmed, not at the next poll.
func TestAComponentGoesOnWhenTheOtherIsDone(t *testing.T) {
	t.Parallel()
	var doneAt, orderedAt time.Duration
	s := Scenario{repo: publishEach(t, publication{component: app, how: fine}, publication{component: rootfs, how: fine},
		publication{component: rootfs, how: fine}, publication{component: app, how: fine, requires: 2}),
		equip: func(w *World, p *agent.Ports) {
			p.Store = watcher{p.Store, func(c agent.Change) {
				for _, r := range c.Records {
					switch {
					case r.Component == rootfs && r.Phase == agent.Idle && r.ConfirmedSlot == "B" && doneAt == 0:
						doneAt = w.ran
					case r.Component == app && r.Phase == agent.Writing && orderedAt == 0:
						orderedAt = w.ran
					}
				}
			}}
		},
		end: func(w *World, s agent.Status) bool { return rests(w, s, rootfs, 2) && rests(w, s, app, 2) }}
	w, why := play(s, 1, nil)
	if why != "" || orderedAt-doneAt > time.Second {
		t.Errorf("%s: the system was confirmed at %s, and the application went on at %s\n%s", why, doneAt, orderedAt, w.tail())
	}
}
