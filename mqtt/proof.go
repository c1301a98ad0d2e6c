package mqtt

import (
	"crypto/sha256"
	"sync"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"

	"github.com/ota-agent/ota-agent/agent"
)

// shyFor is how long sessions leave the proof out after the broker hung up on its subscription.
const shyFor = 24 * time.Hour

// A proof is that this device's status came back to it: it is heard, and it hears. A broker that forbids a
// topic acknowledges what is published there all the same, and its subscription too; so nothing else shows
// it.
type proof struct {
	mu   sync.Mutex
	sent [sha256.Size]byte // the last status that was published in this session
	come chan struct{}     // holds a token once it came back
}

func newProof() *proof { return &proof{come: make(chan struct{}, 1)} }

// expect comes before the status is published.
func (p *proof) expect(document []byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.sent = sha256.Sum256(document)
}

// heard takes what came on the status topic. What was retained there before, or came from another client with
// this ID, proves nothing.
func (p *proof) heard(document []byte) {
	p.mu.Lock()
	same := p.sent == sha256.Sum256(document)
	p.mu.Unlock()
	if !same {
		return
	}
	select {
	case p.come <- struct{}{}:
	default:
	}
}

// proven takes note of the proof. From then on the status need not come back: that would cost its size again each time.
func (s *session) proven() {
	s.paho.Unsubscribe(s.cfg.deviceTopic("status")) // an answer that does not come costs only that
	s.log.Info("mqtt session proven: this device's status came back from the broker")
	s.show(agent.BrokerProven, s.denied, 0)
}

// filters are the topics to subscribe to, with their QoS. The status topic is left out for a while where the
// broker hung up on it: some do so on a topic that they forbid.
func (c *Client) filters() map[string]byte {
	filters := make(map[string]byte)
	for _, topic := range c.cfg.wakeTopics() {
		filters[topic] = qos
	}
	if time.Now().After(c.shyUntil) {
		filters[c.cfg.deviceTopic("status")] = 0
	}
	return filters
}

// shy notes whether the broker hung up on a subscription with the status topic.
func (s *session) shy(hungUp bool) {
	s.shyUntil = time.Time{}
	if hungUp {
		s.shyUntil = time.Now().Add(shyFor)
	}
}

// hear takes a message, in a goroutine of its own.
func (s *session) hear(_ paho.Client, m paho.Message) {
	if m.Topic() == s.cfg.deviceTopic("status") {
		s.proof.heard(m.Payload())
		return
	}
	s.woken(ParseWake(m.Payload(), s.cfg.usualSpread(m.Topic())))
}
