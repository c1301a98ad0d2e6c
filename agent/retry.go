package agent

import "time"

// A retryClass says how the wait after a failure grows.
type retryClass uint8

const (
	// retryPlain doubles from BackoffMin to BackoffMax: the link or the server may be back any moment.
	retryPlain retryClass = iota
	// retrySoon never waits longer than a few minutes: a person is about to act, and asking costs little.
	retrySoon
	// retryPortal grows to a quarter of an hour: somebody may log in or pay any moment, and may as well never do it.
	retryPortal
	// retryCut grows to an hour only: a download on a bad link lives from being taken up again.
	retryCut
	// retrySlow begins at retrySlowFactor × BackoffMin: somebody has to put something right, and a lie that is
	// downloaded again costs money.
	retrySlow
	// retryPermanent waits for BackoffMax at once: only other metadata is likely to help. It is not for ever,
	// or one forged answer could veto a release.
	retryPermanent
)

const (
	retrySoonMax    = 5 * time.Minute
	retryPortalMax  = 15 * time.Minute
	retryCutMax     = time.Hour
	retrySlowFactor = 8
	// doublingsMax keeps the shift below from overflowing: 2^20 × 1 s is twelve days.
	doublingsMax = 20
)

// A retryRule is what one reason asks for.
type retryRule struct {
	class retryClass
	// mirror: another mirror may have it right.
	mirror bool
}

// ruleOf is the whole table of retries. A reason that is not in it is retried plainly.
func ruleOf(r Reason) retryRule {
	switch r {
	case ReasonUnreachable, ReasonServerBusy, ReasonHung:
		return retryRule{retryPlain, true}
	case ReasonCut, ReasonTooSlow:
		return retryRule{retryCut, true}
	case ReasonCaptivePortal, ReasonProxy, ReasonPayment:
		return retryRule{retryPortal, true}
	case ReasonNoMedium:
		return retryRule{retrySoon, true}
	case ReasonHTTP:
		return retryRule{retryPermanent, true}
	case ReasonTLS, ReasonCredentials, ReasonTooLarge, ReasonBadAnswer,
		ReasonUnsigned, ReasonRollback, ReasonExpired, ReasonHashMismatch, ReasonLengthMismatch,
		ReasonVersionMismatch, ReasonMalformed, ReasonUnsupported, ReasonLimit:
		return retryRule{retrySlow, true}
	case ReasonHookBusy, ReasonLocked:
		return retryRule{retrySoon, false}
	case ReasonClockAhead, ReasonDiskFull, ReasonReadOnly, ReasonStore, ReasonSlot, ReasonHookMissing, ReasonHookFailed, ReasonHookTimeout,
		ReasonTrialNoRepo, ReasonTrialCut, ReasonStateNew, ReasonIDChanged:
		return retryRule{retrySlow, false}
	case ReasonNotListed, ReasonWrongHardware, ReasonIndexTooLow, ReasonRequires, ReasonHookRefused:
		return retryRule{retryPermanent, false}
	}
	return retryRule{retryPlain, false}
}

// Backoff is the wait after the attempt-th failure in a row (1 is the first) with reason r: full jitter between
// min and a ceiling that grows by the reason's class up to max. jitter is random in [0,1). The wait is never
// below min (nor above max), so that nothing spins, and it never ends in giving up.
func Backoff(r Reason, attempt int, min, max time.Duration, jitter float64) time.Duration {
	if max < min {
		max = min
	}
	ceiling := doubled(min, attempt, max)
	switch ruleOf(r).class {
	case retrySoon:
		ceiling = within(doubled(min, 1, retrySoonMax), min, max)
	case retryPortal:
		ceiling = within(doubled(min, attempt, retryPortalMax), min, max)
	case retryCut:
		ceiling = within(doubled(min, attempt, retryCutMax), min, max)
	case retrySlow:
		ceiling = doubled(within(min*retrySlowFactor, min, max), attempt, max)
	case retryPermanent:
		// The later half: a fleet that was refused together does not come back together.
		return within(max/2+portion(max-max/2, jitter), min, max)
	}
	return within(min+portion(ceiling-min, jitter), min, max)
}

// A refusal is a spell in which a server refuses: it says that there is no such file, or that it gives it to
// nobody. A CDN says so while it lags, and anybody on a link without TLS may.
type refusal struct {
	from  time.Duration // uptime of the first one
	count int           // in a row
}

// refusedFor is how long every mirror must have refused before that is believed: longer than a CDN lags,
// short beside the long wait.
const refusedFor = time.Hour

// meets takes how one more attempt ended.
func (s *refusal) meets(r Reason, uptime time.Duration) {
	if r != ReasonHTTP {
		*s = refusal{}
		return
	}
	if s.count++; s.count == 1 {
		s.from = uptime
	}
}

// backoff is Backoff where a refusal is not believed at once.
func (s *refusal) backoff(r Reason, attempt int, uptime, min, max time.Duration, jitter float64) time.Duration {
	if s.count > 0 && uptime-s.from < refusedFor {
		r, attempt = ReasonBackoff, s.count
	}
	return Backoff(r, attempt, min, max, jitter)
}

// isNetwork: what failed may work again once the network does.
func (r Reason) isNetwork() bool {
	switch r {
	case ReasonUnreachable, ReasonServerBusy, ReasonHung, ReasonCut, ReasonTooSlow, ReasonCaptivePortal, ReasonTLS:
		return true
	}
	return false
}

// Permanent says whether asking again is in vain until metadata changes.
func Permanent(r Reason) bool { return ruleOf(r).class == retryPermanent }

// NextMirror says whether another mirror may help against r.
func NextMirror(r Reason) bool { return ruleOf(r).mirror }

// doubled is d × 2^times, at most max and at least 0.
func doubled(d time.Duration, times int, max time.Duration) time.Duration {
	for range within(times, 0, doublingsMax) {
		if d >= max/2 {
			return max
		}
		d *= 2
	}
	return within(d, 0, max)
}

// portion is d × jitter for a jitter that may be out of its range.
func portion(d time.Duration, jitter float64) time.Duration {
	if !(jitter > 0) {
		return 0
	}
	if jitter >= 1 {
		return d
	}
	return time.Duration(float64(d) * jitter)
}

func within[T int | time.Duration](v, lowest, highest T) T {
	return max(lowest, min(v, highest))
}
