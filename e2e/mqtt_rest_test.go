package e2e

import (
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ota-agent/ota-agent/agent"
)

// With an hour of keep-alive nothing goes over the wire at rest: no ping, no probe of the kernel. And the
// process hardly wakes, also with the usual minute.
func TestMosquittoRest(t *testing.T) {
	for _, c := range []struct {
		keepAlive string
		stated    string // in the broker's log
		bytesMax  int64
	}{
		{"1h", "k3600", 0},
		{"1m", "k60", 3 * 80},
	} {
		t.Run(c.keepAlive, func(t *testing.T) {
			const settled, watched = 30 * time.Second, 2 * time.Minute // what the start brings ends within half a minute
			m := startMosquitto(t, deviceRules, "")
			wire := newWireMeter(t, m.address)
			d := newMQTTDevice(t, m, "board-1", fmt.Sprintf("keep_alive = %q\n", c.keepAlive))
			wire.between(d, m)
			d.start()
			d.awaitBroker(agent.BrokerProven, "", brokerPatience)
			d.await("the first check", brokerPatience, func() bool { return d.checks() > 0 })
			if log := m.log(); !strings.Contains(log, c.stated+",") {
				t.Errorf("the broker was not told of a keep-alive of %s:\n%s", c.keepAlive, log)
			}
			time.Sleep(settled)
			bytes := wire.bytes.Load()
			timers := d.socketTimers(t, wire.address)
			wakes := d.wakes(watched)
			bytes = wire.bytes.Load() - bytes
			t.Logf("in %s at rest: %d bytes, the process woke at %v, socket timers %v", watched, bytes, wakes, timers)
			if bytes > c.bytesMax {
				t.Errorf("%d bytes went over the wire, want at most %d", bytes, c.bytesMax)
			}
			for _, timer := range timers {
				if timer != "00" {
					t.Errorf("the kernel has a timer (%s) on the connection: it probes", timer)
				}
			}
			if most := 3 * int(watched/time.Minute); len(wakes) > most {
				t.Errorf("%d wakes in %s, want at most %d", len(wakes), watched, most)
			}
		})
	}
}

// A ping and its answer are all that keep_alive costs.
func TestMosquittoPings(t *testing.T) {
	m := startMosquitto(t, deviceRules, "")
	wire := newWireMeter(t, m.address)
	d := newMQTTDevice(t, m, "board-1", "keep_alive = \"10s\"\n")
	wire.between(d, m)
	d.start()
	d.awaitBroker(agent.BrokerProven, "", brokerPatience)
	d.await("the first check", brokerPatience, func() bool { return d.checks() > 0 })
	time.Sleep(2 * time.Second)
	before, pings := wire.bytes.Load(), strings.Count(m.log(), "Received PINGREQ from board-1")
	time.Sleep(35 * time.Second)
	bytes, pings := wire.bytes.Load()-before, strings.Count(m.log(), "Received PINGREQ from board-1")-pings
	t.Logf("in 35 s: %d pings, %d bytes", pings, bytes)
	if pings < 3 || pings > 4 {
		t.Errorf("%d pings, want one each 10 s", pings)
	}
	// Two bytes and a TLS record around them, each way.
	if most := int64(pings) * 2 * 40; bytes > most {
		t.Errorf("%d bytes, want at most %d", bytes, most)
	}
}

// A wireMeter passes a connection on and counts what goes through it.
type wireMeter struct {
	t       testing.TB
	address string
	bytes   atomic.Int64
}

func newWireMeter(t testing.TB, to string) *wireMeter {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	w := &wireMeter{t: t, address: l.Addr().String()}
	var passing sync.WaitGroup
	t.Cleanup(func() { l.Close(); passing.Wait() })
	passing.Go(func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			out, err := net.Dial("tcp", to)
			if err != nil {
				in.Close()
				continue
			}
			for _, pair := range [][2]net.Conn{{in, out}, {out, in}} {
				passing.Go(func() {
					defer pair[0].Close()
					defer pair[1].Close()
					_, _ = io.Copy(pair[1], io.TeeReader(pair[0], counting{&w.bytes}))
				})
			}
		}
	})
	return w
}

type counting struct{ n *atomic.Int64 }

func (c counting) Write(p []byte) (int, error) {
	c.n.Add(int64(len(p)))
	return len(p), nil
}

// between has the device come through the meter.
func (w *wireMeter) between(d *device, m *mosquitto) {
	w.t.Helper()
	text, err := os.ReadFile(d.path("config.toml"))
	must(w.t, err)
	must(w.t, os.WriteFile(d.path("config.toml"), []byte(strings.ReplaceAll(string(text), m.address, w.address)), 0o644))
	w.t.Cleanup(d.kill) // before the meter waits for its connections
}

// wakes are the moments of the next while in which any thread of the process slept and woke. What happens
// within a tenth of a second is one wake: the CPU is up then.
func (d *device) wakes(while time.Duration) (at []time.Duration) {
	d.t.Helper()
	const every = 100 * time.Millisecond
	last := d.switches()
	for begun := time.Now(); time.Since(begun) < while; time.Sleep(every) {
		now := d.switches()
		if now != last && (len(at) == 0 || time.Since(begun)-at[len(at)-1] > 3*every) {
			at = append(at, time.Since(begun).Round(every))
		}
		last = now
	}
	return at
}

// switches is how often the threads of the process have gone to sleep.
func (d *device) switches() (n int64) {
	d.t.Helper()
	files, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", d.cmd.Process.Pid))
	must(d.t, err)
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			continue // a thread that ended
		}
		_, after, _ := strings.Cut(string(text), "\nvoluntary_ctxt_switches:")
		count, _, _ := strings.Cut(strings.TrimSpace(after), "\n")
		switches, err := strconv.ParseInt(count, 10, 64)
		must(d.t, err)
		n += switches
	}
	return n
}

// socketTimers are the kernel's timers of the connections to an address: 00 is none, 01 sends again, 02
// probes (proc_net_tcp(5)).
func (d *device) socketTimers(t *testing.T, address string) (timers []string) {
	t.Helper()
	_, port, err := net.SplitHostPort(address)
	must(t, err)
	number, err := strconv.Atoi(port)
	must(t, err)
	text, err := os.ReadFile("/proc/net/tcp")
	must(t, err)
	remote := fmt.Sprintf("0100007F:%04X", number)
	for line := range strings.Lines(string(text)) {
		if fields := strings.Fields(line); len(fields) > 5 && fields[2] == remote && fields[3] == "01" {
			timer, _, _ := strings.Cut(fields[5], ":")
			timers = append(timers, timer)
		}
	}
	if len(timers) == 0 {
		t.Error("there is no connection")
	}
	return timers
}
