package fetch_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ota-agent/ota-agent/agent"
	"github.com/ota-agent/ota-agent/agent/fetch"
	"github.com/ota-agent/ota-agent/agent/fetch/fetchtest"
	"github.com/ota-agent/ota-agent/publish"
	"github.com/ota-agent/ota-agent/storage"
	"github.com/ota-agent/ota-agent/verifier"
)

// A device is the whole agent with a real store and this package's repository. Its clock stands still unless the agent
// waits, so that each wait is seen; its installer asks to be tried later, for ever.
type device struct {
	t      *testing.T
	agent  *agent.Agent
	uptime time.Duration
	// installs: the installer takes images after all, and slot B can be tried; tried is called then.
	installs  bool
	tried     func()
	booted    string
	confirmed bool
}

const (
	backoffMin = time.Hour
	backoffMax = 12 * time.Hour
	poll       = 30 * 24 * time.Hour // never within a test
)

func newDevice(t *testing.T, p *publisher, repo agent.Repository, change func(*agent.Config)) *device {
	t.Helper()
	store, err := storage.Open(t.TempDir(), storage.Options{FreeBytesMin: 1})
	must(t, err)
	t.Cleanup(func() { store.Close() })
	d := &device{t: t, uptime: time.Minute, booted: "A"}
	cfg := agent.Config{Anchor: p.anchor, Poll: poll, BackoffMin: backoffMin, BackoffMax: backoffMax,
		Device:     agent.Device{ID: "d", Hardware: "board", Channel: "stable"},
		Components: []agent.Component{{Name: "app", Target: targetPath, Hook: "/hook"}}}
	if change != nil {
		change(&cfg)
	}
	d.agent, err = agent.New(cfg, agent.Ports{Store: store, Images: store.Images(), Repository: repo, Installer: d, System: d,
		Random: func() float64 { return 0 }}, slog.New(slog.DiscardHandler))
	must(t, err)
	return d
}

func (d *device) BootID() string               { return "boot" }
func (d *device) Uptime() time.Duration        { return d.uptime }
func (d *device) Clock() (time.Time, bool)     { return time.Now(), true }
func (d *device) Reboot(context.Context) error { return nil }
func (d *device) Status(context.Context, agent.Job) (agent.Slots, error) {
	slots := agent.Slots{Booted: d.booted, Primary: "A", Slots: map[string]agent.Slot{"A": {Good: true}, "B": {Good: d.confirmed}}}
	if d.confirmed {
		slots.Primary = "B"
	}
	return slots, nil
}

func (d *device) Install(context.Context, agent.Job, verifier.Verified, agent.Image) error {
	if d.installs {
		return nil
	}
	return &agent.Problem{Reason: agent.ReasonHookBusy, Text: "later"}
}

// Running implements agent.Installer.
func (d *device) Running(string) (agent.HookRun, bool) { return agent.HookRun{}, false }

func (d *device) Do(_ context.Context, verb agent.Verb, _ agent.Job) error {
	switch verb {
	case agent.VerbTry:
		d.booted = "B"
		d.tried()
	case agent.VerbReject:
		d.booted = "A"
	case agent.VerbConfirm:
		d.confirmed = true
	}
	return nil
}

// run lets the device live for a while.
func (d *device) run(span time.Duration) {
	d.t.Helper()
	still := 0
	for end := d.uptime + span; d.uptime < end; {
		wait, err := d.agent.Turn(d.t.Context())
		must(d.t, err)
		if still++; wait > 0 {
			still = 0
		}
		if still > 100 {
			d.t.Fatalf("the agent spins: %+v", d.agent.Status())
		}
		d.uptime += min(wait, end-d.uptime)
	}
}

func (d *device) app() agent.ComponentStatus { return d.agent.Status().Components[0] }

// staged says whether the image has come and was verified.
func (d *device) staged() bool { return d.app().Phase == agent.Writing }

const targetPath = "board/stable/app.img"

// A publisher makes and signs a repository as ota-repo does.
type publisher struct {
	t      *testing.T
	dir    string // what mirrors serve
	repo   *publish.Repo
	anchor []byte
	now    time.Time
}

func newPublisher(t *testing.T, image []byte) *publisher {
	t.Helper()
	dir := t.TempDir()
	secret := publish.FixedPassphrase("test")
	p := &publisher{t: t, dir: publish.RepositoryDir(dir), now: time.Now()}
	_, err := publish.Init(dir, publish.Options{Now: p.now, Passphrase: secret, KDF: publish.KDF{LogN: 10, R: 1, P: 1}})
	must(t, err)
	p.repo, err = publish.Open(dir, publish.Access{Passphrase: secret})
	must(t, err)
	t.Cleanup(func() { p.repo.Close() })
	p.anchor, err = os.ReadFile(filepath.Join(publish.MetadataDir(dir), "1.root.json"))
	must(t, err)
	p.add(targetPath, image)
	return p
}

func (p *publisher) add(path string, image []byte) {
	p.t.Helper()
	_, err := p.repo.Add(publish.Addition{Path: path, Image: bytes.NewReader(image)})
	must(p.t, err)
	_, err = p.repo.Publish(p.now)
	must(p.t, err)
}

// A liar serves a publisher's files; those whose path contains lie are changed in one bit. It counts.
type liar struct {
	*httptest.Server
	lie      atomic.Pointer[string] // nil: none
	images   atomic.Int64           // requests for images
	metadata atomic.Int64
}

func newLiar(t *testing.T, p *publisher, lie string) *liar {
	l := &liar{}
	if lie != "" {
		l.lie.Store(&lie)
	}
	files := http.FileServer(http.Dir(p.dir))
	l.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.Contains(r.URL.Path, "/targets/") {
			l.images.Add(1)
		} else {
			l.metadata.Add(1)
		}
		if lie := l.lie.Load(); lie != nil && strings.Contains(r.URL.Path, *lie) {
			b, err := os.ReadFile(filepath.Join(p.dir, filepath.FromSlash(r.URL.Path)))
			if err == nil {
				b[len(b)/2] ^= 1
				w.Write(b)
				return
			}
		}
		files.ServeHTTP(w, r)
	}))
	t.Cleanup(l.Close)
	return l
}

// repositoryOf asks the liars in this order.
func repositoryOf(t *testing.T, liars ...*liar) *fetch.Repository {
	var c fetch.Config
	for _, l := range liars {
		c.Metadata = append(c.Metadata, l.URL+"/metadata")
		c.Targets = append(c.Targets, l.URL+"/targets")
	}
	return open(t, c)
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func hashOf(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// firstPoll is the time in which everything happens that waits for no back-off.
const firstPoll = 10 * time.Minute

// TestLiesLeadToTheNextMirrorAtOnce: whatever the first two mirrors lie about, the third one's image is there before
// anyone would have waited for a back-off. Nobody is asked for the same lie twice.
func TestLiesLeadToTheNextMirrorAtOnce(t *testing.T) {
	for _, lie := range []string{"timestamp.json", "snapshot.json", "targets.json", "app.img"} {
		t.Run(lie, func(t *testing.T) {
			p := newPublisher(t, fetchtest.Bytes(300_000))
			first, second, honest := newLiar(t, p, lie), newLiar(t, p, lie), newLiar(t, p, "")
			d := newDevice(t, p, repositoryOf(t, first, second, honest), nil)
			d.run(firstPoll)
			if !d.staged() {
				t.Fatalf("not staged within %v: %+v, %+v", firstPoll, d.agent.Status().Repository, d.app())
			}
			if n := first.images.Load() + second.images.Load(); lie == "app.img" && n != 2 || lie != "app.img" && n != 1 {
				t.Errorf("the liars were asked for images %d times", n)
			}
			if n := first.metadata.Load() + second.metadata.Load(); n > 10 {
				t.Errorf("the liars were asked for metadata %d times", n)
			}
		})
	}
}

// TestWhenAllMirrorsLie: each is asked once, then there is a back-off, and so on: it never spins, and takes the first
// honest answer.
func TestWhenAllMirrorsLie(t *testing.T) {
	for _, lie := range []string{"timestamp.json", "app.img"} {
		t.Run(lie, func(t *testing.T) {
			p := newPublisher(t, fetchtest.Bytes(300_000))
			first, second := newLiar(t, p, lie), newLiar(t, p, lie)
			d := newDevice(t, p, repositoryOf(t, first, second), nil)
			asked := func(l *liar) int64 {
				if lie == "app.img" {
					return l.images.Load()
				}
				return l.metadata.Load() / 2 // the next root, and the timestamp
			}
			d.run(firstPoll)
			if asked(first) != 1 || asked(second) != 1 {
				t.Errorf("asked %d and %d times, expected once each", asked(first), asked(second))
			}
			problem := d.agent.Status().Repository.LastProblem
			if lie == "app.img" {
				problem = d.app().Problem
			}
			if problem == nil || problem.Reason != agent.ReasonUnsigned && problem.Reason != agent.ReasonHashMismatch && problem.Reason != agent.ReasonMalformed {
				t.Errorf("the problem is %+v", problem)
			}
			d.run(backoffMax)
			if n := asked(first) + asked(second); n > 2+int64(backoffMax/backoffMin) {
				t.Errorf("asked %d times in %v", n, backoffMax)
			}
			second.lie.Store(nil)
			d.run(2 * backoffMax)
			if !d.staged() {
				t.Errorf("not staged although a mirror has become honest: %+v", d.app())
			}
		})
	}
}

// rauc-hawkbit-updater#158 asked for a missing file each half second, for ever. A file that is not there is
// asked for once more after backoff_min, an hour here, and then not until the publisher has signed something
// new, or half a day has gone by.
func TestMissingImageWaitsForNewMetadata(t *testing.T) {
	img := fetchtest.Bytes(300_000)
	p := newPublisher(t, img)
	missing := filepath.Join(p.dir, "targets", "board", "stable", hashOf(img)+".app.img")
	must(t, os.Rename(missing, missing+".away"))
	s := newLiar(t, p, "")
	d := newDevice(t, p, repositoryOf(t, s), func(c *agent.Config) { c.Poll = time.Hour })
	checks := func() uint64 { return d.agent.Status().Repository.Checks }

	d.run(backoffMax/2 - time.Minute)
	if n := s.images.Load(); n < 2 || n > 3 || checks() < 5 {
		t.Errorf("asked %d times for the image in %d checks, expected twice, or once more", n, checks())
	}
	if f := d.app().Problem; f == nil || f.Reason != agent.ReasonHTTP || !strings.Contains(f.Text, "status 404") {
		t.Errorf("the problem is %+v", f)
	}
	d.run(backoffMax)
	if n := s.images.Load(); n < 3 || n > 5 {
		t.Errorf("asked %d times for the image in %v: a file may come back under the same name", n, 3*backoffMax/2)
	}
	before, polls := s.images.Load(), checks()
	_, err := p.repo.Timestamp(p.now)
	must(t, err)
	d.run(3 * time.Hour)
	if n := s.images.Load(); n > before+1 || checks() == polls {
		t.Errorf("%d requests for the image after a new timestamp alone", n-before)
	}
	must(t, os.Rename(missing+".away", missing))
	p.add("board/stable/other.img", []byte("something else"))
	d.run(2 * time.Hour)
	if !d.staged() {
		t.Errorf("not staged after the publisher has signed anew: %+v", d.app())
	}
}

// TestServerBusyIsNotHammered: Retry-After counts, capped by backoff_max.
func TestServerBusyIsNotHammered(t *testing.T) {
	for _, tt := range []struct {
		status     int
		retryAfter string
		asked      int64 // in one day
	}{
		{http.StatusTooManyRequests, "21600", 4},
		{http.StatusServiceUnavailable, "999999999", 2}, // capped to half a day
		{http.StatusTooEarly, "0", 24},
		{http.StatusRequestTimeout, "", 24},
		{http.StatusBadGateway, "nonsense", 24},
	} {
		var asked atomic.Int64
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			asked.Add(1)
			if tt.retryAfter != "" {
				w.Header().Set("Retry-After", tt.retryAfter)
			}
			w.WriteHeader(tt.status)
		}))
		p := newPublisher(t, []byte("image"))
		d := newDevice(t, p, open(t, fetch.Config{Metadata: []string{s.URL}, Targets: []string{s.URL}}), nil)
		d.run(24 * time.Hour)
		if n := asked.Load(); n > tt.asked+1 || n < 2 {
			t.Errorf("status %d, Retry-After %q: %d requests in a day, expected at most %d", tt.status, tt.retryAfter, n, tt.asked+1)
		}
		if f := d.agent.Status().Repository.LastProblem; f == nil || f.Reason != agent.ReasonServerBusy {
			t.Errorf("status %d: the problem is %+v", tt.status, f)
		}
		s.Close()
	}
}

// A stick is a repository on a medium: files of a publisher as they were when it was made.
func stickOf(t *testing.T, p *publisher, dir string) {
	t.Helper()
	must(t, os.CopyFS(dir, os.DirFS(p.dir)))
}

// away is a network that is not there.
const away = "http://127.0.0.1:1"

// TestStickUpdatesADeviceWithoutNetwork: the device waits after failures, a stick is plugged in, and a wake brings the
// release from it at once.
func TestStickUpdatesADeviceWithoutNetwork(t *testing.T) {
	img := fetchtest.Bytes(300_000)
	p := newPublisher(t, img)
	media := t.TempDir()
	d := newDevice(t, p, open(t, fetch.Config{Metadata: []string{away}, Targets: []string{away}, Media: []string{media + "/*/ota"}}), nil)
	d.run(24 * time.Hour)
	if f := d.agent.Status().Repository.LastProblem; f == nil || f.Reason != agent.ReasonUnreachable {
		t.Fatalf("the problem is %+v", f)
	}
	stickOf(t, p, filepath.Join(media, "STICK", "ota"))
	d.agent.Wake(agent.Wake{Source: "medium", Medium: true})
	d.run(time.Minute)
	if !d.staged() {
		t.Errorf("not staged: %+v, %+v", d.agent.Status().Repository, d.app())
	}
}

// TestStickIsVerifiedLikeAnything: an old stick, a stick that lies, and one that is pulled in the middle change nothing
// but the way that the bytes take.
func TestStickIsVerifiedLikeAnything(t *testing.T) {
	for _, tt := range []struct {
		name   string
		spoil  func(t *testing.T, p *publisher, stick string)
		images int64 // requests to the network
	}{
		{"a good stick saves the download", func(*testing.T, *publisher, string) {}, 0},
		{"an old stick has no say", func(_ *testing.T, p *publisher, _ string) { p.add(targetPath, []byte("a newer one")) }, 1},
		{"a stick with a wrong image", func(t *testing.T, p *publisher, stick string) {
			b := fetchtest.Bytes(300_000)
			b[7] ^= 1
			must(t, os.WriteFile(filepath.Join(stick, "targets", "board", "stable", hashOf(fetchtest.Bytes(300_000))+".app.img"), b, 0o644))
		}, 1},
		{"a stick that was pulled", func(t *testing.T, _ *publisher, stick string) { must(t, os.RemoveAll(stick)) }, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := newPublisher(t, fetchtest.Bytes(300_000))
			media := t.TempDir()
			stick := filepath.Join(media, "STICK")
			stickOf(t, p, stick)
			s := newLiar(t, p, "")
			d := newDevice(t, p, open(t, fetch.Config{Metadata: []string{s.URL + "/metadata"}, Targets: []string{s.URL + "/targets"},
				Media: []string{media + "/*"}}), nil)
			tt.spoil(t, p, stick)
			d.run(firstPoll)
			if !d.staged() || s.images.Load() != tt.images {
				t.Errorf("%d requests for images, want %d; %+v", s.images.Load(), tt.images, d.app())
			}
		})
	}
}

// TestPulledStickLosesNothing: a stick is pulled in the middle of an image. The reason says what to do, and
// what was read is not read again.
func TestPulledStickLosesNothing(t *testing.T) {
	img := fetchtest.Bytes(300_000)
	p := newPublisher(t, img)
	media := t.TempDir()
	stick := filepath.Join(media, "STICK")
	stickOf(t, p, stick)
	file := filepath.Join(stick, "targets", "board", "stable", hashOf(img)+".app.img")
	repo := &pulling{Repository: open(t, fetch.Config{Metadata: []string{away}, Targets: []string{away}, Media: []string{media + "/*"}}),
		after: 100_000, pull: func() {
			must(t, os.Truncate(file, 200_000))
			must(t, os.RemoveAll(stick))
		}}
	d := newDevice(t, p, repo, nil)
	d.run(firstPoll)
	if f := d.app().Problem; f == nil || f.Reason != agent.ReasonNoMedium || !strings.Contains(f.Text, "plug in") {
		t.Fatalf("the problem is %+v", f)
	}
	stickOf(t, p, stick)
	d.agent.Wake(agent.Wake{Source: "medium", Medium: true})
	d.run(time.Minute)
	if !d.staged() || len(repo.from) != 2 || repo.from[1] < repo.after {
		t.Errorf("asked from %v; %+v", repo.from, d.app())
	}
}

// A pulling repository pulls the stick in the middle of the first image.
type pulling struct {
	agent.Repository
	after int64
	pull  func()
	from  []int64
}

func (r *pulling) Image(ctx context.Context, q agent.ImageRequest) (agent.ImageBody, error) {
	body, err := r.Repository.Image(ctx, q)
	if err == nil {
		r.from = append(r.from, body.From)
		body.ReadCloser = &pulledBody{body.ReadCloser, r, 0}
	}
	return body, err
}

type pulledBody struct {
	io.ReadCloser
	r    *pulling
	done int64
}

func (b *pulledBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p[:min(len(p), 50_000)])
	b.done += int64(n)
	if b.done >= b.r.after && b.r.pull != nil {
		b.r.pull()
		b.r.pull = nil
	}
	return n, err
}

// venus#111 was stuck after three failed retries until somebody rebooted it, and tough gave up after half a second. A
// device whose network is away for a month has not given up, has not spun, and has the release soon after.
func TestAMonthWithoutNetwork(t *testing.T) {
	p := newPublisher(t, fetchtest.Bytes(300_000))
	var up atomic.Bool
	var asked atomic.Int64
	files := http.FileServer(http.Dir(p.dir))
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		if !up.Load() {
			panic(http.ErrAbortHandler) // the connection is reset
		}
		files.ServeHTTP(w, r)
	}))
	t.Cleanup(s.Close)
	d := newDevice(t, p, open(t, fetch.Config{Metadata: []string{s.URL + "/metadata"}, Targets: []string{s.URL + "/targets"}}), nil)
	const away = 30 * 24 * time.Hour
	d.run(away)
	// net/http asks once more by itself where a connection that was used before is reset.
	if n := asked.Load(); n < int64(away/backoffMax) || n > 2*int64(away/backoffMin) {
		t.Errorf("%d requests in %v", n, away)
	}
	up.Store(true)
	d.run(backoffMax)
	if !d.staged() {
		t.Errorf("not staged %v after the network came back: %+v", backoffMax, d.agent.Status().Repository)
	}
}

// TestTrialBesideAStick: what came from a stick is confirmed without a network. What was found over the network, and
// breaks it, is not, although a stick is there that would answer.
func TestTrialBesideAStick(t *testing.T) {
	for _, network := range []bool{true, false} {
		p := newPublisher(t, []byte("an image"))
		media := t.TempDir()
		stickOf(t, p, filepath.Join(media, "STICK"))
		s := newLiar(t, p, "")
		if !network {
			s.Close()
		}
		d := newDevice(t, p, open(t, fetch.Config{Metadata: []string{s.URL + "/metadata"}, Targets: []string{s.URL + "/targets"},
			Media: []string{media + "/*"}}), nil)
		d.installs, d.tried = true, s.Close
		d.run(20 * time.Minute)
		if d.confirmed == network {
			t.Errorf("network before the trial: %v; confirmed: %v; %+v", network, d.confirmed, d.app())
		}
	}
}

// TestFailuresNameTheMirror: wrong bytes name who sent them, and metadata that is not to be had names its URL
// and the status.
func TestFailuresNameTheMirror(t *testing.T) {
	p := newPublisher(t, fetchtest.Bytes(5000))
	for _, tt := range []struct {
		lie    string // of what
		status int    // of the timestamp
		reason agent.Reason
		words  []string
	}{
		{"/targets/", 200, agent.ReasonHashMismatch, []string{"/targets"}},
		{"snapshot", 200, agent.ReasonHashMismatch, []string{"/metadata"}},
		{"timestamp", 200, agent.ReasonUnsigned, []string{"/metadata"}},
		{"", 403, agent.ReasonHTTP, []string{"/metadata/timestamp.json", "status 403"}},
		{"", 404, agent.ReasonHTTP, []string{"/metadata/timestamp.json", "status 404"}},
	} {
		l := newLiar(t, p, tt.lie)
		serve := l.Config.Handler
		l.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if tt.status != 200 && strings.HasSuffix(r.URL.Path, "timestamp.json") {
				w.WriteHeader(tt.status)
				return
			}
			serve.ServeHTTP(w, r)
		})
		base := strings.Replace(l.URL, "http://", "http://u:secret@", 1)
		d := newDevice(t, p, open(t, fetch.Config{Metadata: []string{base + "/metadata?sig=secret"}, Targets: []string{base + "/targets?sig=secret"}}), nil)
		d.run(time.Minute)
		problem := d.agent.Status().Repository.LastProblem
		if problem == nil {
			problem = d.app().Problem
		}
		if problem == nil {
			t.Errorf("%s %d: no problem", tt.lie, tt.status)
			continue
		}
		for _, words := range append(tt.words, strings.TrimPrefix(l.URL, "http://")) {
			if problem.Reason != tt.reason && tt.reason != agent.ReasonUnsigned || !strings.Contains(problem.Text, words) || strings.Contains(problem.Text, "secret") {
				t.Errorf("%s %d: %s, %q; want reason %s and %q", tt.lie, tt.status, problem.Reason, problem.Text, tt.reason, words)
			}
		}
	}
}

// TestAPageInTheMiddle: a server that says 404 by a web page, as most do. What it says of the next root lets
// a new device get on; once the timestamp has verified, a missing image is missing, and no login page.
func TestAPageInTheMiddle(t *testing.T) {
	p := newPublisher(t, fetchtest.Bytes(5000))
	l := newLiar(t, p, "")
	serve := l.Config.Handler
	l.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, err := os.Stat(filepath.Join(p.dir, filepath.FromSlash(r.URL.Path))); err != nil || strings.Contains(r.URL.Path, "/targets/") {
			w.Header().Set("Content-Type", "text/html")
			w.WriteHeader(http.StatusNotFound)
			io.WriteString(w, "<html><title>404 Not Found</title></html>")
			return
		}
		serve.ServeHTTP(w, r)
	})
	d := newDevice(t, p, repositoryOf(t, l), nil)
	d.run(time.Minute)
	if problem := d.agent.Status().Repository.LastProblem; problem != nil {
		t.Errorf("the refresh: %v", problem)
	}
	if problem := d.app().Problem; problem == nil || problem.Reason != agent.ReasonHTTP || !strings.Contains(problem.Text, "404") {
		t.Errorf("the image: %+v", problem)
	}
}
