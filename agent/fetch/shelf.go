package fetch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ota-agent/ota-agent/agent"
)

// A shelf is a mirror in a directory. It obeys the pace and the time-outs of a server, and an aide does all
// that may hang.
type shelf struct {
	directory
	aides *aides
	pace  pace          // of each file
	open  time.Duration // bounds the opening of one
}

func (s *shelf) local() bool { return true }

func (s *shelf) metadata(ctx context.Context, name string, bytesMax int64, hurry bool) ([]byte, error) {
	if !encoded(name) {
		return nil, malformedName(name)
	}
	// The file has the name under which a web server would find it.
	path, err := url.PathUnescape(name)
	if err != nil {
		return nil, malformedName(name)
	}
	f, size, err := s.find(ctx, path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if size > bytesMax {
		return nil, problem(agent.ReasonTooLarge, f.where(), "the file has %d bytes, at most %d are allowed", size, bytesMax)
	}
	if hurry {
		f.pace.goal = size
	}
	b := make([]byte, size+1)
	n, err := io.ReadFull(f, b)
	switch {
	case err == nil:
		return nil, problem(agent.ReasonTooLarge, f.where(), "the file grows while it is read")
	case err != io.EOF && err != io.ErrUnexpectedEOF:
		return nil, err
	}
	return b[:n:n], nil
}

// image starts over unless the name carries the hash: a medium has nothing that proves a file to be the same.
func (s *shelf) image(ctx context.Context, r agent.ImageRequest) (*body, string, int64, error) {
	if err := checkImageName(r.Name); err != nil {
		return nil, "", 0, err
	}
	f, size, err := s.find(ctx, r.Name)
	if err != nil {
		return nil, "", 0, err
	}
	if size != r.Length {
		f.Close()
		return nil, "", 0, otherLength(f.where(), size, r.Length)
	}
	if addressed(r.Name) {
		f.at = r.From
	}
	return &body{src: f, where: f.where, gauge: &f.gauge, left: r.Length - f.at}, "", f.at, nil
}

// find opens a file.
func (s *shelf) find(ctx context.Context, name string) (*file, int64, error) {
	ctx, kill := context.WithCancel(ctx)
	f := &file{shelf: s, ctx: ctx, kill: kill, name: name, pace: s.pace}
	if err := f.interrupted(); err != nil {
		kill()
		return nil, 0, err
	}
	a, err := s.aides.borrow(s.path)
	if err != nil {
		kill()
		return nil, 0, err
	}
	f.aide = a
	r, _, err := a.ask(ctx, aideAsk{Verb: aideOpen, Path: []byte(s.path), Below: []byte(s.below), Name: []byte(name)}, nil, s.open)
	if err != nil {
		return nil, 0, f.end(err, fmt.Sprintf("not opened within %v", s.open))
	}
	a.holds = true
	return f, r.Size, nil
}

// A file is one that an aide has open.
type file struct {
	shelf *shelf
	ctx   context.Context // ends when the file is closed
	kill  context.CancelFunc
	name  string
	at    int64
	pace  pace
	gauge gauge

	closed atomic.Bool
	mu     sync.Mutex // held while the aide is asked
	aide   *aide      // nil: it was given back or left
	err    error      // sticky
}

func (f *file) where() string { return f.shelf.fileName(f.name) }

func (f *file) interrupted() error {
	if err := f.ctx.Err(); err != nil {
		return &interruption{where: f.where(), err: err}
	}
	return nil
}

// Read fails with a *Problem (no_medium, too_slow, bad_answer), or with the caller's own cancellation.
func (f *file) Read(p []byte) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.err == nil {
		f.err = f.interrupted()
	}
	if f.err == nil && f.closed.Load() {
		f.err = io.ErrClosedPipe
	}
	if f.err != nil || len(p) == 0 {
		return 0, f.err
	}
	p = p[:min(len(p), readBytesMax)]
	begun := time.Now()
	_, n, err := f.aide.ask(f.ctx, aideAsk{Verb: aideRead, At: f.at, Bytes: len(p)}, p, f.pace.patience())
	elapsed := time.Since(begun)
	f.gauge.spent += elapsed
	f.gauge.bytes += int64(n)
	f.at += int64(n)
	if n > 0 {
		agent.Moved(f.ctx)
	}
	if slow := f.pace.note(elapsed, n); slow && err == nil {
		err = errHang
	}
	if err == nil && n == 0 {
		err = io.EOF
	}
	if err != nil {
		f.err = f.end(err, fmt.Sprintf("%v without a byte, or fewer than %d bytes in %v", f.pace.idle, f.pace.bytesMin, f.pace.window))
	}
	return n, f.err
}

// end gives the aide back, or leaves it, and says why.
func (f *file) end(err error, late string) error {
	_, isProblem := errors.AsType[*agent.Problem](err)
	if isProblem || err == io.EOF || errors.Is(err, agent.ErrAbsent) { // answered, and the file is closed
		f.aide.holds = false
		f.shelf.aides.giveBack(f.aide)
	} else {
		f.shelf.aides.leave(f.aide, f.shelf.path)
	}
	f.aide = nil
	defer f.kill()
	switch {
	case f.closed.Load():
		return io.ErrClosedPipe
	case f.interrupted() != nil:
		return f.interrupted()
	case errors.Is(err, errHang) && f.pace.tooLong():
		return tooLong(f.where(), f.pace)
	case errors.Is(err, errHang):
		return problem(agent.ReasonTooSlow, f.where(), "the medium is too slow: %s", late)
	case errors.Is(err, errAide):
		return because(problem(agent.ReasonNoMedium, f.where(), "the file can't be read"), err)
	}
	return err
}

// Close may be called beside a Read, which then ends.
func (f *file) Close() error {
	f.closed.Store(true)
	f.kill()
	if f.mu.TryLock() { // else the Read under way leaves the aide
		defer f.mu.Unlock()
		if f.aide != nil {
			f.shelf.aides.leave(f.aide, f.shelf.path)
			f.aide = nil
		}
	}
	return nil
}
