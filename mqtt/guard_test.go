package mqtt

import (
	"bytes"
	"errors"
	"io"
	"net"
	"testing"
	"testing/synctest"
	"time"
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
		{"publish, one byte too long", []byte{0x30, 0x81, 0x80, 0x01}, false},
		{"256 MiB", []byte{0x30, 0xff, 0xff, 0xff, 0x7f}, false},
		{"length without end", []byte{0x30, 0xff, 0xff, 0xff, 0xff, 0x7f}, false},
		{"connack too long", []byte{0x20, 3, 0, 0, 0}, false},
		{"connect", []byte{0x10, 0}, false},
		{"pubrel", []byte{0x62, 2, 0, 1}, false},
		{"reserved type", []byte{0xf0, 0}, false},
		{"type 0", []byte{0x00, 0}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := io.ReadAll(newGuard(wire{in: bytes.NewReader(c.in)}, 3))
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
		g := newGuard(wire{in: bytes.NewReader(in)}, 3)
		g.tokens = len(in) // the flood has a test of its own
		var got []byte
		for p := make([]byte, max(1, size&0xff)); ; {
			n, err := g.Read(p)
			got = append(got, p[:n]...)
			if g.body > publishBytesMax {
				t.Fatalf("a body of %d bytes was admitted", g.body)
			}
			if err != nil {
				break
			}
		}
		if !bytes.HasPrefix(in, got) {
			t.Errorf("%x is no prefix of %x", got, in)
		}
	})
}

func TestGuardSlowsAFlood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const messages = publishBurst + 40
		in := bytes.Repeat([]byte{0x30, 3, 0, 1, 'a'}, messages)
		g := newGuard(wire{in: bytes.NewReader(in)}, 3)
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
		g := newGuard(wire{in: bytes.NewReader([]byte{0x30, 3, 0, 1, 'a'})}, 3)
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
		g := newGuard(here, 3)
		defer g.Close()
		begun := time.Now()
		_, err := g.Write([]byte("nobody reads this"))
		var timeout net.Error
		if !errors.As(err, &timeout) || !timeout.Timeout() || time.Since(begun) != writeTimeout {
			t.Errorf("got %v after %s, want a time-out after %s", err, time.Since(begun), writeTimeout)
		}
	})
}
