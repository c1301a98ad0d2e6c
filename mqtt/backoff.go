package mqtt

import "time"

// Bounds of the connect loop.
const (
	// The wait before a new attempt is drawn evenly from a window (full jitter), which doubles from windowMin
	// to windowMax. windowMin is not shorter because a broker's restart brings its whole fleet back at once.
	windowMin = 10 * time.Second
	windowMax = 5 * time.Minute
	// waitMin keeps a lucky draw from hammering the broker.
	waitMin = time.Second
	// A session that lives stableAfter was a good one: the window starts anew.
	stableAfter = time.Minute
	// fightAfter sessions in a row that the broker accepted and then closed at once mean that something
	// other than the network ends them.
	fightAfter = 3
	// fightWait is the wait then, at least half of it: two clients with one ID throw each other out for as long
	// as both come back.
	fightWait = 30 * time.Minute
)

// A backoff decides how long to wait between sessions. Its zero value is ready.
type backoff struct {
	failures int // sessions in a row that did not get stable
	thrown   int // of those, the last ones that were accepted and then closed by the broker
}

// An outcome is how a session ended.
type outcome struct {
	lived  time.Duration // from the acknowledged subscription on; 0: never got that far
	closed bool          // the broker closed it, in order
}

// after says how long to wait after a session, and whether it looks like a fight over the client ID. random is
// in [0,1).
func (b *backoff) after(o outcome, random float64) (wait time.Duration, fight bool) {
	if o.lived >= stableAfter {
		*b = backoff{}
	}
	if o.lived > 0 && o.lived < stableAfter && o.closed {
		b.thrown++
	} else {
		b.thrown = 0
	}
	if b.thrown >= fightAfter {
		return fightWait/2 + time.Duration(random*float64(fightWait/2)), true
	}
	window := windowMax
	if b.failures < 5 { // 10 s × 2^5 is over windowMax
		window = min(windowMax, windowMin<<b.failures)
	}
	b.failures++
	return waitMin + time.Duration(random*float64(window-waitMin)), false
}
