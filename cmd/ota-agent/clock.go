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

// isFloor reports that nobody knows the time, but that now has passed.
func (e *effectiveTime) isFloor() bool {
	a := e.agent.Load()
	return a != nil && a.NowIsFloor()
}

// now is the agent's effective time.
func (e *effectiveTime) now() time.Time {
	if a := e.agent.Load(); a != nil {
		return a.Now()
	}
	clock, _ := e.system.Clock()
	return clock
}
