package main

import (
	"maps"
	"slices"

	"github.com/ota-agent/ota-agent/agent"
)

// storedStatus is as much of the status document as the store alone can tell: intent and memory, but nothing of what
// is booted or under way.
func storedStatus(s settings) (agent.Status, error) {
	state, err := storedState(s)
	if err != nil {
		return agent.Status{}, err
	}
	status := agent.Status{
		Schema: agent.StatusSchema, Agent: s.agent.Version, Device: s.agent.Device, Paused: state.Device.Paused,
		Repository: agent.RepositoryStatus{URL: s.agent.RepositoryURL}, Recovered: state.Recovered,
		Journal: state.Journal.ID, LastEvent: state.Journal.Last, LastFailure: readLastFailure(s),
	}
	if before := state.Device.ID; before != s.agent.Device.ID {
		status.IDBefore = before
	}
	for _, c := range s.agent.Components {
		if _, ok := state.Records[c.Name]; !ok {
			state.Records[c.Name] = agent.Record{Component: c.Name, Phase: agent.Idle}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(state.Records)) {
		status.Components = append(status.Components, storedComponent(state.Records[name], state.Events))
	}
	return status, nil
}

func storedComponent(r agent.Record, events []agent.Event) agent.ComponentStatus {
	c := agent.ComponentStatus{Name: r.Component, Phase: r.Phase, Slot: r.TargetSlot, Attempts: r.Attempts, Rejected: r.Rejected,
		Last: agent.LastOutcome(events, r.Component)}
	condition := agent.StoredCondition(r)
	c.Condition = &condition
	if r.Confirmed != nil {
		c.Running = storedRelease(*r.Confirmed)
	}
	if r.Previous != nil {
		release := storedRelease(*r.Previous)
		c.Previous = &release
	}
	if r.Release != nil {
		release := storedRelease(*r.Release)
		c.Release = &release
	}
	return c
}

func storedRelease(r agent.Release) agent.ReleaseStatus {
	return agent.ReleaseStatus{Version: r.Info().Version, SHA256: r.SHA256(), Length: r.Target.Length}
}
