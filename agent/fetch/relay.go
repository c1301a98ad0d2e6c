package fetch

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/ota-agent/ota-agent/agent"
)

// probeTimeout bounds the opening of another mirror, one of whose addresses may be dead: meanwhile the one
// that works is not read.
const probeTimeout = 65 * time.Second

// A relay is an image's body that may go on from another mirror, at the byte where it is, where that one is
// faster. Bytes are joined by the rules of resuming, and so only where it is the same file. A mirror that
// fails ends the body: whoever reads it asks again, and then another one is asked.
type relay struct {
	repo *Repository
	ctx  context.Context // ends when the relay is closed
	end  context.CancelFunc
	q    agent.ImageRequest // its From is the next byte

	mirror *mirror
	fresh  bool  // mirror was not known when its bytes began
	window gauge // of the body, where the measure under way began
	// out holds until when a mirror is not asked: it failed, has no such file, or could not prove that it has the same.
	out map[*mirror]time.Time
	err error // sticky

	mu     sync.Mutex
	body   *body
	closed bool
}

// Read implements io.Reader.
func (r *relay) Read(p []byte) (int, error) {
	if r.err != nil || len(p) == 0 {
		return 0, r.err
	}
	if got := r.body.gauge.since(r.window); got.spent >= measureTime {
		r.steer(got.rate())
	}
	n, err := r.body.Read(p)
	r.q.From += int64(n)
	r.err = err
	return n, err
}

// steer takes what was measured, and goes on from the mirror that is best now.
func (r *relay) steer(rate float64) {
	m := &r.repo.targets
	m.measured(r.mirror, rate)
	c := course{left: r.q.Length - r.q.From, bandwidth: r.repo.throttle.bandwidth(), spent: r.body.gauge.spent, fresh: r.fresh}
	r.window, r.fresh = *r.body.gauge, false
	for r.ctx.Err() == nil {
		list := r.able()
		c.sights, c.current = m.sights(list, r.mirror)
		if next := list[c.next()]; next == r.mirror || r.change(next) {
			return
		}
	}
}

// able are the mirrors that may go on, in their order: the one under way, and those that neither rest nor are out.
func (r *relay) able() (list []*mirror) {
	now := time.Now()
	for _, s := range r.repo.targets.order(true) {
		if s == r.mirror || now.After(r.out[s]) && !r.repo.targets.rests(s, now) {
			list = append(list, s)
		}
	}
	if !slices.Contains(list, r.mirror) {
		list = append(list, r.mirror) // a medium that was pulled, or one that another image was refused from
	}
	return list
}

// change goes on from next, and says whether it could. Where not, all is as it was, and next is out.
func (r *relay) change(next *mirror) bool {
	agent.Moved(r.ctx)
	ctx, cancel := context.WithCancel(r.ctx)
	timer := time.AfterFunc(probeTimeout, cancel)
	b, err := r.join(ctx, next)
	if !timer.Stop() && err == nil {
		b.Close()
		err = context.Canceled
	}
	if err != nil {
		cancel()
		r.out[next] = time.Now().Add(measuredFor)
		if r.ctx.Err() == nil && !errors.Is(err, agent.ErrAbsent) {
			if errors.Is(err, context.Canceled) {
				err = problem(agent.ReasonUnreachable, next.String(), "no answer within %v", probeTimeout)
			}
			r.repo.targets.failed(next, err)
		}
		return false
	}
	r.repo.targets.gives(next, r.q.Name, r.q.From)
	r.repo.log.Info("an image goes on from another mirror", slog.String("image", clip(r.q.Name, 80)), slog.Int64("from", r.q.From),
		slog.String("left", r.mirror.String()), slog.String("mirror", next.String()))
	b.cancel = cancel
	_, known := r.repo.targets.sight(next)
	r.mirror, r.fresh, r.window = next, !known, gauge{}
	r.take(b)
	return true
}

// join opens next at the very byte. Absence, and a file that can't be proven to be the same one, are no failures.
func (r *relay) join(ctx context.Context, next *mirror) (*body, error) {
	b, _, from, err := r.repo.open(ctx, next, r.q)
	if err == nil && from != r.q.From {
		b.Close()
		err = agent.ErrAbsent
	}
	return b, err
}

// take makes b the body. The one before it is given up: what it had on its way is lost.
func (r *relay) take(b *body) {
	r.mu.Lock()
	old := r.body
	r.body = b
	closed := r.closed
	r.mu.Unlock()
	old.Close()
	if closed {
		b.Close()
	}
}

// Close implements io.Closer. A Read under way ends: Close may be called beside it.
func (r *relay) Close() error {
	r.end()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closed = true
	return r.body.Close()
}
