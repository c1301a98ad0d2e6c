package sim

import (
	"slices"
	"testing"

	"github.com/ota-agent/ota-agent/agent"
)

// losesItsState: release 2 does not mount the partition with the state, so its agent finds an empty directory
// in each trial. It says so and confirms nothing; the device comes back to what it knew, three times, and
// then has seen enough.
func losesItsState(t testing.TB) Scenario {
	return Scenario{repo: publishAll(t, fine, losesState), end: keeps(1, agent.ReasonRejected)}
}

// losesItsStateOnPurpose: the same, and the config of release 2 says that it may go on.
func losesItsStateOnPurpose(t testing.TB) Scenario {
	return Scenario{repo: publishAll(t, fine, forgetful), end: runs(2), tune: func(_ *World, c *agent.Config) { c.ProveWithoutState = true }}
}

// TestALostStateIsTold: the status says it, an event does, and so does the verdict of the release before.
func TestALostStateIsTold(t *testing.T) {
	t.Parallel()
	w, why := play(losesItsState(t), 1, nil)
	if why != "" {
		t.Fatalf("%s\n%s", why, w.tail())
	}
	told := slices.ContainsFunc(w.hidden.disk.state.Events, func(e agent.Event) bool { return e.Kind == agent.EventStateNew })
	if !told || w.boots != 2*agent.LostBootsMax+1 {
		t.Errorf("an event tells of it: %t; %d boots\n%s", told, w.boots, w.tail())
	}
	if x := w.disk.state.Records[rootfs].Rejected; len(x) != 1 || x[0].Last.Reason != agent.ReasonNeverBooted {
		t.Errorf("rejected: %+v", x)
	}
}

// TestAFreshDeviceComesUp: a state that began empty is no reason to doubt a slot that boots for good, or the
// only one that there is.
func TestAFreshDeviceComesUp(t *testing.T) {
	t.Parallel()
	for _, unconfirmed := range []bool{false, true} {
		s := Scenario{repo: publishAll(t, fine, fine), end: runs(2), unconfirmed: unconfirmed,
			equip: func(w *World, _ *agent.Ports) { w.disk.state.New = true }}
		w, why := play(s, 1, nil)
		if why != "" || !w.disk.state.New {
			t.Errorf("unconfirmed: %t: %s\n%s", unconfirmed, why, w.tail())
		}
	}
}
