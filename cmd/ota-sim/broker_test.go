package main

import (
	"testing"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"
)

const testWait = time.Minute

func wait(t *testing.T, token paho.Token) {
	t.Helper()
	if !token.WaitTimeout(testWait) || token.Error() != nil {
		t.Fatalf("MQTT: %v", token.Error())
	}
}

// eventually waits for a change that makes ok true.
func eventually(t *testing.T, what string, ok func() (bool, <-chan struct{})) {
	t.Helper()
	deadline := time.After(testWait)
	for {
		done, changed := ok()
		if done {
			return
		}
		select {
		case <-changed:
		case <-deadline:
			t.Fatalf("not seen within %s: %s", testWait, what)
		}
	}
}

func TestBrokerKnowsWhoListens(t *testing.T) {
	b, err := openBroker()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.close() })
	listeners := func(want int) func() (bool, <-chan struct{}) {
		return func() (bool, <-chan struct{}) {
			n, changed := b.subscribers(wakeAll)
			return n == want, changed
		}
	}
	woken := make(chan string, 1)
	c := paho.NewClient(paho.NewClientOptions().AddBroker(b.url).SetClientID(deviceID).SetAutoReconnect(false))
	wait(t, c.Connect())
	wait(t, c.Subscribe(wakeAll, 1, func(_ paho.Client, m paho.Message) { woken <- m.Topic() }))
	eventually(t, "one subscriber", listeners(1))
	if err := b.wake(wakeAll); err != nil {
		t.Fatal(err)
	}
	select {
	case <-woken:
	case <-time.After(testWait):
		t.Fatal("the wake did not arrive")
	}
	wait(t, c.Publish(statusTopic, 1, true, "news"))
	eventually(t, "the status", func() (bool, <-chan struct{}) {
		m, changed := b.message(statusTopic)
		return string(m) == "news", changed
	})
	c.Disconnect(0)
	eventually(t, "no subscriber", listeners(0))
}
