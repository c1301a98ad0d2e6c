package agent

import (
	"testing"
	"time"
)

// TestWhatCanNotGoOnMakesRoom: a component whose hook keeps failing, or that the config names no longer, has nothing written that
// is worth keeping another component waiting for.
func TestWhatCanNotGoOnMakesRoom(t *testing.T) {
	slots := &Slots{Booted: "A", Primary: "A", Slots: map[string]Slot{"A": {Good: true}, "B": {}}}
	for _, phase := range []Phase{Fetching, Staged, Writing} {
		r := Record{Phase: phase, Release: releaseV2, TargetSlot: "B", Attempts: 2}
		if a := Next(r, Facts{Slots: slots}); a.Kind != Drop {
			t.Errorf("%s and gone from the config: %s", phase, a.Kind)
		}
	}
	r := Record{Phase: Writing, Release: releaseV2, TargetSlot: "B", Attempts: 2}
	f := Facts{Component: &Component{}, Slots: slots, Backoff: time.Minute}
	if a := Next(r, f); a.Kind != Wait {
		t.Errorf("in its back-off, and nobody waits: %s", a.Kind)
	}
	f.Awaited = true
	r = Step(r, Next(r, f), nil)
	if a := Next(r, f); r.Phase != Staged || r.Attempts != 2 || a.Kind != Wait || a.Waiting.Reason != ReasonBackoff {
		t.Errorf("in its back-off, and another one waits: %s, then %s with %+v", r.Phase, a.Kind, a.Waiting)
	}
	f.Backoff, f.Busy = 0, "app"
	if a := Next(r, f); a.Kind != Wait || a.Waiting.Reason != ReasonBusy {
		t.Errorf("while the other one is being written: %s", a.Kind)
	}
}
