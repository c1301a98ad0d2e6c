package fetch

import (
	"math"
	"time"
)

// A download need not stay with a mirror that drips. Each minute it asks itself whether another mirror would
// be better; these are the rule's bounds. With an honest mirror that is ten times faster, an image arrives
// within twice that mirror's time and ten minutes.
const (
	// measureTime is how long a mirror's rate is measured; only waiting for its bytes counts.
	measureTime = time.Minute
	// measuredFor is how long a rate is believed. Afterwards the mirror is measured again, if that is worth it.
	measuredFor = time.Hour
	// enough is how long a download may take from one mirror before another is measured: ten minutes, less the last
	// measure, in which the mirror may have been silent for as long as a body may be.
	enough = 8 * time.Minute
	// returnFactor is how much faster a mirror that was measured before must be for the download to go back to it: rates
	// vary, and each change costs a request.
	returnFactor = 2
)

// A sight is what is known of a mirror's rate, in bytes per second. Unknown: it was not measured within measuredFor.
type sight struct {
	rate  float64
	known bool
}

// A course is what is known where it is chosen which mirror a download goes on from.
type course struct {
	left int64 // bytes still to come
	// bandwidth is our own cap in bytes per second; 0: none.
	bandwidth int64
	// current is the index of the mirror under way, -1 where none is yet. It was just measured.
	current int
	// spent is how long the download has waited for it by now; fresh: it was not known before.
	spent time.Duration
	fresh bool
	// sights are all mirrors that could go on, in the order in which they are preferred.
	sights []sight
}

// next is the index of the mirror to go on from; -1 only where there is none.
func (c course) next() int {
	if c.current >= 0 && c.goodEnough(c.sights[c.current].rate) {
		return c.current
	}
	best := -1
	for i, s := range c.sights {
		if i == c.current {
			continue
		}
		if !s.known || c.current < 0 && c.goodEnough(s.rate) {
			return i // to measure it costs nothing: the bytes are needed anyway
		}
		if best < 0 || s.rate > c.sights[best].rate {
			best = i
		}
	}
	if c.current < 0 {
		return best
	}
	factor := float64(returnFactor)
	if c.fresh {
		factor = 1
	}
	if best < 0 || c.clipped(c.sights[best].rate) <= factor*c.clipped(c.sights[c.current].rate) {
		return c.current
	}
	return best
}

// goodEnough says whether a mirror with this rate is soon done, or is not what holds the download up.
func (c course) goodEnough(rate float64) bool {
	if c.bandwidth > 0 && rate >= float64(c.bandwidth) {
		return true
	}
	return c.spent.Seconds()+float64(c.left)/rate <= enough.Seconds() // a rate of 0 is never enough
}

// clipped is what the cap leaves of a rate.
func (c course) clipped(rate float64) float64 {
	if c.bandwidth > 0 {
		return math.Min(rate, float64(c.bandwidth))
	}
	return rate
}

// A gauge counts what a body brings, and the time spent waiting for it: neither a slow disk nor our own cap
// is the mirror's fault.
type gauge struct {
	spent time.Duration
	bytes int64
}

func (g gauge) since(o gauge) gauge { return gauge{spent: g.spent - o.spent, bytes: g.bytes - o.bytes} }

// rate is in bytes per second.
func (g gauge) rate() float64 { return float64(g.bytes) / g.spent.Seconds() }
