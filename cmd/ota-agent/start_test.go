package main

import (
	"bytes"
	"context"
	"log/slog"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/ota-agent/ota-agent/agent"
	"github.com/ota-agent/ota-agent/agent/local"
	"github.com/ota-agent/ota-agent/storage"
)

// A startedAgent answers as an agent does that has just started.
type startedAgent struct{}

func (startedAgent) Status() agent.Status {
	return agent.Status{Schema: agent.StatusSchema, BootID: "boot-1", Components: []agent.ComponentStatus{{Name: "app"}}}
}
func (startedAgent) History() agent.History                       { return agent.History{} }
func (startedAgent) Changed() <-chan struct{}                     { return nil }
func (startedAgent) Check(context.Context) error                  { return nil }
func (startedAgent) Command(context.Context, agent.Command) error { return nil }

// While an agent starts, it has its store open and no socket yet: a command waits for it, and says nothing of a lock.
func TestACommandWaitsForAnAgentThatStarts(t *testing.T) {
	for _, args := range [][]string{{"status"}, {"history"}, {"pause"}} {
		d := newRunDevice(t, "")
		store, err := storage.Open(d.path("state"), storage.Options{BootID: "boot-1"})
		if err != nil {
			t.Fatal(err)
		}
		var out, errs bytes.Buffer
		cmd := exec.Command("ota-agent", append(args, "-c", d.path("config.toml"))...)
		cmd.Stdout, cmd.Stderr = &out, &errs
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		ended := make(chan error, 1)
		go func() { ended <- cmd.Wait() }()
		select {
		case err := <-ended:
			t.Fatalf("%v ended before the agent had started: %v: %s%s", args, err, &out, &errs)
		case <-time.After(1500 * time.Millisecond): // beyond the store's own patience
		}
		socket, err := local.Listen(d.path("run/agent.sock"))
		if err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithCancel(t.Context())
		served := make(chan error, 1)
		go func() { served <- local.Serve(ctx, socket, startedAgent{}, nil, slog.New(slog.DiscardHandler)) }()
		if err := <-ended; err != nil {
			t.Errorf("%v: %v: %s%s", args, err, &out, &errs)
		}
		stop()
		if err := <-served; err != nil {
			t.Error(err)
		}
		if err := store.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// A start that takes too long is called that, with the code of a store that somebody has open.
func TestAStartThatTakesTooLongIsToldOf(t *testing.T) {
	d := newRunDevice(t, "")
	store, err := storage.Open(d.path("state"), storage.Options{BootID: "boot-1"})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	var errs bytes.Buffer
	c := &cli{ui: ui{out: &errs, err: &errs}, config: d.path("config.toml"), startMax: 100 * time.Millisecond}
	if code := c.ui.fail(c.execute([]string{"status"})); code != exitLocked {
		t.Errorf("exit code %d, want %d", code, exitLocked)
	}
	if !strings.Contains(errs.String(), "starting") {
		t.Errorf("it does not say that the agent is starting: %s", &errs)
	}
}

// Where nobody has the store open there is nothing to wait for.
func TestNobodyIsWaitedForWhereNoneRuns(t *testing.T) {
	d := newRunDevice(t, "")
	s, err := loadSettings(d.path("config.toml"))
	if err != nil {
		t.Fatal(err)
	}
	c := &cli{ui: ui{out: os.Stdout, err: os.Stderr}, startMax: time.Hour}
	if err := c.awaitStart(s); err != nil {
		t.Error(err)
	}
	store, err := storage.Open(s.state, storage.Options{BootID: "boot-1"})
	if err != nil {
		t.Fatal(err)
	}
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	reader, err := storage.OpenReadOnly(s.state, storage.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	if err := c.awaitStart(s); err != nil { // a command that reads is no agent
		t.Error(err)
	}
}
