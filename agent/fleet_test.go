package agent

import (
	"fmt"
	"testing"
	"time"
)

// hawkbit#1451, FlowFuse device-agent#23: one wake, or the power that comes back in a whole street, brought
// all devices to the server at once. Here they come evenly: no minute of the spread has half as many more
// than the mean.
func TestAFleetDoesNotComeAtOnce(t *testing.T) {
	const devices = 20_000
	w := Wake{Nonce: "release-7", Spread: time.Hour}
	plan := testSchedule()
	var perMinute [60]int
	for i := range devices {
		perMinute[plan.spread(w, fmt.Sprintf("device-%d", i))/time.Minute]++
	}
	for minute, n := range perMinute {
		if mean := devices / len(perMinute); n > mean*3/2 || n < mean/2 {
			t.Errorf("%d devices come in minute %d, the mean is %d", n, minute, mean)
		}
	}
	var first [6]int // minutes after the power came back
	const steps = 600
	for i := range steps {
		s := newSchedule(Config{Poll: 6 * time.Hour}, 0, float64(i)/steps)
		first[s.due/time.Minute]++
	}
	for minute, n := range first {
		if n != steps/len(first) {
			t.Errorf("%d of %d first polls are in minute %d", n, steps, minute)
		}
	}
}
