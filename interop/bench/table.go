package main

import (
	"errors"
	"fmt"
	"io"
	"strings"
)

// A table prints one line for each row, as it is measured.
type table struct {
	w      io.Writer
	missed []string
}

const layout = "| %-41s | %9s | %9s | %6s | %16s | %16s | %9s | %9s | %5s | %9s | %s |\n"

func (t *table) head() {
	fmt.Fprintln(t.w, "\nTime, allocations (bytes / number) and peak resident memory of a process each; medians, the clients in turn.")
	fmt.Fprintln(t.w, "\"durable\" is our time over the agent's own store, opened, synced and closed.")
	fmt.Fprintln(t.w)
	fmt.Fprintf(t.w, layout, "", ours, goTUF, "ratio", "allocated", goTUF, "peak", goTUF, "ratio", "durable", "")
	fmt.Fprintf(t.w, layout, "---", "--:", "--:", "--:", "--:", "--:", "--:", "--:", "--:", "--:", "---")
}

func (t *table) row(c comparison) {
	mine, theirs := c.results[ours], c.results[goTUF]
	fmt.Fprintf(t.w, layout, c.name,
		seconds(mine.Seconds), seconds(theirs.Seconds), ratio(c.timeRatio()),
		mine.allocations(), theirs.allocations(),
		size(float64(mine.Peak)), size(float64(theirs.Peak)), ratio(c.memoryRatio()),
		seconds(c.results[ownStore].Seconds), c.outcome())
	if !c.holds() {
		t.missed = append(t.missed, c.name)
	}
}

// foot says what the figures stand on, and fails if a budget was missed.
func (t *table) foot(idle result) error {
	fmt.Fprintf(t.w, "\nA process that links both clients and runs neither has a peak of %s.\n", size(float64(idle.Peak)))
	if len(t.missed) > 0 {
		return errors.New("budget missed in " + strings.Join(t.missed, "; "))
	}
	fmt.Fprintln(t.w, "All budgets hold.")
	return nil
}

// timeRatio and memoryRatio say how many times as much the peer takes.
func (c comparison) timeRatio() float64 { return c.results[goTUF].Seconds / c.results[ours].Seconds }

func (c comparison) memoryRatio() float64 {
	return float64(c.results[goTUF].Peak) / float64(c.results[ours].Peak)
}

func (c comparison) holds() bool {
	return c.timeRatio() >= c.timeBudget && c.memoryRatio() >= c.memoryBudget
}

// outcome says whether the row's budget holds, and who refused.
func (c comparison) outcome() string {
	var parts []string
	if c.timeBudget > 0 {
		verdict := "holds"
		if !c.holds() {
			verdict = "MISSED"
		}
		budget := fmt.Sprintf("time x%g", c.timeBudget)
		if c.memoryBudget > 0 {
			budget += fmt.Sprintf(", memory x%g", c.memoryBudget)
		}
		parts = append(parts, budget+" "+verdict)
	}
	for _, client := range []string{ours, goTUF} {
		if r := c.results[client]; r.GaveUp {
			parts = append(parts, client+" is not done by then")
		} else if r.Refused != "" {
			parts = append(parts, client+" refuses: "+r.Refused)
		} else if c.repository == signaturesName {
			parts = append(parts, client+" accepts")
		}
	}
	return strings.Join(parts, "; ")
}

// allocations is empty where the process was ended before it could say.
func (r result) allocations() string {
	if r.GaveUp {
		return ""
	}
	return fmt.Sprintf("%s / %s", size(float64(r.Allocated)), count(r.Mallocs))
}

func count(n uint64) string {
	switch {
	case n < 10_000:
		return fmt.Sprint(n)
	case n < 10_000_000:
		return fmt.Sprintf("%dk", n/1000)
	}
	return fmt.Sprintf("%dM", n/1_000_000)
}

func ratio(r float64) string {
	if r < 100 {
		return fmt.Sprintf("x%.1f", r)
	}
	return fmt.Sprintf("x%.0f", r)
}

func seconds(s float64) string {
	switch {
	case s < 1:
		return fmt.Sprintf("%.2f ms", s*1e3)
	default:
		return fmt.Sprintf("%.2f s", s)
	}
}

func size(bytes float64) string {
	if bytes < 1<<20 {
		return fmt.Sprintf("%.0f KiB", bytes/(1<<10))
	}
	return fmt.Sprintf("%.1f MiB", bytes/(1<<20))
}
