package main

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/ota-agent/ota-agent/agent"
	"github.com/ota-agent/ota-agent/agent/local"
)

// A device is the agent as someone sees it who stands in front of the board: its status document and its command to
// check, over the agent's socket. It survives the board's reboots.
type device struct {
	show   *show
	client *local.Client

	mu      sync.Mutex
	latest  *agent.Status // nil while no agent answers
	changed chan struct{} // closed and replaced at each change
}

// reconnectEvery is the pause before the socket is tried again while the board boots.
const reconnectEvery = 50 * time.Millisecond

func newDevice(show *show, socket string) *device {
	return &device{show: show, client: local.NewClient(socket), changed: make(chan struct{})}
}

// follow keeps up with the agent's status until ctx ends.
func (d *device) follow(ctx context.Context) {
	for ctx.Err() == nil {
		// The watch ends with every reboot of the board; why does not matter.
		_ = d.client.Watch(ctx, func(s agent.Status) error {
			d.put(&s)
			return nil
		})
		d.put(nil)
		select {
		case <-ctx.Done():
		case <-time.After(reconnectEvery):
		}
	}
}

// put takes a new status document, or nil when the agent is gone, and moves the bar.
func (d *device) put(s *agent.Status) {
	d.mu.Lock()
	d.latest = s
	close(d.changed)
	d.changed = make(chan struct{})
	d.mu.Unlock()
	if s == nil {
		d.show.progressEnds(false)
		return
	}
	complete := false
	for _, c := range s.Components {
		switch {
		case c.Release == nil:
		case c.Progress != nil && c.Phase == agent.Fetching:
			d.show.progress(c.Name+" "+c.Release.Version, *c.Progress)
			return
		case c.Phase != agent.Fetching:
			complete = true // the release that was fetched is being worked at
		}
	}
	d.show.progressEnds(complete)
}

func (d *device) peek() (*agent.Status, <-chan struct{}) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.latest, d.changed
}

// until waits for a status document that has what is looked for.
func (d *device) until(ctx context.Context, has func(agent.Status) bool) (agent.Status, error) {
	for {
		s, changed := d.peek()
		if s != nil && has(*s) {
			return *s, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return agent.Status{}, fmt.Errorf("%w; the device's last word: %s", context.Cause(ctx), describe(s))
		}
	}
}

// describe is a status document in one line.
func describe(s *agent.Status) string {
	if s == nil {
		return "the agent does not answer"
	}
	var parts []string
	for _, c := range s.Components {
		part := fmt.Sprintf("%s %s is %s", c.Name, c.Running.Version, c.Phase)
		if c.Release != nil {
			part += " with " + c.Release.Version
		}
		if c.Waiting != nil {
			part += ", waiting (" + c.Waiting.Text + ")"
		}
		if c.Problem != nil {
			part += ", problem: " + c.Problem.Text
		}
		parts = append(parts, part)
	}
	if p := s.Repository.LastProblem; p != nil {
		parts = append(parts, "repository: "+p.Text)
	}
	return strings.Join(parts, "; ")
}

// component finds one component's status; the zero value where there is none.
func component(s agent.Status, name string) agent.ComponentStatus {
	for _, c := range s.Components {
		if c.Name == name {
			return c
		}
	}
	return agent.ComponentStatus{}
}

// runs tells whether a component is at rest with a version that it has confirmed.
func runs(name, version string) func(agent.Status) bool {
	return func(s agent.Status) bool {
		c := component(s, name)
		return c.Phase == agent.Idle && c.Running.Version == version && c.Last != nil &&
			c.Last.Verdict == "confirmed" && c.Last.Release.Version == version
	}
}
