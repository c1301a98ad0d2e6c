package agent

import (
	"testing"
	"time"
)

// TestWakesAreNoNews: whoever sends wakes decides how often the last one moves, so it must not decide how
// often the document does.
func TestWakesAreNoNews(t *testing.T) {
	a := Status{MQTT: &BrokerStatus{State: BrokerProven, Since: time.Unix(1, 0)}}
	for _, c := range []struct {
		name string
		b    *BrokerStatus
		same bool
	}{
		{"the same", &BrokerStatus{State: BrokerProven, Since: time.Unix(1, 0)}, true},
		{"a wake", &BrokerStatus{State: BrokerProven, Since: time.Unix(1, 0), LastWake: time.Unix(5, 0)}, true},
		{"another state", &BrokerStatus{State: BrokerWaiting, Since: time.Unix(1, 0)}, false},
		{"a reason", &BrokerStatus{State: BrokerProven, Since: time.Unix(1, 0), Reason: ReasonTopicDenied}, false},
		{"no broker", nil, false},
	} {
		if got := sameNews(a, Status{MQTT: c.b}); got != c.same {
			t.Errorf("%s: same news is %t, want %t", c.name, got, c.same)
		}
	}
}
