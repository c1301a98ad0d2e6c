package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
)

// appUpdate: an application goes from 1.0 to 1.1 without a reboot.
func (s *story) appUpdate(ctx context.Context) error {
	s.show.prose(`The device also runs a small web application as a component of its own. Version 1.1 is published; the
		device switches a symbolic link, restarts the application and asks its health page.`)
	before, err := s.askApp(ctx)
	if err != nil {
		return err
	}
	same(s.checks, "the application answers", "hello from demoapp 1.0", before)
	boots, agentPID, appPID := len(s.board.history()), s.board.pid(agentService), s.board.pid(appService)
	v11, err := s.publisher.app("1.1")
	if err != nil {
		return err
	}
	mark := s.mirror.mark()
	if err := s.wake(ctx, wakeAll); err != nil {
		return err
	}
	if _, err := s.await(ctx, "waiting for demoapp 1.1 to be confirmed", runs(application, "1.1")); err != nil {
		return err
	}
	after, err := s.askApp(ctx)
	if err != nil {
		return err
	}
	same(s.checks, "the application answers", "hello from demoapp 1.1", after)
	sameBytes(s.checks, "package bytes sent by the server", v11.Length, bodyBytes(s.imageRequests(mark, v11)))
	same(s.checks, "reboots", 0, len(s.board.history())-boots)
	same(s.checks, "the agent's process", "the same", sameOrNew(agentPID, s.board.pid(agentService)))
	same(s.checks, "the application's process", "a new one", sameOrNew(appPID, s.board.pid(appService)))
	return nil
}

func sameOrNew(before, after int) string {
	if before == after {
		return "the same"
	}
	return "a new one"
}

// askApp is what a user of the application sees.
func (s *story) askApp(ctx context.Context) (string, error) {
	s.begin("asking the application")
	ctx, cancel := context.WithTimeout(ctx, stepTime)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, s.appURL, nil)
	if err != nil {
		return "", err
	}
	r.Close = true
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		return "", fmt.Errorf("the application: %w", err)
	}
	defer func() { _ = answer.Body.Close() }()
	b, err := io.ReadAll(io.LimitReader(answer.Body, 1024))
	return strings.TrimSpace(string(b)), err
}
