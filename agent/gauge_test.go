package agent

import (
	"testing"
	"time"
)

// A stretch of a download: so many seconds at so many bytes per second, in pieces of a tenth of a second.
type stretch struct {
	seconds int
	rate    int64
}

// TestRateIsRecent: a download that began fast and became slow, or the other way round, shows how fast it is now.
func TestRateIsRecent(t *testing.T) {
	const total, resumed = 1_000_000, 10_000
	for _, tt := range []struct {
		name string
		come []stretch
		rate int64
		left Seconds // at that rate
	}{
		{"steady", []stretch{{100, 1000}}, 1000, 890},
		{"just begun", []stretch{{2, 5000}}, 5000, 196},
		{"slow after fast", []stretch{{60, 10_000}, {20, 100}}, 100, 3880},
		{"fast after slow", []stretch{{600, 100}, {20, 10_000}}, 10_000, 73},
		{"half of the window each", []stretch{{60, 1000}, {5, 3000}}, 2000, 458},
		{"a pause within the window", []stretch{{60, 1000}, {5, 0}}, 500, 1860},
		{"a pause as long as the window", []stretch{{60, 1000}, {10, 0}}, 0, 0},
		{"a long pause, then fast", []stretch{{60, 100}, {600, 0}, {10, 10_000}}, 10_000, 89},
	} {
		g := &gauge{total: total}
		up, done := 42*time.Hour, int64(resumed)
		if g.progress(up) != nil {
			t.Fatal("a progress before there is one")
		}
		g.note(done, resumed, up)
		for _, s := range tt.come {
			for range 10 * s.seconds {
				up += time.Second / 10
				if s.rate > 0 {
					done += s.rate / 10
					g.note(done, resumed, up)
				}
			}
		}
		p := g.progress(up)
		if p.Done != done || p.Total != total || p.ResumedFrom != resumed {
			t.Errorf("%s: %+v", tt.name, p)
		}
		// A mark per second is exact to a tenth of the window.
		if off := p.Rate - tt.rate; off < -tt.rate/10 || off > tt.rate/10 {
			t.Errorf("%s: %d bytes/s, expected about %d", tt.name, p.Rate, tt.rate)
		}
		if off := p.Left - tt.left; off < -1-tt.left/9 || off > 1+tt.left/9 {
			t.Errorf("%s: %d s left, expected about %d", tt.name, p.Left, tt.left)
		}
		if len(g.marks) > int(rateWindow/rateMark)+2 {
			t.Errorf("%s: %d marks are kept", tt.name, len(g.marks))
		}
	}
}

// TestRateAfterStartingOver: what was thrown away is not counted as negative, nor as fetched.
func TestRateAfterStartingOver(t *testing.T) {
	g := &gauge{total: 1000}
	g.note(900, 800, 0)
	g.note(950, 800, 5*time.Second)
	g.note(0, 0, 6*time.Second)
	g.note(20, 0, 8*time.Second)
	if p := g.progress(8 * time.Second); p.Rate != 10 || p.Left != 98 || p.Done != 20 || p.ResumedFrom != 0 {
		t.Errorf("%+v", p)
	}
}
