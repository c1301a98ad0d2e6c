package storage

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"

	"go.etcd.io/bbolt"

	"github.com/ota-agent/ota-agent/agent"
	"github.com/ota-agent/ota-agent/verifier"
)

// corruptMax is how many databases that were set aside are kept.
const corruptMax = 3

// openDatabase opens agent.db, makes it where there is none, and sets it aside where it can't be trusted. The
// agent then rebuilds from its trust anchor through the floors and observes what its hooks say.
func (s *Store) openDatabase(o Options) error {
	err := s.openExisting(o, false)
	if errors.Is(err, errDamaged) {
		var aside string
		if aside, err = s.setAside(err); err != nil {
			return err
		}
		s.note("%s", aside)
	} else if err == nil {
		return s.compact(o)
	} else if !isAbsent(err) {
		return err
	}
	if err := createDatabase(s.dir, o.LockTimeout, o.DatabaseBytesMax); err != nil {
		return err
	}
	return s.openExisting(o, false)
}

// openExisting leaves s.db nil unless it returns nil. errDamaged: it is not to be used.
func (s *Store) openExisting(o Options, readOnly bool) error {
	flag := os.O_RDWR
	if readOnly {
		flag = os.O_RDONLY
	}
	f, err := s.dir.open(databaseName, flag)
	if err != nil {
		return err
	}
	size, err := f.size()
	oneMeta := false
	if err == nil {
		oneMeta, err = checkPages(f, size)
	}
	if err != nil {
		f.Close()
		return err
	}
	db, err := openBolt(s.dir, f, readOnly, o.LockTimeout, o.DatabaseBytesMax)
	if err != nil {
		return err
	}
	if err := db.checkSchema(f.File.Name()); err != nil {
		db.close()
		return err
	}
	s.db = db
	if oneMeta {
		s.note("one of the two root pages of %s was damaged: its last commit may have been lost", pathOf(s.dir, databaseName))
	}
	return nil
}

// setAside renames a damaged database, keeps the newest few of them, and says so.
func (s *Store) setAside(why error) (string, error) {
	numbers, err := s.corruptNumbers()
	if err != nil {
		return "", err
	}
	next := 1
	if n := len(numbers); n > 0 {
		next = numbers[n-1] + 1
	}
	name := corruptName(next)
	if err := s.dir.rename(databaseName, s.dir, name); err != nil {
		return "", err
	}
	if err := s.dir.sync(); err != nil {
		return "", err
	}
	for len(numbers) >= corruptMax {
		if err := s.dir.remove(corruptName(numbers[0])); err != nil {
			return "", err
		}
		numbers = numbers[1:]
	}
	return fmt.Sprintf("%s was damaged (%v) and was set aside as %s; metadata is fetched again, "+
		"records of components are lost, floors are kept", pathOf(s.dir, databaseName), why, name), nil
}

func corruptName(n int) string { return databaseName + ".corrupt-" + strconv.Itoa(n) }

// corruptNumbers are the N of the agent.db.corrupt-N that are there, rising.
func (s *Store) corruptNumbers() ([]int, error) {
	entries, err := s.dir.entries()
	if err != nil {
		return nil, err
	}
	var numbers []int
	for _, e := range entries {
		text, ok := strings.CutPrefix(e.Name(), databaseName+".corrupt-")
		if n, err := strconv.Atoi(text); ok && err == nil && n > 0 && corruptName(n) == e.Name() {
			numbers = append(numbers, n)
		}
	}
	slices.Sort(numbers)
	return numbers, nil
}

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
	path := pathOf(s.dir, floorsName)
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

func ignoreDamaged(err error) error {
	if errors.Is(err, errDamaged) {
		return nil
	}
	return err
}

func ignoreNewer(err error) error {
	if errors.Is(err, errNewer) {
		return nil
	}
	return err
}

// note keeps a sentence for State.Recovered.
func (s *Store) note(format string, args ...any) {
	s.recovered = append(s.recovered, oneLine(fmt.Sprintf(format, args...)))
}
