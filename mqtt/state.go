package mqtt

import (
	"errors"
	"time"

	"github.com/ota-agent/ota-agent/agent"
)

// show says in the status document how the way to the broker is. wrong is why, or nil; wait is the time to
// the next attempt, or 0.
func (c *Client) show(state agent.BrokerState, wrong *agent.Problem, wait time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.cfg.Now().UTC().Truncate(time.Second)
	next := agent.BrokerStatus{State: state, Since: c.status.Since, LastWake: c.status.LastWake}
	if state != c.status.State {
		next.Since = now
	}
	if wrong != nil {
		next.Reason, next.Text = wrong.Reason, wrong.Text
	}
	if wait > 0 {
		next.RetryAt = now.Add(wait.Round(time.Second))
	}
	c.status = next
	c.agent.Broker(next)
}

// woken notes when a wake came, and hands it on.
func (c *Client) woken(w agent.Wake) {
	c.mu.Lock()
	c.status.LastWake = c.cfg.Now().UTC().Truncate(time.Second)
	c.agent.Broker(c.status)
	c.mu.Unlock()
	c.agent.Wake(w)
}

// problemOf is err as the status document shows it.
func problemOf(err error) *agent.Problem {
	var known *agent.Problem
	if errors.As(err, &known) {
		return known
	}
	return &agent.Problem{Reason: reasonOf(err), Text: err.Error(), Err: err}
}
