//go:build linux && amd64

package crash

import (
	"errors"
	"fmt"
	"path/filepath"
	"reflect"
	"slices"
	"strings"

	"go.etcd.io/bbolt"

	"github.com/ota-agent/ota-agent/agent"
	"github.com/ota-agent/ota-agent/storage"
	"github.com/ota-agent/ota-agent/verifier"
)

// A memory is what the store of a dead agent holds, read by this version's package storage and, for what only the newer
// agent knows, by bbolt alone.
type memory struct {
	floors  verifier.Floors
	record  agent.Record
	events  []agent.Event
	journal agent.JournalMark
	// schema and soaks are values as they are stored; empty: none.
	schema, soaks string
	// appended: the floors end in what the newer agent appends.
	appended bool
}

func (b *board) remember() (m memory, err error) {
	s, err := storage.OpenReadOnly(b.state, storage.Options{})
	if err != nil {
		return m, err
	}
	st, err := s.Load()
	if err := errors.Join(err, s.Close()); err != nil {
		return m, err
	}
	m.floors, m.record, m.events, m.journal = st.Floors, st.Records[component], st.Events, st.Journal
	db, err := bbolt.Open(filepath.Join(b.state, "agent.db"), 0o600, &bbolt.Options{ReadOnly: true})
	if err != nil {
		return m, err
	}
	defer db.Close()
	return m, db.View(func(tx *bbolt.Tx) error {
		m.schema, m.soaks = payload(tx, "store", "schema"), payload(tx, soaksBucket, component)
		m.appended = strings.HasSuffix(payload(tx, "floors", "copy"), floorsSoak)
		return nil
	})
}

// payload is a stored value without its version byte and its checksum.
func payload(tx *bbolt.Tx, bucket, key string) string {
	if b := tx.Bucket([]byte(bucket)); b != nil {
		if raw := b.Get([]byte(key)); len(raw) >= 5 {
			return string(raw[5:])
		}
	}
	return ""
}

// keeps: nothing of before is lost, after an agent ran that is the newer one or not.
func (m memory) keeps(before memory, newer bool) error {
	for _, x := range before.record.Rejected {
		if !slices.ContainsFunc(m.record.Rejected, func(y agent.Rejection) bool { return reflect.DeepEqual(x, y) }) {
			return fmt.Errorf("the rejection of %s is gone or changed: %+v", x.Version, m.record.Rejected)
		}
	}
	for _, x := range before.events {
		if !slices.ContainsFunc(m.events, func(y agent.Event) bool { return reflect.DeepEqual(x, y) }) {
			return fmt.Errorf("event %d (%s) is gone or changed", x.Seq, x.Kind)
		}
	}
	writer := agent.RecordSchema
	if newer {
		writer = newerSchema
	}
	switch {
	case before.journal.ID != "" && m.journal.ID != before.journal.ID || m.journal.Last < before.journal.Last:
		return fmt.Errorf("the journal went from %+v to %+v", before.journal, m.journal)
	case before.record.Confirmed != nil && (m.record.Confirmed == nil || index(m.record) < index(before.record)):
		return fmt.Errorf("release %d was confirmed, and now %+v is", index(before.record), m.record.Confirmed)
	case !newer && before.schema != "" && (m.soaks != before.soaks || m.schema != before.schema):
		return fmt.Errorf("an older agent changed what it does not know: soaks %q, schema %s, before it %q, %s",
			m.soaks, m.schema, before.soaks, before.schema)
	case !newer && before.appended && !m.appended:
		return errors.New("an older agent cut off what was appended to the floors")
	case newer && before.soaks != "" && m.soaks == "":
		return fmt.Errorf("the newer agent's own bucket is empty")
	case !reflect.DeepEqual(m.record, before.record) && m.record.Schema != writer:
		return fmt.Errorf("a record says that its form is %d, and was written by an agent whose form is %d", m.record.Schema, writer)
	}
	return nil
}

// index is the rollback_index of what a record has confirmed.
func index(r agent.Record) int64 { return *r.Confirmed.Info().RollbackIndex }

// isNewer: the edits of the newer agent have reached the disk, all of them. Else the tests would show nothing.
func (m memory) isNewer() error {
	if m.schema != fmt.Sprintf(`{"schema":%d,"readable_by":1}`, newerSchema) || m.soaks == "" || m.record.Schema != newerSchema ||
		!m.appended || !slices.ContainsFunc(m.events, func(e agent.Event) bool { return string(e.Kind) == string(soaking) }) {
		return fmt.Errorf("the newer agent has not left what makes it newer: %+v", m)
	}
	return nil
}

// takeOver looks at what a dead agent left, which knew before when it started and has shown given.
func (b *board) takeOver(before memory, given account) (memory, error) {
	_, err := b.checkStore(before.floors)
	aside, globErr := filepath.Glob(filepath.Join(b.state, "*.corrupt-*"))
	if len(aside) > 0 {
		globErr = fmt.Errorf("set aside: %q", aside)
	}
	if err := errors.Join(err, globErr, b.checkSlots(), b.checkImages()); err != nil {
		return memory{}, err
	}
	now, err := b.remember()
	if err != nil {
		return now, err
	}
	if now.record.Phase == agent.Rejecting || len(now.record.Rejected) > len(before.record.Rejected) {
		given.Progress = 0 // on its way back a release loses what it had reached
	}
	return now, errors.Join(b.checkAccount(given), now.keeps(before, b.agent != ""))
}
