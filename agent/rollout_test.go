package agent

import (
	"crypto/sha256"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/ota-agent/ota-agent/release"
	"github.com/ota-agent/ota-agent/verifier/tuftest"
)

// A ramp is a rollout of two hours, in which the publisher signs a timestamp every five minutes, until it stops.
type ramp struct {
	repo *tuftest.Repository
	release.Rollout
	stopped time.Time // zero: never
}

func newRamp(duration time.Duration) *ramp {
	r := &ramp{repo: tuftest.New(), Rollout: release.Rollout{Start: tuftest.Start().Add(3 * time.Hour), Duration: duration}}
	custom, err := (release.Info{Version: "2", Rollout: &r.Rollout}).Custom()
	if err != nil {
		panic(err)
	}
	r.repo.Targets().Targets["rootfs"] = tuftest.Target([]byte("system"), tuftest.Raw(custom))
	return r
}

// at signs what the publisher has signed by then.
func (r *ramp) at(now time.Time) {
	if !r.stopped.IsZero() && now.After(r.stopped) {
		now = r.stopped
	}
	version := int64(now.Sub(tuftest.Start())/(5*time.Minute)) + 1
	r.repo.Timestamp.Version = version
	r.repo.Timestamp.Edit = func(signed tuftest.Object) {
		signed["signed_at"] = tuftest.Start().Add(time.Duration(version-1) * 5 * time.Minute).Format(time.RFC3339)
	}
}

// device is one of the fleet: it polls every six hours. It returns when it joined, or how often it asked in
// vain by the end.
func (r *ramp) device(t *testing.T, id string, end time.Duration) (joined time.Duration, checks uint64) {
	t.Helper()
	w := &waiting{vendored: newVendored(), up: time.Minute, fails: ErrAbsent}
	w.repo, w.clock = r.repo, tuftest.Start()
	w.slots = &Slots{Booted: "A", Primary: "A", Slots: map[string]Slot{"A": {Good: true}, "B": {}}}
	e, err := newEngine(Config{Device: Device{ID: id}, Anchor: r.repo.Anchor(), Components: []Component{aSystem}, Poll: 6 * time.Hour},
		Ports{Store: w, Images: w, Repository: w, Installer: w, System: w, Random: func() float64 { return 0.5 }}, slog.New(slog.DiscardHandler))
	must(t, err)
	w.engine = e
	for w.up < end {
		now, _ := w.Clock()
		r.at(now)
		w.passes(t, time.Second)
		if e.book.record("rootfs").Phase != Idle {
			return w.up, e.checks
		}
		for wait := min(e.deadline(), end-w.up); wait > time.Second; wait = 0 {
			w.up += wait
		}
	}
	return 0, e.checks
}

// TestEachDeviceJoinsARolloutAtItsPlace: a device joined at its next poll, or wake. In a ramp of two hours
// and with a poll of six each one joins at its own place, as soon as a timestamp of that time is there.
func TestEachDeviceJoinsARolloutAtItsPlace(t *testing.T) {
	r := newRamp(2 * time.Hour)
	id := fmt.Sprintf("%x", sha256.Sum256([]byte("system")))
	for n := range 40 {
		name := fmt.Sprintf("device-%d", n)
		turn := turnOf(&r.Rollout, name, id).Sub(tuftest.Start())
		joined, checks := r.device(t, name, 12*time.Hour)
		if late := joined - turn; late < 0 || late > r.Duration/rolloutSlack+time.Minute || checks > 8 {
			t.Errorf("%s: its turn comes after %s, and it joined after %s, in %d checks", name, turn, joined, checks)
		}
	}
}

// TestARolloutThatWasStoppedIsAskedForSeldom: the timestamps of its beginning are replayed. Nobody joins, and
// nobody asks all the time.
func TestARolloutThatWasStoppedIsAskedForSeldom(t *testing.T) {
	r := newRamp(2 * time.Hour)
	r.stopped = r.Start.Add(time.Minute)
	for n := range 4 {
		joined, checks := r.device(t, fmt.Sprintf("device-%d", n), 24*time.Hour)
		if joined > 0 && joined > r.stopped.Sub(tuftest.Start())+r.Duration/rolloutSlack+time.Minute || checks > 25 {
			t.Errorf("device %d joined after %s, and asked %d times in a day", n, joined, checks)
		}
	}
}
