package mqtt

import "time"

// Bounds of the connect loop.
const (
	// windowMax: the wait before a new attempt is drawn evenly from a window (full jitter), which doubles
	// from the config's ReconnectSpread to windowMax, or stays at ReconnectSpread where that is longer. A
	// broker's restart brings its whole fleet back at once.
	windowMax = 5 * time.Minute
	// waitMin keeps a lucky draw from hammering the broker.
	waitMin = time.Second
	// A session that lives stableAfter was a good one: the window starts anew.
	stableAfter = time.Minute
	// thrownAfter sessions in a row that the broker accepted and soon closed mean that something other than
	// the network ends them: another client with the same ID, a broker that crashes under its own fleet, or
	// one that forbids a topic. The waits then grow from thrownMin to thrownMax, each drawn from the later
	// half of its window. They begin short, since a broker that crashed is back after minutes, and must grow:
	// two clients with one ID throw each other out as long as both come back.
	thrownAfter = 3
	thrownMin   = time.Minute
	thrownMax   = 30 * time.Minute
	// A broker that refuses this client (a wrong password, say) goes on doing so until somebody has put
	// something right: the waits grow from refusedMin to refusedMax, each drawn from the later half of its
	// window.
	refusedMin = 10 * time.Minute
	refusedMax = time.Hour
)

// A backoff decides how long to wait between sessions.
type backoff struct {
	spread   time.Duration // the first window
	failures int           // sessions in a row that did not get stable
	refused  int           // of those, the last ones that the broker refused
	thrown   int           // sessions in a row that were accepted and soon closed by the broker
	longest  time.Duration // the longest window since thrown was 0
}

// An outcome is how a session ended.
type outcome struct {
	lived   time.Duration // from the acknowledged subscription on; 0: never got that far
	closed  bool          // the broker closed it, in order
	refused bool          // the broker did not let the client in
}

// after says how long to wait after a session, and whether the broker throws this client out time after time.
// random is in [0,1).
func (b *backoff) after(o outcome, random float64) (wait time.Duration, thrown bool) {
	if o.lived >= stableAfter {
		b.failures = 0
	}
	if o.lived > 0 && o.closed && o.lived < b.soon() {
		b.thrown++
	} else if o.lived > 0 {
		b.thrown, b.longest = 0, 0
	}
	b.refused = countIf(b.refused, o.refused)
	from, window := waitMin, doubled(b.spread, b.failures, max(b.spread, windowMax))
	switch {
	case b.refused > 0:
		window = doubled(refusedMin, b.refused-1, refusedMax)
		from = window / 2
	case b.thrown >= thrownAfter:
		window = max(b.spread, doubled(thrownMin, b.thrown-thrownAfter, thrownMax))
		from = window / 2
	}
	b.failures++
	b.longest = max(b.longest, window)
	return from + time.Duration(random*float64(window-from)), b.thrown >= thrownAfter && b.refused == 0
}

// soon is how long a session may have lived that counts as thrown out. In a fight over a client ID a session
// lives as long as the other client waits, and that one waits as long as this one: so the bound grows with
// the waits.
func (b *backoff) soon() time.Duration { return max(stableAfter, 2*b.longest) }

func countIf(n int, again bool) int {
	if !again {
		return 0
	}
	return n + 1
}

// doubled is d × 2^times, at most most.
func doubled(d time.Duration, times int, most time.Duration) time.Duration {
	for range times {
		if d >= most/2 {
			return most
		}
		d *= 2
	}
	return min(d, most)
}
