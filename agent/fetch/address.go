package fetch

import (
	"errors"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"
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

// dropMoved closes idle connections after the device's addresses or default routes changed: they may hang on
// an address that is gone. And on another network other servers' addresses answer, and a login page may stand
// in between.
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
	now := strings.Join(names, " ") + " by " + w.routes()
	w.mu.Lock()
	changed := w.moved != now && w.moved != ""
	w.moved = now
	w.mu.Unlock()
	if changed {
		w.book.forget()
		w.proof.forget()
		w.CloseIdleConnections()
	}
}
