package storage

import "os"

const (
	reserveName = "reserve"
	// reserveBytes are enough for a good number of commits, or for a targets file of some size.
	reserveBytes = 1 << 20
)

// makeReserve keeps blocks for the day when the disk is full and what happened must still be recorded. It is a
// comfort: where it can't be made, for want of space or for whatever reason, the store does without. A file system
// that reserves nothing (a file of zeros would only be compressed away there) has the file all the same, so that the
// next start writes nothing. So may have one whose maker died first: what counts is the blocks, never the name.
func (s *Store) makeReserve(freeBytesMin int64) {
	if s.reserved() >= reserveBytes {
		return
	}
	if free, err := s.dir.available(); err != nil || free < reserveBytes+freeBytesMin {
		return
	}
	f, err := s.dir.open(reserveName, os.O_RDWR)
	if isAbsent(err) {
		f, err = s.dir.create(reserveName)
	}
	if err == nil {
		_ = f.allocate(reserveBytes)
		f.Close()
	}
}

// reserved is how many bytes the reserve holds.
func (s *Store) reserved() int64 {
	n, err := s.dir.occupied(reserveName)
	if err != nil {
		return 0
	}
	return n
}

// orWithReserve runs f, and once more with the reserve given up where f found the disk full. f can be repeated.
func (s *Store) orWithReserve(f func() error) error {
	err := f()
	if !isFull(err) || s.reserved() == 0 {
		return err
	}
	if rerr := s.dir.remove(reserveName); rerr != nil {
		return err
	}
	return f()
}

// available is how many bytes may still be written in d.
func (d *dir) available() (int64, error) {
	if d.disk.space != nil {
		return d.disk.space()
	}
	return available(d.f)
}
