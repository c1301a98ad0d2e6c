package main

import (
	"fmt"
	"time"
)

// The two clients that are compared. Both run over the same files, through the same fetch function, and keep what
// they accepted in a directory without syncing it. ownStore is ours once more, over the agent's own durable store: what
// a device pays.
const (
	ours     = "ours"
	goTUF    = "go-tuf"
	ownStore = "ours, durable"
)

// A scenario is one row of the table.
type scenario struct {
	name       string
	repository string // name of the repository in the catalogue
	warm       bool   // the client has refreshed before, in another process
	find       bool   // looks one path up after the refresh
	runs       int    // per client, besides one to warm the page cache
	timeout    time.Duration
	// How many times as much as we the peer must at least take, in time and in peak memory; 0: no budget.
	timeBudget, memoryBudget float64
}

// scenarios are the rows, in the order they are printed. runs is for the scenarios that take long.
func scenarios(runs, targetsMax int) []scenario {
	var rows []scenario
	for _, size := range []struct {
		targets      int
		runs         int
		time, memory float64
	}{
		{10, 10*runs + 1, 1, 0},
		{10_000, runs, 0, 0},
		{100_000, runs, 10, 10},
	} {
		if size.targets > targetsMax {
			continue
		}
		row := scenario{
			repository: targetsName(size.targets), runs: size.runs, timeout: 2 * time.Minute,
			timeBudget: size.time, memoryBudget: size.memory,
		}
		row.name = fmt.Sprintf("cold, %s", row.repository)
		rows = append(rows, row)
		row.name, row.warm = fmt.Sprintf("nothing new, %s", row.repository), true
		rows = append(rows, row)
		row.name, row.find = fmt.Sprintf("nothing new + one path in %s", row.repository), true
		rows = append(rows, row)
	}
	return append(rows,
		scenario{name: "cold, 50 roots", repository: rootsName, runs: 2*runs + 1, timeout: 2 * time.Minute},
		scenario{name: "cold, 10 targets, 100,000 signatures", repository: signaturesName, runs: 1, timeout: time.Minute},
	)
}

func targetsName(n int) string {
	if n >= 1000 {
		return fmt.Sprintf("%d,%03d targets", n/1000, n%1000)
	}
	return fmt.Sprintf("%d targets", n)
}

const (
	rootsName      = "50 roots"
	signaturesName = "100,000 signatures"
)
