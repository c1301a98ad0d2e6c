package mqtt

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/ota-agent/ota-agent/agent"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestWakesArrive(t *testing.T) {
	b := startBroker(t, nil)
	r := start(t, testConfig("tcp://"+b.address), silent())
	b.expect(t, "ota/device/board-1/status", nil)
	for _, c := range []struct {
		topic, payload string
		want           agent.Wake
	}{
		{"ota/wake", "", agent.Wake{Source: "mqtt", Spread: WakeSpreadDefault}},
		{"ota/wake", `{"nonce":7,"spread":"3600"}`, agent.Wake{Source: "mqtt", Nonce: "7", Spread: WakeSpreadDefault}},
		{"ota/wake", `{"spread":0}`, agent.Wake{Source: "mqtt"}},
		{"ota/group/beta/wake", "", agent.Wake{Source: "mqtt", Spread: WakeSpreadDefault}},
		{"ota/device/board-1/wake", "", agent.Wake{Source: "mqtt"}},
		{"ota/group/beta/wake", `{"nonce":"a","spread":60}`, agent.Wake{Source: "mqtt", Nonce: "a", Spread: time.Minute}},
		{"ota/device/board-1/wake", "\xff\x00 not JSON", agent.Wake{Source: "mqtt"}},
		{"ota/device/board-1/wake", strings.Repeat("x", 10<<10), agent.Wake{Source: "mqtt"}},
	} {
		if err := b.Publish(c.topic, []byte(c.payload), false, 1); err != nil {
			t.Fatal(err)
		}
		if got := r.agent.woken(t); got != c.want {
			t.Errorf("%s: got %+v, want %+v", c.topic, got, c.want)
		}
	}
	for _, other := range []string{"ota/group/alpha/wake", "ota/device/board-2/wake", "ota/device/board-1/status"} {
		if err := b.Publish(other, []byte("x"), false, 1); err != nil {
			t.Fatal(err)
		}
	}
	// What comes next is this one: the others woke nobody.
	if err := b.Publish("ota/wake", []byte(`{"nonce":"last"}`), false, 1); err != nil {
		t.Fatal(err)
	}
	if got := r.agent.woken(t); got.Nonce != "last" {
		t.Errorf("woken by another's topic: %+v", got)
	}
}

func TestRetainedWakeIsOneWakePerSession(t *testing.T) {
	b := startBroker(t, nil)
	if err := b.Publish("ota/wake", []byte(`{"nonce":"old"}`), true, 1); err != nil {
		t.Fatal(err)
	}
	r := start(t, testConfig("tcp://"+b.address), silent())
	for range 3 {
		if got := r.agent.woken(t); got.Nonce != "old" {
			t.Errorf("got %+v", got)
		}
		b.expect(t, "ota/device/board-1/status", nil)
		select {
		case got := <-r.agent.wakes:
			t.Errorf("a second wake in one session: %+v", got)
		default:
		}
		b.throwOut("board-1")
	}
}

func TestSubscribesAgainAfterTheBrokerRestarts(t *testing.T) {
	b := startBroker(t, nil)
	r := start(t, testConfig("tcp://"+b.address), silent())
	b.expect(t, "ota/device/board-1/status", nil)
	b.close()
	<-r.pauses
	b = serveBroker(t, b.socket, nil) // it remembers nothing
	b.expect(t, "ota/device/board-1/status", nil)
	if err := b.Publish("ota/wake", nil, false, 1); err != nil {
		t.Fatal(err)
	}
	r.agent.woken(t)
}

func TestStatusIsRetainedAndNews(t *testing.T) {
	b := startBroker(t, nil)
	r := start(t, testConfig("tcp://"+b.address), silent())
	b.expect(t, "ota/device/board-1/status", nil)
	r.agent.set(func(s *agent.Status) { s.Paused = true })
	p := b.expect(t, "ota/device/board-1/status", func(payload string) bool { return strings.Contains(payload, `"paused":true`) })
	if !p.FixedHeader.Retain {
		t.Error("the status is not retained")
	}
	var got agent.Status
	if err := json.Unmarshal(p.Payload, &got); err != nil || got.Seq != 2 || got.Schema != agent.StatusSchema {
		t.Errorf("got %+v, %v; want the status document", got, err)
	}
}

func TestOnlineFollowsTheSession(t *testing.T) {
	online := func(want string) func(string) bool { return func(payload string) bool { return payload == want } }
	t.Run("last will", func(t *testing.T) {
		b := startBroker(t, nil)
		start(t, testConfig("tcp://"+b.address), silent())
		b.expect(t, "ota/device/board-1/online", online("1"))
		b.throwOut("board-1")
		if p := b.expect(t, "ota/device/board-1/online", online("0")); !p.FixedHeader.Retain {
			t.Error("the last will is not retained")
		}
		b.expect(t, "ota/device/board-1/online", online("1"))
	})
	t.Run("orderly end", func(t *testing.T) {
		b := startBroker(t, nil)
		r := start(t, testConfig("tcp://"+b.address), silent())
		b.expect(t, "ota/device/board-1/status", nil)
		r.stop()
		b.expect(t, "ota/device/board-1/online", online("0"))
	})
}

func TestHostileBrokers(t *testing.T) {
	for _, c := range []struct {
		name string
		send []byte
	}{
		{"announces 256 MiB", []byte{0x30, 0xff, 0xff, 0xff, 0x7f}},
		{"a SUBACK with more codes than topics", []byte{0x90, 10, 0, 1, 1, 1, 1, 1, 1, 1, 1, 1}},
		{"a SUBACK without codes", []byte{0x90, 2, 0, 1}},
		{"an empty SUBACK", []byte{0x90, 0}},
		{"an empty PUBLISH", []byte{0x30, 0}},
		{"a PUBLISH whose topic is longer than the packet", []byte{0x30, 3, 0xff, 0xff, 'a'}},
		{"QoS 2", []byte{0x34, 5, 0, 1, 'a', 0, 1}},
		{"a CONNECT", []byte{0x10, 2, 0, 0}},
		{"an acknowledgement of nothing", []byte{0x40, 2, 0, 99}},
		{"half a packet", []byte{0x30, 100, 0}},
		{"nothing at all", nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			var once sync.Once
			sent := make(chan struct{})
			address := hostileBroker(t, func(conn net.Conn) {
				conn.Write(c.send)
				conn.Write([]byte{0xd0, 0})
				conn.(*net.TCPConn).CloseWrite()
				once.Do(func() { close(sent) })
			})
			r := start(t, testConfig("tcp://"+address), silent())
			<-sent
			select {
			case <-r.pauses: // it hung up and will come back: no panic, no end of Run
			case <-time.After(patience):
				t.Error("the session does not end")
			}
			r.stop()
		})
	}
}

func TestFightOverAClientIDIsNamed(t *testing.T) {
	b := startBroker(t, nil)
	var text syncBuffer
	r := start(t, testConfig("tcp://"+b.address), slog.New(slog.NewTextHandler(&text, nil)))
	for range thrownAfter {
		b.expect(t, "ota/device/board-1/status", nil)
		if !b.throwOut("board-1") {
			t.Fatal("no such client")
		}
	}
	var last time.Duration
	for range thrownAfter {
		last = <-r.pauses
	}
	if last < thrownMin/2 {
		t.Errorf("waits %s, want at least %s", last, thrownMin/2)
	}
	r.stop()
	s := r.agent.state(t, "thrown out", func(s agent.BrokerStatus) bool { return s.Reason == agent.ReasonThrownOut })
	for _, log := range []string{s.Text, text.String()} { // both causes, for people
		if !strings.Contains(log, "client ID board-1") || !strings.Contains(log, "crash") {
			t.Errorf("this does not name the causes:\n%s", log)
		}
	}
}

func TestSecretsStayOutOfTheLog(t *testing.T) {
	password := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(password, []byte("hunter2\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	address := hostileBroker(t, func(net.Conn) {})
	cfg := testConfig("tcp://" + address)
	cfg.Username, cfg.PasswordFile = "board", password
	var text syncBuffer
	r := start(t, cfg, slog.New(slog.NewTextHandler(&text, &slog.HandlerOptions{Level: slog.LevelDebug})))
	r.stop()
	if log := text.String(); strings.Contains(log, "hunter2") || !strings.Contains(log, "clear text") {
		t.Errorf("want a warning and no password, got:\n%s", log)
	}
}

// A syncBuffer is a log that is read while it is written.
type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// TestTheFirstConnectionWaitsForItsTurn: when the power comes back in a town, its devices don't connect at once.
func TestTheFirstConnectionWaitsForItsTurn(t *testing.T) {
	b := startBroker(t, nil)
	for random, want := range map[float64]time.Duration{0.25: 15 * time.Minute, 0.999: time.Duration(0.999 * float64(time.Hour))} {
		cfg := testConfig("tcp://" + b.address)
		cfg.StartJitter, cfg.Random = time.Hour, func() float64 { return random }
		r := start(t, cfg, silent())
		if got := <-r.pauses; got != want {
			t.Errorf("the first connection waits %s, want %s", got, want)
		}
		s := r.agent.state(t, "starting", func(agent.BrokerStatus) bool { return true })
		if s.State != agent.BrokerStarting || s.RetryAt.IsZero() {
			t.Errorf("the first state is %+v", s)
		}
		r.stop()
	}
}

// TestDefaultsHoldForAMillionDevices: no second sees more of them than a large broker takes.
func TestDefaultsHoldForAMillionDevices(t *testing.T) {
	const devices, perSecondMax = 1_000_000, 3500
	for name, spread := range map[string]time.Duration{"start_jitter": StartJitterDefault, "reconnect_spread": ReconnectSpreadDefault, "wake_spread": WakeSpreadDefault} {
		if n := devices / int(spread.Seconds()); n > perSecondMax {
			t.Errorf("%s: %d devices come in a second", name, n)
		}
	}
	// The first wait after a broker's restart is even over the whole of it.
	var perMinute [ReconnectSpreadDefault / time.Minute]int
	const draws = 10_000
	for i := range draws {
		b := backoff{spread: ReconnectSpreadDefault}
		wait, _ := b.after(outcome{lived: time.Hour, closed: true}, float64(i)/draws)
		perMinute[wait/time.Minute]++
	}
	for minute, n := range perMinute {
		if mean := draws / len(perMinute); n < mean*9/10 || n > mean*11/10 {
			t.Errorf("%d of %d come in minute %d", n, draws, minute)
		}
	}
}
