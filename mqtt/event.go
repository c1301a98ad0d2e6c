package mqtt

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/ota-agent/ota-agent/agent"
)

// An Outbox holds the events that the broker has not acknowledged.
type Outbox interface {
	// NextEvent is the oldest of them; false: there is none. Changed of the agent says when there may be more.
	NextEvent() (agent.Event, bool)
	// Acknowledge says that the broker has this event and all before it.
	Acknowledge(seq uint64)
}

// Bounds of the silence after events that the broker did not take.
const (
	// unheardFree sessions in a row may end in the middle of an event: that is a bad link.
	unheardFree = 1
	// hushMin doubles with each more, up to hushMax: a broker that hangs up on events, as some do on a forbidden topic, still
	// gets the status, and its wakes still arrive.
	hushMin = time.Minute
	hushMax = time.Hour
	// hushDoublingsMax keeps the shift small.
	hushDoublingsMax = 10
)

// hush is how long a session keeps its events to itself after so many in a row that ended in the middle of one.
func hush(unheard int) time.Duration {
	if unheard <= unheardFree {
		return 0
	}
	return min(hushMax, hushMin<<min(unheard-unheardFree-1, hushDoublingsMax))
}

// tell sends the oldest event that the broker has not acknowledged, and waits for its acknowledgement: one at a time, so
// they arrive in order, and at least once. It returns false where there is none. That the library reports no error is
// proof enough here: without reconnecting it completes a QoS 1 token by the acknowledgement or with an error.
func (s *session) tell(ctx context.Context) (told bool, err error) {
	e, ok := s.agent.NextEvent()
	if !ok {
		return false, nil
	}
	document, err := json.Marshal(e)
	if err != nil {
		return false, fmt.Errorf("event %d: %w", e.Seq, err)
	}
	if err := s.publish(ctx, "event", false, document); err != nil {
		s.unheard++
		return false, err
	}
	s.unheard = 0
	s.agent.Acknowledge(e.Seq)
	return true, nil
}
