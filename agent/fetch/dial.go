package fetch

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"time"

	"github.com/ota-agent/ota-agent/agent"
)

const (
	// addressesMax is how many addresses of one name are tried.
	addressesMax = 8
	// dialStagger is how long one address may take to connect before the next one is tried beside it (RFC 8305 section 5).
	dialStagger = 250 * time.Millisecond
)

type (
	dialer func(ctx context.Context, network, address string) (net.Conn, error)
	lookup func(ctx context.Context, host string) ([]netip.Addr, error)
)

func systemLookup(ctx context.Context, host string) ([]netip.Addr, error) {
	return net.DefaultResolver.LookupNetIP(ctx, "ip", host)
}

// A pin says which of a host's addresses to take.
type pin struct {
	target  string // host:port, as net/http dials it
	address netip.AddrPort
}

// connect dials a host by its addresses, the ones that rest last. It refuses those beyond reach, by the
// address that was resolved: a name says nothing.
func (w *wire) connect(reach nearness, pinned *pin) dialer {
	return func(ctx context.Context, network, target string) (net.Conn, error) {
		ctx, cancel := context.WithTimeout(ctx, w.cfg.DialTimeout)
		defer cancel()
		list, err := w.resolve(ctx, target)
		if err != nil {
			return nil, err
		}
		if list == nil {
			return w.dial(ctx, network, target)
		}
		taken := pinned != nil && pinned.target == target && slices.Contains(list, pinned.address)
		if taken {
			list = []netip.AddrPort{pinned.address}
		}
		if list, err = w.within(reach, list); err != nil {
			if taken { // one of several that are asked at once: no word on the others
				err = &net.AddrError{Err: err.Error(), Addr: pinned.address.String()}
			}
			return nil, err
		}
		conn, address, err := w.dialAny(ctx, network, w.book.order(list))
		if t, ok := ctx.Value(tripKey{}).(*trip); ok && err == nil {
			t.dials(address)
		}
		return conn, err
	}
}

// resolve lists the addresses of a target, IPv6 and IPv4 in turn. Nil where the dialer is to resolve the name.
func (w *wire) resolve(ctx context.Context, target string) ([]netip.AddrPort, error) {
	host, service, err := net.SplitHostPort(target)
	if err != nil {
		return nil, err
	}
	port, err := strconv.ParseUint(service, 10, 16)
	if err != nil {
		return nil, &net.AddrError{Err: "no port", Addr: target}
	}
	if ip, err := netip.ParseAddr(host); err == nil {
		return []netip.AddrPort{netip.AddrPortFrom(ip, uint16(port))}, nil
	}
	if w.lookup == nil {
		return nil, nil
	}
	ips, err := w.lookup(ctx, host)
	if err != nil {
		return nil, err
	}
	var list []netip.AddrPort
	for _, ip := range alternate(ips) {
		if a := netip.AddrPortFrom(ip, uint16(port)); !slices.Contains(list, a) {
			list = append(list, a)
		}
	}
	if len(list) == 0 {
		return nil, &net.DNSError{Err: "no addresses", Name: host, IsNotFound: true}
	}
	w.book.note(target, list)
	return list, nil
}

// alternate keeps the order within each family and begins with the family that came first (RFC 8305 section 4).
func alternate(ips []netip.Addr) (list []netip.Addr) {
	var first, second []netip.Addr
	for _, ip := range ips {
		ip = ip.Unmap()
		if len(first) == 0 || ip.Is4() == first[0].Is4() {
			first = append(first, ip)
		} else {
			second = append(second, ip)
		}
	}
	for i := range max(len(first), len(second)) {
		if i < len(first) {
			list = append(list, first[i])
		}
		if i < len(second) {
			list = append(list, second[i])
		}
	}
	return list
}

// within drops the addresses beyond reach, and fails where none is left.
func (w *wire) within(reach nearness, list []netip.AddrPort) ([]netip.AddrPort, error) {
	var own []netip.Addr
	if reach < anywhere {
		own, _ = w.addresses()
	}
	var near []netip.AddrPort
	for _, a := range list {
		if nearnessOf(a.Addr(), own) <= reach {
			near = append(near, a)
		}
	}
	if len(near) == 0 {
		return nil, beyond(list[0].Addr().String(), nearnessOf(list[0].Addr(), own))
	}
	return near, nil
}

// dialAny connects to the first address that takes the connection. Whoever comes later is closed.
func (w *wire) dialAny(ctx context.Context, network string, list []netip.AddrPort) (net.Conn, netip.AddrPort, error) {
	type outcome struct {
		conn    net.Conn
		address netip.AddrPort
		err     error
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	outcomes := make(chan outcome, len(list))
	begun, ended := 0, 0
	begin := func() {
		if begun == len(list) {
			return
		}
		address := list[begun]
		begun++
		go func() {
			conn, err := w.dial(ctx, network, address.String())
			outcomes <- outcome{conn, address, err}
		}()
	}
	begin()
	stagger := time.NewTicker(dialStagger)
	defer stagger.Stop()
	var errs []error
	for ended < len(list) {
		select {
		case <-stagger.C:
			begin()
		case o := <-outcomes:
			ended++
			if o.err != nil {
				errs = append(errs, o.err)
				begin()
				continue
			}
			for late := begun - ended; late > 0; late-- {
				go func() {
					if o := <-outcomes; o.conn != nil {
						o.conn.Close()
					}
				}()
			}
			return o.conn, o.address, nil
		}
	}
	return nil, netip.AddrPort{}, errs[0]
}

// others lists the addresses of a target that were not tried yet, each as a pin.
func (w *wire) others(ctx context.Context, target string, tried []netip.AddrPort) (pins []*pin) {
	if target == "" {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, w.cfg.DialTimeout)
	defer cancel()
	list, err := w.resolve(ctx, target)
	if err != nil {
		return nil
	}
	for _, a := range w.book.order(list) {
		if !slices.Contains(tried, a) {
			pins = append(pins, &pin{target, a})
		}
	}
	return pins
}

// beyond refuses an address into which a redirect led.
func beyond(address string, n nearness) *agent.Problem {
	p := problem(agent.ReasonBadAnswer, "", "redirected to %s, which is %s: refused", address, n)
	if n == private {
		p.Err = errPrivate
	}
	return p
}

var errPrivate = errors.New("redirected into a private network")
