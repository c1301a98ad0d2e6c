//go:build linux && amd64

package crash

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ota-agent/ota-agent/verifier"
)

const (
	// imageBytes is long enough for several writes.
	imageBytes = 300 << 10
	// budgetUsual is what an exhaustive test may take, so that all of them together take a few minutes.
	budgetUsual = "90s"
	// unreachedMax is how many per cent of the points may lie behind the end of their run: when the status is asked
	// for and when a hook's answer comes is not the same in each.
	unreachedMax = 5
)

// A campaign strikes at every call on the way from one state of a board to rest with a release.
type campaign struct {
	lab   *lab
	base  *board // as it is before; never run itself
	dir   string // of the clones
	want  published
	hooks bool
	// floors are base's.
	floors verifier.Floors
	calls  []call // of a run without faults
	seed   uint64

	mu   sync.Mutex
	ways map[string]int // how failures were reported
}

// A point is one fault, and what comes after it.
type point struct {
	fault
	powerCut bool // memory and all processes go too; else the service manager starts the agent again
	// then strikes in the recovery, unless it is nil: its call is counted from this fault on.
	then *point
}

func (p point) String() string {
	text := p.fault.String()
	switch {
	case p.how == fails:
	case p.powerCut:
		text += ", with the power"
	default:
		text += ", alone"
	}
	if p.then != nil {
		text += "; from there on " + p.then.String()
	}
	return text
}

// seed is a new one, or the one that is to be replayed.
func seed(t *testing.T) uint64 {
	t.Helper()
	text := os.Getenv("OTA_CRASH_SEED")
	if text == "" {
		return rand.Uint64()
	}
	s, err := strconv.ParseUint(text, 10, 64)
	must(t, err)
	return s
}

// budget is how long an exhaustive test may take; 0: as long as it takes.
func budget(t *testing.T, usual string) time.Duration {
	t.Helper()
	d, err := time.ParseDuration(cmp.Or(os.Getenv("OTA_CRASH_BUDGET"), usual))
	must(t, err)
	return d
}

// newUpdate prepares a device that runs release 1, and knows it, in a repository that offers release 2.
func newUpdate(t *testing.T, hooks bool) *campaign {
	t.Helper()
	l := newLab(t)
	one := l.publish(t, imageBytes)
	base := newBoard(t, l, one)
	must(t, (&story{board: base, want: one}).run(t.Context(), true))
	base.unplug()
	must(t, base.checkRest(one, verifier.Floors{}))
	return newCampaign(t, base, l.publish(t, imageBytes), hooks)
}

// newCampaign runs the story once without a fault.
func newCampaign(t *testing.T, base *board, want published, hooks bool) *campaign {
	t.Helper()
	c := &campaign{lab: base.lab, base: base, dir: shortDir(t), want: want, hooks: hooks, seed: seed(t)}
	var err error
	c.floors, err = base.checkStore(verifier.Floors{})
	must(t, err)
	b, err := base.clone(filepath.Join(c.dir, "reference"))
	must(t, err)
	t.Cleanup(b.unplug)
	var wrong error
	s := &story{board: b, want: want, traced: true, hooks: hooks, moment: func() { wrong = cmp.Or(wrong, b.checkSlots()) }}
	must(t, s.run(t.Context(), true))
	b.unplug()
	must(t, wrong)
	must(t, b.checkRest(want, c.floors))
	c.calls = s.calls
	return c
}

// run strikes at points in the seed's order, several boards at once, until all are done or the time is over.
func (c *campaign) run(t *testing.T, points []point, strike func(context.Context, point) error) {
	t.Helper()
	limit := budget(t, budgetUsual)
	order := rand.New(rand.NewPCG(c.seed, 0)).Perm(len(points))
	begun := time.Now()
	var next, ran, unreached atomic.Int64
	var all sync.WaitGroup
	for range runtime.NumCPU() + 1 {
		all.Go(func() {
			for n := int(next.Add(1)) - 1; n < len(order) && !t.Failed(); n = int(next.Add(1)) - 1 {
				if limit > 0 && time.Since(begun) > limit {
					return
				}
				p := points[order[n]]
				err := strike(t.Context(), p)
				if errors.Is(err, errUnreached) {
					unreached.Add(1)
				} else if err != nil {
					t.Errorf("seed %d: %v (%v of %d): %v", c.seed, p, c.calls[p.at-1], len(c.calls), err)
				}
				ran.Add(1)
			}
		})
	}
	all.Wait()
	what, most := "crash points", int64(unreachedMax)
	if points[0].then != nil {
		what, most = "pairs of faults", pairsUnreachedMax
	}
	t.Logf("%d of %d %s at %d system calls ran in %v; seed %d; %d lay behind the end of their run",
		ran.Load(), len(points), what, len(c.calls), time.Since(begun).Round(time.Second), c.seed, unreached.Load())
	if unreached.Load()*100 > ran.Load()*most {
		t.Errorf("%d of %d faults never struck", unreached.Load(), ran.Load())
	}
}

// count notes how a failure was reported.
func (c *campaign) count(errno unix.Errno, way string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ways == nil {
		c.ways = map[string]int{}
	}
	c.ways[unix.ErrnoName(errno)+" "+way]++
}

// errUnreached: the run came to rest before the fault could strike.
var errUnreached = errors.New("the run ended before the fault")

// strikeDead kills at p, checks what is left, and lets the device run on to its rest.
func (c *campaign) strikeDead(ctx context.Context, p point) error {
	b, err := c.base.clone(filepath.Join(c.dir, strconv.Itoa(p.at)+string(p.how)))
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(b.dir) }()
	defer b.unplug()
	s := &story{board: b, want: c.want, traced: true, hooks: c.hooks, faults: []fault{p.fault}}
	if err := s.run(ctx, true); err == nil {
		return errUnreached
	} else if !errors.Is(err, errStruck) {
		return err
	}
	if p.powerCut {
		b.unplug()
	}
	floors, err := b.checkStore(c.floors)
	if err := errors.Join(err, b.checkSlots()); err != nil {
		return fmt.Errorf("right after it: %w\n%s", err, s.tail())
	}
	after := &story{board: b, want: c.want}
	err = after.run(ctx, p.powerCut)
	b.unplug()
	if err == nil && len(after.exits) > 0 {
		err = fmt.Errorf("the agent ended by itself afterwards: %v", statusTexts(after.exits))
	}
	if err == nil {
		err = b.checkRest(c.want, floors)
	}
	if err != nil {
		return fmt.Errorf("afterwards: %w\n%s\n-- then --\n%s", err, s.tail(), after.tail())
	}
	return nil
}

// deaths are all points at which the process, or the power, goes.
func (c *campaign) deaths() (points []point) {
	random := rand.New(rand.NewPCG(c.seed, 1))
	for n := range c.calls {
		for _, how := range []how{diesBefore, diesAfter} {
			points = append(points, point{fault: fault{at: n + 1, how: how}, powerCut: c.hooks || random.IntN(2) == 0})
		}
	}
	return points
}

func statusTexts(all []unix.WaitStatus) (texts []string) {
	for _, ws := range all {
		if ws.Signaled() {
			texts = append(texts, ws.Signal().String())
		} else {
			texts = append(texts, fmt.Sprintf("exit %d", ws.ExitStatus()))
		}
	}
	return texts
}
