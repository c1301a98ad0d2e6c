package agent

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

// kindsOf lists what events tell of.
func kindsOf(events []Event) []EventKind {
	kinds := []EventKind{}
	for _, e := range events {
		kinds = append(kinds, e.Kind)
	}
	return kinds
}

// TestTell goes through the machine's own steps, and says which events each of them makes.
func TestTell(t *testing.T) {
	confirmed := Record{Schema: RecordSchema, Component: "rootfs", Phase: Idle, Confirmed: testRelease('1'), ConfirmedSlot: "A"}
	at := func(p Phase) Record {
		return confirmed.with(func(r *Record) { r.Phase, r.Release, r.TargetSlot, r.Reboot = p, releaseV2, "B", true })
	}
	failed := func(x Reason) *Problem { return &Problem{Reason: x, Text: "it failed"} }
	unreachable := at(Rejecting).with(func(r *Record) { r.Unreachable = releaseV2.ID() })
	held := confirmed.with(func(r *Record) {
		r.Unreachable, r.Held = releaseV2.ID(), []Hold{{ID: releaseV2.ID(), Count: HoldAfter - 1}}
	})
	for _, c := range []struct {
		name string
		from Record
		a    Action
		p    *Problem
		want []EventKind
	}{
		{"taken up", confirmed, Action{Kind: TakeUp, Release: releaseV2}, nil, []EventKind{EventTakenUp}},
		{"a lost trial found", confirmed, Action{Kind: Prove, Release: releaseV2, Slot: "B", BootID: "boot"}, nil, []EventKind{EventTakenUp, EventTrial}},
		{"adopted", Record{Phase: Idle}, Action{Kind: Adopt, Release: releaseV2, Slot: "A"}, nil, []EventKind{EventAdopted}},
		{"staged", at(Fetching), Action{Kind: Fetch, SHA256: "ab"}, nil, []EventKind{EventStaged}},
		{"a download that failed", at(Fetching), Action{Kind: Fetch}, failed(ReasonCut), nil},
		{"ordered", at(Staged), Action{Kind: Order, Slot: "B"}, nil, nil},
		{"restaged", at(Writing), Action{Kind: Restage}, nil, nil},
		{"installed", at(Writing), Action{Kind: Install, BootID: "boot"}, nil, []EventKind{EventInstalled}},
		{"an install that failed", at(Writing), Action{Kind: Install}, failed(ReasonHookFailed), []EventKind{EventFailed}},
		{"an install that found a bad image", at(Writing), Action{Kind: Install}, failed(ReasonHashMismatch), []EventKind{EventFailed}},
		{"an install that asks for patience", at(Writing), Action{Kind: Install}, failed(ReasonHookBusy), nil},
		{"an install that refuses", at(Writing), Action{Kind: Install}, failed(ReasonHookRefused), []EventKind{EventRejected}},
		{"dropped", at(Staged), Action{Kind: Drop, Problem: failed(ReasonWithdrawn)}, nil, []EventKind{EventWithdrawn}},
		{"tried", at(Switched), Action{Kind: Try, BootID: "boot"}, nil, nil},
		{"on trial", at(Switched), Action{Kind: Enter, BootID: "boot"}, nil, []EventKind{EventTrial}},
		{"on trial in another boot", at(Trial), Action{Kind: Enter, BootID: "next boot"}, nil, []EventKind{EventFailed, EventTrial}},
		{"a trial cut short", at(Trial), Action{Kind: Rearm, BootID: "boot"}, nil, []EventKind{EventFailed}},
		{"unhealthy", at(Trial), Action{Kind: Examine, BootID: "boot"}, failed(ReasonUnhealthy), []EventKind{EventGoingBack}},
		{"condemned", at(Trial), Action{Kind: Condemn, Problem: failed(ReasonUnhealthy)}, nil, []EventKind{EventGoingBack}},
		{"given up", at(Trial), Action{Kind: GiveUp, Problem: failed(ReasonTrialNoRepo)}, nil, []EventKind{EventGoingBack}},
		{"rejected", at(Rejecting).with(func(r *Record) { r.Verdict = failed(ReasonUnhealthy) }), Action{Kind: Settle}, nil, []EventKind{EventRejected}},
		{"going back", at(Trial), Action{Kind: Withdraw, Problem: failed(ReasonWithdrawn)}, nil, []EventKind{EventGoingBack}},
		{"withdrawn", at(Rejecting).with(func(r *Record) { r.Cause = failed(ReasonWithdrawn) }), Action{Kind: Settle}, nil, []EventKind{EventWithdrawn}},
		{"given up, and back", unreachable, Action{Kind: Settle}, nil, []EventKind{EventGivenUp}},
		{"counted", held.with(func(r *Record) { r.Held = nil }), Action{Kind: Count, Now: testNow}, nil, nil},
		{"held", held, Action{Kind: Count, Now: testNow}, nil, []EventKind{EventHeld}},
		{"approved", at(Trial), Action{Kind: Approve}, nil, nil},
		{"confirmed", at(Confirming), Action{Kind: Finish}, nil, []EventKind{EventConfirmed}},
		{"degraded", confirmed, Action{Kind: Degrade}, nil, []EventKind{EventDegraded}},
		{"restored", confirmed.with(func(r *Record) { r.Degraded = true }), Action{Kind: Restore}, nil, []EventKind{EventRestored}},
		{"of a newer agent", at("soaking"), Next(at("soaking"), Facts{}), nil, []EventKind{EventWithdrawn}},
		{"nothing", confirmed, Action{Kind: Forgive}, nil, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			why := c.p
			if c.a.Kind == Drop {
				why = c.a.Problem
			}
			told := tell(c.from, Step(c.from, c.a, c.p), why)
			if reflect.DeepEqual(c.from, Step(c.from, c.a, c.p)) {
				told = nil // nothing is committed then
			}
			if got := kindsOf(told); !slices.Equal(got, c.want) {
				t.Fatalf("told of %v, expected %v", got, c.want)
			}
			for _, e := range told {
				if e.Release == nil || e.Release.SHA256 == "" || e.Component != c.from.Component {
					t.Errorf("event %+v does not say of what", e)
				}
				bad := slices.Contains([]EventKind{EventFailed, EventRejected, EventGivenUp, EventHeld, EventDegraded}, e.Kind) ||
					e.Kind == EventGoingBack && c.p == nil || e.Kind == EventWithdrawn
				if bad && (e.Problem == nil || e.Problem.Reason == "" || e.Problem.Text == "") {
					t.Errorf("event %+v does not say why", e)
				}
			}
		})
	}
}

// TestRollBackIsTold: the release that is left is rejected in the same commit, and has an event of its own.
func TestRollBackIsTold(t *testing.T) {
	from := Record{Component: "rootfs", Phase: Confirming, Release: releaseV2, TargetSlot: "A", Back: true, Confirmed: releaseV3, ConfirmedSlot: "B"}
	told := tell(from, Step(from, Action{Kind: Finish, Now: testNow}, nil), nil)
	if got := kindsOf(told); !slices.Equal(got, []EventKind{EventRolledBack, EventRejected}) {
		t.Fatalf("told of %v", got)
	}
	if told[0].Release.SHA256 != releaseV2.SHA256() || told[0].Slot != "A" || told[1].Release.SHA256 != releaseV3.SHA256() || told[1].Slot != "B" || told[1].Problem == nil {
		t.Errorf("told: %+v", told)
	}
}

// TestFallBackIsNotedOnce: the machine notes it, and its end, each in one commit.
func TestFallBackIsNotedOnce(t *testing.T) {
	r := Record{Schema: RecordSchema, Component: "rootfs", Phase: Idle, Confirmed: releaseV2, ConfirmedSlot: "B"}
	f := Facts{Component: &Component{}, BootID: "boot-1", Slots: &Slots{Booted: "A", Primary: "A", Slots: map[string]Slot{"A": {Good: true}, "B": {}}}}
	for _, want := range []ActionKind{Degrade, Wait} {
		a := Next(r, f)
		if a.Kind != want {
			t.Fatalf("fell back: %s, expected %s", a.Kind, want)
		}
		r = Step(r, a, nil)
	}
	f.Slots.Booted = "B"
	for _, want := range []ActionKind{Restore, Wait} {
		a := Next(r, f)
		if a.Kind != want {
			t.Fatalf("back again: %s, expected %s", a.Kind, want)
		}
		r = Step(r, a, nil)
	}
	f.Slots.Booted, f.Slots.Slots["A"] = "A", Slot{Good: true, SHA256: releaseV2.SHA256()}
	if a := Next(r, f); a.Kind != Wait {
		t.Errorf("the other slot holds the same release: %s", a.Kind)
	}
	// What was noted holds until something else is confirmed: an update in between does not tell of it again.
	f.Slots.Slots["A"] = Slot{Good: true}
	r = Step(Step(Step(r, Next(r, f), nil), Action{Kind: TakeUp, Release: releaseV3}, nil), Action{Kind: Drop}, nil)
	if a := Next(r, f); a.Kind != Wait || !r.Degraded {
		t.Errorf("after an update that came to nothing: %s", a.Kind)
	}
}

func event(k EventKind, component, version string) Event {
	return Event{Component: component, Kind: k, Release: &ReleaseStatus{Version: version}}
}

// TestFold says which verdict is counted in which when there are too many.
func TestFold(t *testing.T) {
	for name, c := range map[string]struct {
		list, want string // kind, component and release of each; then First and Count where they are set
	}{
		"the same release first":   {"cA1 rA2 cB1 rA2 cA3", "cA1 cB1 rA2/2/2 cA3"},
		"then the same component":  {"cA1 rA2 cB1 cA3", "rA2 cB1 cA3/1/2"},
		"then the same kind":       {"cA1 rA2 cB3 dA4", "rA2 cB3/1/2 dA4"},
		"then any":                 {"cA1 rA2 dA3", "rA2/1/2 dA3"},
		"what stands for more":     {"cA1/1/3 cA1/2/2", "cA1/1/5"},
		"the oldest pair of alike": {"cA1 cA2 cA3", "cA2/1/2 cA3"},
	} {
		t.Run(name, func(t *testing.T) {
			kinds := map[byte]EventKind{'c': EventConfirmed, 'r': EventRejected, 'd': EventDegraded}
			var list []Event
			for i, word := range strings.Fields(c.list) {
				e := event(kinds[word[0]], word[1:2], word[2:3])
				e.Seq = uint64(i + 1)
				if len(word) > 3 {
					fmt.Sscanf(word[3:], "/%d/%d", &e.First, &e.Count)
				}
				list = append(list, e)
			}
			var got []string
			for _, e := range fold(list) {
				word := string(e.Kind[0]) + e.Component + e.Release.Version
				if e.Count > 0 {
					word += fmt.Sprintf("/%d/%d", e.First, e.Count)
				}
				got = append(got, word)
			}
			if strings.Join(got, " ") != c.want {
				t.Errorf("got %v, expected %s", got, c.want)
			}
		})
	}
}

// TestFloodOfEvents floods journals with anything, acknowledged now and then or never. The number and the bytes stay
// bounded, and every verdict that nobody was told of is there, by itself or counted in a later one.
func TestFloodOfEvents(t *testing.T) {
	kinds := []EventKind{EventTakenUp, EventStaged, EventInstalled, EventTrial, EventGoingBack, EventFailed, EventRecovered, EventConfirmed,
		EventAdopted, EventRejected, EventWithdrawn, EventGivenUp, EventHeld, EventDegraded, EventRestored, "newer"}
	for seed := range uint64(30) {
		r := rand.New(rand.NewPCG(seed, 0))
		acknowledged := float64(seed%3) * 0.01 // in each third journal never
		components, releases := 1+r.IntN(40), 1+r.IntN(50)
		j := journal{mark: JournalMark{ID: "j"}}
		untold := map[uint64]EventKind{}
		for range 300 {
			var told []Event
			for range r.IntN(3) {
				told = append(told, event(kinds[r.IntN(len(kinds))], fmt.Sprint("c", r.IntN(components)), fmt.Sprint(r.IntN(releases))))
			}
			next := j.with(told)
			checkChange(t, j, next)
			j = next
			for _, e := range j.events[max(0, len(j.events)-len(told)):] {
				if !e.Kind.progress() && e.Seq > j.mark.Last-uint64(len(told)) {
					untold[e.Seq] = e.Kind
				}
			}
			if r.Float64() < acknowledged && len(j.events) > 0 {
				j.mark.Told = max(j.mark.Told, j.events[r.IntN(len(j.events))].Seq)
			}
			for seq := range untold {
				if seq <= j.mark.Told {
					delete(untold, seq)
				}
			}
			if why := brokenJournal(j, untold); why != "" {
				t.Fatalf("seed %d: %s", seed, why)
			}
		}
	}
}

// brokenJournal names the bound that a journal breaks, or is empty.
func brokenJournal(j journal, untold map[uint64]EventKind) string {
	progress, verdicts, stands := 0, 0, 0
	for i, e := range j.events {
		if i > 0 && e.Seq <= j.events[i-1].Seq {
			return fmt.Sprintf("event %d comes after event %d", e.Seq, j.events[i-1].Seq)
		}
		if e.Kind.progress() {
			progress++
			continue
		}
		verdicts++
		if e.Seq > j.mark.Told {
			stands += max(1, e.Count)
		}
	}
	if progress > EventProgressMax || verdicts > EventVerdictsMax {
		return fmt.Sprintf("%d events of progress and %d verdicts are kept", progress, verdicts)
	}
	if stands < len(untold) {
		return fmt.Sprintf("%d verdicts were not told, and those that are kept stand for %d", len(untold), stands)
	}
	for seq, kind := range untold {
		if !slices.ContainsFunc(j.events, func(e Event) bool {
			return e.Kind == kind && (e.Seq == seq || e.First > 0 && e.First <= seq && seq < e.Seq)
		}) {
			return fmt.Sprintf("the verdict %s, event %d, is gone", kind, seq)
		}
	}
	return ""
}

// checkChange: what a commit changes makes the one journal of the other.
func checkChange(t *testing.T, from, to journal) {
	t.Helper()
	put, drop := from.change(to)
	got := map[uint64]Event{}
	for _, e := range from.events {
		got[e.Seq] = e
	}
	for _, seq := range drop {
		delete(got, seq)
	}
	for _, e := range put {
		got[e.Seq] = e
	}
	if len(got) != len(to.events) {
		t.Fatalf("the change leads to %d events, expected %d", len(got), len(to.events))
	}
	for _, e := range to.events {
		if got[e.Seq] != e {
			t.Fatalf("event %d: %+v, expected %+v", e.Seq, got[e.Seq], e)
		}
	}
}

// TestEventBytes: whatever a hook prints, an event's JSON is bounded, and its text stays text.
func TestEventBytes(t *testing.T) {
	for _, text := range []string{"\x00", "\xff", "<", "é", "€", "\U0001F600"} {
		long := strings.Repeat(text, 5000)
		rel := testRelease('2')
		rel.Target.SHA512 = slices.Repeat([]byte{1}, 64)
		custom, err := json.Marshal(map[string]any{"ota": map[string]any{"version": strings.Repeat("é", 64)}})
		if err != nil {
			t.Fatal(err)
		}
		rel.Target.Custom = custom
		from := Record{Component: long, Phase: Writing, Release: rel, TargetSlot: long}
		p := &Problem{Reason: ReasonLengthMismatch, Text: long, At: testNow}
		told := stamp(tell(from, Step(from, Action{Kind: Install}, p), p), testNow, long)
		b, err := json.Marshal(journal{}.with(told).events[0])
		if err != nil || len(b) > EventBytesMax {
			t.Errorf("%q: %d bytes, expected at most %d; %v", text, len(b), EventBytesMax, err)
		}
		if got := told[0].Problem.Text; !strings.HasPrefix(long, got) || len(got) > eventTextMax || len(got)%len(text) != 0 {
			t.Errorf("%q is cut to %q", text, got)
		}
	}
}

// A memory keeps what is committed to it, and counts.
type memory struct {
	Store
	state   State
	commits []Change
	fails   error
}

func (m *memory) Load() (State, error) { return m.state, nil }
func (m *memory) Commit(c Change) error {
	m.commits = append(m.commits, c)
	return m.fails
}

// outboxOf is an agent that has no more than a ledger.
func outboxOf(t *testing.T, m *memory) (*Agent, *ledger) {
	t.Helper()
	l, err := openLedger(m)
	if err != nil {
		t.Fatal(err)
	}
	l.outbox.now = func() (time.Time, string) { return testNow, "boot" }
	l.outbox.random = func() float64 { return 0.5 }
	return &Agent{engine: &engine{book: l}}, l
}

// TestAcknowledgementsWriteNothing: whatever a broker says, it causes no commit; what it said is part of the next one.
func TestAcknowledgementsWriteNothing(t *testing.T) {
	m := &memory{}
	a, l := outboxOf(t, m)
	if _, ok := a.NextEvent(); ok {
		t.Fatal("there is an event before anything happened")
	}
	for _, x := range []Record{{Phase: Fetching, Release: releaseV2}, {Phase: Staged, Release: releaseV2}, {Phase: Idle}} {
		x.Component = "rootfs"
		if err := l.put(x, false, nil); err != nil {
			t.Fatal(err)
		}
	}
	if len(m.commits) != 3 || len(m.commits[0].Events) != 1 || m.commits[0].Journal.ID == "" {
		t.Fatalf("%d commits: %+v", len(m.commits), m.commits)
	}
	for _, unknown := range []uint64{0, 1, 2, 3, 1 << 63} {
		a.Acknowledge(unknown) // none of them was handed out
	}
	for _, want := range []uint64{1, 2, 3} {
		for range 2 { // until it is acknowledged it comes again
			if e, ok := a.NextEvent(); !ok || e.Seq != want {
				t.Fatalf("event %d comes next, expected %d", e.Seq, want)
			}
			a.Acknowledge(want + 1)
			a.Acknowledge(want - 1)
		}
		a.Acknowledge(want)
	}
	if e, ok := a.NextEvent(); ok {
		t.Errorf("event %d comes after all were acknowledged", e.Seq)
	}
	if h := a.History(); len(m.commits) != 3 || h.Acknowledged != 3 || len(h.Events) != 3 {
		t.Errorf("%d commits, history %+v", len(m.commits), h)
	}
	if err := l.put(l.record("rootfs"), false, nil); err != nil || len(m.commits) != 3 {
		t.Errorf("no change made commit %d: %v", len(m.commits), err)
	}
	if err := l.commit(Change{Time: &TimeFloor{}}, nil); err != nil || m.commits[3].Journal == nil || m.commits[3].Journal.Told != 3 {
		t.Errorf("the next commit is %+v, %v", m.commits[3], err)
	}
	if err := l.commit(Change{Time: &TimeFloor{}}, nil); err != nil || m.commits[4].Journal != nil {
		t.Errorf("the one after it is %+v, %v", m.commits[4], err)
	}
}

// TestNothingIsToldBeforeItIsDurable: an event whose commit failed was never handed out.
func TestNothingIsToldBeforeItIsDurable(t *testing.T) {
	m := &memory{fails: errors.New("full")}
	a, l := outboxOf(t, m)
	if err := l.put(Record{Component: "rootfs", Phase: Fetching, Release: releaseV2}, false, nil); err == nil {
		t.Fatal("the commit succeeded")
	}
	if e, ok := a.NextEvent(); ok || len(m.commits[0].Events) != 1 || len(a.History().Events) != 0 {
		t.Errorf("handed out: %+v", e)
	}
}

// TestRepairsAreTold: what the store repaired at start goes with the first commit, and causes none.
func TestRepairsAreTold(t *testing.T) {
	m := &memory{state: State{Recovered: []string{"set aside", "more"}, Journal: JournalMark{Last: 7}}}
	a, l := outboxOf(t, m)
	l.outbox.tellRecovered(l.recovered())
	if _, ok := a.NextEvent(); ok || len(m.commits) != 0 {
		t.Fatalf("it is told before a commit, or made %d of them", len(m.commits))
	}
	for range 2 {
		if err := l.commit(Change{Time: &TimeFloor{}}, nil); err != nil {
			t.Fatal(err)
		}
	}
	e, ok := a.NextEvent()
	if !ok || e.Kind != EventRecovered || e.Seq != 8 || !strings.Contains(e.Problem.Text, "set aside") || e.Journal == "" || e.At != testNow || e.BootID != "boot" {
		t.Errorf("event: %+v", e)
	}
	if len(m.commits[1].Events) != 0 {
		t.Error("it is told twice")
	}
}

// with returns a changed copy.
func (r Record) with(change func(*Record)) Record {
	change(&r)
	return r
}
