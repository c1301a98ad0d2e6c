package agent

import (
	"slices"
	"strings"

	"github.com/ota-agent/ota-agent/release"
)

// requiresGate is the package's requiresGate, which names a circle of requirements as such: the publisher refuses to make
// one, but a repository may hold what other tools signed, and then no component would ever say why nothing happens.
func (e *engine) requiresGate(component string, requires []release.Requirement) *Waiting {
	records := e.running()
	closed := requiresGate(requires, records)
	if closed == nil {
		return nil
	}
	// What each component waits for first is followed: a circle through a later requirement is named once the first is met.
	var path []string
	for name := component; name != ""; {
		if i := slices.Index(path, name); i >= 0 {
			return &Waiting{Reason: ReasonRequiresCycle, Text: "the releases on offer wait for each other, so none of them can be first: " +
				strings.Join(append(path[i:], name), " requires ") + "; one of them must be published without its requirement"}
		}
		path = append(path, name)
		name = firstUnmet(requires, records)
		requires = nil
		if c := e.component(name); c != nil {
			rel := records[name].Release
			if rel == nil {
				rel = c.offer.Release
			}
			if rel != nil {
				requires = rel.Info().Requires
			}
		}
	}
	return closed
}

// running is the records of the components in the config, with what each runs in the place of what it has confirmed: it is that
// which an application works with. The bootloader may have fallen back from what was confirmed, and a board whose slot nobody ever
// called good runs what the repository lists all the same. What the hook has not said yet is taken from the record; of a component
// that the config does not name it can't be known.
func (e *engine) running() map[string]Record {
	records := map[string]Record{}
	for _, c := range e.live {
		if c.component == nil {
			continue
		}
		r := e.book.record(c.name)
		f := Facts{Slots: c.slots}
		if c.slots == nil && r.Degraded || c.slots != nil && f.fellBack(&r) {
			if r.Confirmed = r.Previous; c.slots != nil && c.slots.Booted != r.PreviousSlot {
				r.Confirmed = nil
			}
			r.ConfirmedSlot = r.PreviousSlot
		}
		if o := c.offer.Release; o != nil && c.slots != nil && c.slots.Booted == c.slots.Primary && f.runs(&r, o) {
			r.Confirmed = o
		}
		records[c.name] = r
	}
	return records
}

// firstUnmet is the component that a release waits for, or "".
func firstUnmet(requires []release.Requirement, records map[string]Record) string {
	for _, q := range requires {
		if confirmedIndex(records[q.Component]) < q.RollbackIndex {
			return q.Component
		}
	}
	return ""
}
