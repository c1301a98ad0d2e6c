package agent

import (
	"errors"
	"testing"
	"time"

	"github.com/ota-agent/ota-agent/verifier"
)

// TestARecordSaysWhoseFormItHas: what an agent of another version wrote keeps its number until it changes,
// and then takes this one's: a reader must be able to tell a field that is zero from one that the writer did
// not know.
func TestARecordSaysWhoseFormItHas(t *testing.T) {
	const newer = RecordSchema + 1
	store := &fakeStore{state: State{Records: map[string]Record{"rootfs": {Schema: newer, Component: "rootfs", Phase: Staged, Release: releaseV2}}}}
	book, err := openLedger(store)
	if err != nil {
		t.Fatal(err)
	}
	book.outbox.now = func() (time.Time, string) { return testNow, "boot" }
	r := book.record("rootfs")
	if err := book.put(r, false, nil); err != nil {
		t.Fatal(err)
	}
	if got := book.record("rootfs").Schema; got != newer {
		t.Errorf("an unchanged record has schema %d", got)
	}
	r.Phase, r.TargetSlot = Writing, "B"
	if err := book.put(r, false, nil); err != nil {
		t.Fatal(err)
	}
	if got := book.record("rootfs").Schema; got != RecordSchema {
		t.Errorf("a record that this agent wrote has schema %d, want %d", got, RecordSchema)
	}
}

// A deadStore can't be read any more.
type deadStore struct{ fakeStore }

var errDeadStore = errors.New("the database is dead")

func (*deadStore) Document(verifier.Key) ([]byte, error) { return nil, errDeadStore }

// TestAStoreThatCanNotBeReadEndsTheProcess: the next start finds out what is left. What is merely absent does not.
func TestAStoreThatCanNotBeReadEndsTheProcess(t *testing.T) {
	for _, c := range []struct {
		store Store
		want  error
	}{{&fakeStore{}, nil}, {&deadStore{}, errDeadStore}} {
		book, err := openLedger(c.store)
		if err != nil {
			t.Fatal(err)
		}
		e := &engine{book: book, p: Ports{Store: c.store}}
		(&answers{e: e}).answer(t.Context(), verifier.Request{Source: verifier.Stored, Key: verifier.Key{Role: verifier.Snapshot}})
		if got := book.failure(); !errors.Is(got, c.want) || (got == nil) != (c.want == nil) {
			t.Errorf("%T: the process ends with %v, want %v", c.store, got, c.want)
		}
	}
}

// A refusingStore refuses everything, and nothing was written.
type refusingStore struct{ fakeStore }

func (*refusingStore) Commit(Change) error {
	return &Problem{Reason: ReasonDiskFull, Text: "no room", Err: ErrNothingWritten}
}

// TestARefusedCommitIsNotTakenOver: the ledger says what is durable, and the next commit brings what the
// refused one did not.
func TestARefusedCommitIsNotTakenOver(t *testing.T) {
	before := State{Floors: verifier.Floors{RootVersion: 1}, Time: TimeFloor{Accrued: 1}, Records: map[string]Record{}}
	store := &refusingStore{fakeStore{state: before}}
	book, err := openLedger(store)
	if err != nil {
		t.Fatal(err)
	}
	book.outbox.now, book.outbox.random = func() (time.Time, string) { return testNow, "boot" }, func() float64 { return 0.5 }
	record := Record{Component: "rootfs", Phase: Staged, Release: releaseV2}
	for _, err := range []error{
		book.commit(Change{Metadata: verifier.Change{Floors: &verifier.Floors{RootVersion: 2}}, Time: &TimeFloor{Accrued: 2}}, nil),
		book.put(record, false, nil),
		book.setDevice(func(d *DeviceState) { d.Paused = true }, nil),
	} {
		if !errors.Is(err, ErrNothingWritten) {
			t.Errorf("refused with %v", err)
		}
	}
	if book.failure() != nil || book.committed() || book.paused() || book.floors().RootVersion != 1 || book.timeFloor().Accrued != 1 ||
		book.record("rootfs").Phase != Idle || book.outbox.journal.mark.Last != 0 {
		t.Errorf("it was taken over: %+v, journal %+v; failure %v", book.state, book.outbox.journal, book.failure())
	}
	book.store = &store.fakeStore
	if err := book.put(record, false, nil); err != nil || book.record("rootfs").Phase != Staged {
		t.Errorf("the next commit: %v, %+v", err, book.record("rootfs"))
	}
}

// TestARefusedCommitDoesNotLoseTheAnchor: the anchor that goes into the store with the first commit of a
// refresh goes with the next one where that is refused.
func TestARefusedCommitDoesNotLoseTheAnchor(t *testing.T) {
	v := newVendored()
	e := v.engine(t)
	store := &strictStore{v, "vendor", &Problem{Reason: ReasonDiskFull, Text: "no room", Err: ErrNothingWritten}}
	e.book.store = store
	r, err := verifier.Begin(e.cfg.Anchor, verifier.Floors{}, v.clock, verifier.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	anchor := verifier.Document{Key: verifier.Key{Role: verifier.Root, Version: 3}, Bytes: []byte("root")}
	keep := &keeper{e: e, refresh: r, anchor: &anchor}
	change := verifier.Change{Put: []verifier.Document{{Key: verifier.Key{Role: "vendor"}, Bytes: []byte("large")}}}
	if err := keep.commit(change); !errors.Is(err, ErrNothingWritten) {
		t.Fatal(err)
	}
	store.role = ""
	if err := keep.commit(change); err != nil || v.documents[anchor.Key] == nil {
		t.Errorf("%v; the anchor was lost", err)
	}
	if keep.anchor != nil {
		t.Error("the anchor goes with each commit")
	}
}
