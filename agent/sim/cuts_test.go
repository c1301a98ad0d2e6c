package sim

import (
	"slices"
	"testing"
	"time"

	"github.com/ota-agent/ota-agent/agent"
)

// takesTheBoardDown is a drive that ends two minutes after the boot of a release that crashes later.
func takesTheBoardDown(w *World) time.Duration {
	if w.boards[rootfs].behaves(crashesLater) {
		return 2 * time.Minute
	}
	return 0
}

// cutShortEachTime: release 2 reaches its trial, is healthy, and takes the board down each time before it may
// be confirmed. It is tried again, ever more seldom, and then held back; a better one is not.
func cutShortEachTime(t testing.TB) Scenario {
	return Scenario{repo: publishAll(t, fine, crashesLater), settle: 5 * time.Minute, drive: takesTheBoardDown, end: keeps(1, agent.ReasonHeld)}
}

// trialsOf counts the trials of rootfs that become durable.
func trialsOf(w *World, p *agent.Ports, trial func()) {
	p.Store = watcher{p.Store, func(c agent.Change) {
		for _, e := range c.Events {
			if e.Kind == agent.EventTrial && e.Component == rootfs {
				trial()
			}
		}
	}}
}

// TestATrialThatIsCutShortEachTimeIsHeld: eight trials, each told of and shown, none of them a verdict; then
// a week without one, and then eight more.
func TestATrialThatIsCutShortEachTimeIsHeld(t *testing.T) {
	t.Parallel()
	s := cutShortEachTime(t)
	var at []time.Duration
	shown := map[agent.Reason]bool{}
	s.equip = func(w *World, p *agent.Ports) { trialsOf(w, p, func() { at = append(at, w.ran) }) }
	s.end = func(w *World, s agent.Status) bool {
		if p := status(s, rootfs).Problem; p != nil {
			shown[p.Reason] = shown[p.Reason] || len(at) == 1
		}
		return w.ran > 12*day
	}
	w, why := play(s, 1, nil)
	if why != "" {
		t.Fatalf("%s\n%s", why, w.tail())
	}
	if len(at) != 2*agent.CutsMax {
		t.Fatalf("%d trials at %s, expected eight before and eight after a week\n%s", len(at), at, w.tail())
	}
	if gap := at[agent.CutsMax] - at[agent.CutsMax-1]; gap < 7*day || gap > 8*day {
		t.Errorf("it was held back for %s", gap)
	}
	if first, later := at[1]-at[0]-parked, at[agent.CutsMax-1]-at[agent.CutsMax-2]-parked; later < 2*first {
		t.Errorf("the trials come at %s: they are not slowed down", at)
	}
	if !shown[agent.ReasonTrialCut] {
		t.Errorf("after the first trial the status shows %v", shown)
	}
	told := 0
	for _, e := range w.disk.state.Events {
		if e.Kind == agent.EventFailed && e.Problem.Reason == agent.ReasonTrialCut {
			told++
		}
	}
	r := w.disk.state.Records[rootfs]
	if told < agent.CutsMax || len(r.Rejected) > 0 || len(r.Held) != 1 || r.Held[0].Reason != agent.ReasonTrialCut {
		t.Errorf("told %d times; rejected %+v, held %+v", told, r.Rejected, r.Held)
	}
	if !slices.ContainsFunc(w.disk.state.Events, func(e agent.Event) bool { return e.Kind == agent.EventHeld }) {
		t.Error("no event tells that it is held back")
	}
}

// TestShortDrivesHoldNothingBack: for weeks each drive is shorter than a trial may take. The trials are cut
// short and counted, and none of them counts against the release: on the first long drive it is confirmed.
func TestShortDrivesHoldNothingBack(t *testing.T) {
	t.Parallel()
	for _, drive := range []time.Duration{4 * time.Minute, 8 * time.Minute} {
		const long = 21 * day
		counted, against := 0, 0
		s := Scenario{repo: publishAll(t, fine, fine), settle: 5 * time.Minute, end: runs(2),
			drive: func(w *World) time.Duration {
				if w.ran > long {
					return 0
				}
				return drive
			},
			// Its service needs longer than a drive, so that no trial comes to its end.
			equip: func(w *World, p *agent.Ports) {
				hookDoes(w, p, func(v agent.Verb, _ agent.Job) (bool, error) {
					return v == agent.VerbHealth && w.ran < long, &agent.Problem{Reason: agent.ReasonHookBusy, Text: "it is starting"}
				})
				p.Store = watcher{p.Store, func(c agent.Change) {
					for _, r := range c.Records {
						counted, against = max(counted, r.Cuts.Count), max(against, r.Cuts.Against)
						if len(r.Held) > 0 {
							w.breach("the release is held back after %d trials that were cut short", r.Cuts.Count)
						}
					}
				}}
			}}
		w, why := play(s, 1, nil)
		if why != "" || counted < agent.CutsMax || against > 1 || w.ran > long+day {
			t.Errorf("drives of %s: %s; %d trials were cut short, %d count, and it took %s\n%s", drive, why, counted, against, w.ran, w.tail())
		}
	}
}
