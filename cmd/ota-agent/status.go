package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os/signal"
	"strings"
	"syscall"

	"github.com/ota-agent/ota-agent/agent"
	"github.com/ota-agent/ota-agent/agent/local"
)

func (c *cli) showStatus([]string) error {
	s, err := c.status()
	if err != nil {
		return err
	}
	if c.asJSON {
		return c.printJSON(s)
	}
	return c.ui.print("%s", statusTable(s))
}

// status asks the agent or, where it does not run, looks into its store.
func (c *cli) status() (agent.Status, error) {
	client, s, err := c.client()
	if err != nil {
		return agent.Status{}, err
	}
	ctx, stop := interruptible()
	defer stop()
	status, err := client.Status(ctx)
	if !errors.Is(err, local.ErrNotRunning) {
		return status, err
	}
	status, err = storedStatus(s)
	if err != nil {
		return status, neverRan(err)
	}
	c.ui.note("the agent is not running; this is what its store holds")
	return status, nil
}

// interruptible ends with the user's patience.
func interruptible() (context.Context, context.CancelFunc) {
	return signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
}

func (c *cli) printJSON(document any) error {
	text, err := json.MarshalIndent(document, "", "  ")
	if err != nil {
		return fmt.Errorf("document: %w", err)
	}
	return c.ui.print("%s", text)
}

// statusTable is the document for people: a block for the device, then one for each component.
func statusTable(s agent.Status) string {
	var rows []row
	add := func(name, format string, args ...any) { rows = append(rows, row{name, fmt.Sprintf(format, args...)}) }
	add("device", "%s (%s)", s.Device.ID, deviceWords(s.Device))
	if s.IDBefore != "" {
		add("  ID before", "%s, when the state was last written", s.IDBefore)
	}
	if s.BootID != "" {
		add("agent", "%s, boot %s", s.Agent, s.BootID)
		add("time", "%s (%s)", timeWords(s.Time.Effective), s.Time.Source)
	}
	add("repository", "%s", s.Repository.URL)
	if s.BootID != "" {
		good := "none since the agent started"
		if at := s.Repository.LastSuccess; !at.IsZero() {
			good = timeWords(at)
		}
		add("  last good", "%s, next check in %s", good, durationWords(s.Repository.NextIn))
	}
	if n := s.Repository.Bandwidth; n > 0 {
		add("  bandwidth", "at most %d bytes/s", n)
	}
	for _, r := range s.Repository.Roles {
		add("  "+r.Role, "version %d, expires %s", r.Version, timeWords(r.Expires))
	}
	if p := s.Repository.LastProblem; p != nil {
		add("  problem", "%s (%s)", p.Text, p.Reason)
	}
	if p := s.Repository.Credentials; p != nil {
		add("  key files", "%s (%s)", p.Text, p.Reason)
	}
	if s.MQTT != nil {
		add("broker", "%s", brokerWords(*s.MQTT))
	}
	if s.Budget != nil {
		add("byte budget", "%s", budgetWords(*s.Budget))
	}
	if s.Paused {
		add("paused", "yes; ota-agent resume ends this")
	}
	if s.Abandoned > 0 {
		add("abandoned", "%d workers that hung, since the agent started", s.Abandoned)
	}
	if p := s.LastFailure; p != nil {
		add("last failure", "%s: %s (%s)", timeWords(p.At), p.Text, p.Reason)
	}
	for _, text := range s.Recovered {
		add("repaired", "%s", text)
	}
	for _, c := range s.Components {
		rows = append(rows, row{})
		rows = append(rows, componentRows(c)...)
	}
	return align(rows)
}

// brokerWords say how the way to the broker is.
func brokerWords(b agent.BrokerStatus) string {
	words := map[agent.BrokerState]string{
		agent.BrokerStarting:   "the first connection waits for its turn",
		agent.BrokerConnecting: "connecting",
		agent.BrokerUnproven:   "a session; nothing shows that the broker lets this device's messages through",
		agent.BrokerProven:     "a session; this device is heard, and hears",
		agent.BrokerWaiting:    "no session",
	}[b.State]
	words += ", since " + timeWords(b.Since)
	if b.Reason != "" {
		words += ": " + b.Text + " (" + string(b.Reason) + ")"
	}
	if !b.RetryAt.IsZero() {
		words += "; next attempt at " + timeWords(b.RetryAt)
	}
	if !b.LastWake.IsZero() {
		words += "; last wake at " + timeWords(b.LastWake)
	}
	return words
}

func deviceWords(d agent.Device) string {
	words := d.Hardware + ", " + d.Channel
	if d.Group != "" {
		words += ", group " + d.Group
	}
	return words
}

func componentRows(c agent.ComponentStatus) []row {
	var rows []row
	add := func(name, format string, args ...any) { rows = append(rows, row{name, fmt.Sprintf(format, args...)}) }
	add("component", "%s", c.Name)
	running := releaseWords(c.Running)
	if c.Booted != "" {
		running += fmt.Sprintf(" in slot %s (primary %s)", c.Booted, c.Primary)
	}
	add("  running", "%s", running)
	if c.Previous != nil {
		add("  before", "%s (%s)", releaseWords(*c.Previous), rollbackWords(c))
	}
	doing := string(c.Phase)
	if c.Release != nil {
		doing += " " + releaseWords(*c.Release)
	}
	if c.Slot != "" {
		doing += " in slot " + c.Slot
	}
	add("  phase", "%s", doing)
	if p := c.Progress; p != nil && c.Phase == agent.Fetching {
		add("  progress", "%s", progressWords(*p))
	}
	if x := c.Condition; x != nil {
		add("  condition", "%s", conditionWords(*x))
	} else if w := c.Waiting; w != nil {
		left := ""
		if w.Left > 0 {
			left = ", " + durationWords(w.Left) + " left"
		}
		add("  waiting", "%s (%s%s)", w.Text, w.Reason, left)
	}
	if c.Problem != nil {
		add("  problem", "%s (%s)%s", c.Problem.Text, c.Problem.Reason, attemptWords(c.Attempts))
	}
	if c.Last != nil {
		why := ""
		if p := c.Last.Problem; p != nil && c.Last.Verdict == "withdrawn" { // of a rejected one its own row tells
			why = fmt.Sprintf(": %s (%s)", p.Text, p.Reason)
		}
		add("  last", "%s %s%s", releaseWords(c.Last.Release), c.Last.Verdict, why)
	}
	for _, r := range c.Rejected {
		add("  rejected", "%s: %s (%s)", releaseWords(agent.ReleaseStatus{Version: r.Version, SHA256: r.ID}), r.Last.Text, r.Last.Reason)
	}
	return rows
}

// rollbackWords say whether a rollback would be done.
func rollbackWords(c agent.ComponentStatus) string {
	switch {
	case c.Condition != nil && c.Booted == "":
		return "whether ota-agent rollback could go back to it is not known: nobody has said which slot is booted"
	case c.NoRollback != nil:
		return c.NoRollback.Text + " (" + string(c.NoRollback.Reason) + ")"
	}
	return "ota-agent rollback goes back to it"
}

// attemptWords count an attempt; a problem without one is no attempt's.
func attemptWords(n int) string {
	if n == 0 {
		return ""
	}
	return fmt.Sprintf(", attempt %d", n)
}

func progressWords(p agent.Progress) string {
	words := fmt.Sprintf("%s of %s (%s), %s/s", bytesWords(p.Done), bytesWords(p.Total), percent(p), bytesWords(p.Rate))
	if p.Left > 0 {
		words += ", " + durationWords(p.Left) + " left"
	}
	if p.ResumedFrom > 0 {
		words += ", resumed from " + bytesWords(p.ResumedFrom)
	}
	return words
}

// A row is a name and a text; the zero row is an empty line.
type row struct{ name, text string }

// align puts the texts below each other. Names are ASCII; texts are cleaned, since much of them comes from outside.
func align(rows []row) string {
	width := 0
	for _, r := range rows {
		width = max(width, len(r.name))
	}
	lines := make([]string, len(rows))
	for i, r := range rows {
		if r != (row{}) {
			lines[i] = fmt.Sprintf("%-*s  %s", width, plain(r.name), plain(r.text))
		}
	}
	return strings.Join(lines, "\n")
}
