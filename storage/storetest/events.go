package storetest

import (
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/ota-agent/ota-agent/agent"
)

// Event is an event with every field set.
func Event(seq uint64, kind agent.EventKind) agent.Event {
	at := time.Date(2026, 3, 1, 12, 0, 0, 123456789, time.UTC)
	return agent.Event{
		Schema: agent.EventSchema, Journal: "0123456789abcd", Seq: seq, At: at, BootID: "boot", Component: "rootfs", Kind: kind, Slot: "B",
		Release: &agent.ReleaseStatus{Version: "1.0", SHA256: "ab", Length: 5},
		Problem: &agent.Problem{Reason: agent.ReasonUnhealthy, Text: "it said \"no\"\n<&>", At: at}, Count: 3, First: 1,
	}
}

func wantEvents(t *testing.T, s agent.Store, want ...agent.Event) {
	t.Helper()
	if got := loaded(t, s).Events; !reflect.DeepEqual(got, want) {
		t.Errorf("events:\n%+v, expected\n%+v", got, want)
	}
}

func eventsAreKept(t *testing.T, s agent.Store) {
	a, b, c, d := Event(9, agent.EventTrial), Event(255, agent.EventStaged), Event(256, agent.EventConfirmed), Event(1<<40, agent.EventHeld)
	commit(t, s, agent.Change{Events: []agent.Event{b, a}})
	commit(t, s, agent.Change{Events: []agent.Event{d, c}, Records: []agent.Record{Record("a", agent.Trial)}})
	each(t, s, func(t *testing.T, s agent.Store) {
		wantEvents(t, s, a, b, c, d)
		if last := loaded(t, s).Journal.Last; last != d.Seq {
			t.Errorf("the last event is %d, expected %d", last, d.Seq)
		}
	})
	s = reopened(t, s)
	got := loaded(t, s).Events
	got[0].Release.Version, got[0].Problem.Text = "other", "other"
	d.Release.Version = "other"
	want := Event(1<<40, agent.EventHeld)
	if events := loaded(t, s).Events; !reflect.DeepEqual(events, []agent.Event{a, b, c, want}) {
		t.Errorf("the events changed under the store: %+v", events)
	}
}

func eventsAreReplaced(t *testing.T, s agent.Store) {
	var all []agent.Event
	for i := range uint64(20) {
		all = append(all, Event(i+1, agent.EventTrial))
	}
	commit(t, s, agent.Change{Events: all})
	other := agent.Event{Seq: 4, Kind: agent.EventStaged}
	commit(t, s, agent.Change{Events: []agent.Event{other, Event(21, agent.EventHeld)}, DropEvents: []uint64{1, 3, 999}})
	want := slices.Concat(all[1:2], []agent.Event{other}, all[4:], []agent.Event{Event(21, agent.EventHeld)})
	each(t, s, func(t *testing.T, s agent.Store) { wantEvents(t, s, want...) })
}

func markIsKept(t *testing.T, s agent.Store) {
	mark := agent.JournalMark{ID: "0123456789abcd", Last: 7, Told: 5}
	commit(t, s, agent.Change{Events: []agent.Event{Event(7, agent.EventTrial)}, Journal: &mark})
	commit(t, reopened(t, s), agent.Change{DropEvents: []uint64{7}})
	each(t, reopened(t, s), func(t *testing.T, s agent.Store) {
		if st := loaded(t, s); st.Journal != mark || len(st.Events) != 0 {
			t.Errorf("journal %+v with %d events, expected %+v with none", st.Journal, len(st.Events), mark)
		}
	})
}
