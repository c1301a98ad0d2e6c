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

// TestPaceWithAGoal: a body that would take more than eight minutes is given up where another mirror may be
// faster, and never once all of it is here.
func TestPaceWithAGoal(t *testing.T) {
	type step struct {
		elapsed time.Duration
		bytes   int
		slow    bool
	}
	const s = time.Second
	for name, tt := range map[string]struct {
		goal  int64
		steps []step
	}{
		"nobody else":                        {0, []step{{59 * s, 1000, false}, {60 * s, 1000, false}}},
		"not judged before a minute":         {1_000_000, []step{{59 * s, 1000, false}, {s, 1000, true}}},
		"soon done":                          {400_000, []step{{59 * s, 59_000, false}, {60 * s, 60_000, false}}},
		"it gets slower":                     {400_000, []step{{59 * s, 59_000, false}, {59 * s, 40_000, false}, {59 * s, 100, true}}},
		"all is here at the last moment":     {400_000, []step{{59 * s, 390_000, false}, {50 * s, 1000, false}, {400 * s, 9000, false}}},
		"all but a byte after eight minutes": {400_000, []step{{479 * s, 399_999, false}, {2 * s, 0, true}}},
	} {
		p := pace{idle: time.Hour, window: time.Hour, bytesMin: 1, goal: tt.goal}
		for i, st := range tt.steps {
			if got := p.note(st.elapsed, st.bytes); got != st.slow {
				t.Errorf("%s, step %d: slow %v, want %v", name, i+1, got, st.slow)
			}
		}
	}
}
