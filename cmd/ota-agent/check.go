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

// restFor is how long all components must be at rest before check --wait believes it: what one of them comes
// to may be what another one waits for.
const restFor = time.Second

func (c *cli) check([]string) error {
	client, _, err := c.client()
	if err != nil {
		return err
	}
	ctx, stop := interruptible()
	defer stop()
	s, err := client.Check(ctx)
	if ctx.Err() != nil {
		return &failure{exitFailed, errors.New("interrupted before the repository answered"),
			"the check goes on; ota-agent status says what came of it"}
	}
	if err != nil {
		return err
	}
	if p := s.Repository.LastProblem; p != nil {
		return fmt.Errorf("the check failed: %w", p)
	}
	if err := c.ui.print("the repository answered; its metadata is good"); err != nil {
		return err
	}
	if c.wait {
		return c.awaitRest(ctx, client, s)
	}
	for _, x := range s.Components {
		words := componentWords(x)
		if x.Condition != nil {
			words = "runs " + releaseWords(x.Running) + "; " + conditionWords(*x.Condition)
		}
		if err := c.ui.print("%s", plain(x.Name+": "+words)); err != nil {
			return err
		}
	}
	return standing(s)
}

// errAtRest ends a watch well.
var errAtRest = errors.New("at rest")

// awaitRest follows the agent until all components have been at rest for a while. It fails where one of them
// does not run then what the repository names, and where a release was rejected on the way; a reboot ends it
// early.
func (c *cli) awaitRest(ctx context.Context, client *local.Client, before agent.Status) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	calm := time.AfterFunc(restFor, func() { cancel(errAtRest) })
	defer calm.Stop()
	line := newProgressLine(c.ui)
	latest := before
	err := client.Watch(ctx, func(s agent.Status) error {
		latest = s
		if atRest(s) {
			calm.Reset(restFor)
		} else {
			calm.Stop()
		}
		return line.show(s)
	})
	if done := line.end(); done != nil {
		return done
	}
	switch {
	case errors.Is(context.Cause(ctx), errAtRest):
		if err := rejectedSince(before, latest); err != nil {
			return err
		}
		return restsAs(latest)
	case ctx.Err() != nil: // the user has seen enough; the agent goes on
		return restsAs(latest)
	case errors.Is(err, local.ErrNotRunning):
		return &failure{exitNotRunning, errors.New("the agent went away, perhaps to reboot into the new release"),
			"ask again after the reboot: ota-agent status"}
	}
	return err
}

// atRest is true while nothing goes on that ends by itself.
func atRest(s agent.Status) bool {
	return !slices.ContainsFunc(s.Components, func(c agent.ComponentStatus) bool {
		if c.Condition == nil { // an agent of before
			return c.Phase != agent.Idle && c.Waiting == nil
		}
		return c.Condition.Code == agent.ConditionWorking || c.Condition.Code == agent.ConditionUnasked
	})
}

// standings are the conditions in which a component does not run what the repository names, as far as it is
// known: the worst first. Of a component whose condition is not among them, the check itself told what was
// wrong.
var standings = []struct {
	code  agent.ConditionCode
	exit  int
	words string
	hint  string
}{
	{agent.ConditionUnlisted, exitUnlisted, "the repository names nothing for component %s",
		"correct target, channel or hardware in the config, or publish to this path; ota-agent explain says more"},
	{agent.ConditionWaiting, exitWaiting, "component %s waits", "ota-agent explain says what would change that"},
	{agent.ConditionWorking, exitWorking, "component %s is at work", "ota-agent check --wait goes on until that has ended"},
	{agent.ConditionUnasked, exitWorking, "the repository was not asked about component %s yet", "ota-agent check --wait goes on until it was"},
}

// standing fails where a component is known not to run what the repository names, with the worst of the
// reasons. Why, the lines before say.
func standing(s agent.Status) error {
	for _, x := range standings {
		for _, c := range s.Components {
			if c.Condition != nil && c.Condition.Code == x.code {
				return &failure{x.exit, errors.New(fmt.Sprintf(x.words, c.Name) + markWords(*c.Condition)), x.hint}
			}
		}
	}
	return nil
}

// restsAs fails where what was found at rest is not that each component runs what the repository names, by
// its last answer.
func restsAs(s agent.Status) error {
	if p := s.Repository.LastProblem; p != nil {
		return fmt.Errorf("a later check failed: %w", p)
	}
	return standing(s)
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
