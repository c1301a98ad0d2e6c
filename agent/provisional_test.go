package agent

import (
	"context"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/ota-agent/ota-agent/verifier"
)

// A counting device counts how often each metadata file is asked for.
type counting struct {
	*waiting
	times map[string]int
}

func (c *counting) Metadata(ctx context.Context, name string, n int64) ([]byte, error) {
	c.times[name]++
	return c.vendored.Metadata(ctx, name, n)
}

// newCounting begins with what another device has, or with nothing, and with the newest anchor.
func newCounting(t *testing.T, from *waiting) *counting {
	t.Helper()
	c := &counting{from, map[string]int{}}
	if from == nil {
		c.waiting = &waiting{vendored: newVendored(), up: time.Hour, fails: ErrAbsent}
		c.repo.PublishRoot()
	}
	e, err := newEngine(Config{Anchor: c.repo.Roots[len(c.repo.Roots)-1], Components: []Component{{Name: "rootfs", Target: "rootfs", Hook: "/hook", Reboot: true}}},
		Ports{Store: c, Images: c, Repository: c, Installer: c, System: c, Random: func() float64 { return 0.5 }}, slog.New(slog.DiscardHandler))
	must(t, err)
	c.engine = e
	return c
}

// large is how often the targets file was asked for: it may have many megabytes.
func (c *counting) large() (n int) {
	for name, times := range c.times {
		if strings.HasSuffix(name, ".targets.json") {
			n += times
		}
	}
	return n
}

// TestAFreshDeviceFetchesItsMetadataOnce: its hook answers after a wake has asked for the first refresh. What
// it is booted from was not known then, so nothing was kept, and all was fetched again. The refresh waits for
// the answer, and not for ever.
func TestAFreshDeviceFetchesItsMetadataOnce(t *testing.T) {
	c := newCounting(t, nil)
	c.slots = &Slots{Booted: "A", Primary: "A", Slots: map[string]Slot{"A": {Good: true}, "B": {}}}
	c.engine.wake(Wake{Source: "mqtt"})
	tasks, err := c.engine.advance()
	must(t, err)
	if len(tasks) != 1 || tasks[0].action.Kind != Observe {
		t.Fatalf("%d tasks begin; expected the hook's status alone", len(tasks))
	}
	c.up += 20 * time.Second
	if d := c.engine.deadline(); d > firstLookMax {
		t.Errorf("the loop sleeps for %s", d)
	}
	must(t, c.engine.finish(tasks[0], tasks[0].run(t.Context())))
	c.passes(t, time.Minute)
	if n := c.large(); n != 1 || c.engine.checks != 1 {
		t.Errorf("the targets file was asked for %d times, in %d refreshes", n, c.engine.checks)
	}
	deaf := newCounting(t, nil)
	deaf.engine.wake(Wake{Source: "mqtt"})
	_, err = deaf.engine.advance() // its hook hangs
	must(t, err)
	deaf.up += firstLookMax
	tasks, err = deaf.engine.advance()
	must(t, err)
	if len(tasks) != 1 || tasks[0].lost == nil {
		t.Errorf("after %s %d tasks begin; expected the refresh", firstLookMax, len(tasks))
	}
}

// TestATrialFetchesALargeFileOnce: a trial with a newer anchor keeps nothing, so each of its refreshes
// fetched all of the metadata, and the one after it once more.
func TestATrialFetchesALargeFileOnce(t *testing.T) {
	w := &waiting{vendored: newVendored(), up: time.Hour, fails: ErrAbsent}
	e := w.vendored.engine(t)
	w.vendored.refresh(t, e) // as the release before, which has the older anchor
	w.documents = map[verifier.Key][]byte{}
	w.slots = &Slots{Booted: "B", Primary: "A", Slots: map[string]Slot{"A": {Good: true}, "B": {}}}
	w.state.Records = map[string]Record{"rootfs": {Schema: RecordSchema, Component: "rootfs", Phase: Trial, Release: e.live[0].offer.Release,
		TargetSlot: "B", BootID: "boot-1", TrialFrom: time.Hour, Reboot: true, Hook: "/hook"}}
	w.repo.PublishRoot()
	d := newCounting(t, w)
	for range 4 {
		d.engine.plan.now = true
		tasks, err := d.engine.advance()
		must(t, err)
		for _, x := range tasks {
			if x.lost != nil {
				o := x.run(t.Context())
				if !o.refreshed.provisional || o.refreshed.problem != nil {
					t.Fatalf("a refresh in the trial is provisional: %v, %v", o.refreshed.provisional, o.refreshed.problem)
				}
				must(t, d.engine.finish(x, o))
			}
		}
	}
	if n := d.large(); n != 1 {
		t.Errorf("in the trial the targets file was asked for %d times", n)
	}
	r := d.engine.book.record("rootfs")
	r.rest()
	r.confirm(e.live[0].offer.Release, "B")
	must(t, d.engine.book.put(r, false, nil))
	d.engine.plan.now = true
	d.slots = &Slots{Booted: "B", Primary: "B", Slots: map[string]Slot{"A": {Good: true}, "B": {Good: true}}}
	d.passes(t, time.Minute)
	if n := d.large(); n != 1 || d.documents[verifier.Key{Role: verifier.Targets}] == nil {
		t.Errorf("after the trial the targets file was asked for %d times, and is stored: %v", n, d.documents[verifier.Key{Role: verifier.Targets}] != nil)
	}
	if len(d.engine.provisional.files) > 0 {
		t.Error("it is held for longer than need be")
	}
}
