package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/ota-agent/ota-agent/agent"
)

// nothingNew: a check that finds nothing new costs two requests and no write.
func (s *story) nothingNew(ctx context.Context) error {
	s.show.prose(`Most checks of a device's life find nothing new. Such a check asks for a newer root and for the
		timestamp, and writes nothing.`)
	pid := s.board.pid(agentService)
	if err := s.atRest(ctx); err != nil {
		return err
	}
	before, err := s.device.client.Status(ctx)
	if err != nil {
		return err
	}
	flash, err := readTree(s.board.paths.state())
	if err != nil {
		return err
	}
	kernelBefore, counted := diskWrites(pid)
	mark := s.mirror.mark()
	after, err := s.check(ctx, "the check that finds nothing new")
	if err != nil {
		return err
	}
	same(s.checks, "checks, by the agent's count", 1, after.Repository.Checks-before.Repository.Checks)
	same(s.checks, "the check", "succeeds", succeeds(after))
	later, err := readTree(s.board.paths.state())
	if err != nil {
		return err
	}
	kernelAfter, _ := diskWrites(pid)
	s.seeNothing(s.mirror.since(mark), before.Counters, after.Counters)
	if counted && kernelBefore > 0 {
		sameBytes(s.checks, "bytes written, by the kernel's count", 0, kernelAfter-kernelBefore)
	} else {
		s.show.say("kernel", "does not count writes to this file system")
	}
	same(s.checks, "files changed in the state directory", "none", noneOr(flash.changes(later)))
	return nil
}

// atRest waits until the agent has nothing to do.
func (s *story) atRest(ctx context.Context) error {
	_, err := s.await(ctx, "waiting for the device to rest", func(st agent.Status) bool {
		for _, c := range st.Components {
			if c.Phase != agent.Idle {
				return false
			}
		}
		return true
	})
	return err
}

func (s *story) seeNothing(requests []request, before, after agent.Counters) {
	var paths []string
	for _, q := range requests {
		paths = append(paths, fmt.Sprintf("%s (%d)", q.Path, q.Status))
	}
	s.show.say("server", "%s", strings.Join(paths, ", "))
	same(s.checks, "requests, by the server's count", 2, len(requests))
	same(s.checks, "requests, by the agent's count", 2, after.Requests-before.Requests)
	sameBytes(s.checks, "bytes written, by the agent's count", 0, after.BytesWritten-before.BytesWritten)
	same(s.checks, "fsyncs, by the agent's count", 0, after.Fsyncs-before.Fsyncs)
}

func noneOr(names []string) string {
	if len(names) == 0 {
		return "none"
	}
	return strings.Join(names, ", ")
}
