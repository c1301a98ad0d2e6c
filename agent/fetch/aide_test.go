package fetch

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ota-agent/ota-agent/agent"
	"github.com/ota-agent/ota-agent/agent/fetch/fetchtest"
)

// A kernel is what aides look at directories through: it hangs at some, and is slow at others.
type kernel struct {
	mu      sync.Mutex
	hung    map[string]chan struct{} // by the path in an ask: what ends the hang
	delay   map[string]time.Duration // of each ask at that path
	started int
	running int
	hanging int
	most    int
}

func newKernel() *kernel {
	return &kernel{hung: map[string]chan struct{}{}, delay: map[string]time.Duration{}}
}

func (k *kernel) hang(path string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.hung[path] = make(chan struct{})
}

func (k *kernel) release(path string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if c := k.hung[path]; c != nil {
		close(c)
		delete(k.hung, path)
	}
}

// before is where an aide hangs: no signal ends it.
func (k *kernel) before(q aideAsk) {
	k.mu.Lock()
	c, delay := k.hung[string(q.Path)], k.delay[string(q.Path)]
	if q.Verb == aideRead {
		c, delay = k.hung["reads"], k.delay["reads"]
	}
	if c != nil {
		k.hanging++
		k.most = max(k.most, k.hanging)
	}
	k.mu.Unlock()
	time.Sleep(delay)
	if c != nil {
		<-c
		k.mu.Lock()
		k.hanging--
		k.mu.Unlock()
	}
}

func (k *kernel) start() (Aide, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.started++
	k.running++
	near, far := net.Pipe()
	h := here{Conn: near, ended: make(chan struct{})}
	go func() {
		_ = serveMedia(far, far, k.before)
		far.Close()
		k.mu.Lock()
		k.running--
		k.mu.Unlock()
		close(h.ended)
	}()
	return h, nil
}

func (k *kernel) processes() int {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.running
}

// seen is how many aides hang at most at a time, and how many were started.
func (k *kernel) seen() (most, started int) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.most, k.started
}

// honest answers all with an image of 8 bytes, or metadata.
func honest(c net.Conn, r *http.Request) {
	if strings.HasSuffix(r.URL.Path, ".json") {
		say(c, good)
		return
	}
	respond(c, "200 OK", "", 8, []byte("an image"))
}

// withKernel plays with a network mirror, media, and a kernel whose hangs end with the test.
func withKernel(t *testing.T, change func(*Config), tell story, body func(t *testing.T, s *scene, k *kernel, mounts string)) {
	t.Helper()
	mounts, k := t.TempDir(), newKernel()
	c := Config{Metadata: []string{"http://net.example"}, Targets: []string{"http://net.example"}, Media: []string{mounts + "/*"}, Aide: k.start}
	if change != nil {
		change(&c)
	}
	playWith(t, c, tell, func(t *testing.T, s *scene) {
		body(t, s, k, mounts)
		s.repo.Close()
		k.mu.Lock()
		for _, c := range k.hung {
			close(c)
		}
		clear(k.hung)
		k.mu.Unlock()
		time.Sleep(time.Hour)
		synctest.Wait()
		if n := k.processes(); n != 0 {
			t.Errorf("%d aides are left after the end", n)
		}
	})
}

// TestHungMediumStopsNothing: a mount whose other side never answers delays a check over the network by two
// seconds once, hides no stick beside it, keeps one process, and is found when it answers again.
func TestHungMediumStopsNothing(t *testing.T) {
	withKernel(t, nil, honest, func(t *testing.T, s *scene, k *kernel, mounts string) {
		hung, stick := filepath.Join(mounts, "a-hung"), filepath.Join(mounts, "stick")
		plug(t, hung)
		plug(t, stick)
		k.hang(hung)
		ask := func(most time.Duration) {
			t.Helper()
			begun := time.Now()
			if _, err := s.repo.Metadata(t.Context(), "timestamp.json", 100); err != nil || time.Since(begun) > most {
				t.Errorf("after %v: %v, want an answer within %v", time.Since(begun), err, most)
			}
		}
		ask(lookWait)
		ctx, stop := context.WithCancel(t.Context())
		watched := make(chan struct{})
		go func() {
			defer close(watched)
			s.repo.WatchMedia(ctx, func() {})
		}()
		time.Sleep(lookTimeout + endWait)
		ask(0)
		if found := s.repo.media.list(); len(found) != 1 || found[0].path != stick {
			t.Errorf("found %v, want the stick", found)
		}
		for range 24 * 60 {
			ask(0)
			time.Sleep(time.Minute)
		}
		if most, started := k.seen(); most != 1 || started > 3 {
			t.Errorf("%d aides hang at once, %d were started in a day; want 1, and 3 at most", most, started)
		}
		k.release(hung)
		time.Sleep(restMax + mediaEvery)
		if found := s.repo.media.list(); len(found) != 2 {
			t.Errorf("found %v, want both", found)
		}
		k.hang(hung)
		time.Sleep(mediaEvery + time.Second) // in the middle of a look
		begun := time.Now()
		stop()
		<-watched
		if time.Since(begun) > 0 {
			t.Errorf("WatchMedia ended %v late", time.Since(begun))
		}
	})
}

// TestSlowDirectoryRests: one that answers too late is not waited for at each look.
func TestSlowDirectoryRests(t *testing.T) {
	withKernel(t, nil, honest, func(t *testing.T, s *scene, k *kernel, mounts string) {
		slow, stick := filepath.Join(mounts, "a-slow"), filepath.Join(mounts, "stick")
		plug(t, slow)
		plug(t, stick)
		k.delay[slow] = 2 * lookTimeout
		for range 360 {
			s.repo.media.refresh(t.Context())
			time.Sleep(mediaEvery)
		}
		if _, started := k.seen(); started > 14 { // one each 30 s of rest at most, growing, and one to go on with
			t.Errorf("%d aides were started in an hour", started)
		}
		if found := s.repo.media.list(); len(found) != 1 || found[0].path != stick {
			t.Errorf("found %v, want the stick", found)
		}
	})
}

// TestSlowDirectoriesHideNoStick: some that answer just in time use up each look, and yet the stick behind
// them is come to, and stays.
func TestSlowDirectoriesHideNoStick(t *testing.T) {
	withKernel(t, nil, honest, func(t *testing.T, s *scene, k *kernel, mounts string) {
		first, last := filepath.Join(mounts, "stick0"), filepath.Join(mounts, "stick1") // of a directory's order nothing is known
		plug(t, first)
		for i := range 6 {
			slow := filepath.Join(mounts, fmt.Sprint("a-slow", i))
			plug(t, slow)
			os.RemoveAll(filepath.Join(slow, "targets")) // no repository, and no medium that takes the stick's place
			k.delay[slow] = lookTimeout - time.Second
		}
		plug(t, last)
		found := 0
		for range 360 {
			s.repo.media.refresh(t.Context())
			if len(s.repo.media.list()) == 2 {
				found++
			}
			time.Sleep(mediaEvery)
		}
		if found < 345 {
			t.Errorf("both sticks were there after %d of 360 looks", found)
		}
	})
}

// TestAideThatDied: one that was killed while it waited for work, by a device that is short of memory, is not
// held against the medium.
func TestAideThatDied(t *testing.T) {
	withKernel(t, nil, honest, func(t *testing.T, s *scene, k *kernel, mounts string) {
		plug(t, filepath.Join(mounts, "stick"))
		for range 3 {
			body, err := s.repo.Image(t.Context(), agent.ImageRequest{Name: "app.img", Length: 8})
			if err != nil || s.asked.Load() > 0 {
				t.Fatalf("%d requests, %v; want the stick", s.asked.Load(), err)
			}
			if b, err := io.ReadAll(body); err != nil || string(b) != "an image" {
				t.Errorf("%q, %v", b, err)
			}
			body.Close()
			s.repo.aides.mu.Lock()
			idle := s.repo.aides.idle
			s.repo.aides.mu.Unlock()
			if idle == nil {
				t.Fatal("no aide is kept for the next ask")
			}
			idle.proc.Close()
			<-idle.proc.Ended()
		}
	})
}

// TestManyHungMedia: however many mounts hang, so many processes do at most, and the network is asked as ever.
func TestManyHungMedia(t *testing.T) {
	withKernel(t, nil, honest, func(t *testing.T, s *scene, k *kernel, mounts string) {
		for i := range 20 {
			path := filepath.Join(mounts, fmt.Sprint(i))
			plug(t, path)
			k.hang(path)
		}
		for range 600 {
			begun := time.Now()
			if _, err := s.repo.Metadata(t.Context(), "timestamp.json", 100); err != nil || time.Since(begun) > lookWait {
				t.Fatalf("after %v: %v", time.Since(begun), err)
			}
			time.Sleep(mediaEvery)
		}
		if most, _ := k.seen(); most != leftMax {
			t.Errorf("%d aides hang at once, want %d", most, leftMax)
		}
	})
}

// TestHungFile: the medium answers a look, and hangs at its file: the image goes on over the network, a
// directory that the config names is left for the next mirror, and the caller can leave at once.
func TestHungFile(t *testing.T) {
	t.Run("an image", func(t *testing.T) {
		withKernel(t, nil, honest, func(t *testing.T, s *scene, k *kernel, mounts string) {
			plug(t, filepath.Join(mounts, "stick"))
			k.hang("reads")
			begun := time.Now()
			body, err := s.repo.Image(t.Context(), agent.ImageRequest{Name: "app.img", Length: 8})
			if err != nil || s.asked.Load() != 0 {
				t.Fatal(err)
			}
			_, err = io.ReadAll(body)
			body.Close()
			p, _ := errors.AsType[*agent.Problem](err)
			if p == nil || p.Reason != agent.ReasonTooSlow || !p.Elsewhere || time.Since(begun) != time.Minute {
				t.Errorf("after %v: %v", time.Since(begun), err)
			}
			begun = time.Now()
			body, err = s.repo.Image(t.Context(), agent.ImageRequest{Name: "app.img", Length: 8})
			if err != nil || s.asked.Load() != 1 || time.Since(begun) > lookWait {
				t.Errorf("%d requests after %v: %v", s.asked.Load(), time.Since(begun), err)
			}
			body.Close()
		})
	})
	t.Run("left in the middle", func(t *testing.T) {
		withKernel(t, nil, honest, func(t *testing.T, s *scene, k *kernel, mounts string) {
			plug(t, filepath.Join(mounts, "stick"))
			k.hang("reads")
			body, err := s.repo.Image(t.Context(), agent.ImageRequest{Name: "app.img", Length: 8})
			if err != nil {
				t.Fatal(err)
			}
			ended := make(chan error)
			go func() {
				_, err := body.Read(make([]byte, 10))
				ended <- err
			}()
			time.Sleep(time.Second)
			begun := time.Now()
			body.Close()
			if err := <-ended; err == nil || time.Since(begun) > 0 {
				t.Errorf("after %v: %v", time.Since(begun), err)
			}
		})
	})
	dir := t.TempDir()
	plug(t, dir)
	configured := func(c *Config) {
		c.Media = nil
		c.Metadata = []string{"file://" + dir + "/metadata", "http://net.example"}
		c.Targets = []string{"file://" + dir + "/targets", "http://net.example"}
	}
	t.Run("a directory that the config names", func(t *testing.T) {
		withKernel(t, configured, honest, func(t *testing.T, s *scene, k *kernel, _ string) {
			k.hang(dir + "/metadata")
			k.hang(dir + "/targets")
			for _, most := range []time.Duration{30 * time.Second, 0} {
				begun := time.Now()
				if _, err := s.repo.Metadata(t.Context(), "timestamp.json", 100); err != nil || time.Since(begun) > most {
					t.Errorf("after %v: %v", time.Since(begun), err)
				}
				body, err := s.repo.Image(t.Context(), agent.ImageRequest{Name: "app.img", Length: 8})
				if err != nil || time.Since(begun) > 2*most {
					t.Errorf("after %v: %v", time.Since(begun), err)
				} else {
					body.Close()
				}
			}
			time.Sleep(restMax)
			begun := time.Now()
			if _, err := s.repo.Metadata(t.Context(), "timestamp.json", 100); err != nil || time.Since(begun) > 0 {
				t.Errorf("after %v: %v", time.Since(begun), err)
			}
			if most, _ := k.seen(); most != 2 {
				t.Errorf("%d aides hang, want 2", most)
			}
		})
	})
	t.Run("interrupted", func(t *testing.T) {
		withKernel(t, configured, honest, func(t *testing.T, s *scene, k *kernel, _ string) {
			k.hang(dir + "/metadata")
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			begun := time.Now()
			_, err := s.repo.Metadata(ctx, "timestamp.json", 100)
			if !errors.Is(err, context.DeadlineExceeded) || reasonOf(err) != "" || time.Since(begun) != time.Second {
				t.Errorf("after %v: %v", time.Since(begun), err)
			}
		})
	})
}

// TestSlowMedium: a stick keeps to the pace of a server. One that creeps is left, and one that drips is
// measured, as a mirror is.
func TestSlowMedium(t *testing.T) {
	const size = 4 << 20
	image := fetchtest.Bytes(size)
	tell := func(c net.Conn, r *http.Request) {
		var from int
		if n, _ := fmt.Sscanf(r.Header.Get("Range"), "bytes=%d-", &from); n == 1 {
			respond(c, "206 Partial Content", ranged(from, size-1, size), size-from, image[from:])
			return
		}
		respond(c, "200 OK", "", size, image)
	}
	for name, tt := range map[string]struct {
		each   time.Duration // for readBytesMax
		most   time.Duration
		reason agent.Reason
	}{
		"16 B/s":      {readBytesMax / 16 * time.Second, time.Minute, agent.ReasonTooSlow},
		"700 B/s":     {readBytesMax / 700 * time.Second, 3 * time.Minute, ""},
		"fast enough": {200 * time.Millisecond, time.Minute, ""},
	} {
		withKernel(t, nil, tell, func(t *testing.T, s *scene, k *kernel, mounts string) {
			stick := filepath.Join(mounts, "stick")
			plug(t, stick)
			write(t, filepath.Join(stick, "targets", hashed), image)
			k.delay["reads"] = tt.each
			begun := time.Now()
			body, err := s.repo.Image(t.Context(), agent.ImageRequest{Name: hashed, Length: size})
			if err != nil {
				t.Fatal(err)
			}
			got, err := io.ReadAll(body)
			body.Close()
			if reasonOf(err) != tt.reason || time.Since(begun) > tt.most || tt.reason == "" && !bytes.Equal(got, image) {
				t.Errorf("%s: %d bytes in %v, %v", name, len(got), time.Since(begun), err)
			}
			if network := s.asked.Load() > 0; network != (name == "700 B/s") {
				t.Errorf("%s: the network was asked: %v", name, network)
			}
		})
	}
}

// A parrot says the same to whatever it is asked.
type parrot struct {
	io.Reader
	ended chan struct{}
}

func (parrot) Write(p []byte) (int, error) { return len(p), nil }
func (parrot) Close() error                { return nil }
func (p parrot) Ended() <-chan struct{}    { return p.ended }

// TestHostileAide: what an aide says is trusted no more than the medium that it looks at.
func TestHostileAide(t *testing.T) {
	ended := make(chan struct{})
	close(ended)
	for said, want := range map[string]agent.Reason{
		"":                                     agent.ReasonNoMedium,
		"nonsense\n":                           agent.ReasonNoMedium,
		`{"size":8,"bytes":-1}` + "\n":         agent.ReasonNoMedium,
		`{"size":8,"bytes":1000000000}` + "\n": agent.ReasonNoMedium,
		`{"size":-8}` + "\n":                   agent.ReasonNoMedium,
		`{"size":9223372036854775807}` + "\n":  agent.ReasonTooLarge,
		`{"reason":"operator_rollback","text":"a\nb"}` + "\n":              agent.ReasonBadAnswer,
		`{"reason":"no_medium","text":"` + strings.Repeat("x", 70_000):     agent.ReasonNoMedium,
		`{"text":"` + strings.Repeat("x", 1000) + `","reason":"x"}` + "\n": agent.ReasonBadAnswer,
		"\x00\x01\x02\n": agent.ReasonNoMedium,
		"[]\n":           agent.ReasonNoMedium,
	} {
		r, err := New(Config{Metadata: []string{"file:///srv/m"}, Targets: []string{"file:///srv/t"}, Now: time.Now,
			Aide: func() (Aide, error) { return parrot{strings.NewReader(said), ended}, nil }})
		if err != nil {
			t.Fatal(err)
		}
		_, err = r.Metadata(t.Context(), "timestamp.json", 100)
		if reasonOf(err) != want || len(err.Error()) > textBytesMax+10 || strings.Contains(err.Error(), "\n") {
			t.Errorf("%q: %v, want %s", clip(said, 60), err, want)
		}
		r.Close()
	}
	r, err := New(Config{Metadata: []string{"file:///srv/m"}, Targets: []string{"file:///srv/t"}, Now: time.Now, Media: []string{"/nowhere/*"},
		Aide: func() (Aide, error) {
			return parrot{strings.NewReader(`{"names":["Li4=","YS9i","Lg==","","b2s="]}` + "\n"), ended}, nil // "..", "a/b", ".", "", "ok"
		}})
	if err != nil {
		t.Fatal(err)
	}
	l := look{media: r.media, ends: time.Now().Add(time.Minute), seen: map[string]bool{}}
	if got := l.mounts("/", []string{"nowhere", "*"}, nil); !slices.Equal(got, []string{"/nowhere/ok"}) {
		t.Errorf("mounts %q", got)
	}
	r.Close()
}

// TestAideAnswersNothingElse: an aide ends where it is asked what no agent asks.
func TestAideAnswersNothingElse(t *testing.T) {
	for _, said := range []string{"nonsense\n", strings.Repeat("x", askBytesMax+1), `{"verb":"open"`} {
		var out bytes.Buffer
		if err := ServeMedia(strings.NewReader(said), &out); err == nil && said != `{"verb":"open"` || out.Len() > 0 {
			t.Errorf("%q: %v, %q", clip(said, 20), err, out.String())
		}
	}
	dir := t.TempDir()
	write(t, filepath.Join(dir, "f"), []byte("12345678"))
	var out bytes.Buffer
	path := fmt.Sprintf("%q", base64Of(dir))
	said := `{"verb":"read","bytes":8}` + "\n" + `{"verb":"delete","path":` + path + `}` + "\n" +
		`{"verb":"open","path":` + path + `,"name":"Zg=="}` + "\n" + `{"verb":"read","bytes":1000000000}` + "\n" + `{"verb":"read","at":-1,"bytes":4}` + "\n"
	if err := ServeMedia(strings.NewReader(said), &out); err != nil {
		t.Error(err)
	}
	lines := bufio.NewScanner(&out)
	var seen []string
	for lines.Scan() {
		seen = append(seen, lines.Text())
	}
	if len(seen) != 5 || !strings.Contains(seen[0], "bad_answer") || !strings.Contains(seen[1], "bad_answer") || seen[2] != `{"size":8}` || seen[3] != `{"bytes":8}` {
		t.Errorf("%q", seen)
	}
	if _, err := os.Stat(filepath.Join(dir, "f")); err != nil {
		t.Error(err)
	}
}

func base64Of(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }
