package agent

import (
	"context"
	"io"
	"log/slog"
	"testing"
	"time"

	"github.com/ota-agent/ota-agent/verifier"
)

// A waiting device is a vendored one whose time goes on when the test says so, and whose downloads fail as
// the test says.
type waiting struct {
	*vendored
	up     time.Duration
	fails  error // of a download; nil: none does
	asked  []time.Duration
	engine *engine
}

func newWaiting(t *testing.T) *waiting {
	w := &waiting{vendored: newVendored(), up: time.Hour}
	w.slots = &Slots{Booted: "A", Primary: "A", Slots: map[string]Slot{"A": {Good: true}, "B": {}}}
	e, err := newEngine(Config{Anchor: w.repo.Anchor(), Components: []Component{aSystem}},
		Ports{Store: w, Images: w, Repository: w, Installer: w, System: w, Random: func() float64 { return 0.5 }}, slog.New(slog.DiscardHandler))
	must(t, err)
	w.engine = e
	return w
}

func (w *waiting) Uptime() time.Duration    { return w.up }
func (w *waiting) Clock() (time.Time, bool) { return w.clock.Add(w.up), true }
func (w *waiting) Image(context.Context, ImageRequest) (ImageBody, error) {
	w.asked = append(w.asked, w.up)
	return ImageBody{}, w.fails
}
func (w *waiting) Partial(verifier.Target) (Partial, error) { return emptyPartial{}, nil }

type emptyPartial struct{ Partial }

func (emptyPartial) Size() int64        { return 0 }
func (emptyPartial) Validator() string  { return "" }
func (emptyPartial) Durable() io.Reader { return eof{} }
func (emptyPartial) Close() error       { return nil }

// passes lets time go by, and the engine do what is due.
func (w *waiting) passes(t *testing.T, d time.Duration) {
	t.Helper()
	for end := w.up + d; ; {
		for {
			tasks, err := w.engine.advance()
			must(t, err)
			if len(tasks) == 0 {
				break
			}
			for _, x := range tasks {
				w.vendored.mirror = 0
				must(t, w.engine.finish(x, x.run(t.Context())))
			}
		}
		if w.up == end {
			return
		}
		w.up = min(end, w.up+max(time.Second, w.engine.deadline()))
	}
}

// TestOneRefusalOfAnImageCostsLittle: a 404 for an image, from a CDN that lagged or from anybody on the link,
// cost half a day to a day, and neither a check nor a new timestamp ended that.
func TestOneRefusalOfAnImageCostsLittle(t *testing.T) {
	w := newWaiting(t)
	w.fails = ErrAbsent
	w.passes(t, 10*time.Minute)
	if n := len(w.asked); n < 3 || n > 10 {
		t.Errorf("asked %d times in the first minutes: %v", n, w.asked)
	}
	w.passes(t, 2*time.Hour)
	n, last := len(w.asked), w.asked[len(w.asked)-1]
	w.passes(t, 10*time.Hour) // now it is believed
	if len(w.asked) != n || last-w.asked[0] < refusedFor {
		t.Errorf("after an hour of refusals it was asked %d times more in ten hours; all: %v", len(w.asked)-n, w.asked)
	}
	w.engine.ask()
	w.passes(t, time.Second)
	if len(w.asked) != n+1 {
		t.Error("a check does not ask for the image again")
	}
	w.passes(t, time.Hour)
	w.repo.Timestamp.Version++
	w.engine.plan.now = true
	n = len(w.asked)
	w.passes(t, time.Second)
	if len(w.asked) != n+1 {
		t.Error("a new timestamp does not end the wait")
	}
}

// TestARefusalOfMetadataCostsLittle: the same of a file that the refresh needs.
func TestARefusalOfMetadataCostsLittle(t *testing.T) {
	w := newWaiting(t)
	w.gone = "timestamp.json"
	w.passes(t, 10*time.Minute)
	if n := w.engine.checks; n < 3 || n > 10 {
		t.Errorf("asked %d times in the first minutes", n)
	}
}

// TestTheEndOfAnOutageEndsItsWaits: the refresh succeeded, and the image's own wait went on, up to a day.
func TestTheEndOfAnOutageEndsItsWaits(t *testing.T) {
	for name, tt := range map[string]struct {
		fails *Problem
		again bool
	}{
		"no route":                   {&Problem{Reason: ReasonUnreachable, Text: "no route"}, true},
		"a portal":                   {&Problem{Reason: ReasonCaptivePortal, Text: "a login page"}, true},
		"a server that names a time": {&Problem{Reason: ReasonServerBusy, Text: "503", RetryAfter: 20 * time.Hour}, false},
		"wrong bytes":                {&Problem{Reason: ReasonBadAnswer, Text: "a wrong range"}, false},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWaiting(t)
			w.fails = tt.fails
			w.passes(t, 12*time.Hour) // and its waits are hours by now
			n := len(w.asked)
			left := w.engine.live[0].notBefore - w.up
			w.engine.live[0].notBefore = w.up + 24*time.Hour // whatever they are
			w.passes(t, time.Minute)
			w.engine.plan.now = true
			w.passes(t, time.Second)
			if again := len(w.asked) > n; again != tt.again {
				t.Errorf("after a refresh that succeeded it was asked again: %v; %s were left", again, left)
			}
			n = len(w.asked)
			for end := w.up + 5*time.Minute; w.up < end; {
				w.engine.plan.now = true // a refresh each second
				w.passes(t, time.Second)
			}
			if most := 10; len(w.asked)-n > most {
				t.Errorf("in minutes of refreshes it was asked %d times", len(w.asked)-n)
			}
		})
	}
}
