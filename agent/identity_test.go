package agent

import (
	"log/slog"
	"testing"
)

// named starts a process on the device with an ID.
func (d *bareDevice) named(t *testing.T, id string) *Agent {
	t.Helper()
	cfg := Config{Anchor: []byte("not a root"), Device: Device{ID: id, Hardware: "board", Channel: "stable"},
		Components: []Component{{Name: "app", Target: "app", Hook: "/hook"}}}
	a, err := New(cfg, Ports{Store: d, Images: d, Repository: d, Installer: d, System: d, Random: func() float64 { return 0.5 }},
		slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// A device whose ID is another one says so in its status, and in one event that is durable with the new ID:
// once, however often it starts before something is committed, and not again after it.
func TestAnotherIDIsTold(t *testing.T) {
	pause := func(a *Agent, name string) {
		t.Helper()
		if err := a.engine.command(Command{Name: name}); err != nil {
			t.Fatal(err)
		}
	}
	idOf := func(a *Agent) string { a.publish(); return a.Status().IDBefore }
	d := &bareDevice{}
	a := d.named(t, "board-1")
	if got := idOf(a); got != "" {
		t.Errorf("the first ID is not a change: %q", got)
	}
	if d.state.Device.ID != "" {
		t.Error("the ID alone caused a commit")
	}
	pause(a, "pause")
	if d.state.Device.ID != "board-1" || !d.state.Device.Paused {
		t.Errorf("after a commit the state holds %+v", d.state.Device)
	}
	if a := d.named(t, "board-1"); idOf(a) != "" || len(a.engine.book.outbox.ahead) != 0 {
		t.Errorf("the same ID is told as a change")
	}
	for range 2 { // nothing is committed between the two
		a = d.named(t, "board-2")
		if got := idOf(a); got != "board-1" {
			t.Errorf("the status says that the ID before was %q", got)
		}
	}
	pause(a, "resume")
	if d.state.Device.ID != "board-2" || d.state.Device.Paused {
		t.Errorf("after a commit the state holds %+v", d.state.Device)
	}
	if events := a.History().Events; len(events) != 1 || events[0].Kind != EventIDChanged || events[0].Problem.Reason != ReasonIDChanged || events[0].Kind.progress() {
		t.Errorf("events: %+v", events)
	}
	if got := idOf(a); got != "board-1" {
		t.Errorf("after the commit the status of this process says %q", got)
	}
	a = d.named(t, "board-2")
	if got := idOf(a); got != "" || len(a.engine.book.outbox.ahead) != 0 {
		t.Errorf("after the commit the change is told again: %q", got)
	}
}

// An empty change stays one: nothing new costs no write, also where the ID is not durable yet.
func TestTheIDAloneIsNoReasonToCommit(t *testing.T) {
	l := &ledger{id: "board-1"}
	if c := l.identified(Change{}); c.Device != nil {
		t.Errorf("got %+v", c.Device)
	}
	if c := l.identified(Change{Records: []Record{{}}}); c.Device == nil || c.Device.ID != "board-1" {
		t.Errorf("got %+v", c.Device)
	}
}
