package fetch

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/ota-agent/ota-agent/agent"
)

// TestNearness: each kind of address, and each way to write an IPv4 address into an IPv6 one.
func TestNearness(t *testing.T) {
	own := []netip.Addr{netip.MustParseAddr("203.0.113.77"), netip.MustParseAddr("2001:db8::77")}
	for address, want := range map[string]nearness{
		"127.0.0.1": ownself, "127.255.0.9": ownself, "::1": ownself, "0.0.0.0": ownself, "0.1.2.3": ownself, "::": ownself,
		"203.0.113.77": ownself, "2001:db8::77": ownself, "::ffff:203.0.113.77": ownself,
		"169.254.169.254": linkLocal, "fe80::1": linkLocal, "fe80::1%lo": linkLocal,
		"10.0.0.1": private, "172.16.0.1": private, "172.31.255.255": private, "192.168.0.1": private, "100.64.0.1": private,
		"100.127.255.255": private, "fd00::1": private, "fc00::1": private, "fec0::1": private, "64:ff9b:1::1": private,
		"224.0.0.1": manifold, "255.255.255.255": manifold, "ff02::1": manifold,
		"::ffff:127.0.0.1": ownself, "::ffff:10.0.0.1": private, "::127.0.0.1": ownself, "::10.0.0.1": private, "::ffff:0:10.0.0.1": private,
		"64:ff9b::127.0.0.1": ownself, "64:ff9b::a00:1": private, "64:ff9b::169.254.169.254": linkLocal, "64:ff9b::8.8.8.8": public,
		"2002:7f00:1::1": ownself, "2002:a00:1::1": private, "2002:808:808::1": public,
		"2001:0:1:2:3:4:80ff:fffe": ownself, "2001:0:1:2:3:4:f7f7:f7f7": public,
		"192.0.2.1": public, "100.63.255.255": public, "100.128.0.0": public, "172.32.0.1": public, "2001:db8::1": public, "8.8.8.8": public,
	} {
		if got := nearnessOf(netip.MustParseAddr(address), own); got != want {
			t.Errorf("%s: %s, want %s", address, got, want)
		}
	}
	for name, want := range map[string]nearness{
		"127.0.0.1": ownself, "::1": ownself, "10.0.0.1": private, "203.0.113.77": ownself, "fe80::1%eth0": linkLocal,
		"127.1": ownself, "2130706433": ownself, "0x7f000001": ownself, "0x7f.1": ownself, "017700000001": ownself, "127.0.0.1.": ownself,
		"localhost": ownself, "LOCALHOST.": ownself, "a.localhost": ownself,
		"cdn.example": public, "8.8.8.8": public, "10.example": public, "0xcafe.example": public,
	} {
		if got := nearnessOfName(name, own); got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
}

// A town is a network in memory: names, addresses, and who was visited.
type town struct {
	mu      sync.Mutex
	names   map[string]string
	dialled []string
	tell    story
}

// placed is a connection to an address.
type placed struct {
	net.Conn
	remote net.Addr
}

func (p placed) RemoteAddr() net.Addr { return p.remote }

func (w *town) lookup(_ context.Context, host string) ([]netip.Addr, error) {
	if ip, ok := w.names[host]; ok {
		return []netip.Addr{netip.MustParseAddr(ip)}, nil
	}
	return nil, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
}

func (w *town) dial(_ context.Context, _, address string) (net.Conn, error) {
	w.mu.Lock()
	w.dialled = append(w.dialled, address)
	w.mu.Unlock()
	client, server := net.Pipe()
	go func() {
		defer server.Close()
		r := bufio.NewReader(server)
		for {
			q, err := http.ReadRequest(r)
			if err != nil {
				return
			}
			w.tell(server, q)
		}
	}()
	return placed{client, net.TCPAddrFromAddrPort(netip.MustParseAddrPort(address))}, nil
}

func (w *town) visited(part string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.ContainsFunc(w.dialled, func(a string) bool { return strings.Contains(a, part) })
}

func (w *town) open(t *testing.T, mirrors []string, proxy string) *Repository {
	t.Helper()
	r, err := build(Config{Metadata: mirrors, Targets: mirrors, Now: time.Now, Proxy: proxy}, outside{lookup: w.lookup, dial: w.dial,
		addresses: func() ([]netip.Addr, bool) { return []netip.Addr{netip.MustParseAddr("203.0.113.77")}, true }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	return r
}

// redirects sends each request to a mirror on, and answers all others.
func redirects(to string) story {
	return func(c net.Conn, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/m/") {
			say(c, "HTTP/1.1 302 Found\r\nContent-Length: 0\r\nLocation: "+to+"\r\n\r\n")
			return
		}
		say(c, head200+"Content-Length: 2\r\n\r\n{}")
	}
}

// TestRedirectLeadsNoNearer: a server must not make the device ask itself, its neighbours or a cloud's
// metadata address, be it by an address or by a name that resolves to one.
func TestRedirectLeadsNoNearer(t *testing.T) {
	for _, tt := range []struct {
		mirror, to string // addresses
		refused    bool
	}{
		{"198.51.100.1", "127.0.0.1", true}, {"198.51.100.1", "::1", true}, {"198.51.100.1", "203.0.113.77", true},
		{"198.51.100.1", "169.254.169.254", true}, {"198.51.100.1", "192.168.1.1", true}, {"198.51.100.1", "100.64.0.1", true},
		{"198.51.100.1", "fd00::1", true}, {"198.51.100.1", "64:ff9b::7f00:1", true}, {"198.51.100.1", "0.0.0.0", true},
		{"198.51.100.1", "198.51.100.2", false}, {"198.51.100.1", "2001:db8::5", false}, {"198.51.100.1", "198.51.100.1", false},
		// The mirror itself lies there.
		{"127.0.0.1", "127.0.0.2", false}, {"127.0.0.1", "10.0.0.1", false}, {"10.0.0.1", "10.0.0.2", false}, {"10.0.0.1", "fd00::1", false},
		{"169.254.1.1", "169.254.1.2", false}, {"fd00::1", "192.168.1.1", false}, {"203.0.113.77", "127.0.0.1", false},
		// Never nearer.
		{"10.0.0.1", "127.0.0.1", true}, {"10.0.0.1", "203.0.113.77", true}, {"10.0.0.1", "169.254.169.254", true},
		{"127.0.0.1", "224.0.0.1", true},
	} {
		names := map[string]string{"repo.example": tt.mirror, "other.example": tt.to}
		for _, mirror := range []string{"repo.example", bracketed(tt.mirror)} {
			for _, host := range []string{"other.example", bracketed(tt.to)} {
				w := &town{names: names, tell: redirects("http://" + host + ":81/x")}
				_, err := w.open(t, []string{"http://" + mirror + "/m"}, "direct").Metadata(t.Context(), "timestamp.json", 100)
				if (err != nil) != tt.refused || w.visited(":81") == tt.refused {
					t.Errorf("%s (%s) to %s (%s): visited %v, %v", mirror, tt.mirror, host, tt.to, w.dialled, err)
				}
				// A login page of the network stands in a private one as a rule.
				want := agent.ReasonBadAnswer
				if nearnessOf(netip.MustParseAddr(tt.to), nil) == private {
					want = agent.ReasonCaptivePortal
				}
				if err != nil && reasonOf(err) != want {
					t.Errorf("%s to %s: %v, want reason %s", mirror, host, err, want)
				}
			}
		}
	}
}

func bracketed(ip string) string {
	if strings.Contains(ip, ":") {
		return "[" + ip + "]"
	}
	return ip
}

// TestANearAddressHidesNoOther: where a redirect's host has a bad address and a near one, the good one beside
// them is still reached.
func TestANearAddressHidesNoOther(t *testing.T) {
	w := &town{names: map[string]string{"repo.example": "198.51.100.1"}, tell: redirects("http://other.example:81/x")}
	lookup := func(ctx context.Context, host string) (list []netip.Addr, err error) {
		if host != "other.example" {
			return w.lookup(ctx, host)
		}
		for _, ip := range []string{"198.51.100.5", "10.0.0.9", "198.51.100.6"} {
			list = append(list, netip.MustParseAddr(ip))
		}
		return list, nil
	}
	dial := func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := w.dial(ctx, network, address)
		if address == "198.51.100.5:81" {
			conn.Close() // takes the connection, and ends it
		}
		if address == "198.51.100.6:81" {
			time.Sleep(50 * time.Millisecond) // later than what is refused
		}
		return conn, err
	}
	c := Config{Metadata: []string{"http://repo.example/m"}, Targets: []string{"http://repo.example/m"}, Now: time.Now, Proxy: "direct"}
	r, err := build(c, outside{lookup: lookup, dial: dial, addresses: func() ([]netip.Addr, bool) { return nil, true }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	if _, err := r.Metadata(t.Context(), "timestamp.json", 100); err != nil || w.visited("10.0.0.9") {
		t.Errorf("visited %v: %v", w.dialled, err)
	}
}

// TestOneNearMirrorOpensNothing: neither the config's naming of a mirror on this device, nor the connection
// that is open to it, lets another mirror lead there.
func TestOneNearMirrorOpensNothing(t *testing.T) {
	w := &town{names: map[string]string{"repo.example": "198.51.100.1"}}
	hits := 0
	w.tell = func(c net.Conn, r *http.Request) {
		switch {
		case r.Host == "repo.example":
			say(c, "HTTP/1.1 302 Found\r\nContent-Length: 0\r\nLocation: http://127.0.0.1:81/l/stolen\r\n\r\n")
		case strings.Contains(r.URL.Path, "stolen"):
			hits++
			fallthrough
		default:
			say(c, head200+"Content-Length: 2\r\n\r\n{}")
		}
	}
	r := w.open(t, []string{"http://127.0.0.1:81/l", "http://repo.example/m"}, "direct")
	if _, err := r.Metadata(t.Context(), "timestamp.json", 100); err != nil { // the connection stays open
		t.Fatal(err)
	}
	r.metadata.list[0], r.metadata.list[1] = r.metadata.list[1], r.metadata.list[0]
	for range 3 {
		r.metadata.list[0].until = time.Time{}
		if _, err := r.Metadata(t.Context(), "timestamp.json", 100); err != nil { // by the second mirror
			t.Fatal(err)
		}
	}
	if hits != 0 || r.metadata.list[0].failures != 3 {
		t.Errorf("the near mirror was asked %d times for the other, which failed %d times", hits, r.metadata.list[0].failures)
	}
}

// TestRedirectThroughAProxy: the proxy resolves and dials, so what the URL says counts. The proxy itself may
// stand anywhere.
func TestRedirectThroughAProxy(t *testing.T) {
	for to, refused := range map[string]bool{
		"127.0.0.1": true, "[::1]": true, "10.0.0.1": true, "169.254.169.254": true, "203.0.113.77": true, "localhost": true, "127.1": true,
		"2130706433": true, "[::ffff:127.0.0.1]": true, "cdn.example": false, "198.51.100.9": false,
		"169。254。169。254": true, "１６９.254.169.254": true, "10.0.0.１": true, // net/http hands on what these stand for
	} {
		w := &town{tell: redirects("http://" + to + ":81/x")}
		_, err := w.open(t, []string{"http://repo.example/m"}, "http://127.0.0.1:3128").Metadata(t.Context(), "timestamp.json", 100)
		if (err != nil) != refused || refused && reasonOf(err) != agent.ReasonBadAnswer && to != "10.0.0.1" {
			t.Errorf("%s: %v, want refused %v", to, err, refused)
		}
	}
	w := &town{tell: redirects("http://10.0.0.2:81/x")}
	if _, err := w.open(t, []string{"http://10.0.0.1/m"}, "http://127.0.0.1:3128").Metadata(t.Context(), "timestamp.json", 100); err != nil {
		t.Errorf("a mirror in a private network can't redirect within it: %v", err)
	}
}

// scene of TestOwnAddressInANamespace: the device and a server, each in a network namespace of its own.
const (
	roleKey    = "OTA_TEST_ROLE"
	deviceHost = "192.0.2.1"
	deviceMore = "198.51.100.7" // the device's second address
	serverHost = "192.0.2.2"
)

// TestOwnAddressInANamespace: with real interfaces and sockets, a redirect to the device's second address
// does not arrive, nor one into a private network that the device has.
func TestOwnAddressInANamespace(t *testing.T) {
	switch os.Getenv(roleKey) {
	case "device":
		namespaceDevice(t)
		return
	case "server":
		namespaceServer()
		return
	}
	if os.Getuid() != 0 {
		t.Skip("needs root: it makes network namespaces")
	}
	if _, err := exec.LookPath("ip"); err != nil {
		t.Skip("needs the program ip (iproute2)")
	}
	out, err := namespaced("device").CombinedOutput()
	if err == nil && strings.Contains(string(out), "--- SKIP") {
		t.Skipf("%s", out)
	}
	if err != nil || !strings.Contains(string(out), "PASS") {
		t.Errorf("%v\n%s", err, out)
	}
}

// namespaced runs this test again in a network namespace of its own, in another role.
func namespaced(role string) *exec.Cmd {
	c := exec.Command(os.Args[0], "-test.run=^TestOwnAddressInANamespace$", "-test.timeout=60s", "-test.v="+fmt.Sprint(role == "device"))
	c.Env = append(os.Environ(), roleKey+"="+role)
	c.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL}
	return c
}

func ip(t *testing.T, args string) {
	t.Helper()
	if out, err := exec.Command("ip", strings.Fields(args)...).CombinedOutput(); err != nil {
		t.Skipf("ip %s: %v: %s (no network namespaces here)", args, err, out)
	}
}

func namespaceDevice(t *testing.T) {
	server := namespaced("server")
	in, err := server.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := server.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	defer server.Wait()
	defer in.Close()
	ip(t, "link set lo up")
	ip(t, "link add near type veth peer name far")
	ip(t, fmt.Sprintf("link set far netns %d", server.Process.Pid))
	for _, a := range []string{deviceHost + "/24", deviceMore + "/32", "10.9.8.7/32", "fd00:9::7/128"} {
		args := "addr add " + a + " dev near"
		if strings.Contains(a, ":") {
			args += " nodad"
		}
		ip(t, args)
	}
	ip(t, "link set near up")
	fmt.Fprintln(in, "go")
	lines := bufio.NewScanner(out)
	if !lines.Scan() || lines.Text() != "ready" {
		t.Fatalf("the server says %q", lines.Text())
	}
	for _, to := range []string{deviceHost, deviceMore, "10.9.8.7", "[fd00:9::7]", "127.0.0.1"} {
		l, err := net.Listen("tcp", to+":0")
		if err != nil {
			t.Fatal(err)
		}
		came := make(chan struct{}, 1)
		go func() {
			if c, err := l.Accept(); err == nil {
				came <- struct{}{}
				c.Close()
			}
		}()
		r, err := New(Config{Metadata: []string{"http://" + serverHost + "/" + l.Addr().String()}, Targets: []string{"http://" + serverHost},
			Now: time.Now, Proxy: "direct"})
		if err != nil {
			t.Fatal(err)
		}
		_, err = r.Metadata(t.Context(), "timestamp.json", 100)
		r.Close()
		l.Close()
		select {
		case <-came:
			t.Errorf("the redirect to %s arrived: %v", to, err)
		case <-time.After(50 * time.Millisecond):
		}
		if got := reasonOf(err); got != agent.ReasonBadAnswer {
			t.Errorf("%s: %v, want reason bad_answer", to, err)
		}
	}
}

// namespaceServer redirects to the address that the request's path names.
func namespaceServer() {
	bufio.NewScanner(os.Stdin).Scan() // the link is there
	for _, args := range []string{"link set lo up", "addr add " + serverHost + "/24 dev far", "link set far up"} {
		exec.Command("ip", strings.Fields(args)...).Run()
	}
	l, err := net.Listen("tcp", serverHost+":80")
	if err != nil {
		return
	}
	go http.Serve(l, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "http://"+strings.Split(r.URL.Path, "/")[1]+"/x", http.StatusFound)
	}))
	fmt.Println("ready")
	bufio.NewScanner(os.Stdin).Scan() // until the device has done
	l.Close()
	os.Exit(0)
}
