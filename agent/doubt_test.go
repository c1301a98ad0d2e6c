package agent

import (
	"context"
	"log/slog"
	"slices"
	"testing"

	"github.com/ota-agent/ota-agent/verifier"
)

// TestDoubt: what a state in which nothing was ever confirmed makes of a slot that boots only for its trial,
// of one that boots for good, and of one beside which there is nothing good.
func TestDoubt(t *testing.T) {
	slots := func(booted, primary string, good bool) *Slots {
		return &Slots{Booted: booted, Primary: primary, Slots: map[string]Slot{"A": {Good: good}, "B": {Good: booted == primary, SHA256: releaseV2.SHA256()}}}
	}
	long := defaultTrialDeadline
	for _, c := range []struct {
		name    string
		r       Record
		f       Facts
		want    ActionKind
		waiting Reason
	}{
		{"what the hook says first", Record{}, Facts{Slots: slots("B", "A", true), Looks: 1}, Observe, ReasonStateNew},
		{"what it says again and again", Record{}, Facts{Slots: slots("B", "A", true), Looks: BlindLooksMin}, Doubt, ""},
		{"until the trial's time is over", Record{Doubted: true}, Facts{Slots: slots("B", "A", true), Uptime: long - 1, LookIn: 1}, Wait, ReasonStateNew},
		{"whether it is so still", Record{Doubted: true}, Facts{Slots: slots("B", "A", true), Uptime: long - 1}, Observe, ReasonStateNew},
		{"after it", Record{Doubted: true}, Facts{Slots: slots("B", "A", true), Uptime: long}, Restart, ""},
		{"after it, at a gate", Record{Doubted: true}, Facts{Slots: slots("B", "A", true), Uptime: long, InstallGate: &Waiting{Reason: ReasonPaused}}, Wait, ReasonPaused},
		{"after it, in the second boot that leads here", Record{Doubted: true, BlindBoots: 1, RebootedIn: "boot-0"}, Facts{Slots: slots("B", "A", true), Uptime: long, LookIn: 1}, Wait, ReasonStateNew},
		{"after a reboot that does not come", Record{Doubted: true, BlindBoots: 1, RebootedIn: "boot-1"}, Facts{Slots: slots("B", "A", true), Uptime: long}, Restart, ""},
		{"however often", Record{Doubted: true, BlindBoots: 99, RebootedIn: "boot-0"}, Facts{Slots: slots("B", "A", true), Uptime: doubtedMax}, Restart, ""},
		{"where the config says so", Record{Doubted: true}, Facts{Slots: slots("B", "A", true), ProveNew: true}, Prove, ""},
		{"a slot that boots for good", Record{}, Facts{Slots: slots("B", "B", true), Looks: BlindLooksMin}, Adopt, ""},
		{"a slot that boots for good by now", Record{Doubted: true}, Facts{Slots: slots("B", "B", true)}, Trust, ""},
		{"no good slot beside it", Record{}, Facts{Slots: slots("B", "A", false), Looks: BlindLooksMin}, Observe, ""},
		{"a device that has confirmed something", Record{Confirmed: releaseV3, ConfirmedSlot: "B"}, Facts{Slots: slots("B", "A", true)}, Prove, ""},
	} {
		c.r.Phase, c.f.StateNew, c.f.BootID = Idle, true, "boot-1"
		c.f.Component, c.f.Offer = &Component{Reboot: true}, Offer{Known: true, Release: releaseV2}
		a := Next(c.r, c.f)
		if a.Kind != c.want || c.waiting != "" && (a.Waiting == nil || a.Waiting.Reason != c.waiting) {
			t.Errorf("%s: %s (%+v), expected %s (%s)", c.name, a.Kind, a.Waiting, c.want, c.waiting)
		}
		c.f.Component = &Component{} // an application is left by nothing but its launcher or a person
		if a := Next(c.r, c.f); a.Kind == Restart {
			t.Errorf("%s, of an application: %s", c.name, a.Kind)
		}
	}
	r := Record{Phase: Idle, Doubted: true}
	for range 3 {
		r = Step(r, Action{Kind: Restart, BootID: "boot-1"}, nil)
	}
	if r.BlindBoots != 1 || r.RebootedIn != "boot-1" {
		t.Errorf("a reboot that was ordered three times in one boot counts %d times", r.BlindBoots)
	}
	if r = Step(r, Action{Kind: Trust}, nil); r.Doubted || r.BlindBoots != 0 || r.RebootedIn != "" {
		t.Errorf("what is over leaves %+v", r)
	}
}

// TestWhatShowsThatTheStateIsNotNew: a component that nothing was ever confirmed of is doubted only where the
// state holds nothing else of the device's life either. A new config may have given it another name, and
// retry may have made it forget what it was confirmed with.
func TestWhatShowsThatTheStateIsNotNew(t *testing.T) {
	trial := Record{Schema: RecordSchema, Component: "rootfs", Phase: Trial, Release: releaseV2, Reboot: true, TargetSlot: "B", BootID: "boot-1"}
	ended := Event{Schema: EventSchema, Journal: "j", Seq: 1, Component: "system", Kind: EventConfirmed, Release: eventRelease(releaseV2)}
	for _, c := range []struct {
		name  string
		state State
		want  bool
	}{
		{"an empty one", State{}, true},
		{"an application's update", State{Records: map[string]Record{"app": {Component: "app", Phase: Trial, Release: releaseV2, TargetSlot: "B", BootID: "boot-1"}}}, true},
		{"the trial under the name of before", State{Records: map[string]Record{"rootfs": trial}}, false},
		{"an update that ended", State{Events: []Event{ended}, Journal: JournalMark{ID: "j", Last: 1}}, false},
		{"a floor", State{Floors: verifier.Floors{Index: map[string]verifier.Floor{"system": {Version: 1}}}}, false},
	} {
		for _, c.state.New = range []bool{false, true} {
			d := &bareDevice{state: c.state}
			e := d.start(t, "system").engine
			system := e.component("system")
			system.component.Reboot = true
			if got := e.facts(system, e.book.record("system")).StateNew; got != c.want {
				t.Errorf("%s (new: %t): %t, expected %t", c.name, c.state.New, got, c.want)
			}
		}
	}
}

// A leavingDevice counts the reboots and what the gate hook was asked for.
type leavingDevice struct {
	*bareDevice
	reboots int
	asked   []string
}

func (d *leavingDevice) Reboot(context.Context) error { d.reboots++; return nil }

func (d *leavingDevice) Do(_ context.Context, verb Verb, j Job) error {
	if verb == VerbGate {
		d.asked = append(d.asked, j.Slot)
	}
	return nil
}

// TestNothingKeepsADoubtedSlot: neither what the release on offer requires of components that nothing is
// known of in this state, nor a gate hook that was only ever asked for downloads. Nothing else would have led
// out of that slot.
func TestNothingKeepsADoubtedSlot(t *testing.T) {
	for _, hook := range []string{"", "/gate"} {
		slots := &Slots{Booted: "B", Primary: "A", Slots: map[string]Slot{"A": {Good: true}, "B": {}}}
		d := &leavingDevice{bareDevice: &bareDevice{slots: slots, state: State{New: true, Records: map[string]Record{
			"rootfs": {Schema: RecordSchema, Component: "rootfs", Phase: Idle, Doubted: true}}}}}
		cfg := Config{Anchor: []byte("not a root"), Gates: Gates{Hook: hook},
			Components: []Component{{Name: "rootfs", Target: "rootfs", Hook: "/hook", Reboot: true}, {Name: "app", Target: "app", Hook: "/hook"}}}
		a, err := New(cfg, Ports{Store: d, Images: d, Repository: d, Installer: d, System: d, Random: func() float64 { return 0.5 }}, slog.New(slog.DiscardHandler))
		must(t, err)
		a.engine.component("rootfs").offer = Offer{Known: true, Release: indexed('2', 5, `{"component":"app","rollback_index":5}`)}
		turns(t, a)
		if d.reboots != 1 || hook != "" && !slices.Contains(d.asked, holdsInstall) {
			t.Errorf("gate hook %q, asked for %v: %d reboots; it waits for %+v", hook, d.asked, d.reboots, a.Status().Components[0].Waiting)
		}
	}
}
