package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync/atomic"
	"time"

	"github.com/ota-agent/ota-agent/agent"
)

// A story is the demo while it is told: the parts, and where it stands.
type story struct {
	show      *show
	checks    *checks
	board     *board
	mirror    *mirror
	broker    *broker
	publisher *publisher
	device    *device
	appURL    string
	appSocket net.Listener
	step      atomic.Pointer[string]
}

const (
	// storyTime is what the whole story may take once everything is built. It takes 20 seconds on a machine with nothing else to
	// do; the bound is for what hangs.
	storyTime = 20 * time.Minute
	// stepTime is what one step of it may take.
	stepTime = 5 * time.Minute
)

// Names of the device's components.
const (
	system      = "rootfs"
	application = "demoapp"
)

// A chapter tells one part of the story. Its error says that the story can't go on; what was merely not as expected
// is in the checks.
type chapter struct {
	title string
	tell  func(*story, context.Context) error
}

func chapters() []chapter {
	return []chapter{
		{"A new system arrives", (*story).firstUpdate},
		{"An application is updated while the system runs", (*story).appUpdate},
		{"The power is cut in the middle of a download", (*story).powerCut},
		{"A release boots but is not well", (*story).unhealthy},
		{"A hostile mirror", (*story).hostileMirror},
		{"Nothing new", (*story).nothingNew},
	}
}

// tell runs the chapters in order.
func (s *story) tell(ctx context.Context) error {
	for i, c := range chapters() {
		s.checks.begin(i + 1)
		s.show.title(fmt.Sprintf("%d. %s", i+1, c.title))
		if err := c.tell(s, ctx); err != nil {
			return fmt.Errorf("chapter %d, %s: %w", i+1, s.doing(), err)
		}
	}
	return nil
}

// begin names the step that the story is at, for whoever has to find out why it hangs.
func (s *story) begin(step string) { s.step.Store(&step) }

func (s *story) doing() string {
	if step := s.step.Load(); step != nil {
		return *step
	}
	return "at the beginning"
}

// await waits until the device's status has what is looked for, and fails at once when the board is lost.
func (s *story) await(ctx context.Context, step string, has func(agent.Status) bool) (agent.Status, error) {
	s.begin(step)
	ctx, cancel := context.WithTimeoutCause(ctx, stepTime, fmt.Errorf("not within %s", stepTime))
	defer cancel()
	ctx, lost := context.WithCancelCause(ctx)
	defer lost(nil)
	go s.board.onFailure(ctx, lost)
	return s.device.until(ctx, has)
}

// check has the agent refresh now, as "ota-agent check" does, and returns what it then says.
func (s *story) check(ctx context.Context, step string) (agent.Status, error) {
	s.begin(step)
	ctx, cancel := context.WithTimeoutCause(ctx, stepTime, fmt.Errorf("not within %s", stepTime))
	defer cancel()
	if _, err := s.await(ctx, step, func(agent.Status) bool { return true }); err != nil {
		return agent.Status{}, err
	}
	status, err := s.device.client.Check(ctx)
	if err != nil {
		return status, errors.Join(err, context.Cause(ctx))
	}
	return status, nil
}

// wake sends an MQTT wake once the device listens to the topic.
func (s *story) wake(ctx context.Context, topic string) error {
	s.begin("waiting for the device to subscribe to " + topic)
	ctx, cancel := context.WithTimeoutCause(ctx, stepTime, fmt.Errorf("not within %s", stepTime))
	defer cancel()
	for {
		n, changed := s.broker.subscribers(topic)
		if n > 0 {
			break
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	s.show.say("operator", "MQTT wake to %s", topic)
	return s.broker.wake(topic)
}

// imageRequests are the requests for one release's image since a mark.
func (s *story) imageRequests(mark int, r published) []request {
	var list []request
	for _, q := range s.mirror.since(mark) {
		if strings.HasPrefix(q.Path, imagePrefix) && strings.Contains(q.Path, r.SHA256) {
			list = append(list, q)
		}
	}
	return list
}

// slotVersion is the system that a slot holds, from its bytes.
func (s *story) slotVersion(slot string) string {
	m, err := readManifest(s.board.paths.slot(slot))
	if err != nil {
		return err.Error()
	}
	return m.Version
}

// lastBoot is how the board last booted.
func (s *story) lastBoot() boot {
	history := s.board.history()
	return history[len(history)-1]
}
