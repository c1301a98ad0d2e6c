package storage

import (
	"errors"
	"fmt"

	"go.etcd.io/bbolt"

	"github.com/ota-agent/ota-agent/agent"
)

// Commit makes c durable, in this order: the files of large documents, its floors, one transaction. So at any
// crash the floors are as high as what the database holds, or higher, and no document lacks its file. Dropping
// comes before putting; of two values for one key the later counts. What is stored already is not written again.
//
// An error that wraps agent.ErrNothingWritten refuses all of c, and the store goes on. Its reason is Limit
// where c is beyond a bound, and DiskFull where the file of a large document finds no room, or a delegated
// role's document would leave too little: whoever may sign such a thing must not be able to end the agent of
// a device whose disk is nearly full. After any other error what is on the disk is unknown, and the store
// answers every call with that error: close it and open it again. The same goes where something else lies at
// the store's path by now (Astray).
func (s *Store) Commit(c agent.Change) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.broken != nil {
		return s.broken
	}
	if s.readOnly {
		return refuse(agent.ReasonReadOnly, "commit to %s: the store was opened for reading only", s.dir.path)
	}
	if err := s.dir.astray(); err != nil {
		s.broken = err
		return err
	}
	p, err := s.plan(c)
	if err != nil {
		return s.failed("prepare a commit to "+s.dir.path, err)
	}
	if err := s.apply(p); err != nil {
		err = problem("commit to "+s.dir.path, err)
		if !errors.Is(err, agent.ErrNothingWritten) {
			s.broken = err
		}
		return err
	}
	if p.orphans {
		// The commit stands, whatever becomes of the files that it made useless: the next start sweeps them too.
		_ = s.sweep()
	}
	return nil
}

func (s *Store) apply(p *plan) error {
	if err := s.prepare(p); err != nil {
		return err
	}
	if err := s.applyFloors(p); err != nil {
		return err
	}
	if len(p.writes) == 0 {
		return nil
	}
	err := s.transact(p.run)
	if err == nil {
		s.uncopied = nil
	}
	return err
}

// transact makes f one transaction, upon what is durable: also where it runs once more, since the attempt
// that found the disk full may have left its root page in the page cache alone.
func (s *Store) transact(f func(tx *bbolt.Tx) error) error {
	return s.orWithReserve(func() error {
		if err := s.settle(); err != nil {
			return err
		}
		return s.db.update(f)
	})
}

// applyFloors brings the floors file to where the commit's copy will say it is. A record without a copy is
// written once more where it lies, since it may be in the page cache only, and clean there after a sync that
// failed. The same bytes: if that is torn, the disk did not have them, and the older record still counts. The
// file has all its blocks, but on some file systems bytes written over others take new ones.
func (s *Store) applyFloors(p *plan) error {
	if s.uncopied != nil && len(p.writes) > 0 {
		if err := s.orWithReserve(func() error { return s.slots.rewrite(s.uncopied) }); err != nil {
			return err
		}
	}
	if p.floors == nil {
		return nil
	}
	if err := s.orWithReserve(func() error { return s.slots.write(p.floorsPayload) }); err != nil {
		return err
	}
	s.floors = *p.floors
	return nil
}

func (p *plan) run(tx *bbolt.Tx) error {
	count, err := getCount(tx)
	if err != nil {
		return err
	}
	before := count
	for _, w := range p.writes {
		b, err := tx.CreateBucketIfNotExists([]byte(w.bucket)) // one of a later schema may be missing
		if err != nil {
			return fmt.Errorf("make bucket %s: %w", w.bucket, err)
		}
		if b.Get(w.key) != nil {
			count--
		}
		if w.raw == nil {
			err = b.Delete(w.key)
		} else {
			count++
			err = b.Put(w.key, w.raw)
		}
		if err != nil {
			return fmt.Errorf("change %s: %w", w.bucket, err)
		}
	}
	for _, key := range []string{keyLost, keyAnchor} { // somebody has heard of it
		if err := tx.Bucket([]byte(bucketStore)).Delete([]byte(key)); err != nil {
			return err
		}
	}
	if count == before {
		return nil
	}
	return putCount(tx, count)
}
