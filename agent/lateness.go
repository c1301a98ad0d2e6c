package agent

import (
	"fmt"
	"time"

	"github.com/ota-agent/ota-agent/verifier"
)

// A lateness is what is known where all roles have expired at once. That has two causes which look alike: a
// clock that is ahead, and a publisher who has stopped.
type lateness struct {
	now, floor time.Time
	// synchronised: the kernel vouches for the clock.
	synchronised bool
	// signedAt is the newest time that the publisher signed; zero: none.
	signedAt time.Time
	last     time.Time // when the last role expired
}

// lateShare: roles end at different times, so a publisher who stopped leaves a last one that has just ended.
// Where it ended longer ago than this part of the time since the publisher's last word, the clock is rather
// what jumped.
const lateShare = 10

// latenessOf reports whether all roles that are known have expired; old are those of the last refresh that
// succeeded. Root is always among them, and lives longest as a rule.
func latenessOf(t *judgement, synchronised bool, roles, old []verifier.RoleInfo) (lateness, bool) {
	l := lateness{now: t.now, floor: t.floor, synchronised: synchronised, signedAt: t.learned}
	known := map[string]time.Time{}
	for _, r := range append(append([]verifier.RoleInfo{}, old...), roles...) {
		known[r.Role] = r.Expires
	}
	for _, expires := range known {
		if expires.After(t.now) {
			return l, false
		}
		if expires.After(l.last) {
			l.last = expires
		}
	}
	_, root := known[verifier.Root]
	return l, root
}

// certain reports whether the roles have expired whatever the clock says.
func (l *lateness) certain() bool { return !l.floor.Before(l.last) }

// text says what the two causes are, which is likelier, and why.
func (l *lateness) text() string {
	words := fmt.Sprintf("all roles have expired, the last one %s ago: either the device's clock (%s) is ahead, or the publisher has stopped signing; ",
		daysText(l.now.Sub(l.last)), l.now.UTC().Format(time.RFC3339))
	since := "the publisher has signed no time"
	if !l.signedAt.IsZero() {
		since = fmt.Sprintf("the publisher's last word is of %s, %s before", l.signedAt.UTC().Format(time.RFC3339), daysText(l.now.Sub(l.signedAt)))
	}
	spoke := l.signedAt
	if spoke.IsZero() {
		spoke = l.floor
	}
	switch {
	case l.certain():
		return words + "it is the latter: by what was signed, and the uptime since, it is " + l.floor.UTC().Format(time.RFC3339) + " at least"
	case l.synchronised:
		return words + "likelier is the latter: the clock is synchronised; " + since
	case l.now.Sub(l.last) > l.now.Sub(spoke)/lateShare:
		return words + "likelier is the former: nothing vouches for the clock; " + since + "; set the clock"
	}
	return words + "likelier is the latter: the last role has expired only just, as it does when nobody signs; " + since + "; but nothing vouches for the clock"
}

// daysText shows a time in the unit that people would use.
func daysText(d time.Duration) string {
	if d < 48*time.Hour {
		return d.Round(time.Minute).String()
	}
	return fmt.Sprintf("%d days", d/(24*time.Hour))
}
