package main

import (
	"context"
	"encoding/json"

	"github.com/ota-agent/ota-agent/agent"
)

// firstUpdate: the factory's system 1 is replaced by system 2, which a wake announces.
func (s *story) firstUpdate(ctx context.Context) error {
	s.show.prose(`The factory wrote system 1 into slot A. The device asks the repository for the first time and finds
		that it already runs what is published.`)
	mark := s.mirror.mark()
	if _, err := s.check(ctx, "the first check"); err != nil {
		return err
	}
	status, err := s.await(ctx, "waiting for the device to know what it runs", func(st agent.Status) bool {
		return component(st, system).Running.Version == "1" && component(st, application).Running.Version == "1.0"
	})
	if err != nil {
		return err
	}
	same(s.checks, "runs what the factory wrote", "slot A, system 1", "slot "+component(status, system).Booted+", system "+s.slotVersion(s.lastBoot().Slot))
	same(s.checks, "images fetched for it", 0, countImages(s.mirror.since(mark)))

	s.show.prose(`Now system 2 is published and the fleet operator sends a wake: a hint that there may be something new.
		The device downloads it, verifies it, writes it to the slot that is not running, and tries it once.`)
	v2, err := s.publisher.system("2", healthySystem, 16<<20)
	if err != nil {
		return err
	}
	s.mirror.behave(conduct{ImageRate: 12 << 20})
	mark = s.mirror.mark()
	if err := s.wake(ctx, wakeDevice); err != nil {
		return err
	}
	status, err = s.await(ctx, "waiting for system 2 to be confirmed", runs(system, "2"))
	if err != nil {
		return err
	}
	return s.seeFirstUpdate(ctx, mark, v2, status)
}

func (s *story) seeFirstUpdate(ctx context.Context, mark int, v2 published, status agent.Status) error {
	sameBytes(s.checks, "image bytes sent by the server", v2.Length, bodyBytes(s.imageRequests(mark, v2)))
	last := s.lastBoot()
	same(s.checks, "second boot", "slot B, one-shot try, system 2", describeBoot(last))
	same(s.checks, "slot B's bytes are the published ones", short(v2.SHA256), short(hashFirst(s.board.paths.slot("B"), v2.Length)))
	same(s.checks, "slot A still holds a way back", "system 1", "system "+s.slotVersion("A"))
	env, err := readBootEnv(s.board.paths.bootEnv())
	if err != nil {
		return err
	}
	same(s.checks, "boot environment after confirm", "primary=B try=", "primary="+env.get("primary")+" try="+env.get("try"))
	same(s.checks, "status", "idle, running 2", string(component(status, system).Phase)+", running "+component(status, system).Running.Version)
	reported, err := s.reported(ctx, runs(system, "2"))
	if err != nil {
		return err
	}
	same(s.checks, "status over MQTT", "running 2", "running "+component(reported, system).Running.Version)
	return s.seeEvents(ctx, system, "2", agent.EventTakenUp, agent.EventStaged, agent.EventInstalled, agent.EventTrial, agent.EventConfirmed)
}

// reported waits for a status document on the broker that has what is looked for.
func (s *story) reported(ctx context.Context, has func(agent.Status) bool) (agent.Status, error) {
	s.begin("waiting for the status over MQTT")
	ctx, cancel := context.WithTimeout(ctx, stepTime)
	defer cancel()
	for {
		payload, changed := s.broker.message(statusTopic)
		var st agent.Status
		if json.Unmarshal(payload, &st) == nil && has(st) {
			return st, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return st, context.Cause(ctx)
		}
	}
}

func describeBoot(b boot) string {
	why := "primary"
	if b.Try {
		why = "one-shot try"
	}
	return "slot " + b.Slot + ", " + why + ", system " + b.System.Version
}
