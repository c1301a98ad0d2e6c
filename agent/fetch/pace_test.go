package fetch

import (
	"testing"
	"time"
)

// TestPace steps through a minute that needs 600 bytes, with 20 s of silence allowed.
func TestPace(t *testing.T) {
	type step struct {
		elapsed  time.Duration
		bytes    int
		slow     bool
		patience time.Duration // afterwards
	}
	const s = time.Second
	for name, steps := range map[string][]step{
		"enough early leaves only the silence to watch": {{s, 600, false, 20 * s}, {19 * s, 1, false, 20 * s}, {39 * s, 1, false, 20 * s},
			{s, 0, false, 20 * s}, {50 * s, 0, false, 10 * s}},
		"too little at the very end of the window": {{20 * s, 100, false, 20 * s}, {20 * s, 100, false, 20 * s}, {19 * s, 100, false, s}, {s, 299, true, 20 * s}},
		"just enough at the very end":              {{59 * s, 599, false, s}, {s, 1, false, 20 * s}},
		"one window's surplus is not the next's":   {{60 * s, 6000, false, 20 * s}, {60 * s, 599, true, 20 * s}},
		"fast":                                     {{0, 1 << 20, false, 20 * s}, {0, 1 << 20, false, 20 * s}},
	} {
		p := pace{idle: 20 * s, window: 60 * s, bytesMin: 600}
		for i, st := range steps {
			if got := p.note(st.elapsed, st.bytes); got != st.slow || p.patience() != st.patience {
				t.Errorf("%s, step %d: slow %v, patience %v; want %v, %v", name, i+1, got, p.patience(), st.slow, st.patience)
			}
		}
	}
}
