package storage

import (
	"errors"
	"os"

	"go.etcd.io/bbolt"

	"github.com/ota-agent/ota-agent/agent"
	"github.com/ota-agent/ota-agent/verifier"
)

// openFloors reads the floors: the newest of the file's two records and the database's copy counts. What is
// missing of the three is made again.
func (s *Store) openFloors(flag int) error {
	spare, spareSeq, err := s.spareFloors()
	if err != nil {
		return err
	}
	slots, payload, err := openSlots(s.dir, floorsName, floorsSlot, flag)
	if err == nil && slots.seq >= spareSeq {
		s.slots = slots
		s.floors, err = decodeFloors(payload)
		return s.refuseNewer(err)
	}
	path := s.dir.join(floorsName)
	switch {
	case err == nil:
		slots.close()
		s.note("%s held older floors (record %d) than the database (record %d): the database's are used", path, slots.seq, spareSeq)
	case isAbsent(err) && spareSeq == 0:
	case isAbsent(err):
		s.note("%s was missing and was made again from the database", path)
	case errors.Is(err, errDamaged) && spareSeq > 0:
		s.note("%s was damaged (%v) and was made again from the database", path, err)
	case errors.Is(err, errDamaged):
		s.note("%s was damaged (%v) and there is no copy of it: "+
			"what this device demands begins again at its trust anchor", path, err)
	default:
		return err
	}
	s.floors = spare
	if s.readOnly {
		return nil
	}
	return s.createFloors(spare, spareSeq)
}

// createFloors makes the floors file. Its number passes the spare copy's, which would count otherwise.
func (s *Store) createFloors(f verifier.Floors, after uint64) error {
	payload, err := encodeFloors(f)
	if err != nil {
		return err
	}
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
	s.slots, _, err = openSlots(s.dir, floorsName, floorsSlot, os.O_RDWR)
	return err
}

// spareFloors is the database's copy: a whole slot record, or number 0 where there is none.
func (s *Store) spareFloors() (f verifier.Floors, seq uint64, err error) {
	var record []byte
	if s.db != nil {
		err = s.db.view(func(tx *bbolt.Tx) error {
			record, err = get(tx, bucketFloors, []byte(keyCopy))
			return err
		})
	}
	if err != nil || record == nil {
		return f, 0, ignoreDamaged(err)
	}
	seq, payload, err := decodeSlot(record)
	if err == nil {
		f, err = decodeFloors(payload)
	}
	if err != nil {
		return verifier.Floors{}, 0, s.refuseNewer(ignoreDamaged(err))
	}
	return f, seq, nil
}

// refuseNewer turns errNewer into a Problem: a newer agent's floors are not damage.
func (s *Store) refuseNewer(err error) error {
	if errors.Is(err, errNewer) {
		return refuse(agent.ReasonStore, "open %s: %v; nothing was changed: run that newer agent", s.dir.path, err)
	}
	return err
}
