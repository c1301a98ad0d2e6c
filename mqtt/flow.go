package mqtt

import (
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"time"
)

// large takes a message over publishBytesMax. A large wake is a wake all the same: its body is skipped, and
// the message is handed on without one. To refuse it would end each session of the whole fleet for as long as
// somebody's large message is retained.
func (g *guard) large(first byte, header []byte, length int64) error {
	topic, err := g.in.Peek(2)
	if err != nil {
		return err
	}
	size := 2 + int(binary.BigEndian.Uint16(topic))
	if size > 2+topicBytesMax {
		return &packetError{typePublish, fmt.Sprintf("its topic has %d bytes, at most %d are accepted", size-2, topicBytesMax)}
	}
	if topic, err = g.in.Peek(size); err != nil {
		return err
	}
	if string(topic[2:]) == g.own && length <= ownBytesMax {
		g.header, g.body = header, length
		return g.toll(length)
	}
	if first>>1&3 > 0 {
		size += 2 // the packet's ID
	}
	kept := make([]byte, size)
	if _, err := io.ReadFull(g.in, kept); err != nil {
		return err
	}
	if err := g.skip(length - int64(size)); err != nil {
		return err
	}
	short := []byte{first}
	for n := size; ; {
		b := byte(n & 0x7f)
		if n >>= 7; n == 0 {
			short = append(short, b)
			break
		}
		short = append(short, b|0x80)
	}
	g.header, g.body = append(short, kept...), 0
	return nil
}

// skip reads n bytes and drops them, no faster than so many bytes of small messages could come.
func (g *guard) skip(n int64) error {
	for ; n > 0; n -= publishBytesMax {
		part := min(n, publishBytesMax)
		if err := g.toll(part); err != nil {
			return err
		}
		if _, err := io.CopyN(io.Discard, g.in, part); err != nil {
			return err
		}
		g.skippedAt.Store(int64(time.Since(g.begun)))
	}
	return nil
}

// toll waits as long as small messages of n bytes together would.
func (g *guard) toll(n int64) error {
	for ; n > 0; n -= publishBytesMax {
		if err := g.wait(); err != nil {
			return err
		}
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
