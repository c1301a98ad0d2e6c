package fetch

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/ota-agent/ota-agent/agent"
)

// page answers with a web page, whatever is asked, until it lets through.
func page(status string, through *bool) story {
	return func(c net.Conn, r *http.Request) {
		if *through {
			respond(c, "200 OK", "Content-Type: application/json\r\n", 2, []byte("{}"))
			return
		}
		html := "<!DOCTYPE html><title>Welcome to the train</title>"
		respond(c, status, "Content-Type: text/html\r\nRetry-After: 7\r\n", len(html), []byte(html))
	}
}

// TestRefusalByAPage: what refuses with a web page is a login page, or a proxy, unless its host has served
// verified metadata in this network. Before, such a page was believed for hours.
func TestRefusalByAPage(t *testing.T) {
	for _, tt := range []struct {
		status string
		proven agent.Reason // of a host that served verified metadata; empty: absence
	}{
		{"200 OK", agent.ReasonBadAnswer}, {"400 Bad Request", agent.ReasonHTTP}, {"401 Unauthorized", agent.ReasonHTTP},
		{"403 Forbidden", ""}, {"404 Not Found", ""}, {"410 Gone", ""}, {"418 Teapot", agent.ReasonHTTP},
		{"451 Unavailable", agent.ReasonHTTP}, {"500 Oops", agent.ReasonServerBusy}, {"502 Bad Gateway", agent.ReasonServerBusy},
		{"503 Unavailable", agent.ReasonServerBusy}, {"511 Log In", agent.ReasonCaptivePortal},
	} {
		through, own, route := false, []netip.Addr{netip.MustParseAddr("192.0.2.7")}, "eth0 1"
		c := Config{Metadata: []string{"http://repo.example"}, Targets: []string{"http://repo.example"}}
		playOutside(t, c, func() ([]netip.Addr, bool) { return own, true }, page(tt.status, &through), func(t *testing.T, s *scene) {
			s.repo.wire.routes = func() string { return route }
			see := func(when string, want agent.Reason) {
				t.Helper()
				_, err := s.repo.Metadata(t.Context(), "timestamp.json", 1000)
				if reasonOf(err) != want || errors.Is(err, agent.ErrAbsent) != (want == "") {
					t.Errorf("%s, %s: %v, want reason %q", tt.status, when, err, want)
				}
				if !strings.Contains(err.Error(), tt.status[:3]) {
					t.Errorf("%q does not name status %s", err, tt.status[:3])
				}
				checkText(t, err)
				_, err = s.repo.Image(t.Context(), agent.ImageRequest{Name: "app.img", Length: 100})
				if reasonOf(err) != want || errors.Is(err, agent.ErrAbsent) != (want == "") {
					t.Errorf("%s, %s, for an image: %v, want reason %q", tt.status, when, err, want)
				}
			}
			reach := func(verified bool) {
				t.Helper()
				through = true
				defer func() { through = false }()
				if _, err := s.repo.Metadata(t.Context(), "timestamp.json", 1000); err != nil {
					t.Fatal(err)
				}
				if verified {
					s.repo.MetadataAccepted()
				} else {
					s.repo.MetadataRefused()
				}
			}
			see("at first", agent.ReasonCaptivePortal)
			reach(false)
			see("after metadata that did not verify", agent.ReasonCaptivePortal)
			reach(true)
			see("after verified metadata", tt.proven)
			time.Sleep(proofFor)
			see("long after", agent.ReasonCaptivePortal)
			reach(true)
			own = []netip.Addr{netip.MustParseAddr("192.0.2.8")}
			see("from another address", agent.ReasonCaptivePortal)
			reach(true)
			route = "eth0 2"
			see("by another route", agent.ReasonCaptivePortal)
		})
	}
}

// TestPlainRefusalIsBelieved: without a web page a status means what it says.
func TestPlainRefusalIsBelieved(t *testing.T) {
	for header, want := range map[string]agent.Reason{
		"": "", "Content-Type: application/xml\r\n": "", "Content-Type: text/plain\r\n": "",
		"Content-Type: text/html; charset=utf-8\r\n": agent.ReasonCaptivePortal, "Content-Type: application/xhtml+xml\r\n": agent.ReasonCaptivePortal,
	} {
		play(t, func(c net.Conn, _ *http.Request) {
			respond(c, "403 Forbidden", header, 30, []byte("<?xml version='1.0'?><Error/>  "))
		}, func(t *testing.T, s *scene) {
			if _, err := s.repo.Metadata(t.Context(), "timestamp.json", 1000); reasonOf(err) != want || errors.Is(err, agent.ErrAbsent) != (want == "") {
				t.Errorf("%q: %v", header, err)
			}
		})
	}
	play(t, func(c net.Conn, _ *http.Request) { respond(c, "403 Forbidden", "", -1, []byte(" <HTML>log in")) }, func(t *testing.T, s *scene) {
		if _, err := s.repo.Metadata(t.Context(), "timestamp.json", 1000); reasonOf(err) != agent.ReasonCaptivePortal {
			t.Errorf("a page that names no type: %v", err)
		}
	})
}

// TestNextRootMayBeAbsentByAPage: most servers say 404 by a web page. A device that asks for the first time
// must get on to the timestamp, which shows what that was worth.
func TestNextRootMayBeAbsentByAPage(t *testing.T) {
	through := false
	play(t, page("404 Not Found", &through), func(t *testing.T, s *scene) {
		if _, err := s.repo.Metadata(t.Context(), "2.root.json", 1000); !errors.Is(err, agent.ErrAbsent) {
			t.Errorf("the next root: %v", err)
		}
		if _, err := s.repo.Metadata(t.Context(), "timestamp.json", 1000); reasonOf(err) != agent.ReasonCaptivePortal {
			t.Errorf("the timestamp: %v", err)
		}
	})
}

// TestWhoRefuses: 407 is a proxy's word, and named as such; 402 may be the network's. Both are asked again
// soon, also where the host is known.
func TestWhoRefuses(t *testing.T) {
	for _, tt := range []struct {
		status, proxy, names string
		reason               agent.Reason
	}{
		{"407 Proxy Authentication Required", "http://u:secret@proxy.example:3128", "proxy proxy.example:3128", agent.ReasonProxy},
		{"407 Proxy Authentication Required", "", "only a proxy", agent.ReasonProxy},
		{"402 Payment Required", "", "402", agent.ReasonPayment},
	} {
		for _, proven := range []bool{false, true} {
			tt := tt
			c := Config{Metadata: []string{"http://repo.example"}, Targets: []string{"http://repo.example"}, Proxy: tt.proxy}
			through := false
			playWith(t, c, page(tt.status, &through), func(t *testing.T, s *scene) {
				if proven {
					s.repo.wire.proof.offers("repo.example")
					s.repo.MetadataAccepted()
				}
				_, err := s.repo.Metadata(t.Context(), "timestamp.json", 1000)
				checkWords(t, err, tt.names)
				if tt.reason == agent.ReasonPayment && !proven {
					tt.reason = agent.ReasonCaptivePortal // it came as a web page
				}
				if reasonOf(err) != tt.reason || agent.Backoff(tt.reason, 1000, time.Second, 24*time.Hour, 1) > 15*time.Minute {
					t.Errorf("%s: %v", tt.status, err)
				}
			})
		}
	}
	play(t, func(c net.Conn, _ *http.Request) { respond(c, "402 Pay", "", 0, nil) }, func(t *testing.T, s *scene) {
		if _, err := s.repo.Metadata(t.Context(), "timestamp.json", 1000); reasonOf(err) != agent.ReasonPayment {
			t.Errorf("402 without a page: %v", err)
		}
	})
	for status, want := range map[string]agent.Reason{"403 No": agent.ReasonProxy, "407 No": agent.ReasonProxy, "451 No": agent.ReasonProxy,
		"511 No": agent.ReasonCaptivePortal, "502 No": agent.ReasonUnreachable, "503 No": agent.ReasonUnreachable} {
		c := Config{Metadata: []string{"https://repo.example"}, Targets: []string{"https://repo.example"}, Proxy: "http://proxy.example:3128"}
		playWith(t, c, func(c net.Conn, _ *http.Request) {
			respond(c, status, "Content-Type: text/html\r\n", 6, []byte("<html>"))
		}, func(t *testing.T, s *scene) {
			_, err := s.repo.Metadata(t.Context(), "timestamp.json", 1000)
			checkWords(t, err, "proxy.example")
			if reasonOf(err) != want {
				t.Errorf("CONNECT, %s: %v, want reason %s", status, err, want)
			}
		})
	}
}

// checkWords: the text names whom it is about, and no secret.
func checkWords(t *testing.T, err error, words string) {
	t.Helper()
	if err == nil || !strings.Contains(err.Error(), words) || strings.Contains(err.Error(), "secret") {
		t.Errorf("%v: want %q in it, and no secret", err, words)
	}
}

// TestAnotherMirrorProvesNothing: what a host served that did not verify is not proven by the next file,
// which another mirror served.
func TestAnotherMirrorProvesNothing(t *testing.T) {
	dir := t.TempDir()
	write(t, dir+"/snapshot.json", []byte("{}"))
	through := true
	c := Config{Metadata: []string{"http://repo.example", "file://" + dir}, Targets: []string{"http://repo.example"}}
	playWith(t, c, func(c net.Conn, r *http.Request) {
		if strings.Contains(r.URL.Path, "snapshot") {
			respond(c, "404 Not Found", "", 0, nil)
			return
		}
		page("403 Forbidden", &through)(c, r)
	}, func(t *testing.T, s *scene) {
		for _, name := range []string{"timestamp.json", "snapshot.json"} { // the host's, and then the directory's
			if _, err := s.repo.Metadata(t.Context(), name, 1000); err != nil {
				t.Fatal(err)
			}
		}
		s.repo.MetadataAccepted()
		if s.repo.wire.proof.holds("repo.example") {
			t.Error("the host is proven by what another mirror served")
		}
	})
}

// TestProofIsBounded whatever hosts redirects name.
func TestProofIsBounded(t *testing.T) {
	p := &proof{at: map[string]time.Time{}}
	for i := range 10 * proofsMax {
		p.offers(fmt.Sprint(i), "other")
		p.accepted()
	}
	if len(p.at) > proofsMax || !p.holds("other") {
		t.Errorf("%d hosts", len(p.at))
	}
}
