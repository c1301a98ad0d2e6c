package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/ota-agent/ota-agent/agent"
	"github.com/ota-agent/ota-agent/agent/local"
)

const (
	// restFor is how long all components must be at rest before check --wait believes it: between a refresh and the
	// first step after it the document still shows the old state.
	restFor = time.Second
	// lookFor is the same while a hook has not said yet what is booted: what follows from a refresh waits for that.
	lookFor = 30 * time.Second
)

func (c *cli) check([]string) error {
	client, _, err := c.client()
	if err != nil {
		return err
	}
	ctx, stop := interruptible()
	defer stop()
	s, err := client.Check(ctx)
	if err != nil {
		return err
	}
	if p := s.Repository.LastProblem; p != nil {
		return fmt.Errorf("the check failed: %w", p)
	}
	if err := c.ui.print("the repository answered; its metadata is good"); err != nil || !c.wait {
		return err
	}
	return c.awaitRest(ctx, client, s)
}

// errAtRest ends a watch well.
var errAtRest = errors.New("at rest")

// awaitRest follows the agent until all components have been at rest for a while. A release that was rejected on the
// way makes it fail; a reboot ends it early.
func (c *cli) awaitRest(ctx context.Context, client *local.Client, before agent.Status) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	calm := time.AfterFunc(restFor, func() { cancel(errAtRest) })
	defer calm.Stop()
	line := newProgressLine(c.ui)
	latest := before
	err := client.Watch(ctx, func(s agent.Status) error {
		latest = s
		switch {
		case !atRest(s):
			calm.Stop()
		case looks(s):
			calm.Reset(lookFor)
		default:
			calm.Reset(restFor)
		}
		return line.show(s)
	})
	if done := line.end(); done != nil {
		return done
	}
	switch {
	case errors.Is(context.Cause(ctx), errAtRest):
		return rejectedSince(before, latest)
	case errors.Is(err, local.ErrNotRunning):
		return &failure{exitNotRunning, errors.New("the agent went away, perhaps to reboot into the new release"),
			"ask again after the reboot: ota-agent status"}
	}
	return err
}

// atRest is true while nothing goes on: each component is idle, or waits for something that a check does not bring.
func atRest(s agent.Status) bool {
	for _, c := range s.Components {
		if c.Phase == agent.Idle {
			continue
		}
		if c.Waiting == nil {
			return false
		}
		switch c.Waiting.Reason {
		case agent.ReasonPaused, agent.ReasonRollout, agent.ReasonRequires, agent.ReasonRequiresCycle, agent.ReasonBackoff, agent.ReasonHeld,
			agent.ReasonInhibited, agent.ReasonWindow, agent.ReasonClockUnsure, agent.ReasonByteBudget, agent.ReasonMetered,
			agent.ReasonBattery, agent.ReasonTemperature, agent.ReasonGateHook:
		default:
			return false
		}
	}
	return true
}

// looks is true while a component's hook has neither said what is booted nor failed to.
func looks(s agent.Status) bool {
	return slices.ContainsFunc(s.Components, func(c agent.ComponentStatus) bool { return c.Booted == "" && c.Problem == nil })
}

// rejectedSince fails where an update ended in a rejection since before.
func rejectedSince(before, after agent.Status) error {
	counts := map[string]int{}
	for _, c := range before.Components {
		for _, r := range c.Rejected {
			counts[c.Name+" "+r.ID] = r.Count
		}
	}
	for _, c := range after.Components {
		for _, r := range c.Rejected {
			if r.Count > counts[c.Name+" "+r.ID] {
				release := agent.ReleaseStatus{Version: r.Version, SHA256: r.ID}
				return &failure{exitFailed, fmt.Errorf("%s %s was rejected: %s", c.Name, releaseWords(release), r.Last.Text),
					"the device runs what it ran before; ota-agent retry tries the release once more"}
			}
		}
	}
	return nil
}
