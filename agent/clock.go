package agent

import (
	"time"

	"github.com/ota-agent/ota-agent/verifier"
)

// The uptime that may go by before it is made durable. In a long boot that is a day; in a young one it is
// half of the boot's uptime, from accrueFirst on. So at least half of each boot counts that lasts an hour or
// more, also of a device that is switched off each night, and a clockless device writes at most seven times
// in a boot's first day and then once a day.
//
// A device whose power is cut after each short drive never comes to accrueFirst, and what it does not write
// it does not know later. So each boot draws, by its ID, when it comes to its first write: evenly from
// accrueSpreadMax, and so seldom within a short drive, while little has been counted since the last signed
// time; from accrueSpreadMin, and so more often, once that has come to hours: then it may be that somebody
// holds newer timestamps back.
const (
	accrueEarliest  = 5 * time.Minute
	accrueFirst     = 30 * time.Minute
	accrueEvery     = 24 * time.Hour
	accrueSpreadMin = time.Hour
	accrueSpreadMax = 4 * time.Hour
)

// at returns the floor of the effective time at an uptime of this boot: the later of what the publisher's
// word and the build's say, each with the uptime since. No clock reading goes into it.
func (t TimeFloor) at(build time.Time, bootID string, uptime time.Duration) time.Time {
	passed := t.passed(bootID, uptime)
	if t.Built.Equal(build) {
		build = build.Add(max(0, t.Ran+passed))
	}
	if signed := t.SignedAt.Add(t.Accrued + passed); signed.After(build) {
		return signed
	}
	return build
}

// passed is the uptime that is not part of Accrued and Ran yet.
func (t TimeFloor) passed(bootID string, uptime time.Duration) time.Duration {
	if t.BootID == bootID {
		return max(0, uptime-t.At)
	}
	return uptime
}

// until returns the floor with the uptime until now made part of it.
func (t TimeFloor) until(bootID string, uptime time.Duration) TimeFloor {
	passed := t.passed(bootID, uptime)
	if !t.SignedAt.IsZero() {
		t.Accrued += passed
	}
	if !t.Built.IsZero() {
		t.Ran += passed
	}
	t.BootID, t.At = bootID, uptime
	return t
}

// from returns the floor for a process of this build that starts now. Of another build's uptime nothing
// counts for it: it may have been built just now, and put in place in this very boot. So an image whose build
// time lies ahead does no harm to the next one.
func (t TimeFloor) from(build time.Time, bootID string, uptime time.Duration) TimeFloor {
	if !t.Built.Equal(build) {
		t.Built, t.Ran = build, -t.passed(bootID, uptime)
	}
	return t
}

// learn returns the floor after a trusted timestamp with this signed time; ok is false where it is no news.
// Time does not go back: a time before the floor, with which a mirror may have waited for long, makes no more
// than the uptime durable that it is below. So SignedAt stays with its own keys until a later time has
// overtaken all that was made of it.
func (t TimeFloor) learn(signedAt time.Time, by []verifier.KeyHash, bootID string, uptime time.Duration) (TimeFloor, bool) {
	if !signedAt.After(t.SignedAt.Add(t.Accrued)) {
		return t, false
	}
	t = t.until(bootID, uptime)
	if signedAt.After(t.SignedAt.Add(t.Accrued)) {
		t.SignedAt, t.Signers, t.Accrued = signedAt, by, 0
	}
	return t, true
}

// judge returns the floor as the trusted root leaves it: what was signed is void when that root revoked the
// keys that signed it. Without that a stolen timestamp key, which can drive the floor far ahead, would lock
// the device out for good. A floor that an older agent kept without its signers counts on if the stored
// timestamp says the same time.
func (t TimeFloor) judge(r *verifier.Refresh) (TimeFloor, bool) {
	if t.Signers == nil && r.SignedAt().Equal(t.SignedAt) {
		t.Signers = r.SignedBy()
		return t, t.Signers != nil
	}
	if t.SignedAt.IsZero() || r.HoldsTime(t.Signers) {
		return t, false
	}
	t.SignedAt, t.Signers, t.Accrued = time.Time{}, nil, 0
	return t, true
}

// accrue returns the floor with the uptime until now made part of it; ok is false while that is not worth a write.
func (t TimeFloor) accrue(bootID string, uptime time.Duration) (TimeFloor, bool) {
	if t.SignedAt.IsZero() && t.Built.IsZero() || t.passed(bootID, uptime) < t.accrueAfter(bootID, uptime) {
		return t, false
	}
	return t.until(bootID, uptime), true
}

// accrueAfter is how much uptime is worth a write at an uptime of this boot.
func (t TimeFloor) accrueAfter(bootID string, uptime time.Duration) time.Duration {
	counted := t.Accrued
	if t.SignedAt.IsZero() {
		counted = t.Ran
	}
	return accrueAfter(bootID, uptime, counted, t.BootID != bootID)
}

// accrueAfter is how much uptime is worth a write where so much was counted before. first: it would be this
// boot's first write.
func accrueAfter(bootID string, uptime, counted time.Duration, first bool) time.Duration {
	step := accrueFirst
	if first {
		spread := max(accrueSpreadMin, accrueSpreadMax-max(0, counted))
		step = min(step, max(accrueEarliest, time.Duration(place("", bootID)*float64(spread))))
	}
	return max(step, min(accrueEvery, uptime/2))
}

// left is how long it takes until so much uptime comes to what is worth a write; where it is not written
// then, it takes as long again.
func left(step, passed time.Duration) time.Duration {
	if passed < step {
		return step - passed
	}
	return step
}

// EffectiveTime is the time by which an agent with this config, floor and machine judges: for whoever looks
// at its store while it does not run.
func (c *Config) EffectiveTime(floor TimeFloor, s System) time.Time {
	now, _, _ := c.effectiveTime(floor, s)
	return now
}

func (c *Config) effectiveTime(learned TimeFloor, s System) (now time.Time, source string, floor time.Time) {
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

// clockCounts reports whether a clock may say that something has not begun yet: it may count at all, and does
// not stand below the floor, which is a lower bound of the time.
func clockCounts(clock time.Time, synchronised, noRTC bool, floor time.Time) bool {
	return (synchronised || !noRTC) && !clock.Before(floor)
}

// certificateTime is the effective time but for one case: a synchronised clock counts also where it is below
// the floor. What a stolen timestamp key made of the floor is void once the root that revokes the key is
// here; that comes over TLS, which must not find all certificates expired. What comes over TLS is verified
// all the same. It judges when a certificate ends; when one begins is judged only by a clock that counts
// (clockCounts).
func certificateTime(clock time.Time, synchronised bool, effective time.Time) time.Time {
	if synchronised {
		return clock
	}
	return effective
}
