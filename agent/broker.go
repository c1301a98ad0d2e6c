package agent

import "time"

// A BrokerState says how the way to the MQTT broker is.
type BrokerState string

// The states of the way to the broker.
const (
	// BrokerStarting: the agent has started, and its first connection waits for its turn (start_jitter).
	BrokerStarting BrokerState = "starting"
	// BrokerConnecting: a connection is being made.
	BrokerConnecting BrokerState = "connecting"
	// BrokerUnproven: there is a session, and nothing has shown that the broker lets this device's messages through.
	BrokerUnproven BrokerState = "unproven"
	// BrokerProven: there is a session, in which this device's status came back from the broker. So the
	// device is heard, and hears.
	BrokerProven BrokerState = "proven"
	// BrokerWaiting: there is no session, and the next attempt waits for its time.
	BrokerWaiting BrokerState = "waiting"
)

// BrokerStatus is the way to the broker in the status document. The adapter tells it (Agent.Broker), and the
// agent only shows it.
type BrokerStatus struct {
	State BrokerState `json:"state"`
	// Since is the effective time at which State began.
	Since time.Time `json:"since"`
	// Reason and Text say why the last session ended, or what is wrong with this one; empty: nothing is known to be wrong.
	Reason Reason `json:"reason,omitempty"`
	Text   string `json:"text,omitempty"`
	// RetryAt is the effective time of the next attempt; zero: none is planned.
	RetryAt time.Time `json:"retry_at,omitzero"`
	// LastWake is the effective time of the last wake of this process; zero: none came.
	LastWake time.Time `json:"last_wake,omitzero"`
}

// same reports whether b says nothing new beside a. When the last wake came is a figure: whoever sends wakes
// decides how often it moves.
func (a *BrokerStatus) same(b *BrokerStatus) bool {
	if a == nil || b == nil {
		return a == b
	}
	x, y := *a, *b
	x.LastWake, y.LastWake = time.Time{}, time.Time{}
	return x == y
}

// Broker takes what the adapter says of the way to the broker, and lets the loop renew the status document.
// It does not block.
func (a *Agent) Broker(s BrokerStatus) {
	a.broker.Store(&s)
	select {
	case a.nudge <- struct{}{}:
	default: // a turn is due already
	}
}
