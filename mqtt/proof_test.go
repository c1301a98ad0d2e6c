package mqtt

import (
	"log/slog"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/eclipse/paho.mqtt.golang/packets"

	"github.com/ota-agent/ota-agent/agent"
)

func inState(want agent.BrokerState) func(agent.BrokerStatus) bool {
	return func(s agent.BrokerStatus) bool { return s.State == want }
}

const statusTopic = "ota/device/board-1/status"

// TestASessionProvesItself: where the device may read its status topic, its own status comes back, once:
// after that it need not.
func TestASessionProvesItself(t *testing.T) {
	b := startBroker(t, nil)
	r := start(t, testConfig("tcp://"+b.address), silent())
	b.expect(t, statusTopic, nil)
	s := r.agent.state(t, "proven", inState(agent.BrokerProven))
	if s.Reason != "" || s.Since.IsZero() {
		t.Errorf("got %+v, want no reason", s)
	}
	for end := time.Now().Add(patience); len(b.Topics.Subscribers(statusTopic).Subscriptions) > 0; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("the client still hears its own status")
		}
	}
}

// TestASessionThatCannotProveItselfIsNoError: a broker that forbids acknowledges what is published all the
// same. The session goes on, and wakes that are allowed arrive.
func TestASessionThatCannotProveItselfIsNoError(t *testing.T) {
	t.Run("may not read its status", func(t *testing.T) {
		b := startBroker(t, nil)
		b.rules.forbid(func(topic string, write bool) bool { return topic == statusTopic && !write })
		r := start(t, testConfig("tcp://"+b.address), silent())
		b.expect(t, statusTopic, nil)
		if err := b.Publish("ota/wake", nil, false, 1); err != nil {
			t.Fatal(err)
		}
		r.agent.woken(t)
		r.agent.state(t, "woken", func(s agent.BrokerStatus) bool { return !s.LastWake.IsZero() })
		r.agent.unproven(t)
	})
	t.Run("what it publishes is acknowledged and dropped", func(t *testing.T) {
		address := puppetBroker(t, func(net.Conn, packets.ControlPacket) bool { return false })
		r := start(t, testConfig("tcp://"+address), silent())
		r.agent.happen(1)
		r.agent.await(t, 1) // the status before it was acknowledged
		r.agent.unproven(t)
	})
}

// unproven fails unless there is a session that is not proven, and that nothing is wrong with.
func (a *fakeAgent) unproven(t *testing.T) {
	t.Helper()
	a.mu.Lock()
	defer a.mu.Unlock()
	if s := a.states[len(a.states)-1]; s.State != agent.BrokerUnproven || s.Reason != "" {
		t.Errorf("got %+v, want an unproven session and no reason", s)
	}
}

// TestAnothersStatusProvesNothing: what a clone publishes on the same topic, or what is retained there, is
// not this session's.
func TestAnothersStatusProvesNothing(t *testing.T) {
	p := newProof()
	p.heard([]byte("before anything was sent"))
	p.expect([]byte("mine"))
	p.heard([]byte("another's"))
	p.heard(nil)
	select {
	case <-p.come:
		t.Fatal("proven by another's status")
	default:
	}
	p.heard([]byte("mine"))
	p.heard([]byte("mine"))
	<-p.come
}

// TestADeniedWakeTopicIsNamed: a device that no wake can reach must not look well.
func TestADeniedWakeTopicIsNamed(t *testing.T) {
	b := startBroker(t, nil)
	b.rules.forbid(func(topic string, write bool) bool { return topic == "ota/group/beta/wake" && !write })
	r := start(t, testConfig("tcp://"+b.address), silent())
	s := r.agent.state(t, "proven, with a denied topic", func(s agent.BrokerStatus) bool {
		return s.State == agent.BrokerProven && s.Reason == agent.ReasonTopicDenied
	})
	if !strings.Contains(s.Text, "ota/group/beta/wake") || strings.Contains(s.Text, "ota/wake") {
		t.Errorf("the text names the wrong topics: %s", s.Text)
	}
}

// TestARefusedClientWaitsLong: CONNACK 5, as for a wrong password.
func TestARefusedClientWaitsLong(t *testing.T) {
	b := startBroker(t, nil)
	b.rules.refuses.Store(true)
	r := start(t, testConfig("tcp://"+b.address), silent())
	if wait := <-r.pauses; wait < refusedMin/2 {
		t.Errorf("waits %s, as after an outage", wait)
	}
	s := r.agent.state(t, "refused", func(s agent.BrokerStatus) bool { return s.State == agent.BrokerWaiting })
	if s.Reason != agent.ReasonBrokerRefused || s.RetryAt.IsZero() {
		t.Errorf("got %+v", s)
	}
}

// TestTheGuardsReasonSurvives: the library says of a packet that the guard refused only that the connection was lost.
func TestTheGuardsReasonSurvives(t *testing.T) {
	address := hostileBroker(t, func(conn net.Conn) { conn.Write([]byte{0x34, 5, 0, 1, 'a', 0, 1}) }) // QoS 2
	var text syncBuffer
	r := start(t, testConfig("tcp://"+address), slog.New(slog.NewTextHandler(&text, nil)))
	s := r.agent.state(t, "waiting", inState(agent.BrokerWaiting))
	if s.Reason != agent.ReasonBadAnswer || !strings.Contains(s.Text, "QoS 2") {
		t.Errorf("got %+v, want the packet that was refused", s)
	}
	r.stop()
	if log := text.String(); !strings.Contains(log, "QoS 2") {
		t.Errorf("the log does not say why:\n%s", log)
	}
}

// A puppetBroker is a broker that answers as it should but for what the hook takes over (true).
func puppetBroker(t *testing.T, hook func(conn net.Conn, p packets.ControlPacket) bool) (address string) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var sessions sync.WaitGroup
	t.Cleanup(func() { listener.Close(); sessions.Wait() })
	serve := func(conn net.Conn) {
		defer conn.Close()
		for {
			p, err := packets.ReadPacket(conn)
			if err != nil {
				hook(conn, nil)
				return
			}
			if hook(conn, p) {
				continue
			}
			switch p := p.(type) {
			case *packets.ConnectPacket:
				conn.Write([]byte{0x20, 2, 0, 0})
			case *packets.SubscribePacket:
				ack := packets.NewControlPacket(packets.Suback).(*packets.SubackPacket)
				ack.MessageID, ack.ReturnCodes = p.MessageID, p.Qoss
				ack.Write(conn)
			case *packets.PublishPacket:
				ack := packets.NewControlPacket(packets.Puback).(*packets.PubackPacket)
				ack.MessageID = p.MessageID
				ack.Write(conn)
			case *packets.PingreqPacket:
				conn.Write([]byte{0xd0, 0})
			}
		}
	}
	sessions.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			sessions.Go(func() { serve(conn) })
		}
	})
	return listener.Addr().String()
}

// TestABrokerThatHangsUpOnTheProofKeepsItsSession: some brokers end a session that subscribes to what it may
// not. The next session does without the proof.
func TestABrokerThatHangsUpOnTheProofKeepsItsSession(t *testing.T) {
	var tries atomic.Int64
	address := puppetBroker(t, func(conn net.Conn, p packets.ControlPacket) bool {
		s, ok := p.(*packets.SubscribePacket)
		if !ok {
			return false
		}
		tries.Add(1)
		for _, topic := range s.Topics {
			if topic == statusTopic {
				conn.Close()
				return true
			}
		}
		return false
	})
	r := start(t, testConfig("tcp://"+address), silent())
	r.agent.state(t, "unproven", inState(agent.BrokerUnproven))
	if n := tries.Load(); n != 2 {
		t.Errorf("the session came about at the %dth subscription, want the second", n)
	}
}

// TestASubackIsBoundedWithoutTheProof: the library panics on a SUBACK with more return codes than topics,
// also in a session that leaves the status topic out.
func TestASubackIsBoundedWithoutTheProof(t *testing.T) {
	var tries atomic.Int64
	address := puppetBroker(t, func(conn net.Conn, p packets.ControlPacket) bool {
		s, ok := p.(*packets.SubscribePacket)
		if !ok {
			return false
		}
		if tries.Add(1) == 1 {
			conn.Close()
			return true
		}
		ack := packets.NewControlPacket(packets.Suback).(*packets.SubackPacket)
		ack.MessageID, ack.ReturnCodes = s.MessageID, append(s.Qoss, 1)
		ack.Write(conn)
		return true
	})
	r := start(t, testConfig("tcp://"+address), silent())
	r.agent.state(t, "refusing the packet", func(s agent.BrokerStatus) bool { return s.Reason == agent.ReasonBadAnswer })
}

// TestTheDeviceIsOfflineAfterASessionThatItEnds: it says so first; without an acknowledgement it cuts the
// connection, rather than close it in order, which would cancel the last will.
func TestTheDeviceIsOfflineAfterASessionThatItEnds(t *testing.T) {
	for _, c := range []struct {
		name         string
		acknowledged bool // "0", by the broker
		refused      bool // a packet of the broker: the session ends by the guard
		want         string
	}{
		{"in order", true, false, "0 DISCONNECT"},
		{"not acknowledged", false, false, "0 cut"},
		{"the guard ends it", true, true, "cut"},
	} {
		t.Run(c.name, func(t *testing.T) {
			said := make(chan string, 100)
			address := puppetBroker(t, func(conn net.Conn, p packets.ControlPacket) bool {
				switch p := p.(type) {
				case nil:
					said <- "cut"
				case *packets.DisconnectPacket:
					said <- "DISCONNECT"
				case *packets.PublishPacket:
					if strings.HasSuffix(p.TopicName, "/online") && string(p.Payload) == "0" {
						said <- "0"
						return !c.acknowledged
					}
					if strings.HasSuffix(p.TopicName, "/status") && c.refused {
						conn.Write([]byte{0x34, 5, 0, 1, 'a', 0, 1})
					}
				}
				return false
			})
			r := start(t, testConfig("tcp://"+address), silent())
			r.agent.state(t, "unproven", inState(agent.BrokerUnproven))
			if c.refused {
				r.agent.state(t, "waiting", inState(agent.BrokerWaiting))
			}
			r.agent.happen(1)
			if !c.refused {
				r.agent.await(t, 1)
			}
			if !c.refused {
				r.stop()
			}
			for _, want := range strings.Fields(c.want) {
				select {
				case got := <-said:
					if got != want {
						t.Errorf("the broker saw %s, want %s", got, want)
					}
				case <-time.After(patience):
					t.Fatalf("the broker did not see %s", want)
				}
			}
		})
	}
}

// TestALongBodyThatIsSkippedEndsNoSession: what the broker sends after it, the acknowledgement of what was
// published meanwhile, comes later than that may take otherwise.
func TestALongBodyThatIsSkippedEndsNoSession(t *testing.T) {
	const patient = 2 * time.Second // for an acknowledgement
	const parts = publishBurst + 4*int(patient/publishEvery)
	address := puppetBroker(t, func(conn net.Conn, p packets.ControlPacket) bool {
		s, ok := p.(*packets.SubscribePacket)
		if !ok {
			return false
		}
		ack := packets.NewControlPacket(packets.Suback).(*packets.SubackPacket)
		ack.MessageID, ack.ReturnCodes = s.MessageID, s.Qoss
		ack.Write(conn)
		conn.Write(message("ota/wake", 0, parts*publishBytesMax))
		return true
	})
	r := startWith(t, testConfig("tcp://"+address), silent(), patient)
	r.agent.woken(t)
	r.agent.happen(1)
	r.agent.await(t, 1)
	if len(r.pauses) > 0 {
		t.Error("the session ended meanwhile")
	}
}
