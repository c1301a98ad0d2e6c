package fetch

import (
	"slices"
	"time"
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

// bad says whether s rests since what it served was refused.
func (m *mirrors) bad(s *mirror) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return s.refused && time.Now().Before(s.until)
}

// prefer is the order for an image of which left bytes are missing: as order, but of those that don't rest the one that is
// best by what was measured comes first.
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
