package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/ota-agent/ota-agent/agent/fetch"
	"github.com/ota-agent/ota-agent/verifier"
)

// checkConfig says what is wrong with the config and what it names or, where nothing is, what it amounts to.
func (c *cli) checkConfig([]string) error {
	s, err := loadSettings(c.config)
	if err != nil {
		return err
	}
	if err := preflight(&s); err != nil {
		return err
	}
	if err := fetch.CheckKeys(s.fetch); err != nil { // the agent runs on what works, and says so
		return s.wrong(exitConfig, "repository", err, "")
	}
	root, err := verifier.Begin(s.agent.Anchor, verifier.Floors{}, time.Time{}, s.agent.Limits)
	if err != nil {
		return err
	}
	return c.ui.print("%s is in order: %s\n%s", plain(s.file), counted(len(s.agent.Components), "component"), align(s.rows(root.Trusted()[0])))
}

// rows show what the agent would go by, and no secret of a URL.
func (s *settings) rows(root verifier.RoleInfo) []row {
	rows := []row{
		{"device", fmt.Sprintf("%s (%s)", s.agent.Device.ID, deviceWords(s.agent.Device))},
		{"anchor", fmt.Sprintf("%s: root version %d, expires %s", s.anchor, root.Version, timeWords(root.Expires))},
	}
	if f := s.agent.Minimum; s.floors != "" {
		rows = append(rows, row{"floors", fmt.Sprintf("%s: timestamp %d, snapshot %d, index of %s", s.floors, f.Timestamp.Version, f.Snapshot.Version,
			counted(len(f.Index), "component"))})
	}
	rows = append(rows, []row{
		{"metadata", shownURLs(s.fetch.Metadata)},
		{"targets", shownURLs(s.fetch.Targets)},
		{"state", s.state},
		{"socket", s.socket},
	}...)
	if s.mqtt != nil {
		rows = append(rows, row{"broker", shownURL(s.mqtt.Broker)})
	}
	for i, path := range s.targetPaths() {
		component := &s.agent.Components[i]
		rows = append(rows, row{"component", component.Name + ": " + path}, row{"  hook", component.Hook})
	}
	return rows
}

func shownURLs(urls []string) string {
	shown := make([]string, len(urls))
	for i, u := range urls {
		shown[i] = shownURL(u)
	}
	return strings.Join(shown, ", ")
}
