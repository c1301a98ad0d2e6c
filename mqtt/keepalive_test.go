package mqtt

import (
	"context"
	"io"
	"net"
	"testing"
	"testing/synctest"
	"time"
)

// TestPingsAreAllThatIsSentAtRest: in a day at rest there is one ping in each keep-alive, and nothing in between.
func TestPingsAreAllThatIsSentAtRest(t *testing.T) {
	for _, keepAlive := range []time.Duration{keepAliveMin, time.Minute, time.Hour, keepAliveMax} {
		synctest.Test(t, func(t *testing.T) {
			here, there := net.Pipe()
			g := newGuard(here, guardConfig, 3)
			ctx, stop := context.WithTimeout(t.Context(), 37*time.Hour)
			defer stop()
			pings := 0
			go func() {
				defer there.Close()
				for last := time.Now(); ; pings++ {
					two := make([]byte, 2)
					if _, err := io.ReadFull(there, two); err != nil {
						return
					}
					if two[0] != 0xc0 || time.Since(last) != keepAlive {
						t.Errorf("%x was sent after %s, want a ping after %s", two, time.Since(last), keepAlive)
					}
					last = time.Now()
					there.Write([]byte{0xd0, 0})
				}
			}()
			go io.Copy(io.Discard, g)
			if err := g.keep(ctx, keepAlive); err != nil {
				t.Errorf("keep-alive %s: %v", keepAlive, err)
			}
			g.Close()
			synctest.Wait()
			if want := int(37*time.Hour/keepAlive) - 1; pings < want || pings > want+1 {
				t.Errorf("keep-alive %s: %d pings in 37 h, want %d", keepAlive, pings, want)
			}
		})
	}
}

// TestASilentBrokerIsNoticed: a half-open link gives no error; only the missing answer to a ping shows it.
func TestASilentBrokerIsNoticed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		here, there := net.Pipe()
		defer there.Close()
		g := newGuard(here, guardConfig, 3)
		defer g.Close()
		go io.Copy(io.Discard, there)
		begun := time.Now()
		if err := g.keep(t.Context(), time.Hour); err == nil {
			t.Error("no error")
		}
		if took := time.Since(begun); took != 2*time.Hour {
			t.Errorf("noticed after %s, want %s", took, 2*time.Hour)
		}
	})
}

// TestWhatIsSentPutsThePingOff: a ping is for silence.
func TestWhatIsSentPutsThePingOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		here, there := net.Pipe()
		defer there.Close()
		g := newGuard(here, guardConfig, 3)
		defer g.Close()
		var sent []byte
		go func() {
			for one := make([]byte, 1); ; sent = append(sent, one...) {
				if _, err := there.Read(one); err != nil {
					return
				}
			}
		}()
		ctx, stop := context.WithTimeout(t.Context(), time.Hour)
		defer stop()
		ended := make(chan error)
		go func() { ended <- g.keep(ctx, time.Minute) }()
		for range 60 {
			g.Write([]byte{1})
			time.Sleep(50 * time.Second)
		}
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		synctest.Wait()
		for _, b := range sent {
			if b == pingreq[0] {
				t.Fatalf("a ping among what is sent anyway: %x", sent)
			}
		}
	})
}
