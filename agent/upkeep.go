package agent

import (
	"maps"
	"slices"

	"github.com/ota-agent/ota-agent/verifier"
)

// meter adds to an update what was counted since its last step. Where the process died in between, that is not known.
func (e *engine) meter(c *live, r *Record) {
	if e.p.Counters == nil {
		return
	}
	now := e.p.Counters()
	if r.Phase != Idle {
		r.Spent = r.Spent.plus(now.since(c.metered))
	}
	c.metered = now
}

// sweep removes the images that nobody works at: what is confirmed lies in its slot.
func (e *engine) sweep() {
	records := e.book.records()
	var keep []verifier.Target
	for _, name := range slices.Sorted(maps.Keys(records)) { // in the same order each time, for who replays it
		if r := records[name]; r.Release != nil {
			keep = append(keep, r.Release.Target)
		}
	}
	if err := e.p.Images.Keep(keep); err != nil {
		e.log.Warn("could not remove old images", "err", err) // nothing depends on it; the next sweep tries again
	}
}

// accrue makes the age of the newest signed time, and of the build, durable, about once a day at most, and
// only while the kernel does not call its clock synchronised.
func (e *engine) accrue() error {
	if _, synchronised := e.p.System.Clock(); synchronised {
		return nil
	}
	t, ok := e.book.timeFloor().accrue(e.p.System.BootID(), e.p.System.Uptime())
	if !ok {
		return nil
	}
	return e.book.commit(Change{Time: &t}, nil)
}
