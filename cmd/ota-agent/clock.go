package main

import (
	"sync/atomic"
	"time"

	"github.com/ota-agent/ota-agent/agent"
)

// effectiveTime is what TLS certificates are judged by: the agent's time, not the system clock's, which on a device
// without a battery begins in 1970.
type effectiveTime struct {
	system system
	// agent is set once there is one; nothing connects before.
	agent atomic.Pointer[agent.Agent]
}

// now is the clock where the agent believes it, else the floor as of the loop's last turn: a little too early, which
// only matters to a certificate that was issued since.
func (e *effectiveTime) now() time.Time {
	clock, _ := e.system.Clock()
	a := e.agent.Load()
	if a == nil {
		return clock
	}
	if t := a.Status().Time; t.Effective.After(clock) || t.Source == "floor" {
		return t.Effective
	}
	return clock
}
