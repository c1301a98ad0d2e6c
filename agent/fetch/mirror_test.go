package fetch

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/ota-agent/ota-agent/agent"
	"github.com/ota-agent/ota-agent/agent/fetch/fetchtest"
)

// mirrored plays with three mirrors, each a host with an answer of its own that body may change. asked returns
// the hosts asked since the last call.
func mirrored(t *testing.T, answers map[string]string, body func(t *testing.T, s *scene, asked func() []string)) {
	t.Helper()
	var hosts []string
	tell := func(c net.Conn, r *http.Request) {
		hosts = append(hosts, r.Host)
		say(c, answers[r.Host])
	}
	c := Config{Metadata: []string{"http://a.example", "http://b.example", "http://c.example"},
		Targets: []string{"http://a.example", "http://b.example", "http://c.example"}}
	playWith(t, c, tell, func(t *testing.T, s *scene) {
		body(t, s, func() []string {
			seen := hosts
			hosts = nil
			return seen
		})
	})
}

const (
	good  = "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}"
	none  = "HTTP/1.1 404 Not Found\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
	later = "HTTP/1.1 503 No\r\nRetry-After: 7200\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
	never = "HTTP/1.1 400 No\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
)

// TestMirrorsInTurn: the next on any failure, the first again later, and a failing one rests longer each time.
func TestMirrorsInTurn(t *testing.T) {
	answers := map[string]string{"a.example": "nonsense\r\n\r\n", "b.example": good, "c.example": good}
	mirrored(t, answers, func(t *testing.T, s *scene, asked func() []string) {
		ask := func(want ...string) {
			t.Helper()
			if b, err := s.repo.Metadata(t.Context(), "timestamp.json", 100); err != nil || string(b) != "{}" {
				t.Errorf("%q, %v", b, err)
			}
			if got := asked(); !slices.Equal(got, want) {
				t.Errorf("asked %v, want %v", got, want)
			}
		}
		ask("a.example", "b.example")
		ask("b.example")
		time.Sleep(restMin)
		ask("a.example", "b.example")
		time.Sleep(restMin)
		ask("b.example")
		answers["a.example"] = good
		time.Sleep(restMin)
		ask("a.example")
		answers["a.example"] = later
		ask("a.example", "b.example")
		time.Sleep(time.Hour)
		ask("b.example")
		time.Sleep(time.Hour)
		ask("a.example", "b.example")
		answers["a.example"] = good
		time.Sleep(2 * time.Hour)
		ask("a.example")
		s.repo.MetadataRefused()
		ask("b.example")
	})
}

// TestRestingMirrorsStillHelp: a mirror that rests is better than none.
func TestRestingMirrorsStillHelp(t *testing.T) {
	answers := map[string]string{"a.example": never, "b.example": later, "c.example": ""}
	mirrored(t, answers, func(t *testing.T, s *scene, asked func() []string) {
		_, err := s.repo.Metadata(t.Context(), "timestamp.json", 100)
		// b.example may answer later, a.example won't: the hopeful reason counts.
		if reasonOf(err) != agent.ReasonServerBusy || len(asked()) != 3 {
			t.Errorf("%v", err)
		}
		for _, host := range []string{"a.example", "b.example", "c.example"} {
			if !strings.Contains(err.Error(), host) {
				t.Errorf("%v does not name %s", err, host)
			}
		}
		if p, _ := errors.AsType[*agent.Problem](err); p.RetryAfter != 0 {
			t.Errorf("told to wait %v, although two mirrors ask for nothing", p.RetryAfter)
		}
		answers["a.example"] = good
		if _, err := s.repo.Metadata(t.Context(), "timestamp.json", 100); err != nil {
			t.Error(err)
		}
	})
}

// TestMirrorAbsence: the first answer decides about the next root; anything else must be absent everywhere, and
// a failure is never taken for absence.
func TestMirrorAbsence(t *testing.T) {
	for _, tt := range []struct {
		file    string
		a, b, c string
		absent  bool
		reason  agent.Reason
		asked   int
	}{
		{"2.root.json", none, good, good, true, "", 1},
		{"2.root.json", "", none, good, true, "", 2},
		{"2.root.json", later, "", never, false, agent.ReasonServerBusy, 3},
		{"timestamp.json", none, good, good, false, "", 2},
		{"timestamp.json", none, none, none, true, "", 3},
		{"timestamp.json", none, "", none, false, agent.ReasonUnreachable, 3},
	} {
		mirrored(t, map[string]string{"a.example": tt.a, "b.example": tt.b, "c.example": tt.c}, func(t *testing.T, s *scene, asked func() []string) {
			_, err := s.repo.Metadata(t.Context(), tt.file, 100)
			if errors.Is(err, agent.ErrAbsent) != tt.absent || reasonOf(err) != tt.reason {
				t.Errorf("%+v: %v", tt, err)
			}
			if got := asked(); len(got) != tt.asked {
				t.Errorf("%+v: asked %v", tt, got)
			}
		})
	}
}

// TestImageGoesOnElsewhere: a body that breaks makes its mirror rest, and the next one goes on from the same
// byte, although its validator differs: the name holds the hash.
func TestImageGoesOnElsewhere(t *testing.T) {
	img := fetchtest.Bytes(imageBytes)
	tell := func(c net.Conn, r *http.Request) {
		tag := fmt.Sprintf("ETag: %q\r\n", r.Host)
		switch {
		case r.Host == "a.example":
			respond(c, "200 OK", tag, imageBytes, img[:4000])
		case r.Header.Get("If-Range") == `"a.example"`:
			respond(c, "200 OK", tag, imageBytes, img)
		default:
			respond(c, "206 Partial Content", tag+ranged(4000, imageBytes-1, imageBytes), imageBytes-4000, img[4000:])
		}
	}
	var logged bytes.Buffer
	c := Config{Metadata: []string{"http://a.example"}, Targets: []string{"http://a.example/?sig=secret", "http://b.example"},
		Log: slog.New(slog.NewTextHandler(&logged, nil))}
	playWith(t, c, tell, func(t *testing.T, s *scene) {
		q := agent.ImageRequest{Name: hashed, Length: imageBytes}
		first, err := s.repo.Image(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		part, err := io.ReadAll(first)
		first.Close()
		if reasonOf(err) != agent.ReasonCut || len(part) != 4000 {
			t.Fatalf("%d bytes, %v", len(part), err)
		}
		q.From, q.Validator = 4000, first.Validator
		second, err := s.repo.Image(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		defer second.Close()
		rest, err := io.ReadAll(second)
		if err != nil || second.From != 4000 || !bytes.Equal(rest, img[4000:]) || second.Validator != `"b.example"` {
			t.Errorf("%d bytes from %d, validator %s, %v", len(rest), second.From, second.Validator, err)
		}
	})
	if got := logged.String(); !strings.Contains(got, "a.example") || strings.Contains(got, "secret") {
		t.Errorf("log %q: want the mirror without its query", got)
	}
}

// TestCancelMakesNoMirrorRest: greengrass-nucleus#1161 could not be cancelled; here it ends at once and blames
// nobody.
func TestCancelMakesNoMirrorRest(t *testing.T) {
	var answers atomic.Bool
	tell := func(c net.Conn, _ *http.Request) {
		if answers.Load() {
			say(c, good)
			return
		}
		io.Copy(io.Discard, c)
	}
	c := Config{Metadata: []string{"http://a.example", "http://b.example"}, Targets: []string{"http://a.example"}}
	playWith(t, c, tell, func(t *testing.T, s *scene) {
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		begun := time.Now()
		_, err := s.repo.Metadata(ctx, "timestamp.json", 100)
		if !errors.Is(err, context.DeadlineExceeded) || reasonOf(err) != "" || time.Since(begun) != 3*time.Second {
			t.Errorf("after %v: %v", time.Since(begun), err)
		}
		if s.asked.Load() != 1 {
			t.Errorf("%d requests, want 1: no mirror is asked after the end", s.asked.Load())
		}
		answers.Store(true)
		if _, err := s.repo.Metadata(t.Context(), "timestamp.json", 100); err != nil || s.asked.Load() != 2 {
			t.Errorf("%v after %d requests", err, s.asked.Load())
		}
	})
}

// TestDeadlineInBody: the same in the middle of an image.
func TestDeadlineInBody(t *testing.T) {
	tell := func(c net.Conn, r *http.Request) {
		respond(c, "200 OK", "", imageBytes, make([]byte, 1000))
		io.Copy(io.Discard, c)
	}
	c := Config{Metadata: []string{"http://a.example"}, Targets: []string{"http://a.example", "http://b.example"}}
	playWith(t, c, tell, func(t *testing.T, s *scene) {
		for range 2 {
			ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
			opened, err := s.repo.Image(ctx, agent.ImageRequest{Name: "app.img", Length: imageBytes})
			if err != nil {
				t.Fatal(err)
			}
			if n, err := io.Copy(io.Discard, opened); n != 1000 || !errors.Is(err, context.DeadlineExceeded) || reasonOf(err) != "" {
				t.Errorf("%d bytes, %v", n, err)
			}
			if !strings.Contains(opened.ReadCloser.(*relay).body.where(), "a.example") {
				t.Error("a.example rests, although only the caller's time was up")
			}
			opened.Close()
			cancel()
		}
	})
}

// TestALieIsNotBoughtTwice: an image is not asked for at a mirror that lied about it while there is another
// one, be that one away. Metadata is cheap, and is.
func TestALieIsNotBoughtTwice(t *testing.T) {
	answers := map[string]string{"a.example": good, "b.example": "", "c.example": none}
	mirrored(t, answers, func(t *testing.T, s *scene, asked func() []string) {
		image := func(want ...string) (err error) {
			t.Helper()
			body, err := s.repo.Image(t.Context(), agent.ImageRequest{Name: "app.img", Length: 2})
			if err == nil {
				_, err = io.ReadAll(body)
				body.Close()
			}
			if got := asked(); !slices.Equal(got, want) {
				t.Errorf("asked %v, want %v", got, want)
			}
			return err
		}
		if err := image("a.example"); err != nil {
			t.Error(err)
		}
		if !s.repo.ImageRefused("app.img") {
			t.Error("nobody left, although b and c were not asked")
		}
		if err := image("b.example", "c.example"); reasonOf(err) != agent.ReasonUnreachable {
			t.Errorf("%v", err)
		}
		if _, err := s.repo.Metadata(t.Context(), "timestamp.json", 100); err != nil || !slices.Equal(asked(), []string{"a.example"}) {
			t.Error(err)
		}
		if !s.repo.MetadataRefused() {
			t.Error("nobody left for metadata")
		}
		if _, err := s.repo.Metadata(t.Context(), "timestamp.json", 100); err != nil || !slices.Equal(asked(), []string{"b.example", "c.example", "a.example"}) {
			t.Error(err)
		}
		// All of them have lied: there is nobody better than the one that did so longest ago.
		answers["b.example"] = good
		answers["c.example"] = good
		time.Sleep(restMin)
		for _, host := range []string{"b.example", "c.example"} {
			if err := image(host); err != nil {
				t.Error(err)
			}
			if left := s.repo.ImageRefused("app.img"); left != (host == "b.example") {
				t.Errorf("after %s lied, somebody is left: %v", host, left)
			}
			time.Sleep(time.Second)
		}
		for _, host := range []string{"a.example", "b.example", "c.example", "a.example"} {
			image(host)
			if s.repo.ImageRefused("app.img") {
				t.Error("somebody left")
			}
			time.Sleep(time.Second)
		}
		time.Sleep(restRefused)
		image("a.example")
	})
}

// TestWhoCutsIsSuspectedFirst: a liar that cuts its answer short must not have the mirror blamed that goes on after it.
func TestWhoCutsIsSuspectedFirst(t *testing.T) {
	img := fetchtest.Bytes(imageBytes)
	var hosts []string
	tell := func(c net.Conn, r *http.Request) {
		hosts = append(hosts, r.Host)
		switch {
		case r.Host == "a.example":
			respond(c, "200 OK", "", imageBytes, make([]byte, 4000))
		case r.Header.Get("Range") != "":
			respond(c, "206 Partial Content", ranged(4000, imageBytes-1, imageBytes), imageBytes-4000, img[4000:])
		default:
			respond(c, "200 OK", "", imageBytes, img)
		}
	}
	c := Config{Metadata: []string{"http://a.example"}, Targets: []string{"http://a.example", "http://b.example"}}
	playWith(t, c, tell, func(t *testing.T, s *scene) {
		get := func(from int64, want string) {
			t.Helper()
			body, err := s.repo.Image(t.Context(), agent.ImageRequest{Name: hashed, From: from, Length: imageBytes})
			if err != nil {
				t.Fatal(err)
			}
			io.Copy(io.Discard, body)
			body.Close()
			if got := hosts[len(hosts)-1]; got != want {
				t.Errorf("from %d: asked %s, want %s", from, got, want)
			}
		}
		get(0, "a.example")
		get(4000, "b.example") // and the hash over both is wrong
		if !s.repo.ImageRefused(hashed) {
			t.Error("b.example is not left")
		}
		time.Sleep(restMax)
		get(0, "b.example") // alone
		if s.repo.ImageRefused(hashed) {
			t.Error("somebody is left, although both have lied")
		}
		get(0, "a.example") // who lied first is asked first
	})
}

// TestRefusedImageHasItsOwnGivers: with two images at once, a lie about one is not blamed on who gave the other.
func TestRefusedImageHasItsOwnGivers(t *testing.T) {
	answers := map[string]string{"a.example": none, "b.example": good, "c.example": none}
	mirrored(t, answers, func(t *testing.T, s *scene, asked func() []string) {
		open := func(name, want string) {
			t.Helper()
			body, err := s.repo.Image(t.Context(), agent.ImageRequest{Name: name, Length: 2})
			if err != nil {
				t.Fatal(err)
			}
			body.Close()
			if got := asked(); got[len(got)-1] != want {
				t.Errorf("%s came from %v, want %s", name, got, want)
			}
		}
		open("one.img", "b.example")
		answers["a.example"] = good
		open("two.img", "a.example")
		s.repo.ImageRefused("one.img")
		open("two.img", "a.example")
		answers["a.example"] = later
		if _, err := s.repo.Image(t.Context(), agent.ImageRequest{Name: "one.img", Length: 2}); err == nil {
			t.Error("b.example was asked again, although it lied about this image")
		}
	})
}

// TestABadMirrorDoesNotHoldTheDevice: whatever the first mirror's answer makes fail, the honest one is asked
// next, and a body that failed says so.
func TestABadMirrorDoesNotHoldTheDevice(t *testing.T) {
	img := fetchtest.Bytes(imageBytes)
	for name, tell := range map[string]story{
		"a validator of no text": func(c net.Conn, _ *http.Request) {
			respond(c, "200 OK", "ETag: \"\xff\xfe\"\r\n", imageBytes, img[:100])
		},
		"too much": func(c net.Conn, _ *http.Request) { respond(c, "200 OK", "", -1, append(slices.Clip(img), 'x')) },
		"cut":      func(c net.Conn, _ *http.Request) { respond(c, "200 OK", "", imageBytes, img[:100]) },
		"wrong chunk": func(c net.Conn, _ *http.Request) {
			respond(c, "200 OK", "Transfer-Encoding: chunked\r\n", -1, []byte("zz\r\n"))
		},
		"101": switches,
	} {
		t.Run(name, func(t *testing.T) {
			urls := []string{"http://repo.example/bad", "http://repo.example/good"}
			playWith(t, Config{Metadata: urls, Targets: urls}, func(c net.Conn, r *http.Request) {
				if strings.HasPrefix(r.URL.Path, "/bad") {
					tell(c, r)
					return
				}
				respond(c, "200 OK", "", imageBytes, img)
			}, func(t *testing.T, s *scene) {
				for try := 1; ; try++ {
					body, err := s.repo.Image(t.Context(), agent.ImageRequest{Name: "app.img", Length: imageBytes})
					if err != nil {
						t.Fatal(err)
					}
					if !utf8.ValidString(body.Validator) {
						t.Errorf("validator %q", body.Validator)
					}
					_, err = io.ReadAll(body)
					body.Close()
					if err == nil {
						return
					}
					if p, ok := errors.AsType[*agent.Problem](err); !ok || !p.Elsewhere || try > 1 {
						t.Fatalf("try %d: %v; want a Problem that says that another mirror is left", try, err)
					}
				}
			})
		})
	}
}
