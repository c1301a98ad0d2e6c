package agent_test

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"time"

	"github.com/ota-agent/ota-agent/agent"
	"github.com/ota-agent/ota-agent/verifier"
)

// An emptyDevice stores nothing, runs nothing and reaches nothing.
type emptyDevice struct{ agent.Store }

func (emptyDevice) Load() (agent.State, error)                     { return agent.State{}, nil }
func (emptyDevice) Commit(agent.Change) error                      { return nil }
func (emptyDevice) BootID() string                                 { return "boot" }
func (emptyDevice) Uptime() time.Duration                          { return time.Minute }
func (emptyDevice) Clock() (time.Time, bool)                       { return time.Unix(1_800_000_000, 0), true }
func (emptyDevice) Reboot(context.Context) error                   { return nil }
func (emptyDevice) Local() bool                                    { return true }
func (emptyDevice) MetadataRefused() bool                          { return false }
func (emptyDevice) MetadataAccepted()                              {}
func (emptyDevice) MetadataSource() string                         { return "" }
func (emptyDevice) ImageSource(string) string                      { return "" }
func (emptyDevice) ImageRefused(string) bool                       { return false }
func (emptyDevice) Keep([]verifier.Target) error                   { return nil }
func (emptyDevice) Partial(verifier.Target) (agent.Partial, error) { return nil, agent.ErrAbsent }
func (emptyDevice) Open(verifier.Target) (agent.Image, error)      { return nil, agent.ErrAbsent }
func (emptyDevice) Document(verifier.Key) ([]byte, error)          { return nil, agent.ErrAbsent }
func (emptyDevice) Metadata(context.Context, string, int64) ([]byte, error) {
	return nil, agent.ErrAbsent
}
func (emptyDevice) Image(context.Context, agent.ImageRequest) (agent.ImageBody, error) {
	return agent.ImageBody{}, agent.ErrAbsent
}

// Whoever has asked for something and got the answer finds its outcome in the status document: the local API answers
// a check and a command with that document.
func TestStatusIsRenewedBeforeTheAnswer(t *testing.T) {
	d := emptyDevice{}
	a, err := agent.New(agent.Config{Anchor: []byte("not a root")},
		agent.Ports{Store: d, Images: d, Repository: d, System: d, Random: func() float64 { return 1 }},
		slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- a.Run(ctx) }()
	const rounds = 200 // the order of two goroutines is chance
	for i := range uint64(rounds) {
		if err := a.Check(ctx); err == nil {
			t.Fatal("a check against an anchor that is none succeeded")
		}
		if n := a.Status().Repository.Checks; n != i+1 {
			t.Fatalf("after check %d the status document counts %d", i+1, n)
		}
		name := []string{"pause", "resume"}[i%2]
		if err := a.Command(ctx, agent.Command{Name: name}); err != nil {
			t.Fatal(err)
		}
		if a.Status().Paused != (name == "pause") {
			t.Fatalf("after %s the status document says paused: %v", name, a.Status().Paused)
		}
	}
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// TestPing: the watchdog learns that the loop turns, and the status document does not.
func TestPing(t *testing.T) {
	d := emptyDevice{}
	a, err := agent.New(agent.Config{Anchor: []byte("not a root")},
		agent.Ports{Store: d, Images: d, Repository: d, System: d, Random: func() float64 { return 1 }},
		slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ended, over := context.WithCancel(t.Context())
	over()
	if err := a.Ping(ended); !errors.Is(err, context.Canceled) {
		t.Errorf("a ping of a loop that does not run: %v, expected that it waits", err)
	}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- a.Run(ctx) }()
	for range 3 {
		before := a.Beat()
		for a.Beat() == before { // a ping is taken before the loop has turned
			if err := a.Ping(ctx); err != nil {
				t.Fatal(err)
			}
		}
	}
	stop()
	if err := <-done; err != nil {
		t.Error(err)
	}
}
