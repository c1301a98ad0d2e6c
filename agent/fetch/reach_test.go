package fetch

import (
	"bufio"
	"context"
	"encoding/pem"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/ota-agent/ota-agent/agent"
)

// TestNotReached: whatever keeps a connection from coming about, the reason is the same, the text names the host, and a
// mirror is asked next.
func TestNotReached(t *testing.T) {
	for _, cause := range []error{
		&net.DNSError{Err: "no such host", Name: "repo.example", IsNotFound: true},
		&net.DNSError{Err: "server misbehaving", Name: "repo.example", IsTemporary: true},
		&net.DNSError{Err: "i/o timeout", Name: "repo.example", IsTimeout: true},
		os.NewSyscallError("connect", syscall.ECONNREFUSED), os.NewSyscallError("connect", syscall.EHOSTUNREACH),
		os.NewSyscallError("connect", syscall.ENETUNREACH), os.NewSyscallError("connect", syscall.ETIMEDOUT),
		os.NewSyscallError("connect", syscall.ENETDOWN),
	} {
		var dials []string
		r, err := build(Config{Metadata: []string{"https://repo.example", "http://mirror.example"}, Targets: []string{"https://repo.example"},
			Now: time.Now, Proxy: "direct"}, outside{dial: func(_ context.Context, _, address string) (net.Conn, error) {
			dials = append(dials, address)
			return nil, &net.OpError{Op: "dial", Net: "tcp", Err: cause}
		}})
		if err != nil {
			t.Fatal(err)
		}
		_, err = r.Metadata(t.Context(), "timestamp.json", 100)
		if reasonOf(err) != agent.ReasonUnreachable || errors.Is(err, agent.ErrAbsent) || len(dials) != 2 {
			t.Errorf("%v: %v after %v", cause, err, dials)
		}
		checkText(t, err)
	}
}

// A way is a proxy that lets everything through and counts.
type way struct {
	listener net.Listener
	used     atomic.Int64
}

func openWay(t *testing.T, serve func(*way, net.Conn, *bufio.Reader)) *way {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	w := &way{listener: l}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				serve(w, c, bufio.NewReader(c))
			}()
		}
	}()
	return w
}

// through joins the client to address, after a last word of the proxy's.
func (w *way) through(c net.Conn, r *bufio.Reader, address, word string) {
	up, err := net.Dial("tcp", address)
	if err != nil {
		return
	}
	defer up.Close()
	w.used.Add(1)
	say(c, word)
	go func() {
		io.Copy(up, r)
		up.(*net.TCPConn).CloseWrite()
	}()
	io.Copy(c, up)
}

// httpWay is a proxy for both kinds of URL.
func httpWay(w *way, c net.Conn, r *bufio.Reader) {
	q, err := http.ReadRequest(r)
	if err != nil {
		return
	}
	if q.Method == http.MethodConnect {
		w.through(c, r, q.Host, "HTTP/1.1 200 Go\r\n\r\n")
		return
	}
	w.used.Add(1)
	q.RequestURI = ""
	q.Close = true
	if resp, err := http.DefaultTransport.RoundTrip(q); err == nil {
		resp.Close = true
		resp.Write(c)
		resp.Body.Close()
	}
}

// socksWay speaks as much of SOCKS5 (RFC 1928) as is needed.
func socksWay(w *way, c net.Conn, r *bufio.Reader) {
	greeting := make([]byte, 2)
	io.ReadFull(r, greeting)
	io.CopyN(io.Discard, r, int64(greeting[1]))
	say(c, "\x05\x00")
	head := make([]byte, 4)
	io.ReadFull(r, head)
	length := map[byte]int{1: 4, 4: 16}[head[3]]
	if head[3] == 3 {
		n, _ := r.ReadByte()
		length = int(n)
	}
	host, port := make([]byte, length), make([]byte, 2)
	io.ReadFull(r, host)
	if _, err := io.ReadFull(r, port); err != nil {
		return
	}
	name := string(host)
	if head[3] != 3 {
		name = net.IP(host).String()
	}
	w.through(c, r, net.JoinHostPort(name, strconv.Itoa(int(port[0])<<8|int(port[1]))), "\x05\x00\x00\x01\x00\x00\x00\x00\x00\x00")
}

// TestWaysThroughProxies: metadata and an image come through each kind of proxy, with TLS end to end.
func TestWaysThroughProxies(t *testing.T) {
	files := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "{}") })
	plain, secure := httptest.NewServer(files), httptest.NewTLSServer(files)
	t.Cleanup(plain.Close)
	t.Cleanup(secure.Close)
	ca := filepath.Join(t.TempDir(), "ca.pem")
	write(t, ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: secure.Certificate().Raw}))
	for scheme, serve := range map[string]func(*way, net.Conn, *bufio.Reader){"http": httpWay, "socks5": socksWay, "socks5h": socksWay} {
		for _, base := range []string{plain.URL, secure.URL} {
			w := openWay(t, serve)
			r, err := New(Config{Metadata: []string{base}, Targets: []string{base}, CA: ca, Now: time.Now, Proxy: scheme + "://" + w.listener.Addr().String()})
			if err != nil {
				t.Fatal(err)
			}
			if b, err := r.Metadata(t.Context(), "timestamp.json", 100); err != nil || string(b) != "{}" {
				t.Errorf("%s to %s: %q, %v", scheme, base, b, err)
			}
			if body, err := r.Image(t.Context(), agent.ImageRequest{Name: "app.img", Length: 2}); err != nil {
				t.Errorf("%s to %s: %v", scheme, base, err)
			} else {
				if b, err := io.ReadAll(body); err != nil || string(b) != "{}" {
					t.Errorf("%s to %s: %q, %v", scheme, base, b, err)
				}
				body.Close()
			}
			if w.used.Load() == 0 {
				t.Errorf("%s to %s: not asked", scheme, base)
			}
			r.Close()
		}
	}
}

// TestEitherAddressFamily: a name with addresses of both families is reached where only one of them answers.
func TestEitherAddressFamily(t *testing.T) {
	for _, own := range []string{"127.0.0.1:0", "[::1]:0"} {
		l, err := net.Listen("tcp", own)
		if err != nil {
			t.Logf("%s: not on this machine: %v", own, err)
			continue
		}
		s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "{}") }))
		s.Listener.Close()
		s.Listener = l
		s.Start()
		_, port, _ := net.SplitHostPort(l.Addr().String())
		if names, err := net.LookupHost("localhost"); err != nil || len(names) < 2 {
			t.Logf("localhost has one address only: %v", names)
		}
		base := "http://localhost:" + port
		r, err := New(Config{Metadata: []string{base}, Targets: []string{base}, Now: time.Now, Proxy: "direct"})
		if err != nil {
			t.Fatal(err)
		}
		b, err := r.Metadata(t.Context(), "timestamp.json", 100)
		if names, _ := net.LookupHost("localhost"); (err != nil || string(b) != "{}") && len(names) > 1 {
			t.Errorf("%s: %q, %v", own, b, err)
		}
		r.Close()
		s.Close()
	}
}
