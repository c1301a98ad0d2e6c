package mqtt

import (
	"bufio"
	"fmt"
	"net"
	"sync"
	"time"
)

// Packet types that a broker may send to this client (MQTT 3.1.1, 2.2.1). The others belong to QoS 2, to
// unsubscribing or to the other direction.
const (
	typeConnack  = 2
	typePublish  = 3
	typePuback   = 4
	typeSuback   = 9
	typePingresp = 13
)

// Bounds of what a broker may send.
const (
	// publishBytesMax bounds a message's remaining length: a wake and its topic are far smaller.
	publishBytesMax = 16 << 10
	// lengthBytesMax is the longest encoding of a remaining length (MQTT 3.1.1, 2.2.3).
	lengthBytesMax = 4
	// publishBurst messages may come at once, one more each publishEvery after that. The library starts a
	// goroutine per message, so a flood must be slowed before it gets there.
	publishBurst = 32
	publishEvery = 250 * time.Millisecond
	// writeTimeout bounds each write: the library sets a deadline for messages, but none for acks and pings.
	writeTimeout = 10 * time.Second
)

// A packetError refuses a packet by its fixed header.
type packetError struct {
	kind byte
	what string
}

func (e *packetError) Error() string {
	return fmt.Sprintf("mqtt: packet of type %d refused: %s", e.kind, e.what)
}

// A guard is a connection that lets through only packets that the library can be trusted with. Unguarded, it
// allocates whatever length a packet announces (up to 256 MiB), panics on a SUBACK with more return codes than
// there were topics, and keeps QoS 2 messages for as long as the broker likes.
type guard struct {
	net.Conn
	in      *bufio.Reader
	header  []byte // checked, not yet handed on
	body    int64  // bytes of the current packet still to come
	topics  int    // in the one SUBSCRIBE that is sent
	tokens  int    // messages that may come without a wait
	counted time.Time

	closeOnce sync.Once
	closed    chan struct{}
}

func newGuard(c net.Conn, topics int) *guard {
	return &guard{
		Conn: c, in: bufio.NewReaderSize(c, 4<<10), topics: topics,
		tokens: publishBurst, counted: time.Now(), closed: make(chan struct{}),
	}
}

// Read hands on a packet's header only after it was checked, then its body.
func (g *guard) Read(p []byte) (int, error) {
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
	g.header, g.body = header, length
	return nil
}

func (g *guard) admit(first byte, length int64) error {
	kind, most := first>>4, int64(0)
	switch kind {
	case typeConnack, typePuback:
		most = 2
	case typeSuback:
		most = 2 + int64(g.topics)
	case typePingresp:
	case typePublish:
		if qos := first >> 1 & 3; qos > 1 {
			return &packetError{kind, fmt.Sprintf("QoS %d, where at most 1 was asked for", qos)}
		}
		most = publishBytesMax
	default:
		return &packetError{kind, "a broker does not send this type"}
	}
	if length > most {
		return &packetError{kind, fmt.Sprintf("it announces %d bytes, at most %d are accepted", length, most)}
	}
	if kind == typePublish {
		return g.wait()
	}
	return nil
}

// wait takes a token, and waits for one where there is none.
func (g *guard) wait() error {
	if got := int(time.Since(g.counted) / publishEvery); got > 0 {
		g.tokens = min(publishBurst, g.tokens+got)
		g.counted = time.Now()
	}
	if g.tokens > 0 {
		g.tokens--
		return nil
	}
	timer := time.NewTimer(publishEvery)
	defer timer.Stop()
	select {
	case <-timer.C:
		g.counted = time.Now()
		return nil
	case <-g.closed:
		return net.ErrClosed
	}
}

func (g *guard) Write(p []byte) (int, error) {
	if err := g.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil {
		return 0, err
	}
	return g.Conn.Write(p)
}

func (g *guard) Close() error {
	g.closeOnce.Do(func() { close(g.closed) })
	return g.Conn.Close()
}
