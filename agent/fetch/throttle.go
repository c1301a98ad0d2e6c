package fetch

import (
	"context"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"
)

const (
	// throttleBurst is what the cap lets through at once.
	throttleBurst = 16 << 10
	// throttleChunkMin bytes are read at once under the lowest cap: below, headers would outweigh them.
	throttleChunkMin = 512
)

// A throttle is the bandwidth cap that all bodies share, and counts those that come over the network now.
type throttle struct {
	limiter *rate.Limiter
	bodies  atomic.Int64
}

func newThrottle(bytesPerSecond int64) *throttle {
	t := &throttle{limiter: rate.NewLimiter(rate.Inf, throttleBurst)}
	t.set(bytesPerSecond)
	return t
}

// set changes the cap for bodies that are under way too; 0 lifts it.
func (t *throttle) set(bytesPerSecond int64) {
	if bytesPerSecond == 0 {
		t.limiter.SetLimit(rate.Inf)
		return
	}
	t.limiter.SetLimit(rate.Limit(bytesPerSecond))
}

// bandwidth is the cap in bytes per second; 0: none.
func (t *throttle) bandwidth() int64 {
	if limit := t.limiter.Limit(); limit != rate.Inf {
		return int64(limit)
	}
	return 0
}

// chunk is how much of n bytes to read before the next wait: about an eighth of a second, so that a changed cap
// counts at once.
func (t *throttle) chunk(n int) int {
	limit := t.limiter.Limit()
	if limit == rate.Inf {
		return n
	}
	return min(n, max(throttleChunkMin, min(int(limit/8), throttleBurst)))
}

// wait holds the caller back after n bytes, in pieces: the cap may have come while they were read.
func (t *throttle) wait(ctx context.Context, n int) error {
	for n > 0 {
		if t.limiter.Limit() == rate.Inf {
			return nil
		}
		piece := min(n, throttleBurst)
		// Not WaitN: that fails at once where ctx would end before the wait does, which is no mirror's failure.
		r := t.limiter.ReserveN(time.Now(), piece)
		timer := time.NewTimer(r.Delay())
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			r.Cancel()
			return ctx.Err()
		}
		n -= piece
	}
	return nil
}
