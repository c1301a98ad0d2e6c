package agent

import (
	"strings"
	"testing"
	"time"

	"github.com/ota-agent/ota-agent/verifier"
)

// Where every role has expired, the text names both causes and the likelier one. It weighs who vouches for
// the clock, how long ago the publisher signed last, and how long ago the last role expired.
func TestAllRolesExpiredAtOnce(t *testing.T) {
	const day = 24 * time.Hour
	signed := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	roles := []verifier.RoleInfo{{Role: verifier.Root, Expires: signed.Add(365 * day)}, {Role: verifier.Timestamp, Expires: signed.Add(day)},
		{Role: verifier.Snapshot, Expires: signed.Add(7 * day)}, {Role: verifier.Targets, Expires: signed.Add(90 * day)}}
	for _, tt := range []struct {
		name         string
		clock, floor time.Duration // after the publisher's last word
		synchronised bool
		reason       Reason
		says         string
	}{
		{"a clock that is ten years ahead", 3650 * day, day, false, ReasonClockAhead, "likelier is the former"},
		{"the same, with a time server", 3650 * day, day, true, ReasonExpired, "likelier is the latter: the clock is synchronised"},
		{"a publisher who stopped a year ago", 366 * day, 30 * day, false, ReasonClockAhead, "likelier is the latter: the last role has expired only just"},
		{"a device that has counted for longer than a year", 370 * day, 366 * day, false, ReasonExpired, "it is the latter"},
		{"only the timestamp", 2 * day, day / 2, false, ReasonClockAhead, ""},
		{"only the timestamp, with a time server", 2 * day, day / 2, true, ReasonExpired, ""},
	} {
		d := &clockedDevice{bareDevice: &bareDevice{}, at: signed.Add(tt.clock), synchronised: tt.synchronised}
		e := &engine{p: Ports{System: d}}
		j := &judgement{now: d.at, floor: signed.Add(tt.floor), learned: signed, source: sourceClock}
		p := &Problem{Reason: ReasonExpired, Text: "root version 1: expired"}
		for _, old := range [][]verifier.RoleInfo{roles, nil} { // after a restart only root was loaded, and is refused first
			trusted := roles[:1]
			if tt.says == "" {
				trusted = roles
			}
			got := e.clockAhead(p, j, trusted, old)
			if got.Reason != tt.reason || !strings.Contains(got.Text, tt.says) || strings.Contains(got.Text, "likelier") != strings.Contains(tt.says, "likelier") {
				t.Errorf("%s: got %s: %s", tt.name, got.Reason, got.Text)
			}
			if tt.says != "" && !(strings.Contains(got.Text, "clock") && strings.Contains(got.Text, "publisher has stopped")) {
				t.Errorf("%s: %q does not name both causes", tt.name, got.Text)
			}
		}
	}
}

type clockedDevice struct {
	*bareDevice
	at           time.Time
	synchronised bool
}

func (d *clockedDevice) Clock() (time.Time, bool) { return d.at, d.synchronised }
