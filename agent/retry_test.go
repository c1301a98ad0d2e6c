package agent

import (
	"math"
	"testing"
	"time"
)

func TestBackoff(t *testing.T) {
	const low, high = 30 * time.Second, 24 * time.Hour
	for _, tt := range []struct {
		name    string
		reason  Reason
		attempt int
		jitter  float64
		want    time.Duration
	}{
		{"first, no jitter", ReasonUnreachable, 1, 0, low},
		{"first, half", ReasonUnreachable, 1, 0.5, 45 * time.Second},
		{"fourth, half", ReasonUnreachable, 4, 0.5, 255 * time.Second},
		{"ceiling", ReasonServerBusy, 1000, 1, high},
		{"a reason nobody listed", "something_new", 1, 0.5, 45 * time.Second},
		{"a login page is looked at soon", ReasonCaptivePortal, 1, 1, time.Minute},
		{"a login page is looked at less often each time", ReasonCaptivePortal, 3, 1, 4 * time.Minute},
		{"a login page is looked at within a quarter of an hour, for ever", ReasonCaptivePortal, 1000, 1, 15 * time.Minute},
		{"a proxy may be mended any moment", ReasonProxy, 1000, 1, 15 * time.Minute},
		{"who wants to be paid is asked soon", ReasonPayment, 1, 1, time.Minute},
		{"a stick may come any moment", ReasonNoMedium, 1000, 0.5, 45 * time.Second},
		{"a cut download is taken up within the hour", ReasonCut, 1000, 1, time.Hour},
		{"a lie is not downloaded again soon", ReasonHashMismatch, 1, 0.5, 255 * time.Second},
		{"permanent is not for ever", ReasonHTTP, 1, 0.5, 18 * time.Hour},
		{"permanent at least half of the longest", ReasonWrongHardware, 1, 0, 12 * time.Hour},
	} {
		if got := Backoff(tt.reason, tt.attempt, low, high, tt.jitter); got != tt.want {
			t.Errorf("%s: Backoff(%s, %d, jitter %v) = %v, want %v", tt.name, tt.reason, tt.attempt, tt.jitter, got, tt.want)
		}
	}
}

// TestBackoffBounds: whatever comes in, the wait neither spins nor ends.
func TestBackoffBounds(t *testing.T) {
	reasons := []Reason{"", ReasonUnreachable, ReasonCut, ReasonCaptivePortal, ReasonProxy, ReasonPayment, ReasonTLS, ReasonHTTP, ReasonLocked}
	bounds := []struct{ low, high time.Duration }{
		{time.Second, time.Second}, {time.Second, 24 * time.Hour}, {time.Hour, time.Minute},
		{10 * time.Minute, 20 * time.Minute}, {time.Hour, 30 * 24 * time.Hour},
	}
	for _, r := range reasons {
		for _, b := range bounds {
			for _, attempt := range []int{math.MinInt, -1, 0, 1, 2, 31, 62, 63, 64, math.MaxInt} {
				for _, jitter := range []float64{math.NaN(), math.Inf(-1), -1, 0, 0.25, 0.999, 1, 2, math.Inf(1)} {
					got := Backoff(r, attempt, b.low, b.high, jitter)
					if got < b.low || got > max(b.low, b.high) {
						t.Fatalf("Backoff(%q, %d, %v, %v, %v) = %v", r, attempt, b.low, b.high, jitter, got)
					}
				}
			}
		}
	}
}

// TestBackoffGrows: with the same jitter, a later failure never waits less.
func TestBackoffGrows(t *testing.T) {
	for _, r := range []Reason{ReasonUnreachable, ReasonCut, ReasonNoMedium, ReasonCaptivePortal, ReasonTLS, ReasonHTTP} {
		last := time.Duration(0)
		for attempt := 1; attempt < 40; attempt++ {
			got := Backoff(r, attempt, 30*time.Second, 24*time.Hour, 0.7)
			if got < last {
				t.Errorf("%s: the wait falls from %v to %v at failure %d", r, last, got, attempt)
			}
			last = got
		}
	}
}

func TestRetryTable(t *testing.T) {
	for _, tt := range []struct {
		reason            Reason
		permanent, mirror bool
	}{
		{ReasonHTTP, true, true},
		{ReasonServerBusy, false, true},
		{ReasonUnreachable, false, true},
		{ReasonHashMismatch, false, true},
		{ReasonCaptivePortal, false, true},
		{ReasonProxy, false, true},
		{ReasonPayment, false, true},
		{ReasonWrongHardware, true, false},
		{ReasonDiskFull, false, false},
		{"", false, false},
	} {
		if Permanent(tt.reason) != tt.permanent || NextMirror(tt.reason) != tt.mirror {
			t.Errorf("%s: permanent %v, next mirror %v; want %v, %v", tt.reason,
				Permanent(tt.reason), NextMirror(tt.reason), tt.permanent, tt.mirror)
		}
	}
}
