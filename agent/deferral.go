package agent

import "time"

// A Deferral counts for how long windows, a metered link or the gate hook have held a component's updates back: in uptime,
// since a device without a clock must come to its update too.
type Deferral struct {
	// Accrued is that uptime as far as it was made durable: as seldom as that of TimeFloor.
	Accrued time.Duration `json:"accrued,omitempty"`
	// BootID and At say in which boot, and at which uptime, Accrued was brought up to date. All of the uptime of a later
	// boot comes on top. An empty BootID: nothing is held back.
	BootID string        `json:"boot_id,omitempty"`
	At     time.Duration `json:"at,omitempty"`
}

// age is for how long updates have been held back.
func (d Deferral) age(bootID string, uptime time.Duration) time.Duration {
	switch d.BootID {
	case "":
		return 0
	case bootID:
		return d.Accrued + max(0, uptime-d.At)
	}
	return d.Accrued + uptime
}

// begin starts to count, or goes on.
func (d Deferral) begin(bootID string, uptime time.Duration) Deferral {
	if d.BootID != "" {
		return d
	}
	return Deferral{BootID: bootID, At: uptime}
}

// accrue returns d with the uptime until now made part of it; ok is false while that is not worth a write.
func (d Deferral) accrue(bootID string, uptime time.Duration) (Deferral, bool) {
	age := d.age(bootID, uptime)
	if d.BootID == "" || age-d.Accrued < d.accrueAfter(bootID, uptime) {
		return d, false
	}
	return Deferral{Accrued: age, BootID: bootID, At: uptime}, true
}

// accrueAfter is how much uptime is worth a write at an uptime of this boot.
func (d Deferral) accrueAfter(bootID string, uptime time.Duration) time.Duration {
	return accrueAfter(bootID, uptime, d.Accrued, d.BootID != bootID || d.Accrued == 0)
}
