package mqtt

import (
	"encoding/json"
	"math"
	"time"

	"github.com/ota-agent/ota-agent/agent"
)

// Bounds of a wake's payload.
const (
	// wakeBytesMax is the longest payload that is looked into; a longer one is just a wake.
	wakeBytesMax = 1024
	// nonceBytesMax bounds the nonce, which is hashed.
	nonceBytesMax = 64
)

// ParseWake reads a wake's payload: {"nonce": text, "spread": seconds}, both optional. It never fails, since
// all that a wake can do is to cause a refresh. The fields are read one by one: what is wrong with one of
// them costs only that one. usual is the spread of a payload whose spread can't be read, or that has none. On
// a topic that many devices hear it is not 0: a typing error would bring all of them at once.
func ParseWake(payload []byte, usual time.Duration) agent.Wake {
	w := agent.Wake{Source: "mqtt", Spread: usual}
	var fields map[string]json.RawMessage
	if len(payload) > wakeBytesMax || json.Unmarshal(payload, &fields) != nil {
		return w
	}
	w.Nonce = nonceOf(fields["nonce"])
	if spread, ok := spreadOf(fields["spread"]); ok {
		w.Spread = spread
	}
	return w
}

// nonceOf reads a text or, since it does as well, a number. Without a nonce a device has the same place in each spread.
func nonceOf(field json.RawMessage) string {
	var text string
	var number json.Number
	if json.Unmarshal(field, &text) != nil && json.Unmarshal(field, &number) == nil {
		text = number.String()
	}
	if len(text) > nonceBytesMax {
		return ""
	}
	return text
}

// spreadOf reads a number of seconds. It compares before it converts: 1e300 seconds don't fit a Duration. The
// agent has a bound of its own for what it follows.
func spreadOf(field json.RawMessage) (spread time.Duration, ok bool) {
	var seconds *float64
	if json.Unmarshal(field, &seconds) != nil || seconds == nil || *seconds < 0 {
		return 0, false
	}
	if *seconds >= (math.MaxInt64 / float64(time.Second)) {
		return math.MaxInt64, true
	}
	return time.Duration(*seconds * float64(time.Second)), true
}
