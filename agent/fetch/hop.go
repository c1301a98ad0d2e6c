package fetch

import (
	"errors"
	"net"
	"net/http/httptrace"
	"net/netip"
	"net/url"
	"slices"

	"github.com/ota-agent/ota-agent/agent"
)

// tripKey marks the trip in the context of its dials.
type tripKey struct{}

// seeks and finds hear of each hop's connection; dials hears of one that was made and may yet fail at TLS.
func (t *trip) seeks(target string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.target, t.address, t.got, t.mute = target, netip.AddrPort{}, false, false
}

// hears notes that a byte of the answer came.
func (t *trip) hears() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.mute = false
}

func (t *trip) finds(i httptrace.GotConnInfo) {
	t.watchAddress(i.Conn, t.wire.addresses)
	own, _ := t.wire.addresses()
	t.mu.Lock()
	defer t.mu.Unlock()
	t.mute = true
	remote, ok := i.Conn.RemoteAddr().(*net.TCPAddr)
	if !ok {
		return
	}
	a := remote.AddrPort()
	a = netip.AddrPortFrom(a.Addr().Unmap(), a.Port())
	t.address, t.got = a, true
	if len(t.hops) == 1 && t.direct {
		t.near = min(nearnessOf(a.Addr(), own), ownself)
	}
}

func (t *trip) dials(a netip.AddrPort) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.got {
		t.address = a
	}
}

// leaves notes how the next hop is made, and says whether it goes to the mirror's own host.
func (t *trip) leaves(u *url.URL, proxy string) (home bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.proxy, t.asked, t.secure = proxy, append(t.asked, u.Host), u.Scheme == "https"
	if len(t.hops) == 1 {
		t.direct = proxy == ""
		if !t.direct {
			t.near = min(nearnessOfName(u.Hostname(), nil), ownself)
		}
	}
	return u.Host == t.home.Host
}

// reach is how near a redirect may lead.
func (t *trip) reach() nearness {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.near
}

// sentTo is what the last hop was sent to.
func (t *trip) sentTo() (target string, address netip.AddrPort) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.target, t.address
}

// blame lets the address rest that a failure of the link came from, and says in p whether another one is left.
func (t *trip) blame(p *agent.Problem) *agent.Problem {
	if target, address := t.sentTo(); address.IsValid() {
		t.wire.book.failed(address)
		p.Elsewhere = t.wire.book.fresh(target, address)
	}
	return p
}

// linkFailed says whether another address of the server may help: this one was silent, or is another server.
func linkFailed(err error) bool {
	p, ok := errors.AsType[*agent.Problem](err)
	if _, late := isLate(err); !ok || late {
		return false
	}
	switch p.Reason {
	case agent.ReasonUnreachable, agent.ReasonTLS, agent.ReasonTooSlow, agent.ReasonCut:
		return true
	}
	return false
}

// through is the proxy of the last hop, or empty; hosts are those of all hops.
func (t *trip) through() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.proxy
}

func (t *trip) hosts() []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Clone(t.asked)
}

// portalBehind takes a redirect into a private network for a login page where the mirror was asked in the
// clear and has not shown that it is reached: that is how such pages are put before whoever comes.
func (t *trip) portalBehind(p *agent.Problem) *agent.Problem {
	if !errors.Is(p, errPrivate) || t.home.Scheme != "http" || t.wire.proof.holds(t.home.Host) {
		return p
	}
	return problem(agent.ReasonCaptivePortal, "", "%s; a login page of this network?", p.Text)
}
