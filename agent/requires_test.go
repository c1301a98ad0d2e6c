package agent

import (
	"log/slog"
	"strings"
	"testing"

	"github.com/ota-agent/ota-agent/release"
)

// TestCircleOfRequirements: releases that wait for each other are named, and so is one that waits for such;
// what merely waits is not.
func TestCircleOfRequirements(t *testing.T) {
	requires := func(component string) string { return `{"component":"` + component + `","rollback_index":9}` }
	for name, c := range map[string]struct {
		offers map[string]string // component → what its release requires
		met    string            // a component that has confirmed index 9
		want   string            // what the gate of a names; empty: no circle
	}{
		"nothing required":       {offers: map[string]string{"a": "", "b": ""}},
		"a chain":                {offers: map[string]string{"a": requires("b"), "b": requires("c"), "c": ""}},
		"two":                    {offers: map[string]string{"a": requires("b"), "b": requires("a")}, want: "a requires b requires a"},
		"itself":                 {offers: map[string]string{"a": requires("a")}, want: "a requires a"},
		"three":                  {offers: map[string]string{"a": requires("b"), "b": requires("c"), "c": requires("a")}, want: "a requires b requires c requires a"},
		"a circle further on":    {offers: map[string]string{"a": requires("b"), "b": requires("c"), "c": requires("b")}, want: "b requires c requires b"},
		"a second requirement":   {offers: map[string]string{"a": requires("c") + "," + requires("b"), "b": requires("a"), "c": ""}, met: "c", want: "a requires b requires a"},
		"one of them is met":     {offers: map[string]string{"a": requires("b"), "b": requires("a")}, met: "a"},
		"a component that isn't": {offers: map[string]string{"a": requires("z")}},
	} {
		e := &engine{book: &ledger{state: State{Records: map[string]Record{}}}, log: slog.New(slog.DiscardHandler)}
		if c.met != "" {
			e.book.state.Records[c.met] = Record{Component: c.met, Confirmed: indexed('1', 9, "")}
		}
		var own []release.Requirement
		for component, text := range c.offers {
			offered := indexed('2', 9, text)
			if component == "a" {
				own = offered.Info().Requires
			}
			e.live = append(e.live, &live{name: component, component: &Component{}, offer: Offer{Known: true, Release: offered}})
		}
		w := e.requiresGate("a", own)
		switch {
		case c.want == "" && w != nil && w.Reason != ReasonRequires:
			t.Errorf("%s: %s: %s", name, w.Reason, w.Text)
		case c.want != "" && (w == nil || w.Reason != ReasonRequiresCycle || !strings.Contains(w.Text, ": "+c.want+";")):
			t.Errorf("%s: %+v, expected %q", name, w, c.want)
		}
	}
}

// TestARequirementIsMetByWhatRuns: not by what was confirmed once. The bootloader may have fallen back since;
// nobody may ever have confirmed what runs; and what a component runs that the config does not name is not
// known.
func TestARequirementIsMetByWhatRuns(t *testing.T) {
	v2, v3 := indexed('2', 4, ""), indexed('3', 5, "")
	fell := bothGood()
	fell.Booted, fell.Primary = "A", "A"
	onTrial := bothGood()
	onTrial.Primary = "A"
	for name, c := range map[string]struct {
		record Record
		slots  *Slots
		offer  *Release
		gone   bool
		want   int64
	}{
		"what was confirmed runs":              {record: rollable(Idle), slots: bothGood(), want: 5},
		"the hook has not said yet":            {record: rollable(Idle), want: 5},
		"nor since the bootloader fell back":   {record: Record{Confirmed: v3, Previous: v2, Degraded: true}, want: 4},
		"the bootloader fell back":             {record: Record{Confirmed: v3, ConfirmedSlot: "B", Previous: v2, PreviousSlot: "A"}, slots: fell, want: 4},
		"to something that nobody remembers":   {record: Record{Confirmed: v3, ConfirmedSlot: "B"}, slots: fell, want: -1},
		"while something is fetched":           {record: Record{Phase: Fetching, Confirmed: v3, ConfirmedSlot: "B"}, slots: fell, want: -1},
		"nobody confirmed it, and it is known": {slots: bothGood(), offer: v3, want: 5},
		"nobody confirmed it, and it is other": {slots: bothGood(), offer: v2, want: -1},
		"it is on trial":                       {slots: onTrial, offer: v3, want: -1},
		"the config does not name it":          {record: rollable(Idle), gone: true, want: -1},
	} {
		e := &engine{book: &ledger{state: State{Records: map[string]Record{"rootfs": c.record}}}}
		x := &live{name: "rootfs", slots: c.slots, offer: Offer{Known: true, Release: c.offer}}
		if !c.gone {
			x.component = &Component{}
		}
		e.live = []*live{x}
		if got := confirmedIndex(e.running()["rootfs"]); got != c.want {
			t.Errorf("%s: index %d, expected %d", name, got, c.want)
		}
	}
}

// TestARollbackNeedsItsRequirements: what the release before requires must run, or it would only wait for it
// between two slots.
func TestARollbackNeedsItsRequirements(t *testing.T) {
	for index, want := range map[int]Reason{6: "", 5: ReasonRequires} {
		r := rollable(Idle)
		r.Previous = indexed('2', 5, `{"component":"app","rollback_index":6}`)
		e := &engine{book: &ledger{state: State{Records: map[string]Record{"rootfs": r, "app": {Confirmed: indexed('7', index, "")}}}}}
		e.p.System = &bareDevice{}
		c := &live{name: "rootfs", component: &Component{}, slots: bothGood()}
		e.live = []*live{c, {name: "app", component: &Component{}}}
		var got Reason
		if p := e.noRollback(c, r); p != nil {
			got = p.Reason
		}
		if got != want {
			t.Errorf("the application runs %d: reason %q, expected %q", index, got, want)
		}
	}
}

// TestWhatLeftTheConfigHoldsNoRollbackBack: an application that requires what is to be left keeps it where it
// is, and no more once the config does not name that application.
func TestWhatLeftTheConfigHoldsNoRollbackBack(t *testing.T) {
	needs := Record{Component: "app", Confirmed: indexed('7', 1, `{"component":"rootfs","rollback_index":6}`)}
	for named, want := range map[bool]Reason{true: ReasonRequires, false: ""} {
		r := rollable(Idle)
		e := &engine{book: &ledger{state: State{Records: map[string]Record{"rootfs": r, "app": needs}}}}
		e.p.System = &bareDevice{}
		c := &live{name: "rootfs", component: &Component{}, slots: bothGood()}
		e.live = []*live{c}
		if named {
			e.live = append(e.live, &live{name: "app", component: &Component{}})
		} else {
			e.live = append(e.live, &live{name: "app"}) // it is still being brought to rest
		}
		var got Reason
		if p := e.noRollback(c, r); p != nil {
			got = p.Reason
		}
		if got != want {
			t.Errorf("the config names the application: %t: reason %q, expected %q", named, got, want)
		}
	}
}
