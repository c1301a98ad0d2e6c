package main

import (
	"context"

	"github.com/ota-agent/ota-agent/agent"
)

// unhealthy: system 4 boots, but its health page says no.
func (s *story) unhealthy(ctx context.Context) error {
	s.show.prose(`System 4 is signed, whole, and boots, but its main service crashes. The agent sees that it is not
		healthy, goes back to system 3, and remembers the release by its hash.`)
	v4, err := s.publisher.system("4", brokenSystem, 16<<20)
	if err != nil {
		return err
	}
	s.mirror.behave(conduct{})
	boots := len(s.board.history())
	if err := s.wake(ctx, wakeDevice); err != nil {
		return err
	}
	status, err := s.await(ctx, "waiting for a verdict on system 4", func(st agent.Status) bool {
		c := component(st, system)
		return c.Phase == agent.Idle && c.Last != nil && c.Last.Release.Version == "4"
	})
	if err != nil {
		return err
	}
	same(s.checks, "the verdict on system 4", "rejected", component(status, system).Last.Verdict)
	if history := s.board.history()[boots:]; len(history) == 2 {
		same(s.checks, "boot of the trial", "slot B, one-shot try, system 4", describeBoot(history[0]))
		same(s.checks, "boot after it", "slot A, primary, system 3", describeBoot(history[1]))
	} else {
		same(s.checks, "boots of the trial and back", 2, len(history))
	}
	same(s.checks, "remembered with the reason", agent.ReasonUnhealthy, rejection(component(status, system), v4))
	if err := s.seeEvents(ctx, system, "4", agent.EventTakenUp, agent.EventStaged, agent.EventInstalled, agent.EventTrial,
		agent.EventGoingBack, agent.EventRejected); err != nil {
		return err
	}
	return s.notAgain(ctx, v4)
}

// notAgain: the repository still names system 4, and the next check leaves it alone. A second one makes sure that all
// that the first one leads to has begun.
func (s *story) notAgain(ctx context.Context, v4 published) error {
	s.show.prose(`The repository still names system 4. At the next two checks the device leaves it alone.`)
	mark, boots := s.mirror.mark(), len(s.board.history())
	if _, err := s.check(ctx, "the first check after the rejection"); err != nil {
		return err
	}
	status, err := s.check(ctx, "the second check after the rejection")
	if err != nil {
		return err
	}
	c := component(status, system)
	same(s.checks, "phase after these checks", agent.Idle, c.Phase)
	why := agent.Reason("nothing is waited for")
	if c.Waiting != nil {
		s.show.say("status", "%s", c.Waiting.Text)
		why = c.Waiting.Reason
	}
	same(s.checks, "why nothing is done", agent.ReasonRejected, why)
	same(s.checks, "requests for system 4's image at these checks", 0, len(s.imageRequests(mark, v4)))
	same(s.checks, "boots since", 0, len(s.board.history())-boots)
	return nil
}

// rejection is the reason for which the device remembers a release as rejected.
func rejection(c agent.ComponentStatus, r published) agent.Reason {
	for _, x := range c.Rejected {
		if x.ID == r.SHA256 {
			return x.Last.Reason
		}
	}
	return "not remembered"
}
