package storage

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"

	"go.etcd.io/bbolt"

	"github.com/ota-agent/ota-agent/agent"
)

const (
	// bucketEvents holds events by Seq and the journal's mark. It came after the first agents: it is made by the first
	// commit that has an event, and where it is missing there is none. Agents that don't know it leave it alone.
	bucketEvents = "events"
	// keyJournal sorts behind every event: what a commit changes lies in one page, mostly.
	keyJournal = "journal"
	// keyDamagedEvent is where a damaged event is kept, the last one only. No component has this name.
	keyDamagedEvent = "\x00event"

	eventKeyBytes = 8
)

func eventKey(seq uint64) []byte { return binary.BigEndian.AppendUint64(nil, seq) }

// events plans what a change does to the journal.
func (p *plan) events(c agent.Change) error {
	for _, seq := range c.DropEvents {
		p.set(bucketEvents, eventKey(seq), nil)
	}
	for _, e := range c.Events {
		if e.Seq == 0 {
			return refuse(agent.ReasonInternal, "store an event of kind %q: it has no number", e.Kind)
		}
		if err := p.json(bucketEvents, string(eventKey(e.Seq)), e); err != nil {
			return err
		}
	}
	if c.Journal != nil {
		return p.json(bucketEvents, keyJournal, c.Journal)
	}
	return nil
}

// pruneEvents sets damaged events aside where the journal changes anyway: nobody else would ever drop them.
func (p *plan) pruneEvents(tx *bbolt.Tx) error {
	b := tx.Bucket([]byte(bucketEvents))
	if b == nil || !p.changes(bucketEvents) {
		return nil
	}
	return b.ForEach(func(k, raw []byte) error {
		if _, planned := p.at[bucketEvents+"\x00"+string(k)]; planned {
			return nil
		}
		if _, err := readEvent(k, raw); !errors.Is(err, errDamaged) || string(k) == keyJournal {
			return nil
		}
		key := []byte(keyDamagedEvent)
		p.writes = append(p.writes, write{bucketEvents, append([]byte{}, k...), nil},
			write{bucketDamaged, key, seal(bucketDamaged, key, append([]byte{}, raw...))})
		return nil
	})
}

func (p *plan) changes(bucket string) bool {
	for _, w := range p.writes {
		if w.bucket == bucket {
			return true
		}
	}
	return false
}

// loadEvents reads the journal. An event that is damaged is left out; one of a newer form is left out, too, and stays.
// The number of either is given to no other.
func loadEvents(tx *bbolt.Tx, st *agent.State) error {
	b := tx.Bucket([]byte(bucketEvents))
	if b == nil {
		return nil
	}
	if _, err := getJSON(tx, bucketEvents, []byte(keyJournal), &st.Journal); err != nil && !errors.Is(err, errNewer) {
		text := "the events' numbering was damaged: they get a new journal, and those that are kept are told again"
		if err := forgive(st, err, text); err != nil {
			return fmt.Errorf("journal: %w", err)
		}
	}
	lost := 0
	err := b.ForEach(func(k, raw []byte) error {
		e, err := readEvent(k, raw)
		switch {
		case errors.Is(err, errDamaged) && string(k) != keyJournal:
			lost++
		case err == nil:
			st.Events = append(st.Events, e)
		}
		if len(k) == eventKeyBytes {
			st.Journal.Last = max(st.Journal.Last, binary.BigEndian.Uint64(k))
		}
		return nil
	})
	if lost > 0 {
		st.Recovered = append(st.Recovered, fmt.Sprintf("%d events of the journal were damaged and are left out", lost))
	}
	return err
}

// readEvent reads an event. A sound value under any other key is errNewer: a newer agent knows what it is for.
func readEvent(key, raw []byte) (agent.Event, error) {
	var e agent.Event
	if len(key) != eventKeyBytes {
		_, err := unseal(bucketEvents, key, raw)
		return e, cmp.Or(err, errNewer)
	}
	if err := openJSON(bucketEvents, key, raw, &e); err != nil {
		return agent.Event{}, err
	}
	if binary.BigEndian.Uint64(key) != e.Seq {
		return agent.Event{}, fmt.Errorf("it is event %d: %w", e.Seq, errDamaged)
	}
	return e, nil
}
