package mqtt

import (
	"context"
	"fmt"
	"net"
	"net/url"
	"strings"

	paho "github.com/eclipse/paho.mqtt.golang"

	"github.com/ota-agent/ota-agent/agent"
)

func (s *session) options(ctx, life context.Context) (*paho.ClientOptions, error) {
	password, err := s.password()
	if err != nil {
		return nil, err
	}
	o := paho.NewClientOptions()
	o.AddBroker("tcp://" + s.broker.address) // only a name: dial makes the connection
	o.SetCustomOpenConnectionFn(func(*url.URL, paho.ClientOptions) (net.Conn, error) { return s.connect(ctx, life) })
	o.SetProtocolVersion(4) // or a refusal is tried again as MQTT 3.1
	o.SetClientID(s.cfg.ClientID)
	o.SetUsername(s.cfg.Username)
	o.SetPassword(password)
	o.SetCleanSession(true)
	o.SetStore(paho.NewMemoryStore())
	o.SetAutoReconnect(false) // it would not subscribe again
	o.SetConnectRetry(false)  // it has no jitter
	o.SetOrderMatters(false)  // or a handler that waits would stop the pings
	o.SetConnectTimeout(connectTimeout)
	o.SetWriteTimeout(writeTimeout)
	o.SetKeepAlive(0) // its ticker wakes the CPU each five seconds; the guard pings, and states the keep-alive
	o.SetWill(s.cfg.deviceTopic("online"), "0", qos, true)
	o.SetConnectionLostHandler(func(_ paho.Client, err error) { s.end(err) })
	return o, nil
}

// connect opens a guarded connection, which is closed when life ends at the latest.
func (s *session) connect(ctx, life context.Context) (net.Conn, error) {
	conn, shown, err := s.dial(ctx)
	if err != nil {
		return nil, err
	}
	g := newGuard(conn, s.cfg, len(s.filters))
	g.certificate = shown
	s.guard.Store(g)
	context.AfterFunc(life, func() { g.Close() })
	return g, nil
}

// open connects, subscribes and says that the device is online.
func (s *session) open(ctx context.Context) error {
	if err := s.wait(ctx, s.paho.Connect(), connectTimeout+s.ackTimeout); err != nil {
		return fmt.Errorf("mqtt connect: %w", err)
	}
	s.acknowledged = true
	token := s.paho.SubscribeMultiple(s.filters, s.hear)
	if err := s.wait(ctx, token, s.ackTimeout); err != nil {
		s.shy(len(s.filters) > len(s.cfg.wakeTopics()) && closedByBroker(s.cause(err)))
		return fmt.Errorf("mqtt subscribe: %w", err)
	}
	if subscription, ok := token.(*paho.SubscribeToken); ok {
		s.read(subscription.Result())
	}
	return s.publish(ctx, "online", true, []byte("1"))
}

// read looks through the answers to the subscriptions. That the status topic is refused only means that there
// will be no proof.
func (s *session) read(answers map[string]byte) {
	var topics []string
	for _, topic := range s.cfg.wakeTopics() {
		if answers[topic] == subscriptionRefused {
			topics = append(topics, topic)
			s.log.Warn("the mqtt broker refused a subscription", "topic", topic,
				"hint", "allow this client to subscribe to it; until then only polls find new releases")
		}
	}
	if len(topics) > 0 {
		s.denied = &agent.Problem{Reason: agent.ReasonTopicDenied, Text: "the broker refuses this client the subscription to " +
			strings.Join(topics, ", ") + ": no wake comes that way; allow it in the broker's rules"}
	}
}
