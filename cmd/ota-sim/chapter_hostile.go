package main

import (
	"context"
	"os"

	"github.com/ota-agent/ota-agent/agent"
)

// timestampPath is the one file by which a device learns that anything is new.
const timestampPath = "/metadata/timestamp.json"

// endlessTakenMax is how much of an endless file the agent may take, in bytes.
const endlessTakenMax = 1 << 20

// hostileMirror: whoever serves the files holds no key, and tries three tricks.
func (s *story) hostileMirror(ctx context.Context) error {
	s.show.prose(`System 5 is published, but the mirror that serves it has been taken over. It holds no key: all it can do
		is to hand out other bytes. First it flips one bit of the image.`)
	boots := len(s.board.history())
	before, err := readTree(s.board.paths.slots())
	if err != nil {
		return err
	}
	old, err := os.ReadFile(s.publisher.timestamp())
	if err != nil {
		return err
	}
	v5, err := s.publisher.system("5", healthySystem, 16<<20)
	if err != nil {
		return err
	}
	c := conduct{Tamper: v5.SHA256}
	s.mirror.behave(c)
	if err := s.tampered(ctx, v5); err != nil {
		return err
	}
	s.show.prose(`Then it hands out the timestamp of before, properly signed, to hide that there is a system 5.`)
	c.Replay = map[string][]byte{timestampPath: old}
	s.mirror.behave(c)
	if err := s.refused(ctx, "an old timestamp", agent.ReasonRollback); err != nil {
		return err
	}
	s.show.prose(`Then the timestamp does not end.`)
	c.Replay, c.Endless = nil, timestampPath
	c.HoldAt = 1 // should the agent ask for the image again meanwhile, that does not count
	s.mirror.behave(c)
	if err := s.endless(ctx); err != nil {
		return err
	}
	after, err := readTree(s.board.paths.slots())
	if err != nil {
		return err
	}
	same(s.checks, "changed in slots and boot environment", "none", noneOr(before.changes(after)))
	same(s.checks, "boots since", 0, len(s.board.history())-boots)
	return s.honestAgain(ctx, v5)
}

func (s *story) tampered(ctx context.Context, v5 published) error {
	mark := s.mirror.mark()
	if err := s.wake(ctx, wakeDevice); err != nil {
		return err
	}
	status, err := s.await(ctx, "waiting for the tampered image to be refused", func(st agent.Status) bool {
		return component(st, system).Problem != nil
	})
	if err != nil {
		return err
	}
	problem := component(status, system).Problem
	s.show.say("status", "%s", problem.Text)
	same(s.checks, "a tampered image", agent.ReasonHashMismatch, problem.Reason)
	atLeast(s.checks, "bytes of it that the server sent", v5.Length, bodyBytes(s.imageRequests(mark, v5)))
	staged, err := os.ReadDir(s.board.paths.images())
	if err != nil {
		return err
	}
	names := "none"
	for _, e := range staged {
		if e.Name() == v5.SHA256 {
			names = e.Name()
		}
	}
	same(s.checks, "what of it was staged", "none", names)
	return nil
}

// refused has the device check and expects that it refuses the repository.
func (s *story) refused(ctx context.Context, what string, reason agent.Reason) error {
	status, err := s.check(ctx, "checking against "+what)
	if err != nil {
		return err
	}
	seen := agent.Reason("accepted")
	if p := status.Repository.LastProblem; p != nil {
		s.show.say("status", "%s", p.Text)
		seen = p.Reason
	}
	same(s.checks, what, reason, seen)
	return nil
}

func (s *story) endless(ctx context.Context) error {
	before, err := s.device.client.Status(ctx)
	if err != nil {
		return err
	}
	if err := s.refused(ctx, "an endless file", agent.ReasonTooLarge); err != nil {
		return err
	}
	after, err := s.device.client.Status(ctx)
	if err != nil {
		return err
	}
	within(s.checks, "bytes that the agent took of it", 1, endlessTakenMax,
		after.Counters.BytesFetched-before.Counters.BytesFetched)
	return nil
}

func (s *story) honestAgain(ctx context.Context, v5 published) error {
	s.show.prose(`The mirror is given back to its owner. The next check succeeds and system 5 is installed.`)
	mark := s.mirror.mark() // before it is honest again: a retry may come at any time
	s.mirror.behave(conduct{})
	status, err := s.check(ctx, "the next honest check")
	if err != nil {
		return err
	}
	same(s.checks, "the next honest check", "succeeds", succeeds(status))
	if _, err := s.await(ctx, "waiting for system 5 to be confirmed", runs(system, "5")); err != nil {
		return err
	}
	last := s.lastBoot()
	same(s.checks, "the last boot", "slot B, one-shot try, system 5", describeBoot(last))
	sameBytes(s.checks, "image bytes sent by the server", v5.Length, bodyBytes(s.imageRequests(mark, v5)))
	return nil
}

func succeeds(st agent.Status) string {
	if p := st.Repository.LastProblem; p != nil {
		return string(p.Reason)
	}
	return "succeeds"
}
