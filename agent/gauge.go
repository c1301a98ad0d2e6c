package agent

import (
	"sync"
	"time"
)

// The rate of a download is what came within the last rateWindow: on a link whose rate changes, a mean since the start
// would foretell the time left wrongly for the rest of the download.
const (
	rateWindow = 10 * time.Second
	// rateMark is the time between two marks, and so the window's error.
	rateMark = time.Second
)

// A gauge measures a running download. The download tells it what came, the engine asks it for the status document.
// Times are uptimes.
type gauge struct {
	mu                   sync.Mutex
	total, resumed, done int64
	at                   time.Duration // of the last bytes
	// marks go back to where the window begins, or to the beginning of this run.
	marks []mark
}

// A mark says how many bytes were there at a time.
type mark struct {
	at   time.Duration
	done int64
}

// note takes how many bytes are there, and how many there were when this run began.
func (g *gauge) note(done, resumed int64, up time.Duration) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.marks) == 0 || resumed != g.resumed || done < g.done {
		g.marks, g.resumed, g.done = append(g.marks[:0], mark{up, done}), resumed, done
	}
	if up-g.marks[len(g.marks)-1].at >= rateMark {
		g.marks = append(g.marks, mark{up, g.done})
	}
	for len(g.marks) > 1 && g.marks[1].at <= up-rateWindow {
		g.marks = append(g.marks[:0], g.marks[1:]...)
	}
	g.done, g.at = done, up
}

// progress is what the status document shows; nil before the download has looked at what is there.
func (g *gauge) progress(up time.Duration) *Progress {
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.marks) == 0 {
		return nil
	}
	p := &Progress{Done: g.done, Total: g.total, ResumedFrom: g.resumed}
	if up-g.at >= rateWindow {
		return p // nothing came within the window
	}
	base := g.marks[0]
	for _, m := range g.marks {
		if m.at <= up-rateWindow {
			base = m
		}
	}
	if ms := (up - max(base.at, up-rateWindow)).Milliseconds(); ms > 0 {
		p.Rate = (g.done - base.done) * 1000 / ms
	}
	if p.Rate > 0 {
		p.Left = Seconds((g.total - g.done + p.Rate - 1) / p.Rate)
	}
	return p
}
