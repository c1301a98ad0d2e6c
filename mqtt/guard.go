package mqtt

import (
	"bufio"
	"crypto/x509"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// Packet types that a broker may send to this client (MQTT 3.1.1, 2.2.1). The others belong to QoS 2 or to the other
// direction.
const (
	typeConnect  = 1
	typeConnack  = 2
	typePublish  = 3
	typePuback   = 4
	typeSuback   = 9
	typeUnsuback = 11
	typePingresp = 13
)

// Bounds of what a broker may send.
const (
	// publishBytesMax bounds a message that is handed on whole: a wake and its topic are far smaller.
	publishBytesMax = 16 << 10
	// ownBytesMax is the same for the message on the one topic on which the client hears itself: its status.
	ownBytesMax = 256 << 10
	// topicBytesMax bounds a message's topic: those that were subscribed to are shorter.
	topicBytesMax = 512
	// lengthBytesMax is the longest encoding of a remaining length (MQTT 3.1.1, 2.2.3).
	lengthBytesMax = 4
	// publishBurst messages may come at once, one more each publishEvery after that. The library starts a
	// goroutine per message, so a flood must be slowed before it gets there. A body that is skipped counts as one message
	// for each publishBytesMax of it, so it can't come faster than many small ones either.
	publishBurst = 32
	publishEvery = 250 * time.Millisecond
	// writeTimeout bounds each write: the library sets a deadline for messages, but none for acks and pings.
	writeTimeout = 10 * time.Second
)

// A packetError refuses a packet by its header.
type packetError struct {
	kind byte
	what string
}

func (e *packetError) Error() string {
	return fmt.Sprintf("mqtt: packet of type %d refused: %s", e.kind, e.what)
}

// A guard is a connection that lets through only packets that the library can be trusted with. Unguarded, it
// allocates whatever length a packet announces (up to 256 MiB), panics on a SUBACK with more return codes
// than there were topics, and keeps QoS 2 messages for as long as the broker likes. It also knows when bytes
// went and came, which is what pings are about, and why the connection ended, of which the library says only
// that it did.
type guard struct {
	net.Conn
	in      *bufio.Reader
	header  []byte // checked, not yet handed on
	body    int64  // bytes of the current packet still to come
	filters int    // in the one SUBSCRIBE that is sent
	own     string // the topic on which the client hears itself
	tokens  int    // messages that may come without a wait
	counted time.Time
	pulse
	// skippedAt is when a part of a body was skipped last, since pulse.begun; 0: none was. What comes after
	// the body has to wait for it.
	skippedAt atomic.Int64
	// keepAlive is what CONNECT says; seconds.
	keepAlive uint16

	writing   sync.Mutex
	closeOnce sync.Once
	closed    chan struct{}
	failure   chan error // why the connection ended; holds one
	// certificate is what the client showed; nil: none.
	certificate *x509.Certificate
}

// newGuard guards c for a client that subscribes to so many filters.
func newGuard(c net.Conn, cfg Config, filters int) *guard {
	g := &guard{
		Conn: c, filters: filters, own: cfg.deviceTopic("status"), keepAlive: uint16(cfg.KeepAlive / time.Second),
		tokens: publishBurst, counted: time.Now(), pulse: newPulse(), closed: make(chan struct{}), failure: make(chan error, 1),
	}
	g.in = bufio.NewReaderSize(heard{g}, 4<<10)
	return g
}

// heard notes when bytes come.
type heard struct{ *guard }

func (h heard) Read(p []byte) (int, error) {
	n, err := h.Conn.Read(p)
	if n > 0 {
		h.received()
	}
	return n, err
}

// Read hands on a packet's header only after it was checked, then its body.
func (g *guard) Read(p []byte) (int, error) {
	n, err := g.read(p)
	if err != nil {
		g.fail(err)
	}
	return n, err
}

func (g *guard) read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	if len(g.header) == 0 && g.body == 0 {
		if err := g.next(); err != nil {
			return 0, err
		}
	}
	if len(g.header) > 0 {
		n := copy(p, g.header)
		g.header = g.header[n:]
		return n, nil
	}
	n, err := g.in.Read(p[:min(int64(len(p)), g.body)])
	g.body -= int64(n)
	return n, err
}

// fail keeps the first reason why the connection ended; that this side closed it is none.
func (g *guard) fail(err error) {
	select {
	case <-g.closed:
		return
	default:
	}
	select {
	case g.failure <- err:
	default:
	}
}

// why is what fail kept, or nil.
func (g *guard) why() error {
	select {
	case err := <-g.failure:
		g.failure <- err
		return err
	default:
		return nil
	}
}

// next reads and checks the fixed header of the next packet.
func (g *guard) next() error {
	first, err := g.in.ReadByte()
	if err != nil {
		return err
	}
	header := []byte{first}
	length := int64(0)
	for i := 0; ; i++ {
		if i == lengthBytesMax {
			return &packetError{first >> 4, "its length takes more than 4 bytes"}
		}
		b, err := g.in.ReadByte()
		if err != nil {
			return err
		}
		header = append(header, b)
		length |= int64(b&0x7f) << (7 * i)
		if b&0x80 == 0 {
			break
		}
	}
	if err := g.admit(first, length); err != nil {
		return err
	}
	if first>>4 == typePublish && length > publishBytesMax {
		return g.large(first, header, length)
	}
	g.header, g.body = header, length
	return nil
}

func (g *guard) admit(first byte, length int64) error {
	kind, most := first>>4, int64(0)
	switch kind {
	case typeConnack, typePuback, typeUnsuback:
		most = 2
	case typeSuback:
		most = 2 + int64(g.filters)
	case typePingresp:
	case typePublish:
		if qos := first >> 1 & 3; qos > 1 {
			return &packetError{kind, fmt.Sprintf("QoS %d, where at most 1 was asked for", qos)}
		}
		return g.wait()
	default:
		return &packetError{kind, "a broker does not send this type"}
	}
	if length > most {
		return &packetError{kind, fmt.Sprintf("it announces %d bytes, at most %d are accepted", length, most)}
	}
	return nil
}

// Write sends a whole packet. The library would ping by a ticker of its own, every five seconds; it is told
// of no keep-alive, so that it does not, and CONNECT gets here what it should have said.
func (g *guard) Write(p []byte) (int, error) {
	if len(p) > 0 && p[0]>>4 == typeConnect {
		stated, err := stateKeepAlive(p, g.keepAlive)
		if err != nil {
			return 0, err
		}
		p = stated
	}
	g.writing.Lock() // a deadline is the connection's, not the write's
	defer g.writing.Unlock()
	if err := g.Conn.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil {
		return 0, err
	}
	n, err := g.Conn.Write(p)
	_ = g.Conn.SetWriteDeadline(time.Time{}) // else its timer wakes the CPU once more after each ping; a connection that ended has none
	if err != nil {
		g.fail(err)
	} else {
		g.sent()
	}
	return n, err
}

// SetWriteDeadline does nothing: Write has a bound of its own each time, and the library's would end a ping's.
func (g *guard) SetWriteDeadline(time.Time) error { return nil }

// errConnect says that the library has changed.
var errConnect = errors.New("the library's CONNECT is not an MQTT 3.1.1 one in one piece")

// stateKeepAlive returns CONNECT with these seconds as its keep-alive (MQTT 3.1.1, 3.1.2.10).
func stateKeepAlive(connect []byte, seconds uint16) ([]byte, error) {
	const intro = "\x00\x04MQTT\x04" // name and level, before the flags
	_, size := binary.Uvarint(connect[1:])
	at := 1 + size
	if size < 1 || len(connect) < at+len(intro)+3 || string(connect[at:at+len(intro)]) != intro {
		return nil, errConnect
	}
	stated := append([]byte(nil), connect...)
	binary.BigEndian.PutUint16(stated[at+len(intro)+1:], seconds)
	return stated, nil
}

func (g *guard) Close() error {
	g.closeOnce.Do(func() { close(g.closed) })
	return g.Conn.Close()
}
