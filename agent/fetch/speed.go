package fetch

import (
	"cmp"
	"errors"
	"slices"
	"time"

	"github.com/ota-agent/ota-agent/agent"
)

// measured notes how fast a mirror is now.
func (m *mirrors) measured(s *mirror, rate float64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	s.rate, s.measured = rate, time.Now()
}

// sight is what is known of a mirror's rate.
func (m *mirrors) sight(s *mirror) (rate float64, known bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return s.rate, !s.measured.IsZero() && time.Since(s.measured) < measuredFor
}

// sights are those of list; current is the index of s in it, or -1.
func (m *mirrors) sights(list []*mirror, s *mirror) (all []sight, current int) {
	for _, o := range list {
		rate, known := m.sight(o)
		all = append(all, sight{rate, known})
	}
	return all, slices.Index(list, s)
}

// rests says whether s rests.
func (m *mirrors) rests(s *mirror, now time.Time) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return now.Before(s.until)
}

// bad says whether who has this health rests since what it served was refused.
func (m *mirrors) bad(h *health) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return h.refused && time.Now().Before(h.until)
}

// restsUntil is when the rest of who has this health ends; it may be over.
func (m *mirrors) restsUntil(h *health) time.Time {
	m.mu.Lock()
	defer m.mu.Unlock()
	return h.until
}

// prefer is the order for an image of which left bytes are missing: as order, but of those that don't rest
// the one that is best by what was measured comes first.
func (m *mirrors) prefer(left, bandwidth int64) []*mirror {
	list := m.order(true)
	now, up := time.Now(), 0
	for up < len(list) && !m.rests(list[up], now) {
		up++
	}
	c := course{left: left, bandwidth: bandwidth, current: -1}
	c.sights, _ = m.sights(list[:up], nil)
	if i := c.next(); i > 0 {
		best := list[i]
		list = slices.Insert(slices.Delete(list, i, i+1), 0, best)
	}
	return list
}

// A late error says that a metadata file would take longer than enough, at this rate in bytes per second.
type lateError struct{ rate float64 }

func (*lateError) Error() string { return "another mirror may be faster" }

func tooLong(where string, p pace) error {
	return because(problem(agent.ReasonTooSlow, where, "%d of %d bytes came in %v, too few to wait for the rest", p.all.bytes, p.goal,
		p.all.spent.Round(time.Second)), &lateError{p.all.rate()})
}

func isLate(err error) (rate float64, ok bool) {
	late, ok := errors.AsType[*lateError](err)
	if !ok {
		return 0, false
	}
	return late.rate, true
}

// Turns are the order in which mirrors are asked for a metadata file. Unlike an image it begins anew at each.
// So those that are up and not known to be slow are asked in a hurry, then the fastest of those that are
// slow, and then those that rest.
type turns struct {
	mirrors *mirrors
	// hurry says of the mirror under way that another one may be faster.
	hurry bool
}

func (t *turns) all(yield func(*mirror) bool) {
	order := t.mirrors.order(false)
	now, up := time.Now(), 0
	for up < len(order) && !t.mirrors.rests(order[up], now) {
		up++
	}
	for _, s := range order[:up] {
		if _, known := t.mirrors.sight(s); known {
			continue
		}
		t.hurry = up > 1
		if !yield(s) {
			return
		}
	}
	t.hurry = false
	for _, s := range append(t.slow(order[:up]), order[up:]...) {
		if !yield(s) {
			return
		}
	}
}

// slow are those of list that are known to be slow, the fastest first.
func (t *turns) slow(list []*mirror) (slow []*mirror) {
	rates := map[*mirror]float64{}
	for _, s := range list {
		if rate, known := t.mirrors.sight(s); known {
			slow = append(slow, s)
			rates[s] = rate
		}
	}
	slices.SortStableFunc(slow, func(a, b *mirror) int { return cmp.Compare(rates[b], rates[a]) })
	return slow
}
