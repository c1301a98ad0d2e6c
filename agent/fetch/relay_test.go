package fetch

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ota-agent/ota-agent/agent"
	"github.com/ota-agent/ota-agent/agent/fetch/fetchtest"
)

// A runner is a mirror that serves one image at a rate of its own.
type runner struct {
	// rate is in bytes per second, by the time since the scene began; 0: silence. Less than 0: the connection ends.
	rate func(since time.Duration) int
	tag  string // its ETag; empty: none
	// bare answers every request with the whole file.
	bare bool
	dead bool // no answer at all
}

func steady(rate int) func(time.Duration) int { return func(time.Duration) int { return rate } }

// A race is a scene with several mirrors of one image.
type race struct {
	image   []byte
	runners map[string]*runner
	begun   time.Time

	mu    sync.Mutex
	asked []string // the hosts, in order
}

// hosts returns who was asked since the last call.
func (r *race) hosts() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	seen := r.asked
	r.asked = nil
	return seen
}

func (r *race) tell(c net.Conn, q *http.Request) {
	m := r.runners[q.Host]
	r.mu.Lock()
	r.asked = append(r.asked, q.Host)
	r.mu.Unlock()
	if m.dead {
		io.Copy(io.Discard, c)
		return
	}
	from := 0
	status, header := "200 OK", ""
	if m.tag != "" {
		header = fmt.Sprintf("ETag: %q\r\n", m.tag)
	}
	if text := q.Header.Get("Range"); text != "" && !m.bare {
		if cond := q.Header.Get("If-Range"); cond == "" || cond == fmt.Sprintf("%q", m.tag) {
			fmt.Sscanf(text, "bytes=%d-", &from)
			status = "206 Partial Content"
			header += ranged(from, len(r.image)-1, len(r.image))
		}
	}
	say(c, fmt.Sprintf("HTTP/1.1 %s\r\n%sContent-Length: %d\r\nConnection: close\r\n\r\n", status, header, len(r.image)-from))
	r.pour(c, q.Host, r.image[from:])
}

// pour writes body in steps of a second.
func (r *race) pour(c net.Conn, host string, body []byte) {
	for len(body) > 0 {
		n := min(r.runners[host].rate(time.Since(r.begun)), len(body))
		if n < 0 {
			return
		}
		if n > 0 { // a pipe would deliver nothing as a read of 0 bytes
			if _, err := c.Write(body[:n]); err != nil {
				return
			}
		}
		body = body[n:]
		time.Sleep(time.Second)
	}
}

// run plays a race of mirrors a, b, c … in this order, of which not all need to be in runners' use.
func run(t *testing.T, size int, change func(*Config), runners []*runner, body func(t *testing.T, s *scene, r *race)) {
	t.Helper()
	r := &race{image: fetchtest.Bytes(size), runners: map[string]*runner{}}
	r.image[0] = '{' // it may be metadata
	c := Config{Metadata: []string{"http://a.example"}}
	for i, m := range runners {
		host := string(rune('a'+i)) + ".example"
		c.Targets = append(c.Targets, "http://"+host)
		r.runners[host] = m
	}
	if change != nil {
		change(&c)
	}
	playWith(t, c, r.tell, func(t *testing.T, s *scene) {
		r.begun = time.Now()
		body(t, s, r)
	})
}

// fetched reads the whole image and says how long that took. As the agent does, it asks again at once where a
// body failed and another mirror is left.
func fetched(t *testing.T, s *scene, r *race, name string) time.Duration {
	t.Helper()
	begun := time.Now()
	q := agent.ImageRequest{Name: name, Length: int64(len(r.image))}
	for tries := 0; ; tries++ {
		body, err := s.repo.Image(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(body)
		body.Close()
		if !bytes.Equal(got, r.image[body.From:][:len(got)]) {
			t.Error("the bytes are not the image's")
		}
		q.From, q.Validator = body.From+int64(len(got)), body.Validator
		if p, ok := errors.AsType[*agent.Problem](err); ok && p.Elsewhere && tries < 16 {
			continue
		}
		if err != nil || q.From != q.Length {
			t.Errorf("%d bytes of %d, %v", q.From, q.Length, err)
		}
		return time.Since(begun)
	}
}

// TestDripBesideAnHonestMirror: mirror 1 drips just above the lowest rate, mirror 2 is ten times faster or
// more. Whatever the image's size, it arrives within twice mirror 2's time and ten minutes.
func TestDripBesideAnHonestMirror(t *testing.T) {
	for _, tt := range []struct{ size, drip, honest int }{
		{200_000, 700, 7_000},
		{450_000, 700, 7_000},
		{1_000_000, 700, 7_000},
		{1_300_000, 700, 7_000}, // half an hour at mirror 1
		{20_000_000, 700, 7_000},
		{20_000_000, 700, 200_000},
		{40_000_000, 20_000, 200_000},
	} {
		for name, runners := range map[string][]*runner{
			"the name holds the hash": {{rate: steady(tt.drip)}, {rate: steady(tt.honest)}},
			"one ETag":                {{rate: steady(tt.drip), tag: "v1"}, {rate: steady(tt.honest), tag: "v1"}},
		} {
			file := hashed
			if name == "one ETag" {
				file = "app.img"
			}
			run(t, tt.size, nil, runners, func(t *testing.T, s *scene, r *race) {
				took, bound := fetched(t, s, r, file), time.Duration(2*tt.size/tt.honest)*time.Second+10*time.Minute
				t.Logf("%s, %d bytes at %d and %d B/s: %v of %v", name, tt.size, tt.drip, tt.honest, took, bound)
				if took > bound {
					t.Errorf("%s, %d bytes at %d and %d B/s: took %v, want at most %v", name, tt.size, tt.drip, tt.honest, took, bound)
				}
			})
		}
	}
}

// TestRelay: the mirrors that are asked, in their order, and how long it takes.
func TestRelay(t *testing.T) {
	const m = time.Minute
	from := func(at time.Duration, before, after int) func(time.Duration) int {
		return func(since time.Duration) int {
			if since < at {
				return before
			}
			return after
		}
	}
	for _, tt := range []struct {
		name    string
		size    int
		runners []*runner
		asked   string
		max     time.Duration
	}{
		{"fast enough is left alone", 400_000, []*runner{{rate: steady(1000)}, {rate: steady(100_000)}}, "a", 7 * m},
		{"all are slow: each is measured once, and the fastest stays", 2_000_000,
			[]*runner{{rate: steady(900)}, {rate: steady(700)}, {rate: steady(1000)}}, "abc", 35 * m},
		{"all are slow, the first the least: back to it", 2_000_000,
			[]*runner{{rate: steady(1000)}, {rate: steady(700)}, {rate: steady(900)}}, "abca", 36 * m},
		{"nearly the same: nobody jumps about, and each is measured again an hour later", 7_000_000,
			[]*runner{{rate: func(d time.Duration) int { return 1000 + int(d/m)%3 }}, {rate: func(d time.Duration) int { return 1001 - int(d/m)%3 }}}, "ab", 120 * m},
		{"the fast one dies: on with the other at once", 4_000_000,
			[]*runner{{rate: steady(5000)}, {rate: from(3*m, 10_000, -1)}}, "aba", 15 * m},
		{"a probe without an answer loses nothing, and is not repeated", 3_000_000,
			[]*runner{{rate: steady(1000)}, {dead: true}}, "ab", 53 * m},
		{"a probe that can't prove to be the same file loses nothing", 3_000_000,
			[]*runner{{rate: steady(1000)}, {rate: steady(100_000), bare: true}, {rate: steady(3000)}}, "abc", 20 * m},
		{"a probe that stalls", 3_000_000, []*runner{{rate: steady(1000)}, {rate: silent}}, "aba", 60 * m},
		{"fast for a minute, then slow", 20_000_000,
			[]*runner{{rate: from(70*time.Second, 50_000, 700)}, {rate: steady(20_000)}}, "ab", 20 * m},
		{"fast while it is compared, then slow", 20_000_000,
			[]*runner{{rate: from(3*m, 10_000, 700)}, {rate: steady(7000)}}, "abab", 60 * m},
	} {
		run(t, tt.size, nil, tt.runners, func(t *testing.T, s *scene, r *race) {
			took := fetched(t, s, r, hashed)
			got := ""
			for _, h := range r.hosts() {
				got += h[:1]
			}
			t.Logf("%s: %s in %v", tt.name, got, took)
			if !strings.HasPrefix(got, tt.asked) || took > tt.max {
				t.Errorf("%s: asked %s in %v, want %s within %v", tt.name, got, took, tt.asked, tt.max)
			}
		})
	}
}

// TestRelayJoinsOnlyTheSameFile: without a hash in the name, and with another ETag, mirror 2 may hold another file: no
// byte of it is taken.
func TestRelayJoinsOnlyTheSameFile(t *testing.T) {
	for _, tags := range [][2]string{{"v1", "v2"}, {"", ""}, {"", "v1"}, {"v1", ""}} {
		run(t, 1_000_000, nil, []*runner{{rate: steady(1000), tag: tags[0]}, {rate: steady(100_000), tag: tags[1]}}, func(t *testing.T, s *scene, r *race) {
			if took := fetched(t, s, r, "app.img"); took < 15*time.Minute {
				t.Errorf("%q: bytes came from mirror 2 within %v", tags, took)
			}
			if n := len(r.hosts()); n > 4 {
				t.Errorf("%q: %d requests", tags, n)
			}
		})
	}
}

// TestCappedDownloadStays: our own cap is not the mirror's fault.
func TestCappedDownloadStays(t *testing.T) {
	run(t, 4_000_000, func(c *Config) { c.BandwidthMax = 1000 }, []*runner{{rate: steady(2000)}, {rate: steady(100_000)}},
		func(t *testing.T, s *scene, r *race) {
			fetched(t, s, r, hashed)
			if got := r.hosts(); !slices.Equal(got, []string{"a.example"}) {
				t.Errorf("asked %v, want a.example alone", got)
			}
		})
}

// TestTheFasterOneIsRemembered: a download that is taken up again does not begin with the drip.
func TestTheFasterOneIsRemembered(t *testing.T) {
	run(t, 4_000_000, nil, []*runner{{rate: steady(700)}, {rate: steady(7000)}}, func(t *testing.T, s *scene, r *race) {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
		defer cancel()
		body, err := s.repo.Image(ctx, agent.ImageRequest{Name: hashed, Length: 4_000_000})
		if err != nil {
			t.Fatal(err)
		}
		n, err := io.Copy(io.Discard, body)
		body.Close()
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Fatal(err)
		}
		r.hosts()
		again := func(want string) {
			t.Helper()
			body, err := s.repo.Image(t.Context(), agent.ImageRequest{Name: hashed, From: n, Length: 4_000_000})
			if err != nil || body.From != n {
				t.Fatal(err)
			}
			body.Close()
			if got := r.hosts(); !slices.Equal(got, []string{want}) {
				t.Errorf("asked %v, want %s", got, want)
			}
		}
		again("b.example")
		time.Sleep(measuredFor)
		again("a.example")
	})
}

// TestCloseEndsARead: whoever gives a body up need not wait for the Read under way.
func TestCloseEndsARead(t *testing.T) {
	run(t, 1_000_000, nil, []*runner{{rate: silent}, {rate: silent}}, func(t *testing.T, s *scene, _ *race) {
		body, err := s.repo.Image(t.Context(), agent.ImageRequest{Name: hashed, Length: 1_000_000})
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
		if _, err := body.Read(make([]byte, 10)); err == nil {
			t.Error("a closed body yields bytes")
		}
	})
}

// silent says nothing for an hour, then ends.
func silent(since time.Duration) int {
	if since < time.Hour {
		return 0
	}
	return -1
}

// TestPromisesOfADrip: mirror 1 knows the rule, and is slow in whatever way keeps the download with it the
// longest. The bound holds all the same.
func TestPromisesOfADrip(t *testing.T) {
	const size, honest = 10_000_000, 1_000_000
	const bound = 2*size/honest*time.Second + 10*time.Minute
	for name, rate := range map[string]func(time.Duration) int{
		"it always promises an end in seven minutes": func(d time.Duration) int {
			return 600 + int(size/420*math.Exp(-d.Seconds()/420))
		},
		"it keeps to eight minutes, and is silent at their end": func(d time.Duration) int {
			if d < 470*time.Second {
				return size / 478
			}
			return silent(d)
		},
		"it keeps to eight minutes, and drips at their end": func(d time.Duration) int {
			if d < 470*time.Second {
				return size / 478
			}
			return 600
		},
		"each byte but the last comes at once": func(d time.Duration) int {
			if d < 2*time.Second {
				return size/2 - 1
			}
			return silent(d)
		},
		"it is silent for as long as it may": func(d time.Duration) int {
			if int(d.Seconds())%58 == 0 {
				return 70_000
			}
			return 0
		},
	} {
		run(t, size, nil, []*runner{{rate: rate}, {rate: steady(honest)}}, func(t *testing.T, s *scene, r *race) {
			took := fetched(t, s, r, hashed)
			t.Logf("%s: %v of %v", name, took, bound)
			if took > bound {
				t.Errorf("%s: took %v, want at most %v", name, took, bound)
			}
		})
	}
}
