package agent

import (
	"log/slog"
	"strings"
	"testing"
	"time"
)

// TestEachComponentHasItsDownload: a mirror that dripped took the only lane for days, and another component's
// few kilobytes were not asked for. Two downloads run at once, beside a refresh, and no more: they share the
// link.
func TestEachComponentHasItsDownload(t *testing.T) {
	w := &waiting{vendored: newVendored(), up: time.Hour, fails: ErrAbsent}
	w.repo.Targets().Add("config", []byte("config"))
	var components []Component
	for _, name := range []string{"rootfs", "app", "config"} {
		components = append(components, Component{Name: name, Target: name, Hook: "/hook"})
	}
	e, err := newEngine(Config{Anchor: w.repo.Anchor(), Components: components},
		Ports{Store: w, Images: w, Repository: w, Installer: w, System: w, Random: func() float64 { return 0.5 }}, slog.New(slog.DiscardHandler))
	must(t, err)
	w.engine = e
	var fetches []*task
	turn := func() {
		for range 10 {
			tasks, err := e.advance()
			must(t, err)
			for _, x := range tasks {
				if x.action.Kind == Fetch {
					fetches = append(fetches, x) // it drips
					continue
				}
				w.vendored.mirror = 0
				must(t, e.finish(x, x.run(t.Context())))
			}
		}
	}
	w.slots = &Slots{Booted: "A", Primary: "A", Slots: map[string]Slot{"A": {Good: true}, "B": {}}}
	e.plan.now = true
	turn()
	if len(fetches) != 2 || fetches[0].of == fetches[1].of {
		t.Fatalf("%d downloads run; expected those of two components", len(fetches))
	}
	if c := e.status().Components[2].Condition; c.Code != ConditionWorking || !strings.Contains(c.Text, fetches[0].of.name) ||
		!strings.Contains(c.Text, fetches[1].of.name) {
		t.Errorf("the third component's condition is %+v; expected it to name the two that go first", c)
	}
	checks := e.checks
	e.plan.now = true
	turn()
	if e.checks != checks+1 {
		t.Error("no refresh runs beside the downloads")
	}
	must(t, e.finish(fetches[1], outcome{problem: &Problem{Reason: ReasonCut, Text: "cut"}}))
	turn()
	if len(fetches) != 3 || fetches[2].of.name != "config" {
		t.Errorf("%d downloads have begun; expected the third component's to follow", len(fetches))
	}
}
