package agent

import (
	"errors"
	"testing"
	"time"

	"github.com/ota-agent/ota-agent/verifier"
)

// TestARecordSaysWhoseFormItHas: what an agent of another version wrote keeps its number until it changes, and then takes this
// one's: a reader must be able to tell a field that is zero from one that the writer did not know.
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
		e.answer(t.Context())(verifier.Request{Source: verifier.Stored, Key: verifier.Key{Role: verifier.Snapshot}})
		if got := book.failure(); !errors.Is(got, c.want) || (got == nil) != (c.want == nil) {
			t.Errorf("%T: the process ends with %v, want %v", c.store, got, c.want)
		}
	}
}
