package fetch

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"unicode"

	"github.com/ota-agent/ota-agent/agent"
	"github.com/ota-agent/ota-agent/agent/certs"
)

// A wire holds the connections: a transport for the configured hosts, and others without our certificate, or
// with less reach, for hosts that a redirect leads to. All are made anew when a key file changes.
type wire struct {
	dial      dialer
	lookup    lookup // nil: dial does it
	book      *book
	proof     *proof
	addresses func() ([]netip.Addr, bool)
	routes    func() string
	proxy     func(*http.Request) (*url.URL, error)
	files     keyFiles
	hosts     map[string]bool
	cfg       Config // complete

	requests, bodyBytes atomic.Int64

	mu         sync.Mutex
	stamp      string // of the key files
	moved      string // the device's addresses and routes at the last request
	tls        *tls.Config
	lost       losses // of the key files as they are now
	noCA       error  // tls has no authority to believe, and why
	noCert     error  // tls has no certificate to show, and why
	transports map[manner]*http.Transport
}

// A manner is what requests share a transport by. No connection that was made in one manner is ever used in
// another: a mirror on this device opens nothing for the others.
type manner struct {
	anonymous bool // without our certificate
	reach     nearness
	floor     bool   // the time is not known
	ip        string // and the server is asked for by its address
}

// mannersMax bounds the transports: a redirect may name any address.
const mannersMax = 32

// outside is what tests put in place of the operating system; nil fields stand for it. A dial without a
// lookup resolves names itself.
type outside struct {
	dial      dialer
	lookup    lookup
	addresses func() ([]netip.Addr, bool)
	routes    func() string
}

// newWire touches no network. Where a key file can't be used, it says so in the log, and in Credentials.
func newWire(c Config, hosts map[string]bool, o outside) (*wire, error) {
	proxy, err := proxyFor(c.Proxy)
	if err != nil {
		return nil, err
	}
	w := &wire{dial: o.dial, lookup: o.lookup, book: newBook(), proof: &proof{at: map[string]time.Time{}}, addresses: o.addresses, routes: o.routes, proxy: proxy, files: keyFiles{c.CA, c.Cert, c.Key}, hosts: hosts, cfg: c}
	if w.addresses == nil {
		w.addresses = ownAddresses
	}
	if w.routes == nil {
		w.routes = defaultRoutes
	}
	if w.dial == nil {
		// The probes notice a peer that is gone.
		d := &net.Dialer{Timeout: c.DialTimeout, KeepAliveConfig: net.KeepAliveConfig{
			Enable: true, Idle: 15 * time.Second, Interval: 10 * time.Second, Count: 3}}
		w.dial = d.DialContext
		if w.lookup == nil {
			w.lookup = systemLookup
		}
	}
	w.stamp = w.files.stamp()
	w.renew()
	return w, nil
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

// renew reads the key files as they are now, and says whether it took them. What can't be used is not taken
// while there is something older that can: a rotation may be half done. It is called with the lock held, or
// before anybody else knows w.
func (w *wire) renew() bool {
	c, lost := w.files.config(w.cfg.Now)
	w.lost = lost
	if lost.any() {
		w.cfg.Log.Warn("key files of the repository can't be used", slog.Any("err", errors.Join(lost.ca, lost.cert)))
	}
	if w.tls != nil && (lost.ca != nil && w.noCA == nil || lost.cert != nil && w.noCert == nil) {
		return false
	}
	w.tls, w.noCA, w.noCert, w.transports = c, lost.ca, lost.cert, map[manner]*http.Transport{}
	return true
}

// A courier sends the requests of one trip: it counts them, and chooses each one's way by its host.
type courier struct {
	*wire
	trip *trip
}

// RoundTrip asks for one URL of the trip.
func (w courier) RoundTrip(r *http.Request) (*http.Response, error) {
	t, err := w.choose(r)
	if err != nil {
		return nil, err
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

// choose finds the transport for a request. A redirect to another host than the mirror's own reaches no nearer than the
// mirror: by the address that is dialled or, where a proxy will dial, by what the URL says.
func (w courier) choose(r *http.Request) (*http.Transport, error) {
	proxy, proxyIP := "", ""
	if w.proxy != nil {
		u, err := w.proxy(r)
		if err != nil {
			return nil, err
		}
		if u != nil {
			proxy, proxyIP = u.Host, addressOf(u)
		}
	}
	home, proxied := w.trip.leaves(r.URL, proxy), proxy != ""
	by := manner{anonymous: !w.hosts[r.URL.Host], reach: anywhere}
	if !home {
		by.reach = w.trip.reach()
	}
	if !home && proxied {
		own, _ := w.addresses()
		host := r.URL.Hostname()
		n := nearnessOfName(host, own)
		if strings.ContainsFunc(host, func(c rune) bool { return c > unicode.MaxASCII }) {
			n = ownself // net/http hands on what it stands for, which may be an address: 10.0.0.１
		}
		if n > by.reach {
			return nil, beyond(host, n)
		}
		by.reach = anywhere // of the proxy, which the config names
	}
	if by.floor = w.cfg.NowIsFloor != nil && w.cfg.NowIsFloor(); by.floor {
		if by.ip = addressOf(r.URL); by.ip == "" {
			by.ip = proxyIP
		}
	}
	t := w.transportOf(by, w.trip)
	if err := w.trusts(r.URL); err != nil {
		return nil, err
	}
	return t, nil
}

// addressOf is the host of a URL where TLS is spoken to an address and not to a name.
func addressOf(u *url.URL) string {
	if _, err := netip.ParseAddr(u.Hostname()); err != nil || u.Scheme != "https" {
		return ""
	}
	return u.Hostname()
}

// transportOf reads changed key files first. Where they don't fit together (a rotation half done), the old ones
// go on until the files change again. A trip with a pin has transports of its own: no other connection will do.
func (w *wire) transportOf(by manner, t *trip) *http.Transport {
	w.mu.Lock()
	defer w.mu.Unlock()
	if stamp := w.files.stamp(); stamp != w.stamp {
		w.stamp = stamp
		old := w.transports
		if w.renew() {
			go closeIdle(slices.Collect(maps.Values(old)))
		}
	}
	all := w.transports
	if t.pin != nil {
		all = t.transports
	}
	by.anonymous = by.anonymous && len(w.tls.Certificates) > 0
	if all[by] == nil && len(all) >= mannersMax {
		go closeIdle(slices.Collect(maps.Values(all)))
		clear(all)
	}
	if all[by] == nil {
		c := w.tls
		if by.anonymous {
			c = c.Clone()
			c.Certificates = nil
			c.ClientSessionCache = newSessionCache()
		}
		if by.floor {
			c = certs.FromFloor(c, w.cfg.Now, by.ip)
		}
		all[by] = w.transport(c, w.connect(by.reach, t.pin))
		all[by].DisableKeepAlives = t.pin != nil
	}
	return all[by]
}

// leave ends what the transports of a trip with a pin still do.
func (w *wire) leave(t *trip) {
	w.mu.Lock()
	all := slices.Collect(maps.Values(t.transports))
	w.mu.Unlock()
	closeIdle(all)
}

// CloseIdleConnections makes the next request dial again: after a failure nothing old is trusted to work. It
// also ends dials that nobody waits for any more.
func (w *wire) CloseIdleConnections() {
	w.mu.Lock()
	all := slices.Collect(maps.Values(w.transports))
	w.mu.Unlock()
	closeIdle(all)
}

// closeIdle is called without a lock: TLS may take 5 s to say goodbye to a server that takes no bytes.
func closeIdle(all []*http.Transport) {
	for _, t := range all {
		t.CloseIdleConnections()
	}
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
	where := "proxy " + proxy.Host
	switch code := resp.StatusCode; {
	case code == http.StatusProxyAuthRequired:
		return wantsPassword(where)
	case code == http.StatusNetworkAuthenticationRequired:
		return captivePortal(where, code)
	case code/100 == 4:
		return problem(agent.ReasonProxy, where, "refuses to connect, status %d; its rules must allow this host", code)
	default:
		return problem(agent.ReasonUnreachable, where, "refuses to connect, status %d", code)
	}
}
