package fetch

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ota-agent/ota-agent/agent"
)

// A farm is one name with an address for each server, all on one port.
type farm struct {
	t     *testing.T
	port  int
	ips   []netip.Addr
	taken map[string]*atomic.Int64 // connections, by address
}

// newFarm begins with a good server at the last of the addresses, and adds bad ones before it.
func newFarm(t *testing.T, good string, s *httptest.Server) *farm {
	t.Helper()
	f := &farm{t: t, taken: map[string]*atomic.Int64{}}
	l := f.listen(good, 0)
	f.port = l.Addr().(*net.TCPAddr).Port
	s.Listener.Close()
	s.Listener = counting{l, f.taken[good]}
	return f
}

func (f *farm) listen(ip string, port int) net.Listener {
	f.t.Helper()
	l, err := net.Listen("tcp", net.JoinHostPort(ip, fmt.Sprint(port)))
	if err != nil {
		f.t.Skipf("this machine has no address %s: %v", ip, err)
	}
	f.t.Cleanup(func() { l.Close() })
	f.taken[ip] = &atomic.Int64{}
	f.ips = append(f.ips, netip.MustParseAddr(ip))
	return l
}

// bad adds an address whose server does with a connection what serve does.
func (f *farm) bad(ip string, serve func(net.Conn)) {
	f.t.Helper()
	l := counting{f.listen(ip, f.port), nil}
	l.taken = f.taken[ip]
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				serve(c)
			}()
		}
	}()
}

// lookup gives the bad addresses first.
func (f *farm) lookup(_ context.Context, host string) ([]netip.Addr, error) {
	if host != "repo.example" {
		return nil, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
	}
	return append(append([]netip.Addr(nil), f.ips[1:]...), f.ips[0]), nil
}

func (f *farm) base(scheme string) string { return fmt.Sprintf("%s://repo.example:%d", scheme, f.port) }

// farmPatience is each time-out; half of it and more is slack for a busy machine.
const farmPatience = 2 * time.Second

// impatient waits farmPatience for what others wait half a minute for.
func (f *farm) impatient(scheme, ca string) *Repository {
	f.t.Helper()
	base := f.base(scheme)
	r, err := build(Config{Metadata: []string{base}, Targets: []string{base}, CA: ca, Now: at(in2030), Proxy: "direct",
		TLSTimeout: farmPatience, HeaderTimeout: farmPatience, IdleTimeout: farmPatience}, outside{lookup: f.lookup})
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(func() { r.Close() })
	return r
}

type counting struct {
	net.Listener
	taken *atomic.Int64
}

func (l counting) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err == nil {
		l.taken.Add(1)
	}
	return c, err
}

// Bad servers: one that accepts and is silent, and a hole on the path that lets small packets through, and
// loses the rest.
func deaf(c net.Conn) { io.Copy(io.Discard, c) }

func hole(address string, bytes int64) func(net.Conn) {
	return func(c net.Conn) {
		up, err := net.Dial("tcp", address)
		if err != nil {
			return
		}
		defer up.Close()
		go func() {
			io.Copy(up, c)
			up.Close()
		}()
		io.CopyN(c, up, bytes)
		io.Copy(io.Discard, up)
	}
}

const farmBytes = 20_000

// TestEachAddressOfAName: a name with one good address is reached within two time-outs, however many bad ones
// stand before it; the bad ones rest, so that the next request is answered at once. Before, the same bad
// address was taken each time.
func TestEachAddressOfAName(t *testing.T) {
	a := newAuthority(t)
	pair, err := tls.X509KeyPair(a.pair(t, "server"))
	if err != nil {
		t.Fatal(err)
	}
	ca := write(t, filepath.Join(t.TempDir(), "ca.pem"), a.pem)
	body := bytes.Repeat([]byte(" "), farmBytes)
	body[0] = '{'
	for _, tt := range []struct {
		name, scheme, good string
		bad                []string
		serve              func(good string) func(net.Conn)
		timeouts           int
	}{
		{"silent", "http", "127.0.0.9", []string{"127.0.0.2"}, func(string) func(net.Conn) { return deaf }, 1},
		{"silent, with TLS", "https", "127.0.0.9", []string{"127.0.0.2"}, func(string) func(net.Conn) { return deaf }, 1},
		{"five of six are silent", "https", "127.0.0.9", []string{"127.0.0.2", "127.0.0.3", "127.0.0.4", "127.0.0.5", "127.0.0.6"},
			func(string) func(net.Conn) { return deaf }, 1},
		{"IPv6 loses the certificate", "https", "127.0.0.9", []string{"::1"}, func(g string) func(net.Conn) { return hole(g, 100) }, 1},
		{"IPv6 loses the header", "http", "127.0.0.9", []string{"::1"}, func(g string) func(net.Conn) { return hole(g, 10) }, 1},
		{"IPv6 loses the body", "http", "127.0.0.9", []string{"::1"}, func(g string) func(net.Conn) { return hole(g, 3000) }, 1},
		{"IPv4 loses the body", "https", "::1", []string{"127.0.0.2"}, func(g string) func(net.Conn) { return hole(g, 6000) }, 1},
		{"one is silent and two lose the body", "http", "127.0.0.9", []string{"127.0.0.2", "127.0.0.3", "127.0.0.4"}, nil, 3},
		{"two close at once", "http", "127.0.0.9", []string{"127.0.0.2", "127.0.0.3"}, func(string) func(net.Conn) { return func(net.Conn) {} }, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.Write(body) }))
			s.Config.ErrorLog = log.New(io.Discard, "", 0)
			f := newFarm(t, tt.good, s)
			if tt.scheme == "https" {
				s.TLS = &tls.Config{Certificates: []tls.Certificate{pair}, Time: at(in2030)}
				s.StartTLS()
			} else {
				s.Start()
			}
			t.Cleanup(s.Close)
			good := net.JoinHostPort(tt.good, fmt.Sprint(f.port))
			for i, ip := range tt.bad {
				switch {
				case tt.serve != nil:
					f.bad(ip, tt.serve(good))
				case i == 0:
					f.bad(ip, deaf)
				default:
					f.bad(ip, hole(good, 3000))
				}
			}
			r := f.impatient(tt.scheme, ca)
			begun := time.Now()
			b, err := r.Metadata(t.Context(), "timestamp.json", farmBytes)
			if took := time.Since(begun); err != nil || !bytes.Equal(b, body) || took > farmPatience*time.Duration(tt.timeouts)+farmPatience*9/10 {
				t.Fatalf("after %v: %d bytes, %v", took, len(b), err)
			}
			begun = time.Now()
			if _, err := r.Metadata(t.Context(), "timestamp.json", farmBytes); err != nil || time.Since(begun) > farmPatience*9/10 {
				t.Errorf("the next one after %v: %v; the bad address does not rest", time.Since(begun), err)
			}
		})
	}
}

// TestImageGoesOnAtAnotherAddress: an image whose body stalls says that another address is left, and is resumed there.
func TestImageGoesOnAtAnotherAddress(t *testing.T) {
	img := bytes.Repeat([]byte("0123456789"), farmBytes/10)
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("ETag", `"v1"`)
		http.ServeContent(w, r, "app.img", time.Time{}, bytes.NewReader(img))
	}))
	f := newFarm(t, "127.0.0.9", s)
	s.Start()
	t.Cleanup(s.Close)
	f.bad("127.0.0.2", hole(net.JoinHostPort("127.0.0.9", fmt.Sprint(f.port)), 5000))
	r := f.impatient("http", "")
	var have []byte
	validator := ""
	for try := 1; ; try++ {
		body, err := r.Image(t.Context(), agent.ImageRequest{Name: "app.img", Length: farmBytes, From: int64(len(have)), Validator: validator})
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(body)
		body.Close()
		if body.From != int64(len(have)) {
			t.Errorf("from %d, want %d", body.From, len(have))
		}
		have, validator = append(have, b...), body.Validator
		if err == nil {
			break
		}
		if p, ok := errors.AsType[*agent.Problem](err); !ok || !p.Elsewhere || try > 1 {
			t.Fatalf("try %d: %v, want a Problem that says that another address is left", try, err)
		}
	}
	if !bytes.Equal(have, img) {
		t.Error("other bytes")
	}
}

// TestAllAddressesBad: it ends, each is asked once, and the text says how many were tried.
func TestAllAddressesBad(t *testing.T) {
	s := httptest.NewUnstartedServer(http.HandlerFunc(yes))
	f := newFarm(t, "127.0.0.9", s)
	s.Listener.Close()
	f.ips = f.ips[:0]
	for _, ip := range []string{"127.0.0.2", "127.0.0.3", "127.0.0.4"} {
		f.bad(ip, deaf)
	}
	f.ips = append([]netip.Addr{f.ips[2]}, f.ips[:2]...) // lookup gives the first last
	r := f.impatient("http", "")
	begun := time.Now()
	_, err := r.Metadata(t.Context(), "timestamp.json", farmBytes)
	if took := time.Since(begun); reasonOf(err) != agent.ReasonUnreachable || took > farmPatience*29/10 || !strings.Contains(err.Error(), "3 addresses") {
		t.Errorf("after %v: %v", took, err)
	}
	for ip, n := range f.taken {
		if ip != "127.0.0.9" && n.Load() != 1 {
			t.Errorf("%s was asked %d times", ip, n.Load())
		}
	}
}

// TestBookIsBounded whatever names redirects bring, and forgets on another network.
func TestBookIsBounded(t *testing.T) {
	b := newBook()
	for i := range 10 * bookMax {
		a := netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}), 80)
		b.failed(a)
		b.note(a.String(), []netip.AddrPort{a})
	}
	if len(b.rests) > bookMax || len(b.names) > bookMax {
		t.Errorf("%d rests, %d names", len(b.rests), len(b.names))
	}
	b.forget()
	if len(b.rests) != 0 {
		t.Errorf("%d rests after the network changed", len(b.rests))
	}
}

// TestManyAddresses: of a name with hundreds of addresses no more than addressesMax are tried.
func TestManyAddresses(t *testing.T) {
	var asked atomic.Int64
	r, err := build(Config{Metadata: []string{"http://repo.example"}, Targets: []string{"http://repo.example"}, Now: time.Now, Proxy: "direct"},
		outside{lookup: func(context.Context, string) (list []netip.Addr, err error) {
			for i := range 300 {
				list = append(list, netip.AddrFrom4([4]byte{192, 0, 2, byte(i)}))
			}
			return list, nil
		}, dial: func(context.Context, string, string) (net.Conn, error) {
			asked.Add(1)
			return nil, &net.OpError{Op: "dial", Err: errors.New("refused")}
		}})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if _, err := r.Metadata(t.Context(), "timestamp.json", 100); reasonOf(err) != agent.ReasonUnreachable || asked.Load() != addressesMax {
		t.Errorf("%d addresses asked, want %d; %v", asked.Load(), addressesMax, err)
	}
}
