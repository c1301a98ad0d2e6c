package fetch

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"path/filepath"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ota-agent/ota-agent/agent"
)

// switching answers each request as a server that changes the protocol, and keeps the connection open without a word.
const switching = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"

func switches(c net.Conn, _ *http.Request) {
	say(c, switching)
	io.Copy(io.Discard, c)
}

// informational are the answers that are no answer: each is refused, or passed over, and none can hold a request.
var informational = []struct {
	name   string
	tell   story
	reason agent.Reason
}{
	{"101 on a connection that stays open", switches, agent.ReasonBadAnswer},
	{"101 that names no protocol", func(c net.Conn, _ *http.Request) {
		say(c, "HTTP/1.1 101 Switching Protocols\r\n\r\n")
		io.Copy(io.Discard, c)
	}, agent.ReasonBadAnswer},
	{"101 and then a flood", func(c net.Conn, _ *http.Request) {
		say(c, switching)
		flood(c, "a")
	}, agent.ReasonBadAnswer},
	{"102", func(c net.Conn, _ *http.Request) {
		say(c, "HTTP/1.1 102 Processing\r\n\r\n")
		io.Copy(io.Discard, c)
	}, agent.ReasonBadAnswer},
	{"199", func(c net.Conn, _ *http.Request) {
		say(c, "HTTP/1.1 199 Later\r\n\r\n"+head200+"Content-Length: 2\r\n\r\n{}")
	}, agent.ReasonBadAnswer},
	{"100 that nobody asked for", func(c net.Conn, _ *http.Request) {
		say(c, "HTTP/1.1 100 Continue\r\n\r\n"+head200+"Content-Length: 2\r\n\r\n{}")
	}, ""},
	{"early hints", func(c net.Conn, _ *http.Request) {
		say(c, "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"+head200+"Content-Length: 2\r\n\r\n{}")
	}, ""},
	{"early hints now and then", func(c net.Conn, _ *http.Request) {
		drip(c, "HTTP/1.1 103 Early Hints\r\n\r\n", 10*time.Second)
	}, agent.ReasonUnreachable},
	{"early hints without end", func(c net.Conn, _ *http.Request) {
		flood(c, "HTTP/1.1 103 Early Hints\r\n\r\n")
	}, agent.ReasonBadAnswer},
}

// TestInformationalAnswers: a 101 hands the bare connection to whoever reads the body, where no context ends
// the read. So the refresh, or the download, never ended.
func TestInformationalAnswers(t *testing.T) {
	ask := map[string]func(*testing.T, *scene) error{
		"metadata": func(t *testing.T, s *scene) error {
			_, err := s.repo.Metadata(t.Context(), "timestamp.json", metadataCap)
			return err
		},
		"image": func(t *testing.T, s *scene) error {
			body, err := s.repo.Image(t.Context(), agent.ImageRequest{Name: "app.img", Length: 2})
			if err != nil {
				return err
			}
			defer body.Close()
			_, err = io.ReadAll(body)
			return err
		},
	}
	for _, tt := range informational {
		for what, get := range ask {
			t.Run(tt.name+" for "+what, func(t *testing.T) {
				play(t, tt.tell, func(t *testing.T, s *scene) {
					begun := time.Now()
					if err := get(t, s); reasonOf(err) != tt.reason || tt.reason == "" && err != nil || time.Since(begun) > 90*time.Second {
						t.Errorf("after %v: %v; want reason %q", time.Since(begun), err, tt.reason)
					}
				})
			})
		}
	}
}

// TestSwitchLeadsToTheNextMirror: also where TLS hides the connection, and behind a redirect.
func TestSwitchLeadsToTheNextMirror(t *testing.T) {
	a := newAuthority(t)
	hostile := a.server(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Get("to") == "" {
			http.Redirect(w, r, r.URL.Path+"?to=switch", http.StatusFound)
			return
		}
		c, _, err := w.(http.Hijacker).Hijack()
		if err != nil {
			return
		}
		defer c.Close()
		say(c, switching)
		io.Copy(io.Discard, c)
	}, nil)
	good := a.server(t, yes, nil)
	ca := write(t, filepath.Join(t.TempDir(), "ca.pem"), a.pem)
	urls := []string{hostile.URL, good.URL}
	r, err := New(Config{Metadata: urls, Targets: urls, CA: ca, Now: at(in2030), Proxy: "direct"})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if b, err := r.Metadata(t.Context(), "timestamp.json", 100); err != nil || string(b) != "{}" {
		t.Errorf("%q, %v", b, err)
	}
	body, err := r.Image(t.Context(), agent.ImageRequest{Name: "app.img", Length: 2})
	if err != nil {
		t.Fatal(err)
	}
	defer body.Close()
	if b, err := io.ReadAll(body); err != nil || string(b) != "{}" {
		t.Errorf("%q, %v", b, err)
	}
}

// TestProxySwitches: a proxy's answer to CONNECT is no way to a bare connection either.
func TestProxySwitches(t *testing.T) {
	for _, status := range []string{switching, "HTTP/1.1 100 Continue\r\n\r\n", "HTTP/1.1 204 No Content\r\n\r\n"} {
		c := Config{Metadata: []string{"https://repo.example"}, Targets: []string{"https://repo.example"}, Proxy: "http://proxy.example:3128"}
		playWith(t, c, func(c net.Conn, _ *http.Request) { say(c, status); io.Copy(io.Discard, c) }, func(t *testing.T, s *scene) {
			begun := time.Now()
			_, err := s.repo.Metadata(t.Context(), "timestamp.json", 100)
			if reasonOf(err) == "" || errors.Is(err, agent.ErrAbsent) || time.Since(begun) > 90*time.Second {
				t.Errorf("%q: after %v: %v", status, time.Since(begun), err)
			}
		})
	}
}

// TestNoDialIsLeftBehind: whoever asked is gone, and the SOCKS proxy is silent: net/http would go on with the
// dial for nobody.
func TestNoDialIsLeftBehind(t *testing.T) {
	c := Config{Metadata: []string{"http://repo.example"}, Targets: []string{"http://repo.example"}, Proxy: "socks5://proxy.example:1080"}
	playRaw(t, c, func(c net.Conn) { io.Copy(io.Discard, c) }, func(t *testing.T, s *scene) {
		ctx, cancel := withTimeout(t, 10*time.Second)
		defer cancel()
		if _, err := s.repo.Metadata(ctx, "timestamp.json", 100); err == nil {
			t.Fatal("an answer")
		}
		synctest.Wait()
		ended := make(chan struct{})
		go func() { s.serving.Wait(); close(ended) }()
		select {
		case <-ended:
		case <-time.After(time.Second):
			t.Error("the connection is still there")
		}
	})
}

// TestCloseNeverBlocks: a worker that hangs in a read is left by closing its body from outside. The server
// takes no byte any more, so that TLS can't even say goodbye.
func TestCloseNeverBlocks(t *testing.T) {
	a := newAuthority(t)
	pair, err := tls.X509KeyPair(a.pair(t, "server"))
	if err != nil {
		t.Fatal(err)
	}
	ca := write(t, filepath.Join(t.TempDir(), "ca.pem"), a.pem)
	c := Config{Metadata: []string{"https://repo.example"}, Targets: []string{"https://repo.example"}, CA: ca}
	playTLS(t, c, func(raw net.Conn) {
		conn := tls.Server(raw, &tls.Config{Certificates: []tls.Certificate{pair}, Time: at(in2030)})
		conn.Read(make([]byte, 4096))
		say(conn, head200+"Content-Length: 1000\r\n\r\n{")
		time.Sleep(time.Minute) // reads nothing: on a pipe the client's last record finds no taker
	}, func(t *testing.T, s *scene) {
		body, err := s.repo.Image(t.Context(), agent.ImageRequest{Name: "app.img", Length: 1000})
		if err != nil {
			t.Fatal(err)
		}
		read := make(chan error, 1)
		go func() {
			_, err := io.ReadAll(body)
			read <- err
		}()
		synctest.Wait() // it hangs in the read
		begun := time.Now()
		body.Close()
		if took := time.Since(begun); took != 0 {
			t.Errorf("closing took %v", took)
		}
		if err := <-read; reasonOf(err) != "" {
			t.Errorf("%v: the caller's leaving is taken for the mirror's failure", err)
		}
		if !s.repo.targets.list[0].until.IsZero() {
			t.Error("the mirror rests")
		}
	})
}

// TestRequestsLeaveNothingBehind: each request left a timer of 5 s, which held the whole trip: 2,000 polls in
// a row were 20 MiB.
func TestRequestsLeaveNothingBehind(t *testing.T) {
	tell := func(c net.Conn, _ *http.Request) {
		for {
			say(c, head200+"Content-Length: 2\r\n\r\n{}")
			if _, err := c.Read(make([]byte, 4096)); err != nil {
				return
			}
		}
	}
	c := Config{Metadata: []string{"http://repo.example"}, Targets: []string{"http://repo.example"}}
	own := func() ([]netip.Addr, bool) { return []netip.Addr{netip.MustParseAddr("192.0.2.7")}, true }
	playOutside(t, c, own, tell, func(t *testing.T, s *scene) {
		ask := func(n int) uint64 {
			for range n {
				if _, err := s.repo.Metadata(t.Context(), "timestamp.json", 100); err != nil {
					t.Fatal(err)
				}
			}
			runtime.GC()
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			return m.HeapAlloc
		}
		before := ask(100)
		if grown := int64(ask(2000)) - int64(before); grown > 512<<10 {
			t.Errorf("2,000 requests hold %d KiB", grown>>10)
		}
	})
}
