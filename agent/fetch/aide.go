package fetch

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ota-agent/ota-agent/agent"
)

// An Aide is a process that runs ServeMedia; Read and Write are its output and input. A directory may lie on
// a file system whose other side does not answer (FUSE, NFS, a dying stick): who calls the kernel there may
// hang for ever, and no signal ends it. So the agent itself never does: it asks an aide, and leaves one
// behind that hangs.
type Aide interface {
	io.ReadWriter
	// Close kills it. It returns at once, ends a Read and a Write under way, and may be called more than once.
	Close() error
	// Ended is closed when the process is gone. One that hangs in the kernel outlives Close.
	Ended() <-chan struct{}
}

const (
	// leftMax is how many aides may hang at a time: each is a process of a few MB. With so many no directory is looked at,
	// until one of them ends; the network is asked as ever.
	leftMax = 6
	// endWait is how long a killed aide has to end before it counts as one that hangs.
	endWait = time.Second
	// idleMax is how long an aide waits for the next ask: longer than the time between two looks at media.
	idleMax = 3 * mediaEvery
)

var (
	errAide = errors.New("the process that looks at it failed")
	errHang = errors.New("it does not answer")
)

// An aide is one Aide, asked one thing at a time.
type aide struct {
	proc    Aide
	replies *bufio.Reader
	// holds says that it has a file open. It is not asked to close it, since that may hang; it is ended.
	holds bool
	idle  *time.Timer
}

// ask returns the reply and how many of its bytes are in into. A Problem is the reply's; after any other
// error the aide is of no use any more, and the caller leaves it.
func (a *aide) ask(ctx context.Context, q aideAsk, into []byte, patience time.Duration) (aideReply, int, error) {
	var late atomic.Bool
	timer := time.AfterFunc(patience, func() {
		late.Store(true)
		a.proc.Close()
	})
	stop := context.AfterFunc(ctx, func() { a.proc.Close() })
	r, n, err := a.exchange(q, into)
	ended := !stop()
	if !timer.Stop() || late.Load() {
		return r, 0, errHang
	}
	if ended {
		return r, 0, ctx.Err()
	}
	if err != nil {
		return r, 0, err
	}
	return r, n, r.problem()
}

// exchange trusts what comes no more than the medium: lengths are checked, and texts and reasons are its own.
func (a *aide) exchange(q aideAsk, into []byte) (r aideReply, n int, err error) {
	line, err := json.Marshal(q)
	if err != nil || len(line) >= askBytesMax {
		return r, 0, errAide
	}
	if _, err := a.proc.Write(append(line, '\n')); err != nil {
		return r, 0, errAide
	}
	if line, err = a.replies.ReadSlice('\n'); err != nil {
		return r, 0, errAide
	}
	if err := json.Unmarshal(line, &r); err != nil || r.Bytes < 0 || r.Bytes > len(into) || r.Size < 0 {
		return aideReply{}, 0, errAide
	}
	if _, err := io.ReadFull(a.replies, into[:r.Bytes]); err != nil {
		return r, 0, errAide
	}
	return r, r.Bytes, nil
}

// problem is what a reply says went wrong, or nil.
func (r aideReply) problem() error {
	switch {
	case r.Absent:
		return &absence{text: scrub(r.Text)}
	case r.Reason == "":
		return nil
	case !slices.Contains([]agent.Reason{agent.ReasonNoMedium, agent.ReasonBadAnswer, agent.ReasonTooLarge, agent.ReasonMalformed}, r.Reason):
		r.Reason = agent.ReasonBadAnswer
	}
	return problem(r.Reason, "", "%s", r.Text)
}

// An absence is agent.ErrAbsent in the words of who looked.
type absence struct{ text string }

func (a *absence) Error() string { return a.text }
func (a *absence) Unwrap() error { return agent.ErrAbsent }

// aides are the processes that look at directories for this agent.
type aides struct {
	start func() (Aide, error) // nil: in this process
	log   *slog.Logger

	mu     sync.Mutex
	idle   *aide
	left   []leftAide
	closed bool
}

// A leftAide was killed while it was at path.
type leftAide struct {
	path  string
	proc  Aide
	since time.Time
}

// hanging counts those that had their time to end. It is called with the lock held.
func (s *aides) hanging() (n int) {
	for _, l := range s.left {
		if time.Since(l.since) >= endWait {
			n++
		}
	}
	return n
}

// borrow returns an aide for a look at path, or a Problem: an aide that hangs there is enough.
func (s *aides) borrow(path string) (*aide, error) {
	if s.hangs(path) {
		return nil, problem(agent.ReasonNoMedium, "file://"+clip(path, 200), "an earlier look at it still hangs in the kernel; unmount it, or repair what it is mounted from")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.hanging() >= leftMax {
		return nil, problem(agent.ReasonNoMedium, "file://"+clip(path, 200), "not looked at: %d processes hang at other directories, which are as many as may", leftMax)
	}
	if a := s.takeIdle(); a != nil {
		return a, nil
	}
	start := s.start
	if start == nil {
		start = startHere
	}
	p, err := start()
	if err != nil {
		return nil, because(problem(agent.ReasonNoMedium, "file://"+clip(path, 200), "the process that looks at it can't be started"), err)
	}
	return &aide{proc: p, replies: bufio.NewReaderSize(p, replyBytesMax)}, nil
}

// takeIdle returns the aide that waits for work, if it is alive. It is called with the lock held.
func (s *aides) takeIdle() *aide {
	a := s.idle
	s.idle = nil
	if a == nil || !a.idle.Stop() {
		return nil
	}
	select {
	case <-a.proc.Ended():
		a.proc.Close()
		return nil
	default:
		return a
	}
}

// hangs says whether an aide hangs at path. One that was just killed gets its time to end.
func (s *aides) hangs(path string) bool {
	for {
		last := s.lastAt(path)
		if last == nil {
			return false
		}
		timer := time.NewTimer(endWait - time.Since(last.since))
		select {
		case <-last.proc.Ended():
			timer.Stop()
		case <-timer.C:
			return true
		}
	}
}

// lastAt is an aide that was left at path and has not ended, or nil.
func (s *aides) lastAt(path string) *leftAide {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.left = slices.DeleteFunc(s.left, func(l leftAide) bool {
		select {
		case <-l.proc.Ended():
			return true
		default:
			return false
		}
	})
	for _, l := range s.left {
		if l.path == path {
			return &l
		}
	}
	return nil
}

// giveBack keeps an aide for the next ask. The last ask must have been answered.
func (s *aides) giveBack(a *aide) {
	s.mu.Lock()
	keep := !a.holds && s.start != nil && s.idle == nil && !s.closed
	if keep {
		s.idle = a
		a.idle = time.AfterFunc(idleMax, func() { a.proc.Close() })
	}
	s.mu.Unlock()
	if !keep {
		a.proc.Close()
	}
}

// leave kills an aide that did not answer, or that has a file open, at path.
func (s *aides) leave(a *aide, path string) {
	a.proc.Close()
	s.mu.Lock()
	s.left = append(s.left, leftAide{path, a.proc, time.Now()})
	s.mu.Unlock()
	go s.watch(a.proc, path)
}

// watch tells of an aide that does not end.
func (s *aides) watch(p Aide, path string) {
	timer := time.NewTimer(endWait)
	defer timer.Stop()
	select {
	case <-p.Ended():
		return
	case <-timer.C:
	}
	s.mu.Lock()
	n := s.hanging()
	s.mu.Unlock()
	s.log.Warn("a look at a directory hangs in the kernel; its process is left behind", slog.String("path", clip(path, 200)),
		slog.Int("hanging", n), slog.Int("at_most", leftMax))
}

func (s *aides) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	if s.idle != nil {
		s.idle.idle.Stop()
		s.idle.proc.Close()
		s.idle = nil
	}
}

// startHere is an aide in this process: for those who have no directories that may hang, and for tests.
func startHere() (Aide, error) {
	near, far := net.Pipe()
	h := here{Conn: near, ended: make(chan struct{})}
	go func() {
		defer close(h.ended)
		defer far.Close()
		_ = ServeMedia(far, far) // it ends when the other end does
	}()
	return h, nil
}

type here struct {
	net.Conn
	ended chan struct{}
}

func (h here) Ended() <-chan struct{} { return h.ended }
