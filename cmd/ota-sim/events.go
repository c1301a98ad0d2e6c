package main

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/ota-agent/ota-agent/agent"
)

// heard keeps the events that came, each once: a device repeats what was not acknowledged.
func (b *broker) heard(payload []byte) {
	var e agent.Event
	if json.Unmarshal(payload, &e) != nil {
		return // it is missing then
	}
	known := slices.ContainsFunc(b.events, func(x agent.Event) bool { return x.Journal == e.Journal && x.Seq == e.Seq })
	if !known {
		b.events = append(b.events, e)
	}
}

// told lists the kinds of the events about a release, in the order in which they came, and a channel as in message.
func (b *broker) told(name, version string) ([]agent.EventKind, <-chan struct{}) {
	b.mu.Lock()
	defer b.mu.Unlock()
	var kinds []agent.EventKind
	for _, e := range b.events {
		if e.Component == name && e.Release != nil && e.Release.Version == version {
			kinds = append(kinds, e.Kind)
		}
	}
	return kinds, b.changed
}

// seeEvents checks what the broker was told about a release, once the last of it has come.
func (s *story) seeEvents(ctx context.Context, name, version string, want ...agent.EventKind) error {
	s.begin("waiting for the events over MQTT")
	ctx, cancel := context.WithTimeout(ctx, stepTime)
	defer cancel()
	for {
		kinds, changed := s.broker.told(name, version)
		if slices.Contains(kinds, want[len(want)-1]) {
			same(s.checks, "events over MQTT, about version "+version, kindWords(want), kindWords(kinds))
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

func kindWords(kinds []agent.EventKind) string { return strings.Trim(fmt.Sprint(kinds), "[]") }
