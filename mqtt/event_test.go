package mqtt

import (
	"encoding/json"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/eclipse/paho.mqtt.golang/packets"

	"github.com/ota-agent/ota-agent/agent"
)

const eventTopic = "ota/device/board-1/event"

// eventIn reads an event from the wire.
func eventIn(t *testing.T, payload []byte) agent.Event {
	t.Helper()
	var e agent.Event
	if err := json.Unmarshal(payload, &e); err != nil {
		t.Errorf("event %q: %v", payload, err)
	}
	return e
}

// await waits until the broker's acknowledgement of an event has come.
func (a *fakeAgent) await(t *testing.T, seq uint64) {
	t.Helper()
	for end := time.Now().Add(patience); a.acknowledged() != seq; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("acknowledged up to %d, expected %d", a.acknowledged(), seq)
		}
	}
}

// TestEventsArriveInOrder: each once where nothing goes wrong, none retained, and the status has not to wait for them.
func TestEventsArriveInOrder(t *testing.T) {
	b := startBroker(t, nil)
	r := start(t, testConfig("tcp://"+b.address), silent())
	b.expect(t, "ota/device/board-1/status", nil)
	r.agent.happen(20)
	for seq := uint64(1); seq <= 21; seq++ {
		if seq == 21 {
			r.agent.await(t, 20)
			r.agent.happen(1)
		}
		p := b.expect(t, eventTopic, nil)
		if e := eventIn(t, p.Payload); e.Seq != seq || e.Journal != "j" || e.Kind != agent.EventConfirmed || e.Component != "app" {
			t.Errorf("event %d came: %+v", seq, e)
		}
		if p.FixedHeader.Retain || p.FixedHeader.Qos != 1 {
			t.Errorf("event %d: retained %t, QoS %d", seq, p.FixedHeader.Retain, p.FixedHeader.Qos)
		}
	}
	r.agent.await(t, 21)
}

// A verdict says what a scripted broker does with an event.
type verdict int

const (
	acknowledges verdict = iota
	hangsUp              // without a word: the event or its acknowledgement is lost
	isSilent             // and stays connected
)

// A scriptedBroker does what it must, but for events: of each it is told what to do.
type scriptedBroker struct {
	address string

	mu       sync.Mutex
	got      []uint64 // events, in the order in which they came
	sessions int      // that began
	status   chan int // gets the session's number with each status
	decide   func(session int, e agent.Event) verdict
}

func newScriptedBroker(t *testing.T, decide func(session int, e agent.Event) verdict) *scriptedBroker {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	b := &scriptedBroker{address: listener.Addr().String(), decide: decide, status: make(chan int, 1000)}
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
				for b.answer(t, conn) {
				}
			})
		}
	})
	return b
}

// answer reads and answers one packet; false ends the connection.
func (b *scriptedBroker) answer(t *testing.T, conn net.Conn) bool {
	p, err := packets.ReadPacket(conn)
	if err != nil {
		return false
	}
	var answer packets.ControlPacket
	switch p := p.(type) {
	case *packets.ConnectPacket:
		b.mu.Lock()
		b.sessions++
		b.mu.Unlock()
		answer = packets.NewControlPacket(packets.Connack)
	case *packets.SubscribePacket:
		ack := packets.NewControlPacket(packets.Suback).(*packets.SubackPacket)
		ack.MessageID, ack.ReturnCodes = p.MessageID, make([]byte, len(p.Topics))
		answer = ack
	case *packets.PublishPacket:
		switch b.publish(t, p) {
		case hangsUp:
			return false
		case isSilent:
			return true
		}
		ack := packets.NewControlPacket(packets.Puback).(*packets.PubackPacket)
		ack.MessageID = p.MessageID
		answer = ack
	default:
		return true
	}
	return answer.Write(conn) == nil
}

func (b *scriptedBroker) publish(t *testing.T, p *packets.PublishPacket) verdict {
	b.mu.Lock()
	defer b.mu.Unlock()
	if strings.HasSuffix(p.TopicName, "/status") {
		b.status <- b.sessions
	}
	if p.TopicName != eventTopic {
		return acknowledges
	}
	e := eventIn(t, p.Payload)
	b.got = append(b.got, e.Seq)
	return b.decide(b.sessions, e)
}

// arrived lists the events that came so far.
func (b *scriptedBroker) arrived() []uint64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.got)
}

// TestEventsSurviveALostAcknowledgement: the link drops in the middle of an event. It is told again in the next session,
// and nothing overtakes it.
func TestEventsSurviveALostAcknowledgement(t *testing.T) {
	lost := map[uint64]bool{}
	b := newScriptedBroker(t, func(_ int, e agent.Event) verdict {
		if e.Seq%2 == 0 && !lost[e.Seq] {
			lost[e.Seq] = true
			return hangsUp
		}
		return acknowledges
	})
	r := start(t, testConfig("tcp://"+b.address), silent())
	<-b.status
	r.agent.happen(5)
	r.agent.await(t, 5)
	if got, want := b.arrived(), []uint64{1, 2, 2, 3, 4, 4, 5}; !slices.Equal(got, want) {
		t.Errorf("events %v came, expected %v", got, want)
	}
}

// TestBrokerThatNeverAcknowledges: nothing is taken for told, the session ends, and the next one goes on.
func TestBrokerThatNeverAcknowledges(t *testing.T) {
	deaf := true
	b := newScriptedBroker(t, func(int, agent.Event) verdict {
		if deaf {
			deaf = false
			return isSilent
		}
		return acknowledges
	})
	r := startWith(t, testConfig("tcp://"+b.address), silent(), time.Second)
	<-b.status
	r.agent.happen(2)
	r.agent.await(t, 2)
	got := b.arrived()
	if len(got) < 3 || got[1] != 1 {
		t.Errorf("events %v came, expected the first one again before any other", got)
	}
	// On a busy machine more acknowledgements may come too late, and their events again.
	if !slices.Equal(slices.Compact(got), []uint64{1, 2}) {
		t.Errorf("events %v came, expected them in order", got)
	}
}

// TestBrokerThatHangsUpOnEvents still gets the status, and a session in which it can wake: the events wait.
func TestBrokerThatHangsUpOnEvents(t *testing.T) {
	b := newScriptedBroker(t, func(int, agent.Event) verdict { return hangsUp })
	r := start(t, testConfig("tcp://"+b.address), silent())
	<-b.status
	r.agent.happen(3)
	<-r.pauses
	<-r.pauses
	for <-b.status < 3 {
	}
	r.agent.set(func(s *agent.Status) { s.Paused = true })
	if session := <-b.status; session != 3 {
		t.Errorf("the status came in session %d, expected the third to live", session)
	}
	if got := b.arrived(); !slices.Equal(got, []uint64{1, 1}) || r.agent.acknowledged() != 0 || len(r.pauses) != 0 {
		t.Errorf("events %v came, %d were acknowledged, and %d more sessions ended", got, r.agent.acknowledged(), len(r.pauses))
	}
}

func TestHush(t *testing.T) {
	for unheard, want := range []time.Duration{0, 0, time.Minute, 2 * time.Minute, 4 * time.Minute, 8 * time.Minute, 16 * time.Minute, 32 * time.Minute, time.Hour, time.Hour} {
		if got := hush(unheard); got != want {
			t.Errorf("after %d: %s, expected %s", unheard, got, want)
		}
	}
	if got := hush(1 << 30); got != hushMax {
		t.Errorf("%s, expected %s", got, hushMax)
	}
}
