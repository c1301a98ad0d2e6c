package health

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

func TestHTTP(t *testing.T) {
	reached := false
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached = true }))
	defer elsewhere.Close()
	mux := http.NewServeMux()
	for path, status := range map[string]int{"/200": 200, "/204": 204, "/299": 299, "/304": 304, "/404": 404, "/500": 500, "/503": 503} {
		mux.HandleFunc(path, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) })
	}
	mux.Handle("/redirect", http.RedirectHandler(elsewhere.URL, http.StatusFound))
	mux.HandleFunc("/endless", func(w http.ResponseWriter, r *http.Request) {
		for r.Context().Err() == nil {
			if _, err := w.Write(make([]byte, 64<<10)); err != nil {
				return
			}
		}
	})
	mux.HandleFunc("/silent", func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	mux.HandleFunc("/long-header", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("X", strings.Repeat("x", 1<<20))
	})
	server := httptest.NewServer(mux)
	defer server.Close()

	for path, want := range map[string]error{
		"/200": nil, "/204": nil, "/299": nil, "/endless": nil,
		"/304": ErrUnhealthy, "/404": ErrUnhealthy, "/500": ErrUnhealthy, "/redirect": ErrUnhealthy,
		"/503": ErrNotYet, "/long-header": ErrNotYet,
	} {
		err := HTTP{URL: server.URL + path, Timeout: time.Minute}.Check(t.Context())
		if !errors.Is(err, want) {
			t.Errorf("%s: got %v, want %v", path, err, want)
		}
	}
	if reached {
		t.Error("a redirect was followed")
	}
	if err := (HTTP{URL: server.URL + "/silent", Timeout: 20 * time.Millisecond}).Check(t.Context()); !errors.Is(err, ErrNotYet) {
		t.Errorf("silent: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := (HTTP{URL: server.URL + "/200", Timeout: time.Minute}).Check(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

// A proxy would answer for a service that is not there.
func TestProxyIsNotAsked(t *testing.T) {
	proxy := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("the proxy was asked") }))
	defer proxy.Close()
	t.Setenv("http_proxy", proxy.URL)
	t.Setenv("no_proxy", "")
	err := HTTP{URL: "http://device.invalid/", Timeout: time.Second}.Check(t.Context())
	if !errors.Is(err, ErrNotYet) {
		t.Errorf("got %v", err)
	}
}

func TestNobodyListens(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	err = HTTP{URL: "http://user:pass@" + l.Addr().String() + "/x?token=1", Timeout: time.Minute}.Check(t.Context())
	if !errors.Is(err, ErrNotYet) || strings.Contains(err.Error(), "pass") || strings.Contains(err.Error(), "token") {
		t.Errorf("got %v", err)
	}
}

func TestValidate(t *testing.T) {
	for _, u := range []string{"http://127.0.0.1:8080/healthz", "https://[::1]/", "http://localhost"} {
		if err := (HTTP{URL: u}).Validate(); err != nil {
			t.Error(err)
		}
	}
	for _, u := range []string{"", "localhost:80", "/healthz", "ftp://h/", "http://", "http:///x", "file:///etc/passwd", "http://u:secret@h:bad/"} {
		if err := (HTTP{URL: u}).Validate(); err == nil || strings.Contains(err.Error(), "secret") {
			t.Errorf("%q: %v", u, err)
		}
	}
}
