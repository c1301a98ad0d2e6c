package storage

import (
	"go.etcd.io/bbolt"
)

const (
	// compactBytesMin is the smallest database worth the writes.
	compactBytesMin = 1 << 20
	// compactFreeShare: a database is copied when at least 3 of 4 of its pages are free.
	compactFreeNum, compactFreeDen = 3, 4
)

// compact replaces a database that is mostly free pages by a copy without them: bbolt never makes its file
// smaller. Until the rename a failure leaves the old one in use.
func (s *Store) compact(o Options) error {
	free := int64(s.db.bolt.Stats().FreePageN) * pageSize
	if s.db.size < compactBytesMin || free*compactFreeDen < s.db.size*compactFreeNum {
		return nil
	}
	temp := databaseName + tempSuffix
	if err := s.copyDatabase(temp, o); err != nil {
		// Most likely the disk is full. The old database is as good as before; after a fault that is to be found out.
		if err := s.dir.remove(temp); err != nil || s.db.dead == nil {
			return err
		}
		return s.reopen(o)
	}
	if err := s.dir.rename(temp, s.dir, databaseName); err != nil {
		return err
	}
	if err := s.dir.sync(); err != nil {
		return err
	}
	return s.reopen(o)
}

func (s *Store) reopen(o Options) error {
	err := s.db.close()
	s.db = nil
	if err != nil {
		return err
	}
	return s.openExisting(o, false)
}

// copyDatabase writes a copy, durably but for its name.
func (s *Store) copyDatabase(name string, o Options) error {
	if err := s.dir.remove(name); err != nil {
		return err
	}
	f, err := s.dir.create(name)
	if err != nil {
		return err
	}
	to, err := openBolt(s.dir, f, false, o.LockTimeout, o.DatabaseBytesMax)
	if err != nil {
		return err
	}
	defer func() {
		s.db.dead = to.dead // a fault in either leaves locks held in both
		to.close()
	}()
	// One transaction: what is left to copy is at most a quarter of the largest database.
	if err := to.counted(func() error { return bbolt.Compact(to.bolt, s.db.bolt, 0) }); err != nil {
		return err
	}
	return f.sync()
}
