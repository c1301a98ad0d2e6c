package mqtt

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	mochi "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/packets"

	"github.com/ota-agent/ota-agent/agent"
	"github.com/ota-agent/ota-agent/mqtt/mqtttest"
	"github.com/ota-agent/ota-agent/mqtt/schematest"
)

// patience is how long a test waits for something that must happen; nothing is measured against it.
const patience = 5 * time.Minute

func silent() *slog.Logger { return slog.New(slog.DiscardHandler) }

// A testBroker is an embedded broker on loopback for one client. What it publishes comes out of messages.
type testBroker struct {
	*mochi.Server
	address  string
	socket   *os.File // keeps listening, whatever the broker does
	messages chan packets.Packet
	rules    *rules
	close    func() // once
}

// rules say what clients may do. The zero value lets any client do anything.
type rules struct {
	mochi.HookBase
	refuses atomic.Bool // whoever connects
	forbids atomic.Pointer[func(topic string, write bool) bool]
}

func (*rules) ID() string { return "rules" }

func (*rules) Provides(hook byte) bool {
	return hook == mochi.OnConnectAuthenticate || hook == mochi.OnACLCheck
}

func (r *rules) OnConnectAuthenticate(*mochi.Client, packets.Packet) bool { return !r.refuses.Load() }

func (r *rules) OnACLCheck(_ *mochi.Client, topic string, write bool) bool {
	forbids := r.forbids.Load()
	return forbids == nil || !(*forbids)(topic, write)
}

func (r *rules) forbid(what func(topic string, write bool) bool) { r.forbids.Store(&what) }

// startBroker listens on a free port.
func startBroker(t *testing.T, config *tls.Config) *testBroker {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	socket, err := listener.(*net.TCPListener).File()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { socket.Close() })
	return serveBroker(t, socket, config)
}

// serveBroker starts a broker on a socket that listens already: a broker that comes back at its old address can't find
// that somebody else has taken it meanwhile.
func serveBroker(t *testing.T, socket *os.File, config *tls.Config) *testBroker {
	t.Helper()
	listener, err := net.FileListener(socket)
	if err != nil {
		t.Fatal(err)
	}
	b := &testBroker{
		Server:   mochi.New(&mochi.Options{InlineClient: true, Logger: silent()}),
		address:  listener.Addr().String(),
		socket:   socket,
		rules:    new(rules),
		messages: make(chan packets.Packet, 1000),
	}
	if config != nil {
		listener = tls.NewListener(listener, config)
	}
	if err := b.AddHook(b.rules, nil); err != nil {
		t.Fatal(err)
	}
	door := mqtttest.NewListener(listener)
	door.OneByOne = true
	if err := b.AddListener(door); err != nil {
		t.Fatal(err)
	}
	if err := b.Serve(); err != nil {
		t.Fatal(err)
	}
	schemas, err := schematest.ReadSchemas("../docs")
	if err != nil {
		t.Fatal(err)
	}
	err = b.Subscribe("ota/#", 1, func(_ *mochi.Client, _ packets.Subscription, p packets.Packet) {
		if strings.Contains(p.TopicName, "/device/") && !strings.HasSuffix(p.TopicName, "/wake") && p.Origin != mochi.InlineClientId {
			if err := schemas.Published(p.TopicName, p.Payload); err != nil {
				t.Errorf("%s: %v", p.TopicName, err)
			}
		}
		b.messages <- p
	})
	if err != nil {
		t.Fatal(err)
	}
	b.close = sync.OnceFunc(func() { b.Server.Close() })
	t.Cleanup(b.close)
	return b
}

// expect waits for a message with this topic that match accepts; nil accepts any.
func (b *testBroker) expect(t *testing.T, topic string, match func(payload string) bool) packets.Packet {
	t.Helper()
	timeout := time.After(patience)
	for {
		select {
		case p := <-b.messages:
			if p.TopicName == topic && (match == nil || match(string(p.Payload))) {
				return p
			}
		case <-timeout:
			t.Fatalf("nothing came on %s", topic)
		}
	}
}

// throwOut ends a client's connection without a word, as a broker does when another client takes its ID over.
func (b *testBroker) throwOut(id string) bool {
	client, ok := b.Clients.Get(id)
	if ok {
		client.Net.Conn.Close() // not Stop: in the middle of a packet, the broker would take that for an orderly end
	}
	return ok
}

// A fakeAgent has a status that a test sets, and keeps the wakes it gets.
type fakeAgent struct {
	wakes chan agent.Wake

	mu      sync.Mutex
	status  agent.Status
	changed chan struct{}
	events  []agent.Event
	told    uint64 // acknowledged
	states  []agent.BrokerStatus
}

func newFakeAgent() *fakeAgent {
	return &fakeAgent{wakes: make(chan agent.Wake, 1000), changed: make(chan struct{}),
		status: agent.Status{Schema: agent.StatusSchema, Seq: 1, Components: []agent.ComponentStatus{{Name: "app", Phase: agent.Idle}}}}
}

func (a *fakeAgent) Status() agent.Status {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.status
}

func (a *fakeAgent) Changed() <-chan struct{} {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.changed
}

func (a *fakeAgent) Wake(w agent.Wake) { a.wakes <- w }

func (a *fakeAgent) Broker(s agent.BrokerStatus) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.states = append(a.states, s)
}

// state waits until the way to the broker is in a state that match accepts, also if it was and is no more.
func (a *fakeAgent) state(t *testing.T, what string, match func(agent.BrokerStatus) bool) agent.BrokerStatus {
	t.Helper()
	for end := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
		a.mu.Lock()
		for _, s := range a.states {
			if match(s) {
				a.mu.Unlock()
				return s
			}
		}
		all := fmt.Sprintf("%+v", a.states)
		a.mu.Unlock()
		if time.Now().After(end) {
			t.Fatalf("the way to the broker was never %s: %s", what, all)
		}
	}
}

func (a *fakeAgent) NextEvent() (agent.Event, bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, e := range a.events {
		if e.Seq > a.told {
			return e, true
		}
	}
	return agent.Event{}, false
}

func (a *fakeAgent) Acknowledge(seq uint64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.told = seq
}

// acknowledged is how far the broker has come.
func (a *fakeAgent) acknowledged() uint64 {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.told
}

// happen makes events with the next numbers, and says that something changed.
func (a *fakeAgent) happen(n int) {
	a.set(func(s *agent.Status) {
		for range n {
			s.LastEvent++
			a.events = append(a.events, agent.Event{Schema: agent.EventSchema, Journal: "j", Seq: s.LastEvent, Component: "app", Kind: agent.EventConfirmed})
		}
	})
}

func (a *fakeAgent) set(change func(*agent.Status)) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.status.Seq++
	change(&a.status)
	close(a.changed)
	a.changed = make(chan struct{})
}

func (a *fakeAgent) woken(t *testing.T) agent.Wake {
	t.Helper()
	select {
	case w := <-a.wakes:
		return w
	case <-time.After(patience):
		t.Fatal("no wake came")
		return agent.Wake{}
	}
}

func testConfig(url string) Config {
	return Config{Broker: url, Device: agent.Device{ID: "board-1", Group: "beta"},
		Now: time.Now, Random: func() float64 { return 0.5 }}
}

// A running client reports each pause between two sessions on pauses, instead of waiting for it.
type running struct {
	agent  *fakeAgent
	pauses chan time.Duration
	stop   func() // ends Run and waits for it
}

func start(t *testing.T, cfg Config, log *slog.Logger) running {
	t.Helper()
	return startWith(t, cfg, log, ackTimeout)
}

// startWith is start with another bound of the wait for an acknowledgement.
func startWith(t *testing.T, cfg Config, log *slog.Logger, ackTimeout time.Duration) running {
	t.Helper()
	a := newFakeAgent()
	c, err := New(cfg, a, log)
	if err != nil {
		t.Fatal(err)
	}
	c.ackTimeout = ackTimeout
	r := running{agent: a, pauses: make(chan time.Duration, 1000)}
	c.waited = func(ctx context.Context, d time.Duration) error {
		r.pauses <- d
		return pause(ctx, time.Millisecond) // a broker that restarts needs a moment
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- c.Run(ctx) }()
	var once sync.Once
	r.stop = func() {
		once.Do(func() {
			cancel()
			select {
			case err := <-done:
				if !errors.Is(err, context.Canceled) {
					t.Errorf("Run ended with %v", err)
				}
			case <-time.After(patience):
				t.Error("Run does not end")
			}
		})
	}
	t.Cleanup(r.stop)
	return r
}

// A hostileBroker accepts connections and answers CONNECT and SUBSCRIBE as it should; then act does what it likes.
func hostileBroker(t *testing.T, act func(net.Conn)) (address string) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var sessions sync.WaitGroup
	t.Cleanup(func() { listener.Close(); sessions.Wait() })
	sessions.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			sessions.Go(func() {
				defer conn.Close()
				if readPacket(conn) != nil {
					return
				}
				conn.Write([]byte{0x20, 2, 0, 0})
				if readPacket(conn) != nil {
					return
				}
				act(conn)
				io.Copy(io.Discard, conn) // until the client hangs up
			})
		}
	})
	return listener.Addr().String()
}

// readPacket skips one packet of less than 16 KiB.
func readPacket(conn net.Conn) error {
	head := make([]byte, 2)
	if _, err := io.ReadFull(conn, head); err != nil {
		return err
	}
	length := int64(head[1] & 0x7f)
	if head[1]&0x80 != 0 {
		more := make([]byte, 1)
		if _, err := io.ReadFull(conn, more); err != nil {
			return err
		}
		length |= int64(more[0]) << 7
	}
	_, err := io.CopyN(io.Discard, conn, length)
	return err
}
