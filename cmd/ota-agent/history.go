package main

import (
	"errors"
	"fmt"

	"github.com/ota-agent/ota-agent/agent"
	"github.com/ota-agent/ota-agent/agent/local"
	"github.com/ota-agent/ota-agent/storage"
)

func (c *cli) showHistory([]string) error {
	h, err := c.history()
	if err != nil {
		return err
	}
	if c.asJSON {
		return c.printJSON(h)
	}
	if len(h.Events) == 0 {
		return c.ui.print("nothing has happened yet; ota-agent status says how the device stands")
	}
	rows := make([]row, len(h.Events))
	for i, e := range h.Events {
		rows[i] = row{timeWords(e.At), eventWords(e)}
	}
	return c.ui.print("%s", align(rows))
}

// history asks the agent or, where it does not run, looks into its store.
func (c *cli) history() (agent.History, error) {
	client, s, err := c.client()
	if err != nil {
		return agent.History{}, err
	}
	ctx, stop := interruptible()
	defer stop()
	h, err := client.History(ctx)
	if !errors.Is(err, local.ErrNotRunning) {
		return h, err
	}
	state, err := storedState(s)
	if err != nil {
		return h, neverRan(err)
	}
	c.ui.note("the agent is not running; this is what its store holds")
	return agent.HistoryOf(state), nil
}

// storedState looks into the store of an agent that does not run.
func storedState(s settings) (agent.State, error) {
	store, err := storage.OpenReadOnly(s.state, storage.Options{})
	if err != nil {
		return agent.State{}, err
	}
	defer store.Close()
	state, err := store.Load()
	if err != nil {
		return agent.State{}, fmt.Errorf("read the store: %w", err)
	}
	return state, nil
}

// neverRan is err, or where there is no store that the agent has not run yet.
func neverRan(err error) error {
	if errors.Is(err, agent.ErrAbsent) {
		return &failure{exitNotRunning, local.ErrNotRunning, "it has never run here; start it: systemctl start ota-agent, or ota-agent run"}
	}
	return err
}

// eventWords say on one line what happened.
func eventWords(e agent.Event) string {
	words := string(e.Kind)
	if e.Component != "" {
		words = e.Component + ": " + words
	}
	if e.Release != nil {
		words += " " + releaseWords(*e.Release)
	}
	if e.Slot != "" {
		words += " in slot " + e.Slot
	}
	if e.Problem != nil {
		words += fmt.Sprintf(": %s (%s)", e.Problem.Text, e.Problem.Reason)
	}
	if e.Count > 1 {
		words += fmt.Sprintf(", and %d like it before", e.Count-1)
	}
	return words
}
