package agent

import "time"

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
func (t TimeFloor) learn(signedAt time.Time, bootID string, uptime time.Duration) (TimeFloor, bool) {
	if !signedAt.After(t.SignedAt) {
		return t, false
	}
	return TimeFloor{SignedAt: signedAt, BootID: bootID, At: uptime}, true
}

// accrue returns the floor with the uptime until now made part of it; ok is false while that is not worth a write.
func (t TimeFloor) accrue(bootID string, uptime time.Duration) (TimeFloor, bool) {
	age := t.age(bootID, uptime)
	if t.SignedAt.IsZero() || age-t.Accrued < accrueAfter(uptime) {
		return t, false
	}
	return TimeFloor{SignedAt: t.SignedAt, Accrued: age, BootID: bootID, At: uptime}, true
}

// accrueAfter is how much uptime is worth a write at an uptime of this boot.
func accrueAfter(uptime time.Duration) time.Duration {
	return max(accrueFirst, min(accrueEvery, uptime/2))
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
