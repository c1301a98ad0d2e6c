package fetch

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ota-agent/ota-agent/agent"
)

// A wire holds the connections: one transport for the configured hosts, one without our certificate for hosts
// that a redirect leads to. Both are made anew when a key file changes.
type wire struct {
	dial      dialer
	addresses func() ([]netip.Addr, bool)
	proxy     func(*http.Request) (*url.URL, error)
	files     keyFiles
	hosts     map[string]bool
	cfg       Config // complete

	requests, bodyBytes atomic.Int64

	mu           sync.Mutex
	stamp        string // of the key files
	moved        string // the device's addresses at the last request
	own, foreign *http.Transport
}

// outside is what tests put in place of the operating system; nil fields stand for it.
type outside struct {
	dial      dialer
	addresses func() ([]netip.Addr, bool)
}

type dialer func(ctx context.Context, network, address string) (net.Conn, error)

// newWire fails where a key file can't be used.
func newWire(c Config, hosts map[string]bool, o outside) (*wire, error) {
	proxy, err := proxyFor(c.Proxy)
	if err != nil {
		return nil, err
	}
	w := &wire{dial: o.dial, addresses: o.addresses, proxy: proxy, files: keyFiles{c.CA, c.Cert, c.Key}, hosts: hosts, cfg: c}
	if w.addresses == nil {
		w.addresses = ownAddresses
	}
	if w.dial == nil {
		// Both address families are tried side by side (RFC 6555); the probes notice a peer that is gone.
		d := &net.Dialer{Timeout: c.DialTimeout, KeepAliveConfig: net.KeepAliveConfig{
			Enable: true, Idle: 15 * time.Second, Interval: 10 * time.Second, Count: 3},
			ControlContext: controlStray}
		w.dial = d.DialContext
	}
	w.stamp = w.files.stamp()
	return w, w.renew()
}

// proxyFor never puts the proxy's password into its error.
func proxyFor(s string) (func(*http.Request) (*url.URL, error), error) {
	switch s {
	case "":
		return http.ProxyFromEnvironment, nil
	case "direct":
		return nil, nil
	}
	u, err := url.Parse(s)
	if err != nil || u.Host == "" {
		return nil, fmt.Errorf("proxy: not a URL; want http://HOST:PORT, https://…, socks5://… or \"direct\"")
	}
	switch u.Scheme {
	case "http", "https", "socks5", "socks5h":
		return http.ProxyURL(u), nil
	}
	return nil, fmt.Errorf("proxy: scheme %q, want http, https, socks5 or socks5h", u.Scheme)
}

// renew makes the transports from the key files as they are now.
func (w *wire) renew() error {
	own, err := w.files.config(w.cfg.Now)
	if err != nil {
		return err
	}
	w.own = w.transport(own)
	w.foreign = w.own
	if len(own.Certificates) > 0 {
		anonymous := own.Clone()
		anonymous.Certificates = nil
		anonymous.ClientSessionCache = newSessionCache()
		w.foreign = w.transport(anonymous)
	}
	return nil
}

// RoundTrip counts, and chooses the transport by host.
func (w *wire) RoundTrip(r *http.Request) (*http.Response, error) {
	own, foreign := w.transports()
	t := foreign
	if w.hosts[r.URL.Host] {
		t = own
	} else if w.stray(r) {
		r = r.WithContext(context.WithValue(r.Context(), strayKey{}, true))
	}
	w.dropMoved()
	w.requests.Add(1)
	resp, err := t.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode == http.StatusSwitchingProtocols {
		// The body is the bare connection: no context and no time-out would end a read of it.
		go resp.Body.Close()
		return nil, problem(agent.ReasonBadAnswer, "", "status 101, although nobody asked for another protocol")
	}
	resp.Body = &counted{resp.Body, &w.bodyBytes}
	return resp, nil
}

// stray says whether this device itself will connect to a host that nobody configured.
func (w *wire) stray(r *http.Request) bool {
	for host := range w.hosts {
		if isLoopbackHost(host) {
			return false
		}
	}
	if w.proxy == nil {
		return true
	}
	proxy, err := w.proxy(r)
	return err == nil && proxy == nil
}

// transports reads changed key files first. Where they don't fit together (a rotation half done), the old ones
// go on until the files change again.
func (w *wire) transports() (own, foreign *http.Transport) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if stamp := w.files.stamp(); stamp != w.stamp {
		w.stamp = stamp
		oldOwn, oldForeign := w.own, w.foreign
		if err := w.renew(); err != nil {
			w.cfg.Log.Warn("changed key files not taken", slog.Any("err", err))
		} else {
			oldOwn.CloseIdleConnections()
			oldForeign.CloseIdleConnections()
		}
	}
	return w.own, w.foreign
}

// CloseIdleConnections makes the next request dial again: after a failure nothing old is trusted to work.
// It also ends dials that nobody waits for any more.
func (w *wire) CloseIdleConnections() {
	w.mu.Lock()
	own, foreign := w.own, w.foreign
	w.mu.Unlock()
	own.CloseIdleConnections()
	foreign.CloseIdleConnections()
}

// A counted body counts what comes in.
type counted struct {
	io.ReadCloser
	bytes *atomic.Int64
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.ReadCloser.Read(p)
	c.bytes.Add(int64(n))
	return n, err
}

// refusedByProxy is what a CONNECT that failed comes to: net/http would say no more than the status text.
func refusedByProxy(_ context.Context, proxy *url.URL, _ *http.Request, resp *http.Response) error {
	if resp.StatusCode/100 == 2 {
		return nil
	}
	reason, advice := agent.ReasonUnreachable, ""
	if resp.StatusCode == http.StatusProxyAuthRequired {
		advice = "; check the proxy's user and password"
	}
	return problem(reason, "proxy "+proxy.Host, "refuses to connect, status %d%s", resp.StatusCode, advice)
}
