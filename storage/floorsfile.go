package storage

import (
	"errors"
	"fmt"
	"os"

	"go.etcd.io/bbolt"

	"github.com/ota-agent/ota-agent/agent"
	"github.com/ota-agent/ota-agent/verifier"
)

// openFloors reads the floors: the newest of the file's two records and the database's copy counts. A file that is
// missing is made again here, a copy with the next commit.
func (s *Store) openFloors(flag int) error {
	spare, spareMore, spareSeq, err := s.spareFloors()
	if err != nil {
		return err
	}
	slots, payload, err := openSlots(s.dir, floorsName, floorsSlot, flag, soundFloors)
	if err == nil && slots.seq >= spareSeq {
		s.slots = slots
		if slots.seq > spareSeq {
			s.uncopied = payload
		}
		s.floors, s.floorsMore, err = readFloors(payload)
		return s.refuseNewer(err)
	}
	path := s.dir.join(floorsName)
	switch {
	case err == nil:
		slots.close()
		s.note("%s held older floors (record %d) than the database (record %d): the database's are used", path, slots.seq, spareSeq)
	case !isAbsent(err) && !errors.Is(err, errDamaged):
		return err
	case spareSeq == 0:
		if err := s.tellAnchor(err); err != nil {
			return err
		}
	case isAbsent(err):
		s.note("%s was missing: the database's copy of it is used", path)
	default:
		s.note("%s was damaged (%v): the database's copy of it is used", path, err)
	}
	s.floors, s.floorsMore = spare, spareMore
	if s.readOnly {
		return nil
	}
	return s.orWithReserve(func() error { return s.createFloors(spareSeq) })
}

// tellAnchor says that floors were lost with every copy of them, because of err. The database keeps the sentence until the next
// commit, as it does of its own loss (lost): no later start could tell that the floors which it finds began anew. A new device
// has none to lose.
func (s *Store) tellAnchor(err error) error {
	how := "was missing"
	if !isAbsent(err) {
		how = fmt.Sprintf("was damaged (%v)", err)
	} else if had, err := s.db.hadFloors(); err != nil || !had {
		return err
	}
	if told, err := s.db.keepsAnchor(); err != nil || told {
		return err // by a start that came no further
	}
	text := oneLine(s.dir.join(floorsName) + " " + how + " and there is no copy of it: what this device demands begins again at its trust anchor")
	if s.readOnly {
		s.anchor = text
		return nil
	}
	return s.transact(func(tx *bbolt.Tx) error { return putOwn(tx, keyAnchor, []byte(text)) })
}

// keepsAnchor reports whether the database tells already that the floors were lost.
func (db *database) keepsAnchor() (told bool, err error) {
	err = db.view(func(tx *bbolt.Tx) error {
		text, err := get(tx, bucketStore, []byte(keyAnchor))
		told = err == nil && text != nil
		return nil
	})
	return told, err
}

// hadFloors reports whether the database holds a copy of floors, damaged or not, or was made in place of one that may have.
func (db *database) hadFloors() (had bool, err error) {
	err = db.view(func(tx *bbolt.Tx) error {
		had = tx.Bucket([]byte(bucketFloors)).Get([]byte(keyCopy)) != nil || tx.Bucket([]byte(bucketStore)).Get([]byte(keyLost)) != nil
		return nil
	})
	return had, err
}

// createFloors makes the floors file. Its number passes the spare copy's, which would count otherwise.
func (s *Store) createFloors(after uint64) error {
	payload, err := encodeFloors(s.floors)
	if err != nil {
		return err
	}
	payload = append(payload, s.floorsMore...)
	temp := floorsName + tempSuffix
	slots, err := createSlots(s.dir, temp, floorsSlot, after+1, payload)
	if err != nil {
		return err
	}
	if err := slots.close(); err != nil {
		return err
	}
	if err := s.dir.rename(temp, s.dir, floorsName); err != nil {
		return err
	}
	if err := s.dir.sync(); err != nil {
		return err
	}
	s.slots, s.uncopied, err = openSlots(s.dir, floorsName, floorsSlot, os.O_RDWR, soundFloors)
	return err
}

// soundFloors refuses a payload that is no floors, as if its checksum were wrong. A newer agent's may be.
func soundFloors(payload []byte) error {
	_, err := decodeFloors(payload)
	return ignoreNewer(err)
}

// spareFloors is the database's copy: a whole slot record, or number 0 where there is none.
func (s *Store) spareFloors() (f verifier.Floors, more []byte, seq uint64, err error) {
	var record []byte
	if s.db != nil {
		err = s.db.view(func(tx *bbolt.Tx) error {
			record, err = get(tx, bucketFloors, []byte(keyCopy))
			return err
		})
	}
	if err != nil || record == nil {
		return f, nil, 0, ignoreDamaged(err)
	}
	seq, payload, err := decodeSlot(record)
	if err == nil {
		f, more, err = readFloors(payload)
	}
	if err != nil {
		return verifier.Floors{}, nil, 0, s.refuseNewer(ignoreDamaged(err))
	}
	return f, more, seq, nil
}

// refuseNewer turns errNewer into a Problem: a newer agent's floors are not damage.
func (s *Store) refuseNewer(err error) error {
	if errors.Is(err, errNewer) {
		return refuse(agent.ReasonStore, "open %s: %v; nothing was changed: run that newer agent", s.dir.path, err)
	}
	return err
}
