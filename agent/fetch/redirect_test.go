package fetch

import (
	"errors"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ota-agent/ota-agent/agent"
)

// TestRedirectCarriesNoSecret: user, password and a signed query go to the configured host only, and none of
// them shows in an error. Flatcar#1931: the error names each host.
func TestRedirectCarriesNoSecret(t *testing.T) {
	var mu sync.Mutex
	leaked := map[string]string{}
	tell := func(c net.Conn, r *http.Request) {
		if r.Host == "repo.example" {
			user, password, _ := r.BasicAuth()
			if user != "u" || password != "secret" || r.URL.RawQuery != "sig=secret" {
				respond(c, "400 Bad Request", "", 0, nil)
				return
			}
			respond(c, "302 Found", "Location: http://cdn.example/x?token=secret2\r\n", 0, nil)
			return
		}
		mu.Lock()
		defer mu.Unlock()
		for k, v := range r.Header {
			leaked[k] = strings.Join(v, " ")
		}
		respond(c, "500 Oops", "", 0, nil)
	}
	c := Config{Metadata: []string{"http://u:secret@repo.example/m?sig=secret"}, Targets: []string{"http://repo.example"}}
	playWith(t, c, tell, func(t *testing.T, s *scene) {
		_, err := s.repo.Metadata(t.Context(), "timestamp.json", 100)
		checkText(t, err)
		if reasonOf(err) != agent.ReasonServerBusy || !strings.Contains(err.Error(), "repo.example") || !strings.Contains(err.Error(), "cdn.example") {
			t.Errorf("%v: want both hosts", err)
		}
		for k, v := range leaked {
			if strings.Contains(v, "secret") || k == "Authorization" || k == "Referer" || k == "Cookie" {
				t.Errorf("the other host saw %s: %s", k, v)
			}
		}
	})
}

// TestFailureShowsNoSecret: each layer of net/http that might repeat the URL.
func TestFailureShowsNoSecret(t *testing.T) {
	for name, tell := range map[string]story{
		"closed":   func(net.Conn, *http.Request) {},
		"nonsense": func(c net.Conn, _ *http.Request) { say(c, "HTTP/9 http://u:secret@x/?secret\r\n\r\n") },
		"bad location": func(c net.Conn, _ *http.Request) {
			respond(c, "302 Found", "Location: http://x:y/%zz?secret\r\n", 0, nil)
		},
		"many statuses": func(c net.Conn, _ *http.Request) { respond(c, "418 ?secret", "", 0, nil) },
	} {
		c := Config{Metadata: []string{"http://u:secret@repo.example/m?sig=secret"}, Targets: []string{"http://repo.example"}}
		playWith(t, c, tell, func(t *testing.T, s *scene) {
			_, err := s.repo.Metadata(t.Context(), "timestamp.json", 100)
			if err == nil {
				t.Errorf("%s: no error", name)
			}
			checkText(t, err)
		})
	}
}

// TestHalfClosed: the server has said its last word in the middle of a body and keeps the connection open.
func TestHalfClosed(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		c, err := l.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		c.Read(make([]byte, 4096))
		say(c, head200+"Content-Length: 100\r\n\r\n{}")
		c.(*net.TCPConn).CloseWrite()
		c.Read(make([]byte, 1)) // until the client leaves
	}()
	base := "http://" + l.Addr().String()
	r, err := New(Config{Metadata: []string{base}, Targets: []string{base}, Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if _, err := r.Metadata(t.Context(), "timestamp.json", 1000); reasonOf(err) != agent.ReasonCut {
		t.Errorf("%v, want reason cut", err)
	}
	<-ended
}

// TestAddressGone is rauc#1912: a new IP address orphans the connection for minutes. The request ends within one
// look, and idle connections are dropped before the next.
func TestAddressGone(t *testing.T) {
	ours := []netip.Addr{netip.MustParseAddr("192.0.2.7")}
	tell := func(c net.Conn, _ *http.Request) {
		say(c, head200+"Content-Length: 1000\r\n\r\n{")
		c.Read(make([]byte, 1))
	}
	c := Config{Metadata: []string{"http://repo.example"}, Targets: []string{"http://repo.example"}}
	for _, tt := range []struct {
		name   string
		change func() ([]netip.Addr, bool) // what is so after 7 s
		after  time.Duration
		reason agent.Reason
	}{
		{"address gone", func() ([]netip.Addr, bool) { return nil, true }, 10 * time.Second, agent.ReasonUnreachable},
		{"address stays", func() ([]netip.Addr, bool) { return ours, true }, 60 * time.Second, agent.ReasonTooSlow},
		{"addresses can't be read", func() ([]netip.Addr, bool) { return nil, false }, 60 * time.Second, agent.ReasonTooSlow},
	} {
		var changed atomic.Bool
		addresses := func() ([]netip.Addr, bool) {
			if changed.Load() {
				return tt.change()
			}
			return ours, true
		}
		playOutside(t, c, addresses, tell, func(t *testing.T, s *scene) {
			begun := time.Now()
			time.AfterFunc(7*time.Second, func() { changed.Store(true) })
			_, err := s.repo.Metadata(t.Context(), "timestamp.json", 2000)
			if reasonOf(err) != tt.reason || time.Since(begun) != tt.after {
				t.Errorf("%s: after %v %v, want reason %s after %v", tt.name, time.Since(begun), err, tt.reason, tt.after)
			}
			checkText(t, err)
		})
	}
}

// TestMovedDropsIdle: an idle connection from before the change is not used again.
func TestMovedDropsIdle(t *testing.T) {
	own := []netip.Addr{netip.MustParseAddr("192.0.2.7")}
	tell := func(c net.Conn, _ *http.Request) {
		for range 10 {
			say(c, head200+"Content-Length: 2\r\n\r\n{}")
			if _, err := c.Read(make([]byte, 4096)); err != nil {
				return
			}
		}
	}
	c := Config{Metadata: []string{"http://repo.example"}, Targets: []string{"http://repo.example"}}
	playOutside(t, c, func() ([]netip.Addr, bool) { return own, true }, tell, func(t *testing.T, s *scene) {
		for i, want := range []int64{1, 1, 2, 2} {
			if i == 2 {
				own = []netip.Addr{netip.MustParseAddr("198.51.100.9")}
			}
			if _, err := s.repo.Metadata(t.Context(), "timestamp.json", 100); err != nil {
				t.Fatal(err)
			}
			if got := s.dials.Load(); got != want {
				t.Errorf("request %d: %d connections so far, want %d", i+1, got, want)
			}
		}
	})
}

// TestProxyConfig: what is not a proxy is refused without showing its password.
func TestProxyConfig(t *testing.T) {
	for _, good := range []string{"", "direct", "http://p.example:3128", "https://u:p@p.example", "socks5://p.example:1080", "socks5h://[::1]:1080"} {
		if _, err := proxyFor(good); err != nil {
			t.Errorf("%q: %v", good, err)
		}
	}
	for _, bad := range []string{"p.example:3128", "ftp://u:secret@p.example", "http://u:secret@%zz", "http://", "socks4://x"} {
		_, err := proxyFor(bad)
		if err == nil || strings.Contains(err.Error(), "secret") {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

// TestProxyRefuses: the error names the proxy and what it said. Flatcar#1326.
func TestProxyRefuses(t *testing.T) {
	tell := func(c net.Conn, r *http.Request) {
		if r.Method != http.MethodConnect {
			respond(c, "400 Bad Request", "", 0, nil)
			return
		}
		say(c, "HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")
	}
	c := Config{Metadata: []string{"https://repo.example"}, Targets: []string{"https://repo.example"}, Proxy: "http://u:secret@proxy.example:3128"}
	playWith(t, c, tell, func(t *testing.T, s *scene) {
		_, err := s.repo.Metadata(t.Context(), "timestamp.json", 100)
		checkText(t, err)
		if reasonOf(err) != agent.ReasonProxy || !strings.Contains(err.Error(), "proxy.example:3128") || !strings.Contains(err.Error(), "407") {
			t.Errorf("%v", err)
		}
	})
}

// TestSilentProxy: a SOCKS proxy that says nothing has no time-out in net/http.
func TestSilentProxy(t *testing.T) {
	c := Config{Metadata: []string{"http://repo.example"}, Targets: []string{"http://repo.example"}, Proxy: "socks5://proxy.example:1080"}
	playWith(t, c, func(net.Conn, *http.Request) {}, func(t *testing.T, s *scene) {
		begun := time.Now()
		_, err := s.repo.Metadata(t.Context(), "timestamp.json", 100)
		if reasonOf(err) != agent.ReasonUnreachable || time.Since(begun) > 90*time.Second {
			t.Errorf("after %v: %v", time.Since(begun), err)
		}
		if errors.Is(err, agent.ErrAbsent) {
			t.Error("a failure taken for absence")
		}
	})
}
