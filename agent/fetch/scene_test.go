package fetch

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ota-agent/ota-agent/agent"
)

// A story is what a server does with one request. The connection closes when it returns.
type story func(conn net.Conn, r *http.Request)

// A scene is a network in memory with one server, inside a synctest bubble: minutes take no time, and a write
// returns only when it was read, so that sent counts what the client took.
type scene struct {
	repo *Repository
	sent atomic.Int64
	// dials and asked count connections and requests.
	dials, asked atomic.Int64
	serving      sync.WaitGroup
}

// play runs body with a repository whose mirrors are all the one server.
func play(t *testing.T, tell story, body func(t *testing.T, s *scene)) {
	t.Helper()
	playWith(t, Config{Metadata: []string{"http://repo.example/metadata"}, Targets: []string{"http://repo.example/targets"}}, tell, body)
}

func playWith(t *testing.T, c Config, tell story, body func(t *testing.T, s *scene)) {
	t.Helper()
	playOutside(t, c, nil, tell, body)
}

// playOutside also says which addresses the device has. Where it does, connections go out from 192.0.2.7.
func playOutside(t *testing.T, c Config, addresses func() ([]netip.Addr, bool), tell story, body func(t *testing.T, s *scene)) {
	t.Helper()
	playConn(t, c, addresses, func(s *scene, conn net.Conn) { s.serve(conn, tell) }, body)
}

// playRaw leaves the connection to serve, from its first byte.
func playRaw(t *testing.T, c Config, serve func(net.Conn), body func(t *testing.T, s *scene)) {
	t.Helper()
	playConn(t, c, nil, func(_ *scene, conn net.Conn) {
		defer conn.Close()
		serve(conn)
	}, body)
}

// playTLS is playRaw in the year of the tests' certificates.
func playTLS(t *testing.T, c Config, serve func(net.Conn), body func(t *testing.T, s *scene)) {
	t.Helper()
	c.Now = at(in2030)
	playRaw(t, c, serve, body)
}

func withTimeout(t *testing.T, d time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeout(t.Context(), d)
}

func playConn(t *testing.T, c Config, addresses func() ([]netip.Addr, bool), serve func(*scene, net.Conn), body func(t *testing.T, s *scene)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s := &scene{}
		if c.Now == nil {
			c.Now = time.Now
		}
		if c.Proxy == "" {
			c.Proxy = "direct"
		}
		repo, err := build(c, outside{addresses: addresses, dial: func(context.Context, string, string) (net.Conn, error) {
			client, server := net.Pipe()
			s.dials.Add(1)
			s.serving.Go(func() { serve(s, &tallied{Conn: server, sent: &s.sent}) })
			if addresses != nil {
				return outgoing{client}, nil
			}
			return client, nil
		}})
		if err != nil {
			t.Fatal(err)
		}
		s.repo = repo
		body(t, s)
		repo.Close()
		s.serving.Wait()
	})
}

// serve tells the story to the first request of a connection.
func (s *scene) serve(conn net.Conn, tell story) {
	defer conn.Close()
	r, err := http.ReadRequest(bufio.NewReader(conn))
	if err != nil {
		return
	}
	s.asked.Add(1)
	tell(conn, r)
}

type tallied struct {
	net.Conn
	sent *atomic.Int64
}

func (c *tallied) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	c.sent.Add(int64(n))
	return n, err
}

// say writes text, and ignores that the client may have left.
func say(w io.Writer, text string) { io.WriteString(w, text) }

// reasonOf is the reason of a Problem, "" for any other error.
func reasonOf(err error) agent.Reason {
	if p, ok := errors.AsType[*agent.Problem](err); ok {
		return p.Reason
	}
	return ""
}

// An outgoing connection says that it goes out from 192.0.2.7.
type outgoing struct{ net.Conn }

func (outgoing) LocalAddr() net.Addr { return &net.TCPAddr{IP: net.IPv4(192, 0, 2, 7), Port: 40000} }
