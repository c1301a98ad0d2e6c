package install

import (
	"time"

	"github.com/ota-agent/ota-agent/agent"
)

// Limit is how long what the agent does with a component's hook may take by its time-outs, without what is
// hashed before it.
func (r *Runner) Limit(component string, action agent.ActionKind) time.Duration {
	t := r.component(component).Timeouts
	switch action {
	case agent.Observe:
		return t.Status
	case agent.Install:
		return t.Status + t.Install // the runner asks for the slots right before
	case agent.Try:
		return t.Verify + t.Try
	case agent.Examine:
		return (2 + checksMax) * t.Health // the hook, the HTTP request, and each check in the directory
	case agent.Ask:
		return t.Gate
	case agent.Restart:
		return rebootWait
	case agent.Confirm:
		return t.Confirm
	}
	return t.Reject
}

// Grace is the longest time that a hook of any component has to end once it was told to.
func (r *Runner) Grace() time.Duration {
	grace := Timeouts{}.withDefaults().Grace
	for _, c := range r.components {
		grace = max(grace, c.Timeouts.Grace)
	}
	return grace
}
