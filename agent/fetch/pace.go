package fetch

import "time"

// A pace judges how fast a body comes: never silent for longer than idle, and never below bytesMin in a whole
// window. Only time spent waiting for the network is put in: a slow disk, or our own bandwidth cap, is not
// the server's fault. Together with a length the minimum rate is a deadline. Bodies that come side by side
// share the link: all of them together must bring bytesMin, each its part.
type pace struct {
	idle, window time.Duration
	bytesMin     int64 // within a window

	spent  time.Duration // of this window
	got    int64         // in this window
	bodies int           // the most that came side by side in this window

	// goal is how many bytes come in all, where another mirror may be faster: then a body that would take longer than
	// enough is slow, too. 0: there is no other.
	goal int64
	all  gauge
}

// patience is how long the next read may take.
func (p *pace) patience() time.Duration {
	if p.enough() {
		return p.idle
	}
	return min(p.idle, p.window-p.spent)
}

// note takes what a read brought and whether it ended a window with too little.
func (p *pace) note(elapsed time.Duration, bytes int) (slow bool) {
	p.spent += elapsed
	p.got += int64(bytes)
	p.all.spent += elapsed
	p.all.bytes += int64(bytes)
	if p.tooLong() {
		return true
	}
	if p.spent < p.window {
		return false
	}
	slow = !p.enough()
	p.spent, p.got, p.bodies = 0, 0, 0
	return slow
}

// beside notes how many bodies come at this moment, this one included.
func (p *pace) beside(bodies int) { p.bodies = max(p.bodies, bodies) }

func (p *pace) enough() bool { return p.got*int64(max(1, p.bodies)) >= p.bytesMin }

// tooLong says whether the body would take longer than enough, while another mirror may be faster.
func (p *pace) tooLong() bool {
	left := p.goal - p.all.bytes
	if p.goal == 0 || left <= 0 || p.all.spent < measureTime {
		return false
	}
	c := course{left: left, spent: p.all.spent}
	return !c.goodEnough(p.all.rate())
}
