package main

import (
	"errors"
	"log/slog"
	"net"
	"sync"

	mqtt "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/packets"

	"github.com/ota-agent/ota-agent/agent"
	"github.com/ota-agent/ota-agent/mqtt/mqtttest"
)

// A broker is an MQTT broker in this process. It is trusted with nothing, so it lets everybody in.
type broker struct {
	server *mqtt.Server
	url    string

	mu        sync.Mutex
	last      map[string][]byte                // the newest message of each topic
	events    []agent.Event                    // what the device told of, each event once
	listeners map[string]map[*mqtt.Client]bool // by filter; clients that came from outside
	changed   chan struct{}                    // closed and replaced whenever one of these changes
}

const everything = "#"

func openBroker() (*broker, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	b := &broker{
		server: mqtt.New(&mqtt.Options{InlineClient: true, Logger: slog.New(slog.DiscardHandler)}),
		url:    "tcp://" + l.Addr().String(),
		last:   map[string][]byte{}, listeners: map[string]map[*mqtt.Client]bool{}, changed: make(chan struct{}),
	}
	err = errors.Join(
		b.server.AddHook(&doorman{broker: b}, nil),
		b.server.AddListener(mqtttest.NewListener(l)),
		b.server.Serve(),
		b.server.Subscribe(everything, 1, b.received),
	)
	if err != nil {
		return nil, errors.Join(err, b.server.Close())
	}
	return b, nil
}

func (b *broker) close() error { return b.server.Close() }

func (b *broker) received(_ *mqtt.Client, _ packets.Subscription, p packets.Packet) {
	b.note(func() {
		b.last[p.TopicName] = append([]byte(nil), p.Payload...)
		if p.TopicName == eventTopic {
			b.heard(p.Payload)
		}
	})
}

func (b *broker) note(change func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	change()
	close(b.changed)
	b.changed = make(chan struct{})
}

// wake publishes an empty wake: "there may be something new".
func (b *broker) wake(topic string) error { return b.server.Publish(topic, nil, false, 1) }

// message is the newest message of a topic, nil if there was none, and a channel that is closed when anything new
// came.
func (b *broker) message(topic string) ([]byte, <-chan struct{}) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.last[topic], b.changed
}

// subscribers is how many clients listen to a filter just now, and a channel as in message.
func (b *broker) subscribers(filter string) (int, <-chan struct{}) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.listeners[filter]), b.changed
}

// A doorman lets everybody do everything, and tells the broker who listens to what.
type doorman struct {
	mqtt.HookBase
	broker *broker
}

func (*doorman) ID() string { return "doorman" }

func (*doorman) Provides(event byte) bool {
	switch event {
	case mqtt.OnConnectAuthenticate, mqtt.OnACLCheck, mqtt.OnSubscribed, mqtt.OnDisconnect:
		return true
	}
	return false
}

func (*doorman) OnConnectAuthenticate(*mqtt.Client, packets.Packet) bool { return true }

func (*doorman) OnACLCheck(*mqtt.Client, string, bool) bool { return true }

func (d *doorman) OnSubscribed(c *mqtt.Client, p packets.Packet, _ []byte) {
	if c.Net.Inline {
		return
	}
	d.broker.note(func() {
		for _, f := range p.Filters {
			if d.broker.listeners[f.Filter] == nil {
				d.broker.listeners[f.Filter] = map[*mqtt.Client]bool{}
			}
			d.broker.listeners[f.Filter][c] = true
		}
	})
}

func (d *doorman) OnDisconnect(c *mqtt.Client, _ error, _ bool) {
	d.broker.note(func() {
		for _, clients := range d.broker.listeners {
			delete(clients, c)
		}
	})
}
