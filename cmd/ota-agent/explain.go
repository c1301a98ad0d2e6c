package main

import (
	"fmt"
	"strings"

	"github.com/ota-agent/ota-agent/agent"
)

// explain says of a component, or of all, what it waits for, what each gate says, and what would change it.
func (c *cli) explain(args []string) error {
	s, err := c.status()
	if err != nil {
		return err
	}
	var t table
	var names []string
	for _, x := range s.Components {
		names = append(names, x.Name)
		if len(args) == 0 || args[0] == x.Name {
			t.explain(x, s.BootID != "")
			t.add("", "")
		}
	}
	if len(t) == 0 {
		return &failure{exitFailed, fmt.Errorf("there is no component %q", strings.Join(args, "")), "known here: " + strings.Join(names, ", ")}
	}
	t.device(s)
	return c.ui.print("%s", align(t))
}

// A table is rows under each other.
type table []row

func (t *table) add(name, text string) { *t = append(*t, row{name, text}) }

// explain explains a component. Without a running agent no gate has been asked.
func (t *table) explain(c agent.ComponentStatus, running bool) {
	t.add("component", c.Name)
	t.add("  is", doingWords(c))
	switch x := c.Condition; {
	case !running:
		t.add("  waits for", "the agent: it does not run, so no gate was asked")
	case x != nil:
		t.condition(*x)
	case c.Waiting != nil: // of an agent that tells no condition
		t.condition(agent.Condition{Code: agent.ConditionWaiting, Reason: c.Waiting.Reason, Text: c.Waiting.Text, Left: c.Waiting.Left})
	}
	if c.Problem != nil && (c.Condition == nil || c.Condition.Reason != c.Problem.Reason) { // else it has just been said
		t.problem("  last problem", c.Problem)
	}
	for _, g := range c.Gates {
		t.gate(g)
	}
}

// condition says how a component stands, and what would change that. That nothing is to be done it says in
// one case alone.
func (t *table) condition(c agent.Condition) {
	switch c.Code {
	case agent.ConditionCurrent:
		t.add("  waits for", "a release: the repository names none that this device does not have")
		t.add("  changed by", "the publisher; ota-agent check asks at once")
	case agent.ConditionUnasked:
		t.add("  not asked yet", conditionText(c))
		t.add("  changed by", "the next check; ota-agent check asks at once")
	case agent.ConditionWorking:
		t.add("  at work", conditionText(c))
		changes := "time: it is under way"
		if c.Limit > 0 { // a hook runs, which may hang
			changes += ", and is ended at its limit; ota-agent cancel ends an update at once"
		}
		t.add("  changed by", changes)
	case agent.ConditionUnlisted, agent.ConditionUnanswered:
		t.add("  "+codeWords(c.Code), conditionText(c))
		t.changedBy(c.Reason)
	default:
		t.add("  waits for", conditionText(c))
		t.changedBy(c.Reason)
	}
}

// changedBy says what changes a reason, where there is one.
func (t *table) changedBy(r agent.Reason) {
	if r != "" {
		t.add("  changed by", remedy(r))
	}
}

func (t *table) problem(name string, p *agent.Problem) {
	if p != nil {
		t.add(name, p.Text+" ("+string(p.Reason)+")")
		t.add("", "changed by "+remedy(p.Reason))
	}
}

func doingWords(c agent.ComponentStatus) string {
	words := string(c.Phase)
	if c.Release != nil {
		words += " with " + releaseWords(*c.Release)
	}
	if c.Slot != "" {
		words += " in slot " + c.Slot
	}
	if p := c.Progress; p != nil && c.Phase == agent.Fetching {
		words += ", " + progressWords(*p)
	}
	return words + "; runs " + releaseWords(c.Running)
}

func (t *table) gate(g agent.GateStatus) {
	name := "  gate " + strings.ReplaceAll(g.Gate, "_", " ")
	if g.Gate == "hook" {
		name += " for " + g.Holds
	}
	words := g.Verdict
	if g.Verdict == agent.VerdictClosed || g.Verdict == agent.VerdictOverridden {
		words = strings.ToUpper(words)
	}
	if g.Figure != "" {
		words += ", " + g.Figure
	}
	switch g.Verdict {
	case agent.VerdictUnasked:
		words += ": " + g.Text
	case agent.VerdictClosed, agent.VerdictOverridden:
		words += ", holds " + holdWords(g.Holds) + ", since " + timeWords(g.Since) + ": " + g.Text + leftWords(g.Left)
	}
	t.add(name, words)
	if g.Verdict == agent.VerdictClosed {
		t.add("", "changed by "+remedy(g.Reason))
	}
}

func holdWords(holds string) string {
	switch holds {
	case "download":
		return "downloads"
	case "install":
		return "installations"
	}
	return "downloads and installations"
}

func leftWords(left agent.Seconds) string {
	if left <= 0 {
		return ""
	}
	return ", " + durationWords(left) + " left"
}

// device is what all components share.
func (t *table) device(s agent.Status) {
	if s.BootID == "" {
		t.add("next", "start the agent: systemctl start ota-agent, or ota-agent run")
		return
	}
	when := "due now"
	if s.Repository.NextIn > 0 {
		when = "in " + durationWords(s.Repository.NextIn) + "; a wake or ota-agent check comes first"
	}
	t.add("next check", when)
	t.problem("last check failed", s.Repository.LastProblem)
	t.problem("key files", s.Repository.Credentials)
	if s.MQTT != nil {
		t.add("broker", brokerWords(*s.MQTT))
		if s.MQTT.Reason != "" {
			t.add("", "changed by "+remedy(s.MQTT.Reason))
		}
	}
	if s.Budget != nil {
		t.add("byte budget", budgetWords(*s.Budget))
	}
	t.add("time", timeWords(s.Time.Effective)+" ("+s.Time.Source+")")
}

func budgetWords(b agent.BudgetStatus) string {
	return fmt.Sprintf("%s of %s spent today, %s left; renews in %s",
		bytesWords(b.Spent), bytesWords(b.DayBytesMax), bytesWords(b.Left), durationWords(b.RenewsIn))
}
