package agent

import (
	"time"

	"github.com/ota-agent/ota-agent/verifier"
)

// The uptime that may go by before it is made durable. In a long boot that is a day; in a young one it is half of the
// boot's uptime, from accrueFirst on. So at least half of each boot counts, also of a device that is switched off each
// night, and a clockless device writes at most six times in a boot's first day and then once a day.
const (
	accrueFirst = 30 * time.Minute
	accrueEvery = 24 * time.Hour
)

// at returns the floor of the effective time at an uptime of this boot: the newest time that the
// publisher signed, or the build's, and the uptime since it was learned. No clock reading goes into it.
func (t TimeFloor) at(build time.Time, bootID string, uptime time.Duration) time.Time {
	if t.SignedAt.Before(build) {
		return build
	}
	return t.SignedAt.Add(t.age(bootID, uptime))
}

// age is the uptime since SignedAt was learned, as far as it is known.
func (t TimeFloor) age(bootID string, uptime time.Duration) time.Duration {
	if t.BootID == bootID {
		return t.Accrued + max(0, uptime-t.At)
	}
	return t.Accrued + uptime
}

// learn returns the floor after a trusted timestamp with this signed time; ok is false where it is no news.
func (t TimeFloor) learn(signedAt time.Time, by []verifier.KeyHash, bootID string, uptime time.Duration) (TimeFloor, bool) {
	if !signedAt.After(t.SignedAt) {
		return t, false
	}
	return TimeFloor{SignedAt: signedAt, Signers: by, BootID: bootID, At: uptime}, true
}

// judge returns the floor as the trusted root leaves it: void when that root revoked the keys that signed it. Without
// that a stolen timestamp key, which can drive the floor far ahead, would lock the device out for good. A floor that
// an older agent kept without its signers counts on if the stored timestamp says the same time.
func (t TimeFloor) judge(r *verifier.Refresh) (TimeFloor, bool) {
	if t.Signers == nil && r.SignedAt().Equal(t.SignedAt) {
		t.Signers = r.SignedBy()
		return t, t.Signers != nil
	}
	if t.SignedAt.IsZero() || r.HoldsTime(t.Signers) {
		return t, false
	}
	return TimeFloor{}, true
}

// accrue returns the floor with the uptime until now made part of it; ok is false while that is not worth a write.
func (t TimeFloor) accrue(bootID string, uptime time.Duration) (TimeFloor, bool) {
	age := t.age(bootID, uptime)
	if t.SignedAt.IsZero() || age-t.Accrued < accrueAfter(uptime) {
		return t, false
	}
	return TimeFloor{SignedAt: t.SignedAt, Signers: t.Signers, Accrued: age, BootID: bootID, At: uptime}, true
}

// accrueAfter is how much uptime is worth a write at an uptime of this boot.
func accrueAfter(uptime time.Duration) time.Duration {
	return max(accrueFirst, min(accrueEvery, uptime/2))
}

// EffectiveTime is the time by which an agent with this config, floor and machine judges: for whoever looks at its store
// while it does not run.
func (c Config) EffectiveTime(floor TimeFloor, s System) time.Time {
	now, _, _ := c.effectiveTime(floor, s)
	return now
}

func (c Config) effectiveTime(learned TimeFloor, s System) (now time.Time, source string, floor time.Time) {
	clock, synchronised := s.Clock()
	floor = learned.at(c.BuildTime, s.BootID(), s.Uptime())
	now, source = effective(clock, synchronised, c.NoRTC, floor)
	return now, source, floor
}

// Sources of the effective time.
const (
	sourceClock = "clock"
	sourceFloor = "floor"
)

// effective returns the effective time and its source: the clock where it may count and is not below the floor,
// else the floor.
func effective(clock time.Time, synchronised, noRTC bool, floor time.Time) (time.Time, string) {
	if (synchronised || !noRTC) && clock.After(floor) {
		return clock, sourceClock
	}
	return floor, sourceFloor
}

// certificateTime is the effective time but for one case: a synchronised clock counts also where it is below the floor.
// What a stolen timestamp key made of the floor is void once the root that revokes the key is here; that comes over
// TLS, which must not find all certificates expired. What comes over TLS is verified all the same.
func certificateTime(clock time.Time, synchronised bool, effective time.Time) time.Time {
	if synchronised {
		return clock
	}
	return effective
}
