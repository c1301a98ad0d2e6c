package fetch

import (
	"context"
	"io"
	"sync/atomic"
	"time"

	"github.com/ota-agent/ota-agent/agent"
)

// A stream is a body under way: it ends when it stalls or creeps, and it keeps to the bandwidth cap.
type stream struct {
	trip     *trip
	src      io.ReadCloser
	throttle *throttle
	pace     pace
	timer    *time.Timer
	gauge    gauge
	err      error // sticky
	closed   atomic.Bool
}

func newStream(t *trip, src io.ReadCloser, th *throttle, p pace) *stream {
	th.bodies.Add(1)
	s := &stream{trip: t, src: src, throttle: th, pace: p}
	s.timer = time.AfterFunc(time.Hour, func() { t.end(errStalled) })
	s.timer.Stop()
	return s
}

// Read fails with a *Problem (too_slow or cut), or with the caller's own cancellation.
func (s *stream) Read(p []byte) (int, error) {
	if s.err != nil {
		return 0, s.err
	}
	if s.err = s.trip.interrupted(); s.err != nil {
		return 0, s.err
	}
	p = p[:s.throttle.chunk(len(p))]
	s.timer.Reset(s.pace.patience())
	begun := time.Now()
	n, err := s.src.Read(p)
	elapsed := time.Since(begun)
	s.timer.Stop()
	s.gauge.spent += elapsed
	s.gauge.bytes += int64(n)
	s.pace.beside(int(s.throttle.bodies.Load()))
	if n > 0 {
		agent.Moved(s.trip.parent)
	}
	if slow := s.pace.note(elapsed, n); slow && err == nil {
		s.trip.end(errStalled)
		err = context.Cause(s.trip.ctx)
	}
	switch {
	case err == io.EOF:
		s.err = io.EOF
		if _, address := s.trip.sentTo(); address.IsValid() {
			s.trip.wire.book.served(address)
		}
	case err != nil:
		s.err = s.trip.explainBody(err, s.pace)
	default:
		if err := s.throttle.wait(s.trip.ctx, n); err != nil {
			s.err = s.trip.explainBody(err, s.pace)
		}
	}
	return n, s.err
}

// Close ends the request, also when bytes are still to come. It may be called beside a Read, and never blocks: TLS may
// take 5 s to say goodbye to a server that takes no bytes.
func (s *stream) Close() error {
	if !s.closed.Swap(true) {
		s.throttle.bodies.Add(-1)
	}
	s.timer.Stop()
	s.trip.end(context.Canceled)
	go s.src.Close()
	return nil
}
