// Package mqtttest has what tests and the simulator need around an embedded MQTT broker. No device links it.
package mqtttest

import (
	"log/slog"
	"net"
	"sync"

	"github.com/mochi-mqtt/server/v2/listeners"
)

// A Listener takes a broker's connections. The broker's own begins to count a connection only after it was accepted, beside a
// close that waits for the count to reach zero: a data race. This one's Close returns after the last connection has ended.
type Listener struct {
	// OneByOne lets a connection in only once all is done that the end of the one before it brings: its last will, and that
	// its client is forgotten. The broker's own order of the two is a matter of luck for a client that comes back at once.
	OneByOne bool

	net net.Listener

	mu     sync.Mutex
	closed bool
	conns  map[net.Conn]bool
	served sync.WaitGroup // one for each of conns
}

// NewListener serves what l accepts; Close closes l.
func NewListener(l net.Listener) *Listener { return &Listener{net: l, conns: map[net.Conn]bool{}} }

// ID names the listener within its broker.
func (*Listener) ID() string { return "loopback" }

// Address is where the broker listens.
func (l *Listener) Address() string { return l.net.Addr().String() }

// Protocol is "tcp".
func (l *Listener) Protocol() string { return l.net.Addr().Network() }

// Init does nothing: the listener is open already.
func (*Listener) Init(*slog.Logger) error { return nil }

// Serve hands each connection to establish, which returns when the connection has ended, until Close.
func (l *Listener) Serve(establish listeners.EstablishFn) {
	for {
		conn, err := l.net.Accept()
		if err != nil || !l.begin(conn) {
			return
		}
		serve := func() {
			defer l.end(conn)
			_ = establish(l.ID(), conn) // a client that goes away is daily life
		}
		if l.OneByOne {
			serve()
		} else {
			go serve()
		}
	}
}

func (l *Listener) begin(conn net.Conn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		conn.Close()
		return false
	}
	l.conns[conn] = true
	l.served.Add(1)
	return true
}

func (l *Listener) end(conn net.Conn) {
	conn.Close()
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.conns, conn)
	l.served.Done()
}

// Close says goodbye to the clients, ends every connection and waits for them.
func (l *Listener) Close(goodbye listeners.CloseFn) {
	l.mu.Lock()
	first := !l.closed
	l.closed = true
	l.mu.Unlock()
	if !first {
		return
	}
	l.net.Close()
	goodbye(l.ID())
	l.mu.Lock()
	for conn := range l.conns {
		conn.Close()
	}
	l.mu.Unlock()
	l.served.Wait()
}
