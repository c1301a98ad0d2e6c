package main

import (
	"context"
	"errors"
	"time"
)

const (
	// endMax is how long the parts of the agent have to end once they were told to, beside what a hook has:
	// with closeMax for each of the adapters the process ends within 10 s.
	endMax = 7 * time.Second
	// closeMax is how long an adapter has to close: a disk that hangs keeps no process alive.
	closeMax = time.Second
)

// errLeft says that a part did not end in its time. It ends with the process.
var errLeft = errors.New("a part of the agent does not end")

// Together are parts that run side by side: what ends first ends the rest.
type together struct {
	ctx   context.Context
	stop  context.CancelFunc
	ended chan error
	parts int
}

func newTogether(ctx context.Context) *together {
	ctx, stop := context.WithCancel(ctx)
	return &together{ctx: ctx, stop: stop, ended: make(chan error, partsMax)}
}

// partsMax is more than the agent has parts, so that none waits for somebody to hear that it has ended.
const partsMax = 16

// start runs a part until its context ends.
func (t *together) start(run func(context.Context) error) {
	t.parts++
	go func() { t.ended <- run(t.ctx) }()
}

// wait waits until all parts have ended, the others no longer than patience after the first. It returns the
// first error, or errLeft.
func (t *together) wait(patience time.Duration) (err error) {
	defer t.stop()
	stopped := t.ctx.Done()
	var over <-chan time.Time
	for t.parts > 0 {
		select {
		case e := <-t.ended:
			t.parts--
			t.stop()
			if err == nil {
				err = e
			}
		case <-stopped:
			stopped, over = nil, time.After(patience)
		case <-over:
			if err == nil {
				err = errLeft
			}
			return err
		}
	}
	return err
}

// inTime runs what may hang, and goes on without it after closeMax. It reports whether it came to its end.
func inTime(act func()) bool {
	done := make(chan struct{})
	go func() { defer close(done); act() }()
	select {
	case <-done:
		return true
	case <-time.After(closeMax):
		return false
	}
}
