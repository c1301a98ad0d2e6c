package fetch

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/ota-agent/ota-agent/agent"
)

// addressEvery is how often a request under way looks whether the address it goes out from is still ours. A
// connection from an address that is gone gets no reset: it would hang until a time-out.
const addressEvery = 5 * time.Second

var errMoved = errors.New("the device's address changed")

// ownAddresses lists what the interfaces have now; ok is false where that can't be known.
func ownAddresses() (list []netip.Addr, ok bool) {
	all, err := net.InterfaceAddrs()
	if err != nil {
		return nil, false
	}
	for _, a := range all {
		if p, err := netip.ParsePrefix(a.String()); err == nil {
			list = append(list, p.Addr().Unmap().WithZone(""))
		}
	}
	return list, true
}

// watchAddress ends the trip soon after conn's own address is gone. It ends with the trip, and leaves nothing behind.
func (t *trip) watchAddress(conn net.Conn, addresses func() ([]netip.Addr, bool)) {
	tcp, ok := conn.LocalAddr().(*net.TCPAddr)
	if !ok {
		return
	}
	own := tcp.AddrPort().Addr().Unmap().WithZone("")
	ticker := time.NewTicker(addressEvery)
	go func() {
		defer ticker.Stop()
		for {
			select {
			case <-t.ctx.Done():
				return
			case <-ticker.C:
				if list, ok := addresses(); ok && !slices.Contains(list, own) {
					t.end(errMoved)
					return
				}
			}
		}
	}()
}

// dropMoved closes idle connections after the device's addresses changed: they may hang on one that is gone.
func (w *wire) dropMoved() {
	list, ok := w.addresses()
	if !ok {
		return
	}
	names := make([]string, len(list))
	for i, a := range list {
		names[i] = a.String()
	}
	slices.Sort(names)
	now := strings.Join(names, " ")
	w.mu.Lock()
	changed := w.moved != now && w.moved != ""
	w.moved = now
	w.mu.Unlock()
	if changed {
		w.CloseIdleConnections()
	}
}

// strayKey marks, in a dial's context, a host that only a redirect named.
type strayKey struct{}

// controlStray keeps a server from making the device ask its own services, or a cloud's metadata address: a
// redirect must not lead to loopback or link-local addresses, however their name resolves.
func controlStray(ctx context.Context, _, address string, _ syscall.RawConn) error {
	if ctx.Value(strayKey{}) == nil {
		return nil
	}
	a, err := netip.ParseAddrPort(address)
	if err != nil {
		return nil
	}
	if ip := a.Addr().Unmap(); ip.IsLoopback() || ip.IsLinkLocalUnicast() || ip.IsUnspecified() {
		return problem(agent.ReasonBadAnswer, "", "redirected to the device's own address %s, which is refused", ip)
	}
	return nil
}

// isLoopbackHost says whether a configured host is this device itself (a test, a local cache): its redirects may
// stay here.
func isLoopbackHost(hostport string) bool {
	host := hostport
	if h, _, err := net.SplitHostPort(hostport); err == nil {
		host = h
	}
	host = strings.Trim(host, "[]")
	if ip, err := netip.ParseAddr(host); err == nil {
		return ip.Unmap().IsLoopback()
	}
	return host == "localhost" || strings.HasSuffix(host, ".localhost")
}
