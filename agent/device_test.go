package agent

import (
	"context"
	"log/slog"
	"maps"
	"testing"
	"time"

	"github.com/ota-agent/ota-agent/verifier"
)

// A bareDevice keeps what is committed in memory, and has nothing else: no repository answers, and the hook's status is
// slots, or a failure where that is nil.
type bareDevice struct {
	state State
	slots *Slots
}

func (d *bareDevice) Load() (State, error) {
	s := d.state
	s.Records = maps.Clone(d.state.Records)
	return s, nil
}
func (d *bareDevice) Document(verifier.Key) ([]byte, error) { return nil, ErrAbsent }
func (d *bareDevice) Commit(c Change) error {
	if d.state.Records == nil {
		d.state.Records = map[string]Record{}
	}
	for _, r := range c.Records {
		d.state.Records[r.Component] = r
	}
	if c.Device != nil {
		d.state.Device = *c.Device
	}
	if c.Metadata.Floors != nil {
		d.state.Floors = *c.Metadata.Floors
	}
	return nil
}

func (d *bareDevice) BootID() string                           { return "boot-1" }
func (d *bareDevice) Uptime() time.Duration                    { return time.Hour }
func (d *bareDevice) Clock() (time.Time, bool)                 { return testNow, true }
func (d *bareDevice) Reboot(context.Context) error             { return nil }
func (d *bareDevice) Local() bool                              { return true }
func (d *bareDevice) MetadataRefused() bool                    { return false }
func (d *bareDevice) MetadataAccepted()                        {}
func (d *bareDevice) MetadataSource() string                   { return "" }
func (d *bareDevice) ImageSource(string) string                { return "" }
func (d *bareDevice) ImageRefused(string) bool                 { return false }
func (d *bareDevice) Keep([]verifier.Target) error             { return nil }
func (d *bareDevice) Partial(verifier.Target) (Partial, error) { return nil, ErrAbsent }
func (d *bareDevice) Open(verifier.Target) (Image, error)      { return nil, ErrAbsent }
func (d *bareDevice) Do(context.Context, Verb, Job) error      { return nil }
func (d *bareDevice) Running(string) (HookRun, bool)           { return HookRun{}, false }
func (d *bareDevice) Metadata(context.Context, string, int64) ([]byte, error) {
	return nil, ErrAbsent
}
func (d *bareDevice) Image(context.Context, ImageRequest) (ImageBody, error) {
	return ImageBody{}, ErrAbsent
}
func (d *bareDevice) Install(context.Context, Job, verifier.Verified, Image) error { return nil }
func (d *bareDevice) Status(context.Context, Job) (Slots, error) {
	if d.slots == nil {
		return Slots{}, &Problem{Reason: ReasonHookFailed, Text: "the hook fails"}
	}
	return *d.slots, nil
}

// start is a process on the device.
func (d *bareDevice) start(t *testing.T, components ...string) *Agent {
	t.Helper()
	cfg := Config{Anchor: []byte("not a root")}
	for _, name := range components {
		cfg.Components = append(cfg.Components, Component{Name: name, Target: name, Hook: "/hook"})
	}
	a, err := New(cfg, Ports{Store: d, Images: d, Repository: d, Installer: d, System: d, Random: func() float64 { return 0.5 }},
		slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// turns turns the agent's loop a few times.
func turns(t *testing.T, a *Agent) {
	t.Helper()
	for range 5 {
		if _, err := a.Turn(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}
