// Package storetest says in tests what agent.Store and agent.Images promise, so that the store on a disk and the
// one in the simulation keep the same contract.
package storetest

import (
	"bytes"
	"cmp"
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ota-agent/ota-agent/agent"
	"github.com/ota-agent/ota-agent/verifier"
)

// A Reopener is a store that a test can open again, as after the process died: what Commit returned nil for is
// in the new one. The old one is not used any more.
type Reopener interface {
	Reopen(t *testing.T) agent.Store
}

// A Filler is a store whose disk a test can fill so far that no large document finds room, and make room on again.
type Filler interface {
	Fill(full bool)
}

// Contract runs the suite. open makes a new, empty store, which lives as long as its test; where it is a
// Reopener, what should be durable is also looked for in the reopened store. It must be a Filler.
func Contract(t *testing.T, open func(t *testing.T) agent.Store) {
	for name, test := range map[string]func(t *testing.T, s agent.Store){
		"a new store is empty":                            newIsEmpty,
		"documents are kept byte for byte":                documentsAreKept,
		"documents are told apart by role version kind":   documentsAreApart,
		"a dropped document is absent":                    dropped,
		"documents of delegated roles are listed":         delegatedAreListed,
		"a dropped and put document is there":             droppedAndPut,
		"records are kept and forgotten":                  recordsAreKept,
		"an older record is replaced whole":               recordsAreReplaced,
		"time and device are kept":                        singlesAreKept,
		"a change leaves the rest alone":                  restStays,
		"floors are kept":                                 floorsAreKept,
		"floors of one key set never fall":                floorsNeverFall,
		"floors fall where their signers change":          floorsMayBeVoided,
		"floors of components are merged":                 indexIsMerged,
		"what is handed out is the caller's":              copies,
		"what is handed in is the store's after a commit": copiesIn,
		"an empty change succeeds":                        emptyChange,
		"a change beyond a bound changes nothing":         beyondABound,
		"a large document without room changes nothing":   withoutRoom,
		"events are kept in order":                        eventsAreKept,
		"events are replaced and dropped by number":       eventsAreReplaced,
		"the mark of the journal is kept":                 markIsKept,
	} {
		t.Run(name, func(t *testing.T) { test(t, open(t)) })
	}
}

// each runs check on the store, and again on the reopened one.
func each(t *testing.T, s agent.Store, check func(t *testing.T, s agent.Store)) {
	t.Helper()
	check(t, s)
	if r, ok := s.(Reopener); ok {
		check(t, r.Reopen(t))
	}
}

func commit(t *testing.T, s agent.Store, c agent.Change) {
	t.Helper()
	if err := s.Commit(c); err != nil {
		t.Fatalf("commit: %v", err)
	}
}

func loaded(t *testing.T, s agent.Store) agent.State {
	t.Helper()
	st, err := s.Load()
	if err != nil {
		t.Fatalf("load: %v", err)
	}
	return st
}

func wantDocument(t *testing.T, s agent.Store, k verifier.Key, want []byte) {
	t.Helper()
	got, err := s.Document(k)
	switch {
	case want == nil && !errors.Is(err, agent.ErrAbsent):
		t.Errorf("document %v: %d bytes, error %v, expected absent", k, len(got), err)
	case want != nil && err != nil:
		t.Errorf("document %v: %v", k, err)
	case want != nil && !bytes.Equal(got, want):
		t.Errorf("document %v: %d bytes differ from the %d that were put", k, len(got), len(want))
	}
}

func key(role string) verifier.Key            { return verifier.Key{Role: role} }
func rootKey(v int64) verifier.Key            { return verifier.Key{Role: verifier.Root, Version: v} }
func receipt(role string) verifier.Key        { return verifier.Key{Role: role, Kind: verifier.Receipt} }
func put(d ...verifier.Document) agent.Change { return agent.Change{Metadata: verifier.Change{Put: d}} }

func withFloors(f verifier.Floors) agent.Change {
	return agent.Change{Metadata: verifier.Change{Floors: &f}}
}

func newIsEmpty(t *testing.T, s agent.Store) {
	each(t, s, func(t *testing.T, s agent.Store) {
		st := loaded(t, s)
		if st.Records == nil || len(st.Records) != 0 || st.Recovered != nil || !reflect.DeepEqual(st.Time, agent.TimeFloor{}) ||
			st.Device != (agent.DeviceState{}) || !reflect.DeepEqual(st.Floors, verifier.Floors{}) {
			t.Errorf("state of a new store: %+v", st)
		}
		wantDocument(t, s, key(verifier.Timestamp), nil)
		wantDocument(t, s, rootKey(1), nil)
		wantDocument(t, s, receipt(verifier.Targets), nil)
	})
}

func documentsAreKept(t *testing.T, s agent.Store) {
	sizes := []int{0, 1, 100, 64<<10 - 1, 64 << 10, 64<<10 + 1, 1 << 20}
	for _, n := range sizes {
		want := bytes.Repeat([]byte{0, 'x', 0xff}, n/3+1)[:n]
		commit(t, s, put(verifier.Document{Key: key("targets"), Bytes: want}))
		wantDocument(t, s, key("targets"), want)
		if r, ok := s.(Reopener); ok {
			s = r.Reopen(t)
			wantDocument(t, s, key("targets"), want)
		}
	}
}

func documentsAreApart(t *testing.T, s agent.Store) {
	keys := []verifier.Key{rootKey(1), rootKey(2), rootKey(256), key("timestamp"), key("targets"), receipt("targets"),
		key("Targets"), key("a/../b"), key("\x00"), key("\xff"), key("role name with spaces"), key("receipts")}
	var docs []verifier.Document
	for i, k := range keys {
		docs = append(docs, verifier.Document{Key: k, Bytes: []byte{byte(i)}})
	}
	commit(t, s, put(docs...))
	each(t, s, func(t *testing.T, s agent.Store) {
		for _, d := range docs {
			wantDocument(t, s, d.Key, d.Bytes)
		}
		wantDocument(t, s, rootKey(3), nil)
		wantDocument(t, s, receipt("timestamp"), nil)
	})
}

func dropped(t *testing.T, s agent.Store) {
	large := make([]byte, 100<<10)
	commit(t, s, put(verifier.Document{Key: key("a"), Bytes: []byte("x")}, verifier.Document{Key: key("b"), Bytes: large},
		verifier.Document{Key: key("c"), Bytes: large}))
	commit(t, s, agent.Change{Metadata: verifier.Change{Drop: []verifier.Key{key("a"), key("b"), key("never")}}})
	each(t, s, func(t *testing.T, s agent.Store) {
		wantDocument(t, s, key("a"), nil)
		wantDocument(t, s, key("b"), nil)
		wantDocument(t, s, key("c"), large) // the same bytes as b
	})
}

// delegatedAreListed: only so can what nobody delegates to any more be dropped.
func delegatedAreListed(t *testing.T, s agent.Store) {
	wantDelegated := func(t *testing.T, s agent.Store, want ...verifier.Key) {
		t.Helper()
		got := loaded(t, s).Delegated
		slices.SortFunc(got, func(a, b verifier.Key) int { return cmp.Or(cmp.Compare(a.Role, b.Role), cmp.Compare(a.Kind, b.Kind)) })
		if !slices.Equal(got, want) {
			t.Errorf("listed: %v, expected %v", got, want)
		}
	}
	wantDelegated(t, s)
	keys := []verifier.Key{rootKey(2), key("timestamp"), key("snapshot"), key("targets"), receipt("targets"),
		key("a"), receipt("a"), key("b"), key("\x00/"), receipt("never seen")}
	for _, k := range keys {
		commit(t, s, put(verifier.Document{Key: k, Bytes: []byte("x")}))
	}
	each(t, s, func(t *testing.T, s agent.Store) {
		wantDelegated(t, s, key("\x00/"), key("a"), receipt("a"), key("b"), receipt("never seen"))
	})
	s = reopened(t, s)
	commit(t, s, agent.Change{Metadata: verifier.Change{Drop: loaded(t, s).Delegated}})
	each(t, s, func(t *testing.T, s agent.Store) {
		wantDelegated(t, s)
		wantDocument(t, s, key("targets"), []byte("x"))
	})
}

func droppedAndPut(t *testing.T, s agent.Store) {
	commit(t, s, put(verifier.Document{Key: key("a"), Bytes: []byte("old")}))
	commit(t, s, agent.Change{Metadata: verifier.Change{
		Put:  []verifier.Document{{Key: key("a"), Bytes: []byte("new")}},
		Drop: []verifier.Key{key("a")},
	}})
	each(t, s, func(t *testing.T, s agent.Store) { wantDocument(t, s, key("a"), []byte("new")) })
}

// Record is a record with every field set.
func Record(component string, phase agent.Phase) agent.Record {
	at := time.Date(2026, 3, 1, 12, 0, 0, 123456789, time.UTC)
	rel := agent.Release{
		Target: verifier.Target{Path: "p", Name: "n", Length: 5, SHA256: bytes.Repeat([]byte{1}, 32),
			SHA512: bytes.Repeat([]byte{2}, 64), Custom: []byte(`{"ota": {"version":  "1"}}`)},
		Signers: []verifier.KeyHash{{1}, {2}},
	}
	problem := agent.Problem{Reason: agent.ReasonUnhealthy, Text: "it said \"no\"\n", At: at}
	return agent.Record{
		Schema: agent.RecordSchema, Component: component, Phase: phase, Release: &rel, Hook: "/h", Reboot: true,
		Carried:    agent.Carried{Env: map[string]string{"APP_DIR": "/srv/a b"}, Deadline: 1, Settle: 2, Every: 3},
		TargetSlot: "B", BootID: "boot", TrialFrom: 4, Starts: 1, Acted: true, Local: true, Attempts: 2, LostBoots: 1, BlindBoots: 1, RebootedIn: "boot",
		Back: true, Offline: true, Unreached: 1, Verdict: &problem, Cause: &problem, Unreachable: "u", UnreachableBoot: "boot",
		Spent: agent.Counters{Requests: 1}, Setback: agent.Setback{ID: "s", Count: 1}, Cuts: agent.Cuts{ID: "c", Count: 3, Against: 2, Lived: true, At: at},
		Confirmed: &rel, ConfirmedSlot: "A", Degraded: true, Doubted: true, Unlisted: "p", Previous: &rel, PreviousSlot: "B",
		RollbackAsked: true, RetryAsked: true, CancelAsked: true, Begun: "boot",
		Rejected: []agent.Rejection{{ID: "r", Version: "1", First: problem, Last: problem, Count: 3}},
		Held:     []agent.Hold{{ID: "h", Count: 1, Until: at, Reason: agent.ReasonTrialCut}},
		Deferral: agent.Deferral{Accrued: 3, BootID: "b", At: 5},
	}
}

// everyFieldIsSet keeps Record's promise: what it forgets no test of a store would miss.
func everyFieldIsSet(t *testing.T, r agent.Record) {
	t.Helper()
	for i, v := 0, reflect.ValueOf(r); i < v.NumField(); i++ {
		if v.Field(i).IsZero() {
			t.Errorf("the record of the tests leaves %s empty", v.Type().Field(i).Name)
		}
	}
}

func recordsAreKept(t *testing.T, s agent.Store) {
	everyFieldIsSet(t, Record("a", agent.Trial))
	a, b := Record("a", agent.Trial), Record("b", agent.Idle)
	commit(t, s, agent.Change{Records: []agent.Record{a, b}})
	each(t, s, func(t *testing.T, s agent.Store) {
		if got := loaded(t, s).Records; !reflect.DeepEqual(got, map[string]agent.Record{"a": a, "b": b}) {
			t.Errorf("records: %+v", got)
		}
	})
}

// reopened is the store as it is to be used after each.
func reopened(t *testing.T, s agent.Store) agent.Store {
	t.Helper()
	if r, ok := s.(Reopener); ok {
		return r.Reopen(t)
	}
	return s
}

func recordsAreReplaced(t *testing.T, s agent.Store) {
	commit(t, s, agent.Change{Records: []agent.Record{Record("a", agent.Trial)}})
	want := agent.Record{Schema: 1, Component: "a", Phase: agent.Idle}
	commit(t, s, agent.Change{Records: []agent.Record{want}})
	each(t, s, func(t *testing.T, s agent.Store) {
		if got := loaded(t, s).Records["a"]; !reflect.DeepEqual(got, want) {
			t.Errorf("record: %+v, expected %+v", got, want)
		}
	})
}

func singlesAreKept(t *testing.T, s agent.Store) {
	floor := agent.TimeFloor{SignedAt: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), Signers: []verifier.KeyHash{{1}, {2}}, Accrued: 36 * time.Hour}
	spent := agent.Spending{Day: 20_000, Bytes: 1 << 40}
	commit(t, s, agent.Change{Time: &floor, Device: &agent.DeviceState{Paused: true, Spent: spent}})
	each(t, s, func(t *testing.T, s agent.Store) {
		st := loaded(t, s)
		if !reflect.DeepEqual(st.Time, floor) || !st.Device.Paused || st.Device.Spent != spent {
			t.Errorf("time %+v, device %+v", st.Time, st.Device)
		}
	})
	s = reopened(t, s)
	commit(t, s, agent.Change{Time: &agent.TimeFloor{}, Device: &agent.DeviceState{}})
	each(t, s, func(t *testing.T, s agent.Store) {
		if st := loaded(t, s); !reflect.DeepEqual(st.Time, agent.TimeFloor{}) || st.Device.Paused {
			t.Errorf("after taking it back: time %+v, device %+v", st.Time, st.Device)
		}
	})
}

func restStays(t *testing.T, s agent.Store) {
	commit(t, s, put(verifier.Document{Key: key("a"), Bytes: []byte("1")}))
	commit(t, s, agent.Change{Records: []agent.Record{Record("c", agent.Staged)}})
	commit(t, s, agent.Change{Device: &agent.DeviceState{Paused: true}})
	commit(t, s, withFloors(verifier.Floors{Timestamp: verifier.Floor{Version: 4}}))
	commit(t, s, put(verifier.Document{Key: key("b"), Bytes: []byte("2")}))
	each(t, s, func(t *testing.T, s agent.Store) {
		st := loaded(t, s)
		if len(st.Records) != 1 || !st.Device.Paused || st.Floors.Timestamp.Version != 4 {
			t.Errorf("state: %+v", st)
		}
		wantDocument(t, s, key("a"), []byte("1"))
		wantDocument(t, s, key("b"), []byte("2"))
	})
}

func copies(t *testing.T, s agent.Store) {
	f := verifier.Floors{Timestamp: verifier.Floor{Version: 2, Signers: []verifier.KeyHash{{1}}},
		Index: map[string]verifier.Floor{"a": {Version: 3}}}
	c := put(verifier.Document{Key: key("a"), Bytes: []byte("bytes")})
	c.Metadata.Floors = &f
	commit(t, s, c)
	st := loaded(t, s)
	st.Floors.Index["a"] = verifier.Floor{}
	st.Floors.Timestamp.Signers[0] = verifier.KeyHash{9}
	st.Records["x"] = agent.Record{}
	b, err := s.Document(key("a"))
	if err != nil {
		t.Fatal(err)
	}
	b[0] = 'X'
	each(t, s, func(t *testing.T, s agent.Store) {
		if got := loaded(t, s); !reflect.DeepEqual(got.Floors, f) || len(got.Records) != 0 {
			t.Errorf("the state changed under the store: %+v", got)
		}
		wantDocument(t, s, key("a"), []byte("bytes"))
	})
}

func copiesIn(t *testing.T, s agent.Store) {
	f := verifier.Floors{Timestamp: verifier.Floor{Version: 2, Signers: []verifier.KeyHash{{1}}},
		Index: map[string]verifier.Floor{"a": {Version: 3}}}
	commit(t, s, withFloors(f))
	f.Index["a"] = verifier.Floor{}
	f.Timestamp.Signers[0] = verifier.KeyHash{9}
	each(t, s, func(t *testing.T, s agent.Store) {
		got := loaded(t, s).Floors
		if got.Index["a"].Version != 3 || got.Timestamp.Signers[0] != (verifier.KeyHash{1}) {
			t.Errorf("the floors changed under the store: %+v", got)
		}
	})
}

func emptyChange(t *testing.T, s agent.Store) {
	commit(t, s, agent.Change{})
	commit(t, s, agent.Change{Metadata: verifier.Change{Drop: []verifier.Key{key("never")}}})
	newIsEmpty(t, s)
}

// beyondABound: who can have a device store something must not be able to end its agent, so such a change is
// refused as a whole, before anything is written, and the store goes on.
func beyondABound(t *testing.T, s agent.Store) {
	commit(t, s, withFloors(verifier.Floors{Timestamp: verifier.Floor{Version: 4}}))
	long := strings.Repeat("r", verifier.RoleNameBytesMax)
	c := put(verifier.Document{Key: key("a"), Bytes: []byte("1")}, verifier.Document{Key: key(long + "r"), Bytes: []byte("2")})
	c.Records = []agent.Record{Record("c", agent.Staged)}
	c.Metadata.Floors = &verifier.Floors{Timestamp: verifier.Floor{Version: 5}}
	var p *agent.Problem
	if err := s.Commit(c); !errors.As(err, &p) || p.Reason != agent.ReasonLimit || !errors.Is(err, agent.ErrNothingWritten) {
		t.Fatalf("a role's name of %d bytes: %v, expected reason %s, and that nothing was written", len(long)+1, err, agent.ReasonLimit)
	}
	each(t, s, func(t *testing.T, s agent.Store) {
		if st := loaded(t, s); len(st.Records) != 0 || st.Floors.Timestamp.Version != 4 {
			t.Errorf("state: %+v", st)
		}
		wantDocument(t, s, key("a"), nil)
	})
	s = reopened(t, s)
	commit(t, s, put(verifier.Document{Key: key(long), Bytes: []byte("3")}))
	wantDocument(t, s, key(long), []byte("3"))
}

// withoutRoom: the same where a large document finds no room, whoever signed it. What is small goes on, and
// the document is taken as soon as there is room.
func withoutRoom(t *testing.T, s agent.Store) {
	old, large := []byte("old"), bytes.Repeat([]byte("large"), 20_000)
	c := put(verifier.Document{Key: key("a"), Bytes: old})
	c.Metadata.Floors = &verifier.Floors{Timestamp: verifier.Floor{Version: 4}}
	commit(t, s, c)
	s.(Filler).Fill(true)
	c = put(verifier.Document{Key: key("a"), Bytes: large}, verifier.Document{Key: key("b"), Bytes: old})
	c.Records = []agent.Record{Record("c", agent.Staged)}
	c.Metadata.Floors = &verifier.Floors{Timestamp: verifier.Floor{Version: 5}}
	for range 2 {
		var p *agent.Problem
		if err := s.Commit(c); !errors.As(err, &p) || p.Reason != agent.ReasonDiskFull || !errors.Is(err, agent.ErrNothingWritten) {
			t.Fatalf("a large document without room: %v, expected reason %s, and that nothing was written", err, agent.ReasonDiskFull)
		}
	}
	commit(t, s, agent.Change{Records: []agent.Record{Record("d", agent.Staged)}})
	each(t, s, func(t *testing.T, s agent.Store) {
		if st := loaded(t, s); len(st.Records) != 1 || st.Floors.Timestamp.Version != 4 {
			t.Errorf("state: %+v", st)
		}
		wantDocument(t, s, key("a"), old)
		wantDocument(t, s, key("b"), nil)
	})
	s = reopened(t, s)
	s.(Filler).Fill(false)
	commit(t, s, c)
	each(t, s, func(t *testing.T, s agent.Store) {
		if st := loaded(t, s); len(st.Records) != 2 || st.Floors.Timestamp.Version != 5 {
			t.Errorf("state: %+v", st)
		}
		wantDocument(t, s, key("a"), large)
	})
}
