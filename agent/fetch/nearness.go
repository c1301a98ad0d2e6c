package fetch

import (
	"net/netip"
	"slices"
	"strings"
)

// Nearness says how near an address is to this device. A redirect leads no nearer than the mirror that sent
// it: else a server could make the device ask its own services, a cloud's metadata address or the machines
// beside it.
type nearness uint8

const (
	public    nearness = iota
	private            // a network of somebody's own: RFC 1918, RFC 4193, RFC 6598, site-local
	linkLocal          // this wire, and a cloud's metadata address
	ownself            // this device: loopback, unspecified, an address of its own
	manifold           // multicast and broadcast: no server is there
	// anywhere is the reach of who asks for the host that the config names.
	anywhere = manifold
)

func (n nearness) String() string {
	return [...]string{"a public address", "an address of a private network", "a link-local address", "this device itself", "a multicast address"}[n]
}

var (
	shared    = netip.MustParsePrefix("100.64.0.0/10") // RFC 6598
	siteLocal = netip.MustParsePrefix("fec0::/10")     // RFC 3879
	thisHost  = netip.MustParsePrefix("0.0.0.0/8")     // RFC 1122 section 3.2.1.3
	broadcast = netip.MustParsePrefix("255.255.255.255/32")
	localNAT  = netip.MustParsePrefix("64:ff9b:1::/48") // RFC 8215
	// An IPv6 address may hold the IPv4 address that a gateway makes of it.
	nat64      = netip.MustParsePrefix("64:ff9b::/96")    // RFC 6052
	compatible = netip.MustParsePrefix("::/96")           // RFC 4291 section 2.5.5.1
	translated = netip.MustParsePrefix("::ffff:0:0:0/96") // RFC 2765
	sixToFour  = netip.MustParsePrefix("2002::/16")       // RFC 3056
	teredo     = netip.MustParsePrefix("2001::/32")       // RFC 4380
)

// nearnessOf judges an address. own are the addresses of this device.
func nearnessOf(ip netip.Addr, own []netip.Addr) nearness {
	ip = ip.Unmap().WithZone("")
	switch {
	case ip.IsMulticast() || broadcast.Contains(ip):
		return manifold
	case ip.IsLoopback() || ip.IsUnspecified() || thisHost.Contains(ip) || slices.Contains(own, ip):
		return ownself
	case ip.IsLinkLocalUnicast():
		return linkLocal
	case ip.IsPrivate() || shared.Contains(ip) || siteLocal.Contains(ip) || localNAT.Contains(ip):
		return private
	}
	if inner, ok := embedded(ip); ok {
		return nearnessOf(inner, own)
	}
	return public
}

// embedded is the IPv4 address within an IPv6 one.
func embedded(ip netip.Addr) (netip.Addr, bool) {
	if !ip.Is6() {
		return netip.Addr{}, false
	}
	b := ip.As16()
	switch {
	case nat64.Contains(ip), compatible.Contains(ip), translated.Contains(ip):
		return netip.AddrFrom4([4]byte(b[12:])), true
	case sixToFour.Contains(ip):
		return netip.AddrFrom4([4]byte(b[2:6])), true
	case teredo.Contains(ip): // the client's address, each bit turned round
		return netip.AddrFrom4([4]byte{^b[12], ^b[13], ^b[14], ^b[15]}), true
	}
	return netip.Addr{}, false
}

// nearnessOfName judges a host that somebody else resolves, a proxy: by its literal address. What looks like
// a number and is no address of the usual form may be one to the proxy (127.1, 0x7f000001), and counts as
// this device.
func nearnessOfName(host string, own []netip.Addr) nearness {
	if ip, err := netip.ParseAddr(host); err == nil {
		return nearnessOf(ip, own)
	}
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	last := host[strings.LastIndexByte(host, '.')+1:]
	hex, isHex := strings.CutPrefix(last, "0x")
	numeric := last != "" && strings.Trim(last, "0123456789") == "" || isHex && strings.Trim(hex, "0123456789abcdef") == ""
	if numeric || host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return ownself
	}
	return public
}
