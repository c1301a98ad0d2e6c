package mqtt

import (
	"bytes"
	"errors"
	"io"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/eclipse/paho.mqtt.golang/packets"

	"github.com/ota-agent/ota-agent/agent"
)

// a wire is a connection that yields fixed bytes.
type wire struct {
	net.Conn
	in io.Reader
}

func (w wire) Read(p []byte) (int, error) { return w.in.Read(p) }
func (w wire) Close() error               { return nil }

func TestGuardAdmits(t *testing.T) {
	publish := append([]byte{0x30, 7, 0, 1, 'a'}, "body"...)
	for _, c := range []struct {
		name string
		in   []byte
		ok   bool
	}{
		{"connack", []byte{0x20, 2, 0, 0}, true},
		{"suback for three topics", []byte{0x90, 5, 0, 1, 1, 1, 1}, true},
		{"puback", []byte{0x40, 2, 0, 1}, true},
		{"ping answer", []byte{0xd0, 0}, true},
		{"publish", publish, true},
		{"publish, QoS 1", []byte{0x32, 5, 0, 1, 'a', 0, 1}, true},
		{"one after the other", append([]byte{0x20, 2, 0, 0, 0xd0, 0}, publish...), true},
		{"length in four bytes", append([]byte{0x30, 0x87, 0x80, 0x80, 0x00}, publish[2:]...), true},

		{"suback with a code too many", []byte{0x90, 6, 0, 1, 1, 1, 1, 1}, false},
		{"publish, QoS 2", []byte{0x34, 5, 0, 1, 'a', 0, 1}, false},
		{"publish, QoS 3", []byte{0x36, 5, 0, 1, 'a', 0, 1}, false},
		{"a large publish whose topic is longer than any", append([]byte{0x30, 0x81, 0x80, 0x01, 2, 1}, make([]byte, topicBytesMax)...), false},
		{"length without end", []byte{0x30, 0xff, 0xff, 0xff, 0xff, 0x7f}, false},
		{"connack too long", []byte{0x20, 3, 0, 0, 0}, false},
		{"connect", []byte{0x10, 0}, false},
		{"pubrel", []byte{0x62, 2, 0, 1}, false},
		{"reserved type", []byte{0xf0, 0}, false},
		{"type 0", []byte{0x00, 0}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := io.ReadAll(newGuard(wire{in: bytes.NewReader(c.in)}, guardConfig, 3))
			var refused *packetError
			switch {
			case c.ok && (err != nil || !bytes.Equal(got, c.in)):
				t.Errorf("passed on %x, %v; want %x", got, err, c.in)
			case !c.ok && !errors.As(err, &refused):
				t.Errorf("got %x, %v; want it refused", got, err)
			case !c.ok && len(got) != 0:
				t.Errorf("passed on %x of a refused packet", got)
			}
		})
	}
}

// Whatever comes: the guard hands on a prefix of it, and never an announced length over the bound.
func FuzzGuard(f *testing.F) {
	f.Add([]byte{0x20, 2, 0, 0, 0x30, 5, 0, 1, 'a', 'b', 'c'}, 1)
	f.Add([]byte{0x30, 0xff, 0xff, 0xff, 0x7f}, 3)
	f.Fuzz(func(t *testing.T, in []byte, size int) {
		g := newGuard(wire{in: bytes.NewReader(in)}, guardConfig, 3)
		g.tokens = 1 << 30 // the flood has a test of its own
		var got []byte
		for p := make([]byte, max(1, size&0xff)); ; {
			n, err := g.Read(p)
			got = append(got, p[:n]...)
			if g.body > ownBytesMax {
				t.Fatalf("a body of %d bytes was admitted", g.body)
			}
			if err != nil {
				break
			}
		}
		if len(got) > len(in) || len(in) < publishBytesMax && !bytes.HasPrefix(in, got) {
			t.Errorf("%x is no prefix of %x", got, in)
		}
	})
}

func TestGuardSlowsAFlood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const messages = publishBurst + 40
		in := bytes.Repeat([]byte{0x30, 3, 0, 1, 'a'}, messages)
		g := newGuard(wire{in: bytes.NewReader(in)}, guardConfig, 3)
		begun := time.Now()
		if got, err := io.ReadAll(g); err != nil || len(got) != len(in) {
			t.Fatalf("read %d of %d bytes: %v", len(got), len(in), err)
		}
		if took := time.Since(begun); took < 40*publishEvery {
			t.Errorf("%d messages came through within %s, want at least %s", messages, took, 40*publishEvery)
		}
		time.Sleep(time.Hour) // in the bubble's time
		g.in.Reset(bytes.NewReader(bytes.Repeat([]byte{0x30, 3, 0, 1, 'a'}, publishBurst)))
		begun = time.Now()
		if _, err := io.ReadAll(g); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(begun); took != 0 {
			t.Errorf("after a rest, a burst took %s", took)
		}
	})
}

func TestGuardsWaitEndsWithTheConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGuard(wire{in: bytes.NewReader([]byte{0x30, 3, 0, 1, 'a'})}, guardConfig, 3)
		g.tokens = 0
		go g.Close()
		begun := time.Now()
		if _, err := io.ReadAll(g); !errors.Is(err, net.ErrClosed) {
			t.Errorf("got %v, want net.ErrClosed", err)
		}
		if took := time.Since(begun); took != 0 {
			t.Errorf("took %s to notice", took)
		}
	})
}

func TestGuardBoundsEachWrite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		here, there := net.Pipe()
		defer there.Close()
		g := newGuard(here, guardConfig, 3)
		defer g.Close()
		begun := time.Now()
		_, err := g.Write([]byte("nobody reads this"))
		var timeout net.Error
		if !errors.As(err, &timeout) || !timeout.Timeout() || time.Since(begun) != writeTimeout {
			t.Errorf("got %v after %s, want a time-out after %s", err, time.Since(begun), writeTimeout)
		}
	})
}

// guardConfig is of a client that subscribes to two wake topics and its own status: three filters.
var guardConfig = Config{Prefix: "ota", Device: agent.Device{ID: "board-1"}, KeepAlive: time.Hour}

// message is a PUBLISH with a body of size bytes.
func message(topic string, qos byte, size int) []byte {
	var b bytes.Buffer
	p := packets.NewControlPacket(packets.Publish).(*packets.PublishPacket)
	p.TopicName, p.Qos, p.MessageID, p.Retain, p.Payload = topic, qos, 7, true, bytes.Repeat([]byte{'x'}, size)
	if err := p.Write(&b); err != nil {
		panic(err)
	}
	return b.Bytes()
}

// TestGuardSkipsALargeBody: a large message is handed on without its body, and what comes after it is not
// touched. Before, it ended the session, and the next one, for as long as it was retained.
func TestGuardSkipsALargeBody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, size := range []int{publishBytesMax, 20 << 10, 1 << 20, 5 << 20} {
			for qos := range byte(2) {
				in := append(message("ota/wake", qos, size), message("ota/wake", qos, 3)...)
				g := newGuard(wire{in: bytes.NewReader(in)}, guardConfig, 3)
				begun := time.Now()
				for _, want := range []int{0, 3} {
					p, err := packets.ReadPacket(g)
					if err != nil {
						t.Fatalf("%d bytes, QoS %d: %v", size, qos, err)
					}
					m := p.(*packets.PublishPacket)
					if m.TopicName != "ota/wake" || m.Qos != qos || qos > 0 && m.MessageID != 7 || !m.Retain || len(m.Payload) != want {
						t.Errorf("%d bytes, QoS %d: got %s with %d bytes, want %d", size, qos, m, len(m.Payload), want)
					}
				}
				if least := time.Duration(size/publishBytesMax-publishBurst-1) * publishEvery; time.Since(begun) < least {
					t.Errorf("%d bytes were skipped within %s: small messages may bring no more than a burst and %d bytes each %s",
						size, time.Since(begun), publishBytesMax, publishEvery)
				}
			}
		}
	})
}

// TestGuardHandsOnTheOwnStatusWhole: it may be larger than a wake, since it is what the client compares.
func TestGuardHandsOnTheOwnStatusWhole(t *testing.T) {
	for size, want := range map[int]int{40 << 10: 40 << 10, ownBytesMax + 1: 0} {
		synctest.Test(t, func(t *testing.T) {
			g := newGuard(wire{in: bytes.NewReader(message("ota/device/board-1/status", 0, size))}, guardConfig, 3)
			p, err := packets.ReadPacket(g)
			if err != nil {
				t.Fatal(err)
			}
			if got := len(p.(*packets.PublishPacket).Payload); got != want {
				t.Errorf("of %d bytes %d were handed on, want %d", size, got, want)
			}
		})
	}
}

func TestGuardStatesTheKeepAlive(t *testing.T) {
	here, there := net.Pipe()
	defer there.Close()
	cfg := guardConfig
	cfg.KeepAlive = 18 * time.Hour
	g := newGuard(here, cfg, 3)
	defer g.Close()
	connect := packets.NewControlPacket(packets.Connect).(*packets.ConnectPacket)
	connect.ProtocolName, connect.ProtocolVersion, connect.ClientIdentifier = "MQTT", 4, "board-1"
	connect.UsernameFlag, connect.Username, connect.PasswordFlag, connect.Password = true, "u", true, bytes.Repeat([]byte("p"), 300)
	go func() {
		if err := connect.Write(g); err != nil {
			t.Error(err)
		}
	}()
	p, err := packets.ReadPacket(there)
	if err != nil {
		t.Fatal(err)
	}
	got := p.(*packets.ConnectPacket)
	if got.Keepalive != 18*3600 || got.ClientIdentifier != "board-1" || got.Username != "u" || len(got.Password) != 300 {
		t.Errorf("got %+v, want a keep-alive of %d s and the rest as it was", got, 18*3600)
	}
	if _, err := g.Write([]byte{0x10, 4, 0, 4, 'M', 'Q'}); !errors.Is(err, errConnect) {
		t.Errorf("half a CONNECT: got %v", err)
	}
}

// A deadlines is a connection that remembers the write deadline that was set last.
type deadlines struct {
	net.Conn
	last time.Time
}

func (d *deadlines) Write(p []byte) (int, error) {
	if d.last.IsZero() {
		return 0, errors.New("a write without a deadline")
	}
	return len(p), nil
}

func (d *deadlines) SetWriteDeadline(at time.Time) error {
	d.last = at
	return nil
}

// TestNoDeadlineOutlivesItsWrite: the kernel's answer to a ping comes at once, and the timer of its deadline
// would wake the CPU again ten seconds later.
func TestNoDeadlineOutlivesItsWrite(t *testing.T) {
	conn := new(deadlines)
	g := newGuard(conn, guardConfig, 3)
	if _, err := g.Write(pingreq); err != nil {
		t.Fatal(err)
	}
	if !conn.last.IsZero() {
		t.Errorf("a deadline at %s is left", conn.last)
	}
}
