package storage

import (
	"bytes"
	"encoding/json"
	"fmt"

	"go.etcd.io/bbolt"

	"github.com/ota-agent/ota-agent/agent"
	"github.com/ota-agent/ota-agent/verifier"
)

// A write is one value's change; raw nil deletes.
type write struct {
	bucket string
	key    []byte
	raw    []byte
}

// A plan is what a change comes to, given what is stored.
type plan struct {
	writes []write
	at     map[string]int // bucket and key → index in writes
	blobs  []*blob
	// delegated are the bytes of delegated roles' documents that go into the database.
	delegated int64
	// floors, where not nil, are the raised floors, and floorsPayload is their encoding.
	floors        *verifier.Floors
	floorsPayload []byte
	// orphans: a document that may lie in a file is replaced or dropped.
	orphans bool
}

func (s *Store) plan(c agent.Change) (*plan, error) {
	p := &plan{at: map[string]int{}}
	for _, step := range []func(agent.Change) error{p.documents, p.records, p.singles, p.events} {
		if err := step(c); err != nil {
			return nil, err
		}
	}
	if len(p.writes) > 0 {
		if err := s.db.view(p.prune); err != nil {
			return nil, err
		}
	}
	if err := s.planFloors(p, c.Metadata.Floors); err != nil {
		return nil, err
	}
	missing := p.blobs[:0]
	for _, b := range p.blobs {
		if !s.holds(b) {
			missing = append(missing, b)
		}
	}
	p.blobs = missing
	return p, nil
}

// set plans a value, sealed here; payload nil deletes.
func (p *plan) set(bucket string, key, payload []byte) {
	w := write{bucket: bucket, key: key}
	if payload != nil {
		w.raw = seal(bucket, key, payload)
	}
	id := bucket + "\x00" + string(key)
	if i, again := p.at[id]; again {
		p.writes[i] = w
		return
	}
	p.at[id] = len(p.writes)
	p.writes = append(p.writes, w)
}

func (p *plan) documents(c agent.Change) error {
	for _, k := range c.Metadata.Drop {
		bucket, key, err := locate(k)
		if err != nil {
			return err
		}
		p.set(bucket, key, nil)
	}
	for _, d := range c.Metadata.Put {
		bucket, key, err := locate(d.Key)
		if err != nil {
			return err
		}
		value, large := encodeDocument(d.Bytes)
		p.set(bucket, key, value)
		if large != nil {
			p.blobs = append(p.blobs, large)
		} else if d.Key.Delegated() {
			p.delegated += int64(len(value))
		}
	}
	return nil
}

func (p *plan) records(c agent.Change) error {
	for _, r := range c.Records {
		if r.Component == "" || len(r.Component) > floorNameMax {
			return beyond("store the record of component %.40q: its name has %d bytes, expected 1 to %d",
				r.Component, len(r.Component), floorNameMax)
		}
		if err := p.json(bucketRecords, r.Component, r); err != nil {
			return err
		}
	}
	return nil
}

func (p *plan) singles(c agent.Change) error {
	if c.Time != nil {
		if err := p.json(bucketTime, keyFloor, c.Time); err != nil {
			return err
		}
	}
	if c.Device != nil {
		return p.json(bucketDevice, keyState, c.Device)
	}
	return nil
}

func (p *plan) json(bucket, key string, v any) error {
	payload, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("encode %s of %s: %w", key, bucket, err)
	}
	p.set(bucket, []byte(key), payload)
	return nil
}

// planFloors comes last: a record that the database has no copy of gets one with the first commit of anything, and with
// one that asks for these floors. Unchanged are only floors that the database has, too.
func (s *Store) planFloors(p *plan, next *verifier.Floors) error {
	if s.uncopied != nil && (next != nil || len(p.writes) > 0) {
		p.set(bucketFloors, []byte(keyCopy), encodeSlot(s.slots.seq, s.uncopied))
	}
	if next == nil {
		return nil
	}
	raised := raise(s.floors, *next)
	payload, err := encodeFloors(raised)
	if err != nil {
		return err
	}
	now, err := encodeFloors(s.floors)
	if err != nil || bytes.Equal(now, payload) {
		return err
	}
	payload = append(payload, s.floorsMore...)
	p.floors, p.floorsPayload = &raised, payload
	p.set(bucketFloors, []byte(keyCopy), encodeSlot(s.slots.seq+1, payload))
	return nil
}

// prune drops the writes that change nothing, and plans to keep the damaged records that are replaced.
func (p *plan) prune(tx *bbolt.Tx) error {
	all := p.writes
	p.writes = nil
	for _, w := range all {
		var stored []byte
		if b := tx.Bucket([]byte(w.bucket)); b != nil {
			stored = b.Get(w.key)
		}
		if bytes.Equal(stored, w.raw) && (stored == nil) == (w.raw == nil) {
			continue
		}
		p.writes = append(p.writes, w)
		if stored == nil {
			continue
		}
		switch w.bucket {
		case bucketMetadata, bucketChain, bucketReceipts:
			p.orphans = p.orphans || len(stored) == valueHeader+fileValueBytes
		case bucketRecords:
			if _, err := unseal(w.bucket, w.key, stored); err != nil {
				p.writes = append(p.writes, write{bucketDamaged, w.key, seal(bucketDamaged, w.key, stored)})
			}
		}
	}
	return p.pruneEvents(tx)
}
