package agent

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ota-agent/ota-agent/verifier"
)

// A hanging device is a vendored one that hangs where the test says so, and listens to no context. It keeps one image.
type hanging struct {
	*vendored
	begun time.Time
	image []byte
	deaf  bool // the hook of the next install never ends by itself

	mu    sync.Mutex
	hangs map[string]chan struct{} // by what hangs; closed: it goes on
	late  []string                 // what went on
	part  *heldPartial             // open; nil: none
	data  []byte                   // of the partial file
	whole []byte                   // of the staged image
}

func newHanging() *hanging {
	v := newVendored()
	d := &hanging{vendored: v, begun: time.Now(), image: bytes.Repeat([]byte("image "), 1000), hangs: map[string]chan struct{}{}}
	v.repo.Targets().Add("rootfs", d.image)
	v.slots = &Slots{Booted: "A", Primary: "A", Slots: map[string]Slot{"A": {Good: true}, "B": {}}}
	return d
}

// hang lets the next one who comes to a place hang there until the returned function is called.
func (d *hanging) hang(place string) (release func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	c := make(chan struct{})
	d.hangs[place] = c
	return func() { close(c) }
}

// at hangs where it was said.
func (d *hanging) at(place string) {
	d.mu.Lock()
	c := d.hangs[place]
	delete(d.hangs, place)
	d.mu.Unlock()
	if c != nil {
		<-c
		d.mu.Lock()
		d.late = append(d.late, place)
		d.mu.Unlock()
	}
}

func (d *hanging) Uptime() time.Duration { return time.Hour + time.Since(d.begun) }

func (d *hanging) Metadata(ctx context.Context, name string, n int64) ([]byte, error) {
	b, err := d.vendored.Metadata(ctx, name, n)
	d.at(name)
	return b, err
}

func (d *hanging) Image(_ context.Context, q ImageRequest) (ImageBody, error) {
	d.at("image")
	return ImageBody{ReadCloser: &hangingBody{d, bytes.NewReader(d.image[q.From:])}, From: q.From}, nil
}

// A hangingBody hangs in its second half.
type hangingBody struct {
	d *hanging
	r *bytes.Reader
}

func (b *hangingBody) Read(p []byte) (int, error) {
	if b.r.Len() <= len(b.d.image)/2 {
		b.d.at("body")
	}
	return b.r.Read(p[:min(len(p), len(b.d.image)/2)])
}

func (b *hangingBody) Close() error { return nil }

func (d *hanging) Look(context.Context) Surroundings {
	d.at("look")
	return Surroundings{Mains: true, Battery: -1}
}

func (d *hanging) Do(_ context.Context, verb Verb, _ Job) error {
	d.at(string(verb))
	return nil
}

func (d *hanging) Install(ctx context.Context, _ Job, _ verifier.Verified, image Image) error {
	d.at("install")
	if d.deaf {
		<-ctx.Done()
		time.Sleep(10 * time.Second) // the hook's grace
		return &Problem{Reason: ReasonHookFailed, Err: ctx.Err(), Text: "the hook was stopped"}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.slots = &Slots{Booted: "A", Primary: "A", Slots: map[string]Slot{"A": {Good: true}, "B": {}}}
	return nil
}

func (d *hanging) Open(verifier.Target) (Image, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.whole == nil {
		return nil, ErrAbsent
	}
	return heldImage{bytes.NewReader(d.whole)}, nil
}

type heldImage struct{ *bytes.Reader }

func (heldImage) Path() string { return "" }
func (heldImage) Close() error { return nil }

func (d *hanging) Partial(verifier.Target) (Partial, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.part != nil {
		return nil, &Problem{Reason: ReasonStore, Text: "it is open already"}
	}
	d.part = &heldPartial{d: d}
	return d.part, nil
}

func (d *hanging) open() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.part != nil
}

// A heldPartial is open once at a time, as the store's is.
type heldPartial struct{ d *hanging }

func (p *heldPartial) Size() int64                   { return int64(len(p.d.data)) }
func (p *heldPartial) Validator() string             { return "" }
func (p *heldPartial) SetValidator(string) error     { return nil }
func (p *heldPartial) Durable() io.Reader            { return bytes.NewReader(p.d.data) }
func (p *heldPartial) Flush() error                  { return nil }
func (p *heldPartial) Restart() error                { p.d.data = nil; return nil }
func (p *heldPartial) Stage(verifier.Verified) error { p.d.whole = p.d.data; return nil }

func (p *heldPartial) Write(b []byte) (int, error) {
	p.d.at("write")
	p.d.mu.Lock()
	defer p.d.mu.Unlock()
	if p.d.part != p {
		panic("a closed partial file is written to")
	}
	p.d.data = append(p.d.data, b...)
	return len(b), nil
}

func (p *heldPartial) Close() error {
	p.d.mu.Lock()
	defer p.d.mu.Unlock()
	p.d.part = nil
	return nil
}

// runs starts an agent on the device. What it returns stops it and says how long that took.
func (d *hanging) runs(t *testing.T, cfg Config, components ...Component) (a *Agent, stop func() time.Duration) {
	t.Helper()
	cfg.Anchor, cfg.Components = d.repo.Anchor(), components
	p := Ports{Store: d, Images: d, Repository: d, Installer: d, System: d, Random: func() float64 { return 0.5 }}
	if cfg.Gates.BatteryMin > 0 {
		p.Lookout = d
	}
	a, err := New(cfg, p, slog.New(slog.DiscardHandler))
	must(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error)
	go func() { ended <- a.Run(ctx) }()
	return a, func() time.Duration {
		begun := time.Now()
		cancel()
		must(t, <-ended)
		return time.Since(begun)
	}
}

var aSystem = Component{Name: "rootfs", Target: "rootfs", Hook: "/hook"}

func hungBy(err error) Reason {
	if p, ok := errors.AsType[*Problem](err); ok {
		return p.Reason
	}
	return ""
}

// TestARefreshThatHangsIsAbandoned: a server kept a refresh for ever, and with it each check and the end of
// the process. The engine goes on without it. When it comes back, with a timestamp that was good then,
// nothing of it is kept: trust would go backwards.
func TestARefreshThatHangsIsAbandoned(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newHanging()
		release := d.hang("timestamp.json")
		a, stop := d.runs(t, Config{})
		begun := time.Now()
		if err := a.Check(context.Background()); hungBy(err) != ReasonHung || time.Since(begun) > silenceMax+time.Minute {
			t.Errorf("a check whose refresh hangs: %v after %s", err, time.Since(begun))
		}
		if s := a.Status(); s.Abandoned != 1 || s.Repository.LastProblem == nil || s.Repository.LastProblem.Reason != ReasonHung {
			t.Errorf("status tells of %d abandoned workers, and of %+v", s.Abandoned, s.Repository.LastProblem)
		}
		d.repo.Targets().Add("other", []byte("more"))
		must(t, a.Check(context.Background()))
		before := slices.Clone(a.Status().Repository.Roles)
		commits := d.commits
		release()
		synctest.Wait()
		if len(d.late) != 1 || d.commits != commits {
			t.Errorf("%v came back, and %d commits became %d", d.late, commits, d.commits)
		}
		must(t, a.Check(context.Background()))
		if after := a.Status().Repository.Roles; !slices.Equal(before, after) {
			t.Errorf("the roles were %v and are %v", before, after)
		}
		stop()
	})
}

// TestADownloadThatHangsIsAbandoned, in its request, in its body, and in a write: its component is told why
// and tries again, and whatever hangs does no harm when it comes back.
func TestADownloadThatHangsIsAbandoned(t *testing.T) {
	for _, place := range []string{"image", "body", "write"} {
		t.Run(place, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { testHangingDownload(t, place) })
		})
	}
}

func testHangingDownload(t *testing.T, place string) {
	d := newHanging()
	install := d.hang("install") // the download is what counts here
	release := d.hang(place)
	a, stop := d.runs(t, Config{}, aSystem)
	time.Sleep(10 * time.Minute)
	if s := a.Status(); s.Abandoned != 0 || s.Components[0].Phase != Fetching {
		t.Errorf("after ten minutes: %d abandoned, phase %s", s.Abandoned, s.Components[0].Phase)
	}
	time.Sleep(silenceMax - 7*time.Minute + 10*time.Second)
	s := a.Status()
	if p := s.Components[0].Problem; s.Abandoned != 1 || p == nil || p.Reason != ReasonHung || s.Components[0].Progress != nil {
		t.Errorf("after that: %d abandoned, problem %+v, progress %+v", s.Abandoned, p, s.Components[0].Progress)
	}
	if open := d.open(); open != (place == "write") {
		t.Errorf("the partial file is open: %v; it must be for as long as something may write to it", open)
	}
	if place == "write" {
		time.Sleep(time.Hour)
		if phase := a.Status().Components[0].Phase; phase != Fetching || len(d.data) != 0 {
			t.Errorf("phase %s: another worker wrote to a file that is written to", phase)
		}
		release()
		time.Sleep(3 * time.Hour)
	} else {
		time.Sleep(time.Hour)
	}
	if phase := a.Status().Components[0].Phase; phase != Writing || !bytes.Equal(d.whole, d.image) {
		t.Errorf("phase %s with %d bytes; expected the whole image", phase, len(d.whole))
	}
	if place != "write" {
		release()
		synctest.Wait() // what comes back writes nothing: the partial file would panic
	}
	if !bytes.Equal(d.whole, d.image) || len(d.late) != 1 {
		t.Errorf("%v came back, and the image is %d bytes", d.late, len(d.whole))
	}
	install()
	stop()
}

// TestALookThatHangsIsAbandoned: a sensor hung, and nothing was downloaded any more. What a sensor says holds
// nothing back where it is not known; an inhibitor that may be there does.
func TestALookThatHangsIsAbandoned(t *testing.T) {
	for name, dir := range map[string]string{"sensors": "", "inhibitors": "/run/inhibit"} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := newHanging()
				release, install := d.hang("look"), d.hang("install")
				a, stop := d.runs(t, Config{Gates: Gates{BatteryMin: 20, InhibitDir: dir}}, aSystem)
				time.Sleep(lookMax + 3*time.Minute + 10*time.Second)
				s := a.Status()
				if s.Abandoned != 1 {
					t.Errorf("%d workers were abandoned", s.Abandoned)
				}
				if g := a.Status().Components[0].Gates; !slices.ContainsFunc(g, func(g GateStatus) bool { return strings.Contains(g.Figure, "not known") }) {
					t.Errorf("no gate says that it is not known what a sensor says: %+v", g)
				}
				time.Sleep(10 * time.Minute)
				if phase := a.Status().Components[0].Phase; phase != Writing {
					t.Errorf("phase %s, waiting %+v", phase, a.Status().Components[0].Waiting)
				}
				release()
				install()
				stop()
			})
		})
	}
}

// TestLooksThatAllHangStarveNobody: a driver that hangs for good was looked at until the watchdog starved,
// again and again. A process with a thread in that driver may not even end, and keeps the store locked.
func TestLooksThatAllHangStarveNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newHanging()
		var releases []func()
		releases = append(releases, d.hang("look"))
		a, stop := d.runs(t, Config{Gates: Gates{BatteryMin: 20, InhibitDir: "/run/inhibit"}}, aSystem)
		armed := func() bool {
			d.mu.Lock()
			defer d.mu.Unlock()
			return d.hangs["look"] != nil
		}
		for range 10 * 60 {
			time.Sleep(time.Minute)
			synctest.Wait()
			if !armed() {
				releases = append(releases, d.hang("look"))
			}
		}
		before := a.Beat()
		must(t, a.Ping(t.Context()))
		synctest.Wait()
		if s := a.Status(); s.Abandoned != looksHungMax || a.Beat() == before {
			t.Errorf("%d workers were abandoned; the loop turned: %t", s.Abandoned, a.Beat() != before)
		}
		d.mu.Lock()
		delete(d.hangs, "look")
		d.mu.Unlock()
		for _, release := range releases {
			release()
		}
		time.Sleep(2 * surveyHungMax)
		stop()
		if d.whole == nil {
			t.Error("nothing was downloaded once the driver answered")
		}
	})
}

// TestRunEndsWhateverHangs: SIGTERM waited for ever for a worker that hung.
func TestRunEndsWhateverHangs(t *testing.T) {
	for _, place := range []string{"timestamp.json", "image", "body", "write", "look", "install"} {
		t.Run(place, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := newHanging()
				release := d.hang(place)
				_, stop := d.runs(t, Config{Gates: Gates{BatteryMin: 20}}, aSystem)
				time.Sleep(8 * time.Minute)
				d.mu.Lock()
				if d.hangs[place] != nil {
					t.Fatal("nothing came to the place where it hangs")
				}
				d.mu.Unlock()
				if took := stop(); took > stopMax {
					t.Errorf("it took %s", took)
				}
				data, commits := len(d.data), d.commits
				release()
				synctest.Wait()
				if grown := len(d.data) - data; d.commits != commits || grown != 0 && place != "write" {
					t.Errorf("after the end %d bytes were written, and %d commits made", grown, d.commits-commits)
				}
			})
		})
	}
}

// TestATrialEndsWhileItsRefreshHangs: a trial whose deadline was 20 s was still on trial after three minutes,
// and for ever.
func TestATrialEndsWhileItsRefreshHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newHanging()
		must(t, onTrial(t, d))
		var releases []func()
		trial := aSystem
		trial.Reboot, trial.TrialDeadline = true, 20*time.Second
		releases = append(releases, d.hang("timestamp.json"))
		a, stop := d.runs(t, Config{}, trial)
		for range 4 {
			time.Sleep(time.Minute)
			if a.Status().Abandoned > 0 && len(releases) == 1 {
				releases = append(releases, d.hang("timestamp.json"))
			}
		}
		if s := a.Status(); s.Components[0].Phase == Trial || s.Abandoned == 0 {
			t.Errorf("after four minutes of a trial of 20 s: phase %s, %d abandoned", s.Components[0].Phase, s.Abandoned)
		}
		for _, release := range releases {
			release()
		}
		stop()
	})
}

// onTrial puts the device on trial of what its repository offers.
func onTrial(t *testing.T, d *hanging) error {
	e := d.vendored.engine(t)
	d.vendored.refresh(t, e)
	offered := e.live[0].offer.Release
	d.slots = &Slots{Booted: "B", Primary: "A", Slots: map[string]Slot{"A": {Good: true}, "B": {}}}
	return d.Commit(Change{Records: []Record{{Schema: RecordSchema, Component: "rootfs", Phase: Trial, Release: offered,
		TargetSlot: "B", BootID: d.BootID(), TrialFrom: d.Uptime(), Reboot: true, Hook: "/hook"}}})
}

// TestTheWatchdogStarves for a hook that hangs, and for nothing else: a hook's processes may still write, so
// its lane can't be given away. And workers that never come back take room: only another process gets rid of
// them.
func TestTheWatchdogStarves(t *testing.T) {
	beats := func(a *Agent) bool {
		before := a.Beat()
		must(t, a.Ping(context.Background()))
		synctest.Wait()
		return a.Beat() > before
	}
	t.Run("for a hook", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			d := newHanging()
			release := d.hang("install")
			a, stop := d.runs(t, Config{}, aSystem)
			time.Sleep(time.Hour)
			if !beats(a) {
				t.Error("it starves while the hook has time")
			}
			time.Sleep(hookUnknownMax + hookMargin)
			if beats(a) {
				t.Error("it is fed although the hook is overdue and its lane is lost")
			}
			release()
			stop()
		})
	})
	t.Run("for too many workers", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			d := newHanging()
			a, stop := d.runs(t, Config{})
			var releases []func()
			for n := range abandonedMax {
				releases = append(releases, d.hang("timestamp.json"))
				if err := a.Check(context.Background()); hungBy(err) != ReasonHung || !beats(a) {
					t.Errorf("check %d: %v; or the watchdog starves in an outage", n, err)
				}
			}
			releases = append(releases, d.hang("timestamp.json"))
			go a.Check(context.Background())
			time.Sleep(silenceMax + time.Minute)
			if beats(a) || a.Status().Abandoned != abandonedMax {
				t.Errorf("%d workers were left behind, and it is fed", a.Status().Abandoned)
			}
			for _, release := range releases {
				release()
			}
			synctest.Wait()
			stop()
		})
	})
}
