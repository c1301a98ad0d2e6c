package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/ota-agent/ota-agent/agent"
)

// componentWords say on one line what a component is doing, and why it waits.
func componentWords(c agent.ComponentStatus) string {
	words := string(c.Phase)
	if c.Release != nil {
		words += " " + releaseWords(*c.Release)
	}
	if p := c.Progress; p != nil && c.Phase == agent.Fetching {
		words += " " + percent(*p)
	}
	switch x := c.Condition; {
	case x != nil && x.Code != agent.ConditionCurrent && x.Code != agent.ConditionWorking:
		words += ", " + codeWords(x.Code) + ": " + x.Text
	case c.Waiting != nil:
		words += ", waiting: " + c.Waiting.Text
	}
	return words
}

// conditionWords say how a component stands.
func conditionWords(c agent.Condition) string {
	return codeWords(c.Code) + ": " + conditionText(c)
}

func codeWords(c agent.ConditionCode) string { return strings.ReplaceAll(string(c), "_", " ") }

// conditionText is a condition's text with its reason and what is left.
func conditionText(c agent.Condition) string {
	return c.Text + markWords(c)
}

// markWords are what a condition says beside its text: reason, time and how far it is.
func markWords(c agent.Condition) string {
	words := ""
	if c.Reason != "" {
		words += " (" + string(c.Reason) + ")"
	}
	if c.Elapsed > 0 {
		words += ", for " + durationWords(c.Elapsed)
	}
	if c.Limit > 0 {
		words += " of at most " + durationWords(c.Limit)
	}
	if c.Percent != nil {
		words += fmt.Sprintf(", %d %%", *c.Percent)
	}
	return words + leftWords(c.Left)
}

// releaseWords name a release: its version, or the beginning of its hash.
func releaseWords(r agent.ReleaseStatus) string {
	switch {
	case r.Version != "":
		return r.Version
	case r.SHA256 != "":
		return r.SHA256[:min(12, len(r.SHA256))]
	}
	return "unknown"
}

func percent(p agent.Progress) string {
	if p.Total <= 0 {
		return "0 %"
	}
	return fmt.Sprintf("%d %%", int64(float64(p.Done)/float64(p.Total)*100))
}

// bytesWords show a size in binary units.
func bytesWords(n int64) string {
	const units = "KMGT"
	if n < 1024 {
		return fmt.Sprintf("%d B", n)
	}
	v, unit := float64(n)/1024, 0
	for v >= 1024 && unit < len(units)-1 {
		v, unit = v/1024, unit+1
	}
	return fmt.Sprintf("%.1f %ciB", v, units[unit])
}

// duration shows a number of seconds as people say it: "4h59m", "10m", "7s".
func durationWords(s agent.Seconds) string {
	d := time.Duration(s) * time.Second
	switch {
	case d >= time.Hour:
		return strings.TrimSuffix(d.Round(time.Minute).String(), "0s")
	case d >= time.Minute && d%time.Minute == 0:
		return strings.TrimSuffix(d.String(), "0s")
	}
	return d.String()
}

// timeWords show a point of time; "never" for none.
func timeWords(t time.Time) string {
	if t.IsZero() {
		return "never"
	}
	return t.UTC().Format("2006-01-02 15:04:05 UTC")
}
