package mqtt

import (
	"encoding/json"
	"time"

	"github.com/ota-agent/ota-agent/agent"
)

// Bounds of a wake's payload.
const (
	// wakeBytesMax is the longest payload that is looked into; a longer one is just a wake.
	wakeBytesMax = 1024
	// nonceBytesMax bounds the nonce, which is hashed and logged.
	nonceBytesMax = 64
	// spreadMax keeps a spread within what a Duration can hold, and it is longer than the agent follows: it has
	// a bound of its own.
	spreadMax = 24 * time.Hour
)

// ParseWake reads a wake's payload: {"nonce": text, "spread": seconds}, both optional. It never fails: an empty,
// oversized or malformed payload is just a wake, since all that a wake can do is to cause a refresh.
func ParseWake(payload []byte) agent.Wake {
	plain := agent.Wake{Source: "mqtt"}
	if len(payload) == 0 || len(payload) > wakeBytesMax {
		return plain
	}
	var body struct {
		Nonce  string  `json:"nonce"`
		Spread float64 `json:"spread"`
	}
	if json.Unmarshal(payload, &body) != nil || len(body.Nonce) > nonceBytesMax {
		return plain
	}
	return agent.Wake{Source: "mqtt", Nonce: body.Nonce, Spread: clampSpread(body.Spread)}
}

// clampSpread compares before it converts: 1e300 seconds don't fit a Duration.
func clampSpread(seconds float64) time.Duration {
	switch {
	case seconds <= 0:
		return 0
	case seconds >= spreadMax.Seconds():
		return spreadMax
	}
	return time.Duration(seconds * float64(time.Second))
}
