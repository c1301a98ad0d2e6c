package storage

// settle makes durable what this process found, once, before it builds upon it or acts because of it: names that the
// process before it died too early to sync, and the database's last commit. A start that does neither costs nothing. It does so
// again after a transaction of its own that failed.
// (What lies in meta/ without a synced name is swept by then.)
func (s *Store) settle() error {
	if s.db.settled {
		return nil
	}
	return s.orWithReserve(func() error {
		if err := s.dir.sync(); err != nil {
			return err
		}
		return s.db.settle()
	})
}

// settle makes durable what the newest root page says. A process that died in a commit, or that was told that the page
// could not be synced, may have left it in the page cache alone. The next commit would reuse pages that belong to the
// tree of the root page that the disk has, and a power cut would leave neither tree.
//
// The page is written again, since the kernel takes it for clean once a sync has failed. The same bytes over
// themselves: where the disk has them nothing changes, where it has not the other root page counts, torn or not.
func (db *database) settle() error {
	m, _, err := newestMeta(db.file)
	if err != nil {
		return err
	}
	page, at := make([]byte, pageSize), int64(m.txid%2)*pageSize // bbolt writes them in turn
	if _, err := db.file.ReadAt(page, at); err != nil {
		return err
	}
	if err := db.file.writeAt(page, at); err != nil {
		return err
	}
	if err := db.file.dataSync(); err != nil {
		return err
	}
	db.settled = true
	return nil
}
