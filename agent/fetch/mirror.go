package fetch

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/ota-agent/ota-agent/agent"
)

// A source is one mirror. image returns the body, its validator and where it begins.
type source interface {
	// metadata fails with a lateError where it hurries and the file would take long.
	metadata(ctx context.Context, name string, bytesMax int64, hurry bool) ([]byte, error)
	image(ctx context.Context, r agent.ImageRequest) (*body, string, int64, error)
	local() bool
	String() string
}

// A mirror that failed rests: it is asked last for restMin, doubled by each further failure up to restMax. Then
// the configured order counts again. One whose bytes did not verify rests for restRefused: longer than it takes to
// download a lie from each of the others.
const (
	restMin     = time.Minute
	restMax     = time.Hour
	restRefused = 6 * time.Hour
)

// Mirrors are an ordered list with each one's health.
type mirrors struct {
	log *slog.Logger
	// media lists the mirrors that are plugged in now; with mediaFirst they come before the configured ones.
	media      func() []*mirror
	mediaFirst bool

	mu    sync.Mutex
	list  []*mirror // the configured ones
	last  *mirror   // that answered last
	gifts []gift    // the oldest first
}

// A gift says whose bytes an image may hold: it may have been resumed at another mirror.
type gift struct {
	image  string
	givers []*mirror
	last   *mirror // of them
}

// giftsMax bounds how many images are remembered: as many as there can be components.
const giftsMax = 32

type mirror struct {
	source
	*health
}

// A health is what a mirror did so far. Those on a medium outlive it: see memory.
type health struct {
	failures int
	until    time.Time // it rests
	refused  bool      // it rests since its bytes did not verify
	rate     float64   // as last measured, bytes per second
	measured time.Time // when that was; zero: never
}

// order is the configured one. The resting ones come behind, who rests shortest first: they are still asked when nobody
// else helps. But with costly set nobody is asked for the same lie again while there is one who has not lied.
func (m *mirrors) order(costly bool) []*mirror {
	list := m.all()
	m.mu.Lock()
	defer m.mu.Unlock()
	now := time.Now()
	var up, resting, refused []*mirror
	for _, s := range list {
		switch {
		case !now.Before(s.until):
			up = append(up, s)
		case costly && s.refused:
			refused = insert(refused, s)
		default:
			resting = insert(resting, s)
		}
	}
	if order := append(up, resting...); len(order) > 0 {
		return order
	}
	return refused
}

// all are the configured mirrors and those on media, in their order.
func (m *mirrors) all() []*mirror {
	list := m.media()
	if m.mediaFirst {
		return append(list, m.list...)
	}
	return append(append([]*mirror(nil), m.list...), list...)
}

// insert keeps a list of resting mirrors in the order of their rests' ends.
func insert(list []*mirror, s *mirror) []*mirror {
	list = append(list, s)
	for i := len(list) - 1; i > 0 && list[i].until.Before(list[i-1].until); i-- {
		list[i], list[i-1] = list[i-1], list[i]
	}
	return list
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
	m.last, s.failures, s.until, s.refused = s, 0, time.Time{}, false
}

// gives notes that s gives an image's bytes from a place on.
func (m *mirrors) gives(s *mirror, image string, from int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	g := m.takeGift(image)
	if from == 0 {
		g.givers = nil
	}
	if !slices.Contains(g.givers, s) {
		g.givers = append(g.givers, s)
	}
	g.last = s
	m.gifts = append(m.gifts, g)
	if len(m.gifts) > giftsMax {
		m.gifts = m.gifts[1:]
	}
}

// takeGift is called with the lock held.
func (m *mirrors) takeGift(image string) gift {
	for i, g := range m.gifts {
		if g.image == image {
			m.gifts = slices.Delete(m.gifts, i, i+1)
			return g
		}
	}
	return gift{image: image}
}

// failed lets s rest. What the caller interrupted is nobody's failure.
func (m *mirrors) failed(s *mirror, err error) {
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	rest := restAfter(s.failures)
	s.failures++
	if p, ok := errors.AsType[*agent.Problem](err); ok {
		rest = max(rest, p.RetryAfter)
	}
	m.rest(s, rest, err)
}

// restAfter is the rest after as many failures before.
func restAfter(failures int) time.Duration {
	rest := restMin
	for range min(failures, 10) {
		rest = min(2*rest, restMax)
	}
	return rest
}

// rest is called with the lock held.
func (m *mirrors) rest(s *mirror, rest time.Duration, err error) {
	s.until, s.refused = time.Now().Add(rest), err == errRefused
	if len(m.list) > 1 || s.local() {
		m.log.Warn("mirror rests", slog.String("mirror", s.String()), slog.Duration("rest", rest), slog.Any("err", err))
	}
}

// refused lets the mirror rest that answered last, and says whether one is left that does not rest.
func (m *mirrors) refused() (elsewhere bool) {
	list := m.all()
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.blame(list, []*mirror{m.last})
}

// imageRefused lets the mirror rest whose bytes of an image did not verify, and says whether one is left that
// does not rest. Where several gave a part of the image, those rest that did not bring it to its end: a liar
// can't have the one after it blamed by cutting its own answer short. If it was the last one all the same,
// its next lie has no other giver.
func (m *mirrors) imageRefused(image string) (elsewhere bool) {
	list := m.all()
	m.mu.Lock()
	defer m.mu.Unlock()
	g := m.takeGift(image)
	if len(g.givers) > 1 {
		g.givers = slices.DeleteFunc(g.givers, func(s *mirror) bool { return s == g.last })
	}
	return m.blame(list, g.givers)
}

// imageSource names all whose bytes an image may hold.
func (m *mirrors) imageSource(image string) string {
	m.mu.Lock()
	defer m.mu.Unlock()
	var names []string
	for _, g := range m.gifts {
		for _, s := range g.givers {
			if g.image == image {
				names = append(names, s.String())
			}
		}
	}
	return strings.Join(names, " and ")
}

// lastSource names the mirror that answered last.
func (m *mirrors) lastSource() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.last == nil {
		return ""
	}
	return m.last.String()
}

// elsewhere says whether a mirror is left that does not rest.
func (m *mirrors) elsewhere() bool {
	list := m.all()
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.blame(list, nil)
}

// blame is called with the lock held.
func (m *mirrors) blame(list, suspects []*mirror) (elsewhere bool) {
	now := time.Now()
	for _, s := range list {
		if slices.Contains(suspects, s) {
			m.rest(s, restRefused, errRefused)
		}
		elsewhere = elsewhere || !now.Before(s.until)
	}
	return elsewhere
}

var errRefused = errors.New("what it served was refused")

// local says whether what came last came from a directory; before that, whether all would.
func (m *mirrors) local() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.last != nil {
		return m.last.local()
	}
	for _, s := range m.list {
		if !s.local() {
			return false
		}
	}
	return true
}

// each asks one of these mirrors after the other until one has it. Absence ends the search where it is decisive, else
// only when every mirror says so.
func (m *mirrors) each(ctx context.Context, order iter.Seq[*mirror], decisive bool, try func(*mirror) error) error {
	var absent error
	var failures []error
	for s := range order {
		if ctx.Err() != nil {
			return &interruption{where: s.String(), err: ctx.Err()}
		}
		err := try(s)
		rate, late := isLate(err)
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
		case late: // it is asked again if no other one is faster
			m.measured(s, rate)
			failures = append(failures, err)
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
