package agent

import (
	"fmt"
	"testing"
	"time"
)

func testSchedule() schedule {
	return newSchedule(Config{}.withDefaults(), 0, 0.5)
}

func TestAWakeNeverDelaysAScheduledPoll(t *testing.T) {
	s := testSchedule()
	due := s.next()
	for range 1000 {
		s.hint(Wake{Nonce: "n", Spread: defaultSpreadMax}, "device-1", time.Second)
		if s.next() > due {
			t.Fatalf("a wake moved the next refresh from %s to %s", due, s.next())
		}
	}
}

// TestAHostileBrokerCausesABoundedNumberOfRefreshes: one wake a second for an hour.
func TestAHostileBrokerCausesABoundedNumberOfRefreshes(t *testing.T) {
	s := testSchedule()
	s.ended(nil, 0, 0.5)
	n := 0
	for up := time.Second; up < time.Hour; up += time.Second {
		s.hint(Wake{}, "device-1", up)
		if s.next() <= up {
			s.begun()
			s.ended(nil, up, 0.5)
			n++
		}
	}
	if limit := wakeBurst + 60 + 1; n > limit {
		t.Errorf("%d refreshes in an hour, expected at most %d", n, limit)
	}
	if n < 30 {
		t.Errorf("%d refreshes in an hour: wakes are not followed any more", n)
	}
}

func TestSpreadIsBoundedAndTheSameForRepeats(t *testing.T) {
	s := newSchedule(Config{SpreadMax: 2 * time.Hour}.withDefaults(), 0, 0.5)
	w := Wake{Nonce: "n", Spread: 1000 * time.Hour}
	if a, b := s.spread(w, "device-1"), s.spread(w, "device-1"); a != b || a < 0 || a >= s.spreadMax {
		t.Errorf("spread %s and %s, expected one value below %s", a, b, s.spreadMax)
	}
	if s.spread(w, "device-1") == s.spread(w, "device-2") {
		t.Error("two devices come at the same moment")
	}
	if got := s.spread(Wake{Spread: -time.Hour}, "device-1"); got != 0 {
		t.Errorf("a negative spread gave %s", got)
	}
	// What is within the bound is not cut: of many devices some come in the second half of a spread of two hours.
	late := 0
	for i := range 100 {
		if s.spread(Wake{Nonce: "n", Spread: 2 * time.Hour}, fmt.Sprint(i)) > time.Hour {
			late++
		}
	}
	if late < 30 || late > 70 {
		t.Errorf("%d of 100 devices come in the second half of the spread", late)
	}
}

func TestFailuresBackOffAndEndWithSuccess(t *testing.T) {
	s := testSchedule()
	last := time.Duration(0)
	for range 20 {
		s.ended(&Problem{Reason: ReasonUnreachable}, 0, 0.999)
		if s.due < last {
			t.Fatalf("the wait fell from %s to %s", last, s.due)
		}
		last = s.due
	}
	if longest := time.Duration(1.5 * float64(defaultPoll)); last > longest {
		t.Errorf("after 20 failures the next poll is in %s, later than a scheduled one (%s)", last, longest)
	}
	s.ended(&Problem{Reason: ReasonServerBusy, RetryAfter: 1000 * time.Hour}, 0, 0.5)
	if s.due > time.Duration(1.5*float64(defaultPoll)) {
		t.Errorf("an absurd Retry-After put the next poll off to %s", s.due)
	}
	s.ended(&Problem{Reason: ReasonUnreachable}, 0, 0.999)
	s.soon(0)
	if s.due > trialRetryMax {
		t.Errorf("on trial the next refresh is in %s, expected at most %s", s.due, trialRetryMax)
	}
	s.ended(nil, 0, 0.5)
	if s.failures != 0 || s.due != defaultPoll {
		t.Errorf("after a success: %d failures, next in %s", s.failures, s.due)
	}
}
