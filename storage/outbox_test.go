package storage

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"github.com/ota-agent/ota-agent/agent"
	"github.com/ota-agent/ota-agent/storage/storetest"
)

var testMark = agent.JournalMark{ID: "0123456789abcd", Last: 3, Told: 1}

// newJournal is a directory whose store holds three events.
func newJournal(t *testing.T) string {
	t.Helper()
	dir := fastDir(t)
	s := openT(t, dir)
	must(t, s.Commit(agent.Change{Journal: &testMark, Records: []agent.Record{{Schema: 1, Component: "a"}}, Events: []agent.Event{
		storetest.Event(1, agent.EventTakenUp), storetest.Event(2, agent.EventStaged), storetest.Event(3, agent.EventConfirmed)}}))
	must(t, s.Close())
	return dir
}

func seqs(events []agent.Event) []uint64 {
	var list []uint64
	for _, e := range events {
		list = append(list, e.Seq)
	}
	return list
}

// A damaged event is left out and said; the next change of the journal sets it aside, and the rest is as it was.
func TestDamagedEvent(t *testing.T) {
	dir := newJournal(t)
	var damagedRaw []byte
	tamper(t, dir, bucketEvents, string(eventKey(3)), func(raw []byte) []byte {
		damagedRaw = flipLast(raw)
		return damagedRaw
	})
	for range 2 {
		s := openT(t, dir)
		st := loadT(t, s)
		if got := seqs(st.Events); !reflect.DeepEqual(got, []uint64{1, 2}) || len(st.Recovered) != 1 || st.Journal != testMark || len(st.Records) != 1 {
			t.Fatalf("events %v, journal %+v, recovered %q", got, st.Journal, st.Recovered)
		}
		must(t, s.Commit(agent.Change{Device: &agent.DeviceState{Paused: true}})) // no change of the journal
		must(t, s.Close())
	}
	s := openT(t, dir)
	must(t, s.Commit(agent.Change{Events: []agent.Event{storetest.Event(4, agent.EventHeld)}}))
	must(t, s.Close())
	s = openT(t, dir)
	if st := loadT(t, s); !reflect.DeepEqual(seqs(st.Events), []uint64{1, 2, 4}) || st.Recovered != nil || st.Journal.Last != 4 {
		t.Errorf("state: %+v", st)
	}
	must(t, s.db.view(func(tx *bbolt.Tx) error {
		kept, err := get(tx, bucketDamaged, []byte(keyDamagedEvent))
		wantBytes(t, "the damaged event", kept, damagedRaw)
		return err
	}))
}

// However an event is damaged, its number is given to no other.
func TestDamagedJournal(t *testing.T) {
	for name, c := range map[string]struct {
		key    string
		change func(raw []byte) []byte
		mark   agent.JournalMark
		events []uint64
		says   bool
	}{
		"newest event":             {string(eventKey(3)), flipLast, testMark, []uint64{1, 2}, true},
		"another event's value":    {string(eventKey(9)), func([]byte) []byte { return mustSeal(t, 9, 3) }, agent.JournalMark{ID: testMark.ID, Last: 9, Told: 1}, []uint64{1, 2, 3}, true},
		"no JSON":                  {string(eventKey(2)), func([]byte) []byte { return seal(bucketEvents, eventKey(2), []byte("{")) }, testMark, []uint64{1, 3}, true},
		"the mark":                 {keyJournal, flipLast, agent.JournalMark{Last: 3}, []uint64{1, 2, 3}, true},
		"the mark, cut":            {keyJournal, func(raw []byte) []byte { return raw[:2] }, agent.JournalMark{Last: 3}, []uint64{1, 2, 3}, true},
		"a newer agent's event":    {string(eventKey(3)), newerValue(bucketEvents, string(eventKey(3))), testMark, []uint64{1, 2}, false},
		"a newer agent's own key":  {"more", func([]byte) []byte { return seal(bucketEvents, []byte("more"), []byte("{}")) }, testMark, []uint64{1, 2, 3}, false},
		"a key that nobody wrote":  {"mord", func([]byte) []byte { return seal(bucketEvents, []byte("more"), []byte("{}")) }, testMark, []uint64{1, 2, 3}, true},
		"an unknown field or kind": {string(eventKey(2)), unknownEvent(t), testMark, []uint64{1, 2, 3}, false},
	} {
		t.Run(name, func(t *testing.T) {
			dir := newJournal(t)
			tamperNew(t, dir, bucketEvents, c.key, c.change)
			s := openT(t, dir)
			st := loadT(t, s)
			if !reflect.DeepEqual(seqs(st.Events), c.events) || st.Journal != c.mark || (st.Recovered != nil) != c.says || len(st.Records) != 1 {
				t.Errorf("events %v, journal %+v, recovered %q", seqs(st.Events), st.Journal, st.Recovered)
			}
			must(t, s.Commit(agent.Change{Journal: &testMark, Events: []agent.Event{storetest.Event(20, agent.EventHeld)}}))
			must(t, s.Close())
			s = openT(t, dir)
			if st := loadT(t, s); st.Recovered != nil || len(st.Events) != len(c.events)+1 || st.Journal.Last != 20 {
				t.Errorf("after the next change: events %v, journal %+v, recovered %q", seqs(st.Events), st.Journal, st.Recovered)
			}
		})
	}
}

func mustSeal(t *testing.T, key, seq uint64) []byte {
	payload, err := json.Marshal(storetest.Event(seq, agent.EventTrial))
	must(t, err)
	return seal(bucketEvents, eventKey(key), payload)
}

func unknownEvent(t *testing.T) func([]byte) []byte {
	return func([]byte) []byte {
		payload, err := json.Marshal(storetest.Event(2, "soaked"))
		must(t, err)
		return seal(bucketEvents, eventKey(2), []byte(strings.Replace(string(payload), "{", `{"more":[1],`, 1)))
	}
}

// tamperNew is tamper for a key that may be new.
func tamperNew(t *testing.T, dir, bucket, key string, change func(raw []byte) []byte) {
	t.Helper()
	before := 0
	tamper(t, dir, bucket, key, func(raw []byte) []byte {
		before = len(raw)
		return change(raw)
	})
	if before > 0 {
		return
	}
	db, err := bbolt.Open(filepath.Join(dir, databaseName), 0o600, &bbolt.Options{NoFreelistSync: true})
	must(t, err)
	must(t, db.Update(func(tx *bbolt.Tx) error {
		n, err := getCount(tx)
		must(t, err)
		return putCount(tx, n+1)
	}))
	must(t, db.Close())
}

// schemaEvents is what the store in testdata/events holds, as schema1 is for testdata/schema1: it was committed once, by the
// first agent with a journal, and every later one must read it.
func schemaEvents() agent.Change {
	alone := storetest.Event(4, agent.EventConfirmed)
	alone.Count, alone.First, alone.Problem = 0, 0, nil
	return agent.Change{
		Records: []agent.Record{{Schema: 1, Component: "rootfs", Phase: agent.Idle, ConfirmedSlot: "B", Degraded: true}},
		Events:  []agent.Event{storetest.Event(3, agent.EventRejected), alone, {Schema: 1, Journal: "j", Seq: 9, Kind: agent.EventRecovered}},
		Journal: &agent.JournalMark{ID: "0123456789abcd", Last: 9, Told: 3},
	}
}

func TestDatabaseWithEvents(t *testing.T) {
	if binary.NativeEndian.Uint16([]byte{1, 0}) != 1 {
		t.Skip("it was written on a little-endian machine")
	}
	dir := filepath.Join(fastDir(t), "state")
	must(t, os.CopyFS(dir, os.DirFS(filepath.Join("testdata", "events"))))
	s := openT(t, dir)
	want, st := schemaEvents(), loadT(t, s)
	if !reflect.DeepEqual(st.Events, want.Events) || st.Journal != *want.Journal || !reflect.DeepEqual(st.Records["rootfs"], want.Records[0]) {
		t.Errorf("events %+v, journal %+v, records %+v", st.Events, st.Journal, st.Records)
	}
	must(t, s.Commit(want))
	if c := s.Counters(); c.Commits != 0 {
		t.Errorf("the same values are written in another way now: %+v", c)
	}
}

// A database of the first agents has no journal, and gets one with the first event; to look at it changes nothing.
func TestJournalInAnOldDatabase(t *testing.T) {
	dir := filepath.Join(fastDir(t), "state")
	must(t, os.CopyFS(dir, os.DirFS(filepath.Join("testdata", "schema1"))))
	s := openT(t, dir)
	if st := loadT(t, s); st.Events != nil || st.Journal != (agent.JournalMark{}) {
		t.Errorf("events %v, journal %+v", st.Events, st.Journal)
	}
	if c := s.Counters(); c.Commits != 0 {
		t.Errorf("to open it cost %+v", c)
	}
	must(t, s.Commit(agent.Change{Journal: &testMark, Events: []agent.Event{storetest.Event(3, agent.EventTrial)}}))
	must(t, s.Close())
	st := loadT(t, openT(t, dir))
	if len(st.Events) != 1 || st.Journal != testMark || st.Recovered != nil || len(st.Records) != 2 {
		t.Errorf("state: %+v", st)
	}
}

// An event costs few pages more than its record's change alone, also where the journal is full and another one goes.
func TestCostOfAnEvent(t *testing.T) {
	s := openT(t, fastDir(t))
	must(t, s.Commit(fullChange(1)))
	const kept = agent.EventProgressMax + agent.EventVerdictsMax
	for i := range uint64(kept) {
		must(t, s.Commit(agent.Change{Events: []agent.Event{storetest.Event(i+1, agent.EventConfirmed)}, Journal: &agent.JournalMark{Last: i + 1}}))
	}
	const updates, perUpdate = 4, 5
	before := s.Counters()
	for i := range uint64(updates * perUpdate) {
		seq := kept + i + 1
		must(t, s.Commit(agent.Change{
			Records: []agent.Record{{Schema: 1, Component: "rootfs", Attempts: int(seq)}},
			Events:  []agent.Event{storetest.Event(seq, agent.EventConfirmed)}, DropEvents: []uint64{i + 1},
			Journal: &agent.JournalMark{Last: seq, Told: i},
		}))
	}
	after := s.Counters()
	n := (after.BytesWritten - before.BytesWritten) / updates
	alone := int64(perUpdate * 3 * pageSize) // what TestCostOfACommit allows for each
	t.Logf("%d bytes for the commits of an update with %d events, of which %d for its events", n, perUpdate, n-alone)
	if n-alone > 96<<10 {
		t.Errorf("%d bytes for the events of an update", n-alone)
	}
	if fsyncs := after.Fsyncs - before.Fsyncs; fsyncs > 2*updates*perUpdate+1 {
		t.Errorf("%d fsyncs for %d commits", fsyncs, updates*perUpdate)
	}
}

// Opened for looking only, the store shows the journal.
func TestHistoryReadOnly(t *testing.T) {
	dir := newJournal(t)
	s, err := OpenReadOnly(dir, Options{LockTimeout: time.Second})
	must(t, err)
	defer s.Close()
	if h := agent.HistoryOf(loadT(t, s)); h.Acknowledged != 1 || !reflect.DeepEqual(seqs(h.Events), []uint64{1, 2, 3}) {
		t.Errorf("history: %+v", h)
	}
}

// Whatever lies in the bucket is an event, damage or a newer agent's: never a panic, and never an event under another number.
func FuzzReadEvent(f *testing.F) {
	payload, err := json.Marshal(storetest.Event(3, agent.EventConfirmed))
	must(f, err)
	f.Add(eventKey(3), payload, true)
	f.Add(eventKey(4), payload, true)
	f.Add([]byte(keyJournal), []byte("{}"), true)
	f.Add([]byte{}, []byte("{"), false)
	f.Fuzz(func(t *testing.T, key, payload []byte, sealed bool) {
		raw := payload
		if sealed {
			raw = seal(bucketEvents, key, payload)
		}
		e, err := readEvent(key, raw)
		switch {
		case err == nil && string(eventKey(e.Seq)) != string(key):
			t.Errorf("event %d lies under %x", e.Seq, key)
		case err != nil && !errors.Is(err, errDamaged) && !errors.Is(err, errNewer):
			t.Errorf("neither damaged nor newer: %v", err)
		case err != nil && !reflect.DeepEqual(e, agent.Event{}):
			t.Errorf("an event in spite of %v: %+v", err, e)
		}
	})
}
