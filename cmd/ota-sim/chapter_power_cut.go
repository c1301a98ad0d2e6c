package main

import (
	"context"
	"fmt"

	"github.com/ota-agent/ota-agent/agent"
)

// cutAfter is how much of system 3 is there when the power goes.
const cutAfter = 16 << 20

// powerCut: the download of system 3 is cut by SIGKILL and goes on at the last durable byte.
func (s *story) powerCut(ctx context.Context) error {
	s.show.prose(`System 3 is on its way when the power goes: everything on the board is killed at once. The board comes
		back in system 2, and the agent asks only for the bytes that it does not have.`)
	v3, err := s.publisher.system("3", healthySystem, 32<<20)
	if err != nil {
		return err
	}
	s.mirror.behave(conduct{ImageRate: 16 << 20})
	mark := s.mirror.mark()
	if err := s.wake(ctx, wakeDevice); err != nil {
		return err
	}
	if _, err := s.await(ctx, "waiting for half of system 3", func(st agent.Status) bool {
		p := component(st, system).Progress
		return p != nil && p.Total == v3.Length && p.Done >= cutAfter
	}); err != nil {
		return err
	}
	durable, err := s.cut(v3, mark)
	if err != nil {
		return err
	}
	if err := s.board.powerOn(); err != nil {
		return err
	}
	back := s.lastBoot()
	if _, err := s.await(ctx, "waiting for system 3 to be confirmed", runs(system, "3")); err != nil {
		return err
	}
	s.seeResume(mark, v3, back, durable)
	return nil
}

// cut cuts the power and returns how many bytes of the image outlived it.
func (s *story) cut(v3 published, mark int) (int64, error) {
	s.begin("cutting the power")
	if err := s.board.cutPower(); err != nil {
		return 0, err
	}
	durable, err := s.partialBytes(v3)
	if err != nil {
		return 0, err
	}
	s.show.progress("", nil)
	s.show.say("board", "POWER CUT: agent, hooks and application killed; %s of %s of system 3 lie in the flash", mib(durable), mib(v3.Length))
	s.show.say("server", "had sent %s of it", mib(bodyBytes(s.imageRequests(mark, v3))))
	return durable, nil
}

func (s *story) seeResume(mark int, v3 published, back boot, durable int64) {
	same(s.checks, "boot after the power cut", "slot B, primary, system 2", describeBoot(back)+", system "+back.System.Version)
	within(s.checks, "durable bytes at the cut", 1, v3.Length-1, durable, bytesExact)
	requests := s.imageRequests(mark, v3)
	same(s.checks, "requests for the image", 2, len(requests))
	if len(requests) == 2 {
		second := requests[1]
		same(s.checks, "the second asks for", fmt.Sprintf("bytes=%d-", durable), second.Range)
		same(s.checks, "only if it is still the same file", true, second.IfRange != "")
		sameBytes(s.checks, "bytes sent after the cut", v3.Length-durable, second.Bytes)
		sameBytes(s.checks, "bytes not fetched again", durable, v3.Length-second.Bytes)
	}
	same(s.checks, "slot A's bytes are the published ones", short(v3.SHA256), short(hashFirst(s.board.paths.slot("A"), v3.Length)))
	same(s.checks, "confirmed", "slot A, one-shot try, system 3", describeBoot(s.lastBoot())+", system "+s.lastBoot().System.Version)
}
