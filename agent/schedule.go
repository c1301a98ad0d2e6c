package agent

import (
	"crypto/sha256"
	"encoding/binary"
	"time"
)

// Bounds of the schedule.
const (
	// wakeBurst wakes are followed at once, and one more each wakeEvery: a hostile broker can't drain a battery.
	wakeBurst = 10
	wakeEvery = time.Minute
	// trialRetryMax bounds the wait between two refreshes while a trial must reach the repository.
	trialRetryMax = 15 * time.Second
	// firstPollPart of the poll interval is the most that the first poll waits, so that a street whose power came
	// back does not come at once.
	firstPollPart = 60
)

// A schedule knows when the next refresh is due. Times are uptimes of this boot.
type schedule struct {
	poll, backoffMin, backoffMax time.Duration
	// spreadMax bounds what a wake may ask for: the broker is trusted with nothing.
	spreadMax time.Duration

	due      time.Duration // of the scheduled poll, or of the retry after a failure
	join     time.Duration // of a refresh that may let the device join a rollout; 0: none
	wake     time.Duration // of a wake that is followed; 0: none
	now      bool          // someone asked for a refresh at once
	failures int
	refused  refusal
	tokens   float64
	tokensAt time.Duration
	earliest time.Duration // the pending wake may not be followed before
}

func newSchedule(c Config, uptime time.Duration, random float64) schedule {
	first := time.Duration(random * float64(c.Poll/firstPollPart))
	return schedule{poll: c.Poll, backoffMin: c.BackoffMin, backoffMax: c.BackoffMax,
		spreadMax: c.SpreadMax, due: uptime + first, tokens: wakeBurst, tokensAt: uptime}
}

// want asks for a refresh at once, unless one is planned already: as the retry of one that failed, say.
func (s *schedule) want(planned bool) { s.now = s.now || !planned }

// next is the uptime of the next refresh: the earliest of poll, wake and rollout.
func (s *schedule) next() time.Duration {
	if s.now {
		return 0
	}
	next := s.due
	for _, at := range [...]time.Duration{s.wake, s.join} {
		if at > 0 {
			next = min(next, at)
		}
	}
	return next
}

// hint notes a wake. It never delays a scheduled poll, and several come to one. A wake that finds no token waits until
// there would be one.
func (s *schedule) hint(w Wake, deviceID string, uptime time.Duration) {
	if s.wake == 0 {
		s.tokens = min(wakeBurst, s.tokens+(uptime-s.tokensAt).Seconds()/wakeEvery.Seconds()) - 1
		s.tokensAt = uptime
		s.earliest = uptime + time.Duration(max(0, -s.tokens)*float64(wakeEvery))
	}
	at := max(1, s.earliest, uptime+s.spread(w, deviceID))
	if s.wake == 0 || at < s.wake {
		s.wake = at
	}
}

// spread is this device's delay within the fleet's spread: the same for all repeats of a wake.
func (s *schedule) spread(w Wake, deviceID string) time.Duration {
	span := min(max(0, w.Spread), s.spreadMax)
	if span == 0 {
		return 0
	}
	sum := sha256.Sum256([]byte(deviceID + "\x00" + w.Nonce))
	return time.Duration(binary.BigEndian.Uint64(sum[:8]) % uint64(span))
}

// begun forgets what asked for the refresh that begins now; what comes later asks for another one.
func (s *schedule) begun() { s.now, s.wake = false, 0 }

// ended plans the next refresh: after a success one poll interval with jitter from half to one and a half, after a
// failure the back-off of its class.
func (s *schedule) ended(p *Problem, uptime time.Duration, random float64) {
	s.due = uptime + time.Duration((0.5+random)*float64(s.poll))
	if p == nil {
		s.failures, s.refused = 0, refusal{}
		return
	}
	s.failures++
	s.refused.meets(p.Reason, uptime)
	s.retry(p, s.failures, s.refused, uptime, random)
}

// retry lets the next refresh come as early as the back-off of p's class asks for, after so many failures in a row.
func (s *schedule) retry(p *Problem, failures int, refused refusal, uptime time.Duration, random float64) {
	wait := refused.backoff(p.Reason, failures, uptime, s.backoffMin, s.backoffMax, random)
	s.due = min(s.due, uptime+max(wait, min(p.RetryAfter, s.backoffMax)))
}

// soon lets the next refresh come as early as a trial asks for that must reach the repository.
func (s *schedule) soon(uptime time.Duration) { s.due = min(s.due, uptime+trialRetryMax) }
