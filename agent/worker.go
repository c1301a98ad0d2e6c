package agent

import (
	"context"
	"errors"
	"io"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ota-agent/ota-agent/verifier"
)

// A refresh, a download and a look at the surroundings run in workers, beside the engine. What a worker waits
// for has bounds of its own, and these may fail: in a library, in the kernel, in our own code. So the engine
// has bounds, too, and enforces them without the worker's help: it abandons the worker, tells that, and goes
// on. An abandoned worker may come back at any time. It must do no harm then.

// Bounds of workers.
const (
	// silenceMax is how long a refresh or a download may get no further (Moved). It is longer than each wait
	// that the config of the repository allows: 9 min for one answer's header, 10 min for one byte of its
	// body.
	silenceMax = 15 * time.Minute
	// trialSilenceMax counts instead once a trial's deadline is over and the trial has not reached the
	// repository: as long as the default time-outs give one server for its answer's header.
	trialSilenceMax = 90 * time.Second
	// refreshMax bounds a refresh, however slowly it gets on: 64 MiB, the most that the limits allow for one
	// file, take 37 h at the default rate_min. A download has no such bound: it takes what its size and the
	// link take.
	refreshMax = 48 * time.Hour
	// lookMax bounds a look at the surroundings: it reads some small files.
	lookMax = 30 * time.Second
	// abandonedMax bounds the workers that are left behind and have not come back: each may hold a
	// connection, and as much memory as the largest metadata file. One more is not abandoned. Then the
	// watchdog starves, and the service manager starts the process anew.
	abandonedMax = 4
	// stopMax is how long Run waits for its workers when it ends.
	stopMax = 5 * time.Second
)

// errAbandoned is what a worker meets that was abandoned.
var errAbandoned = errors.New("this worker was abandoned: nothing of it counts any more")

// A worker is one run of a task, as far as its own goroutine and the engine share it. A nil worker is the
// engine itself, or a caller that runs no workers: it is never abandoned.
type worker struct {
	began     time.Time
	movedAt   atomic.Int64 // a Duration after began
	abandoned atomic.Bool
	alone     bool  // nothing runs beside it (Agent.Turn)
	metadata  int64 // bytes that came from the repository; its own goroutine's
	handed    int64 // bytes of documents that the verifier got since the last collection; its own goroutine's

	mu   sync.Mutex // held while the partial file is touched
	part Partial    // that it has open; nil: none

	bodyMu sync.Mutex
	body   io.Closer // that it reads; nil: none
}

type workerKey struct{}

// workerOf is the worker that runs with ctx, or nil.
func workerOf(ctx context.Context) *worker {
	w, _ := ctx.Value(workerKey{}).(*worker)
	return w
}

func (w *worker) context(ctx context.Context) context.Context {
	return WithMoved(context.WithValue(ctx, workerKey{}, w), w.moved)
}

type movedKey struct{}

// WithMoved has Moved call f.
func WithMoved(ctx context.Context, f func()) context.Context {
	return context.WithValue(ctx, movedKey{}, f)
}

// Moved notes that the work which runs with ctx got on: bytes came, or another server is asked. Adapters call
// it. Where that stays out for too long the work is abandoned.
func Moved(ctx context.Context) {
	if moved, ok := ctx.Value(movedKey{}).(func()); ok {
		moved()
	}
}

// hears notes how much metadata came, and heard says how much that is.
func (w *worker) hears(bytes int) {
	if w != nil {
		w.metadata += int64(bytes)
	}
}

func (w *worker) heard() int64 {
	if w == nil {
		return 0
	}
	return w.metadata
}

// hands notes how many bytes of documents the verifier got.
func (w *worker) hands(bytes int) {
	if w != nil {
		w.handed += int64(bytes)
	}
}

// collect has the memory of large documents collected that the verifier is done with.
func (w *worker) collect() {
	if w != nil && w.handed > largeBytes {
		w.handed = 0
		runtime.GC()
	}
}

func (w *worker) moved() {
	if w != nil {
		w.movedAt.Store(int64(time.Since(w.began)))
	}
}

// ran is for how long the worker has run, and silent for how long it has got no further. The clock is that of
// the process, which stands still in a suspend: who slept is not overdue for that.
func (w *worker) ran() (ran, silent time.Duration) {
	ran = time.Since(w.began)
	return ran, ran - time.Duration(w.movedAt.Load())
}

func (w *worker) isAbandoned() bool { return w != nil && w.abandoned.Load() }

// abandon lets nothing that the worker does have any effect from now on. The caller holds the ledger's lock
// (ledger.abandon), so that no commit of the worker is under way. It does not wait: what the worker touches
// just now is closed behind it.
func (w *worker) abandon() {
	w.abandoned.Store(true)
	if w.alone {
		w.settle()
		return
	}
	go w.settle()
	w.bodyMu.Lock()
	defer w.bodyMu.Unlock()
	if w.body != nil {
		go w.body.Close() // it may hang as its Read does
	}
}

// settle closes an abandoned worker's partial file. Whoever touches the file just now does it afterwards
// instead. So the file is open, and can't be opened by another worker, for as long as a write of this one may
// still be under way.
func (w *worker) settle() {
	if !w.abandoned.Load() || !w.mu.TryLock() {
		return
	}
	defer w.mu.Unlock()
	if w.part != nil {
		_ = w.part.Close() // what was not flushed may be lost, as in a crash
		w.part = nil
	}
}

// touch runs f, which touches what is durable, unless the worker was abandoned.
func (w *worker) touch(f func() error) error {
	defer w.settle()
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.isAbandoned() {
		return errAbandoned
	}
	return f()
}

// reads notes what the worker reads, so that it can be closed for it.
func (w *worker) reads(body io.Closer) {
	if w == nil {
		return
	}
	w.bodyMu.Lock()
	defer w.bodyMu.Unlock()
	w.body = body
	if body != nil && w.isAbandoned() {
		go body.Close()
	}
}

// fencedImages let an abandoned worker touch no partial file.
type fencedImages struct {
	Images
	worker *worker
}

// fenced are the images as the worker that runs with ctx may touch them.
func fenced(ctx context.Context, images Images) Images {
	if w := workerOf(ctx); w != nil {
		return fencedImages{images, w}
	}
	return images
}

// Partial implements Images.
func (f fencedImages) Partial(t verifier.Target) (part Partial, err error) {
	err = f.worker.touch(func() error {
		part, err = f.Images.Partial(t)
		f.worker.part = part
		return err
	})
	if err != nil {
		return nil, err
	}
	return fencedPartial{part, f.worker}, nil
}

// A fencedPartial is a worker's partial file: what touches the file fails once the worker was abandoned.
type fencedPartial struct {
	Partial
	worker *worker
}

// Durable implements Partial. The file may be closed while it is read: that is an error like any other.
func (p fencedPartial) Durable() (r io.Reader) {
	r = failing{errAbandoned}
	_ = p.worker.touch(func() error { r = p.Partial.Durable(); return nil }) // the reader says it, too
	return r
}

// SetValidator implements Partial.
func (p fencedPartial) SetValidator(v string) error {
	return p.worker.touch(func() error { return p.Partial.SetValidator(v) })
}

// Write implements Partial.
func (p fencedPartial) Write(b []byte) (n int, err error) {
	err = p.worker.touch(func() error {
		n, err = p.Partial.Write(b)
		return err
	})
	return n, err
}

// Flush implements Partial.
func (p fencedPartial) Flush() error { return p.worker.touch(p.Partial.Flush) }

// Restart implements Partial.
func (p fencedPartial) Restart() error { return p.worker.touch(p.Partial.Restart) }

// Stage implements Partial.
func (p fencedPartial) Stage(v verifier.Verified) error {
	return p.worker.touch(func() error { return p.Partial.Stage(v) })
}

// Close implements Partial. What was abandoned is closed already, or will be.
func (p fencedPartial) Close() error {
	return p.worker.touch(func() error {
		p.worker.part = nil
		return p.Partial.Close()
	})
}

// failing is a reader that only fails.
type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

// A fencedBody is an image on its way, which is closed for a worker that was abandoned, and once only.
type fencedBody struct {
	io.ReadCloser
	worker *worker
	once   sync.Once
}

// Close implements io.Closer.
func (b *fencedBody) Close() (err error) {
	b.once.Do(func() {
		b.worker.reads(nil)
		err = b.ReadCloser.Close()
	})
	return err
}
