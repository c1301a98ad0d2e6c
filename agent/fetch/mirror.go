package fetch

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/ota-agent/ota-agent/agent"
)

// A source is one mirror. image returns the body, its validator and where it begins.
type source interface {
	metadata(ctx context.Context, name string, bytesMax int64) ([]byte, error)
	image(ctx context.Context, r agent.ImageRequest) (*body, string, int64, error)
	local() bool
	String() string
}

// A mirror that failed rests: it is asked last for restMin, doubled by each further failure up to restMax. Then
// the configured order counts again.
const (
	restMin = time.Minute
	restMax = time.Hour
)

// Mirrors are an ordered list with each one's health.
type mirrors struct {
	log *slog.Logger

	mu   sync.Mutex
	list []*mirror
	last *mirror // that answered last
}

type mirror struct {
	source
	failures int
	until    time.Time // it rests
}

// order is the configured one, the resting ones behind: they are still asked when nobody else helps.
func (m *mirrors) order() []*mirror {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := time.Now()
	var up, resting []*mirror
	for _, s := range m.list {
		if now.Before(s.until) {
			resting = append(resting, s)
		} else {
			up = append(up, s)
		}
	}
	return append(up, resting...)
}

// answered notes that s is in order, be its answer absence.
func (m *mirrors) answered(s *mirror) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.last = s
}

// served notes that s did all it should.
func (m *mirrors) served(s *mirror) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.last, s.failures, s.until = s, 0, time.Time{}
}

// failed lets s rest. What the caller interrupted is nobody's failure.
func (m *mirrors) failed(s *mirror, err error) {
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	rest := restMin
	for range min(s.failures, 10) {
		rest = min(2*rest, restMax)
	}
	s.failures++
	if p, ok := errors.AsType[*agent.Problem](err); ok {
		rest = max(rest, p.RetryAfter)
	}
	s.until = time.Now().Add(rest)
	if len(m.list) > 1 {
		m.log.Warn("mirror rests", slog.String("mirror", s.String()), slog.Duration("rest", rest), slog.Any("err", err))
	}
}

// refused lets the mirror rest that answered last: its bytes did not verify.
func (m *mirrors) refused() {
	m.mu.Lock()
	last := m.last
	m.mu.Unlock()
	if last != nil {
		m.failed(last, errRefused)
	}
}

var errRefused = errors.New("what it served was refused")

// each asks one mirror after the other until one has it. Absence ends the search where it is decisive, else
// only when every mirror says so.
func (m *mirrors) each(ctx context.Context, decisive bool, try func(*mirror) error) error {
	var absent error
	var failures []error
	for _, s := range m.order() {
		if ctx.Err() != nil {
			return &interruption{where: s.String(), err: ctx.Err()}
		}
		err := try(s)
		switch {
		case err == nil:
			return nil
		case ctx.Err() != nil:
			return err
		case errors.Is(err, agent.ErrAbsent):
			m.answered(s)
			if decisive {
				return err
			}
			absent = err
		default:
			m.failed(s, err)
			failures = append(failures, err)
		}
	}
	if len(failures) == 0 {
		return absent
	}
	return combine(failures)
}

// combine makes one Problem of all mirrors' failures: its reason is the first that asking again may mend.
func combine(failures []error) error {
	if len(failures) == 1 {
		return failures[0]
	}
	var first, hopeful *agent.Problem
	texts := make([]string, len(failures))
	retryAfter := retryAfterMax
	for i, err := range failures {
		texts[i] = err.Error()
		p, ok := errors.AsType[*agent.Problem](err)
		if !ok {
			return errors.Join(failures...)
		}
		if first == nil {
			first = p
		}
		if hopeful == nil && !agent.Permanent(p.Reason) {
			hopeful = p
		}
		retryAfter = min(retryAfter, p.RetryAfter)
	}
	if hopeful == nil {
		hopeful = first
	}
	return &agent.Problem{Reason: hopeful.Reason, RetryAfter: retryAfter, Err: errors.Join(failures...),
		Text: fmt.Sprintf("all %d mirrors failed: %s", len(failures), strings.Join(texts, "; "))}
}
