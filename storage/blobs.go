package storage

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/ota-agent/ota-agent/agent"
)

// commitBytes is the room that large documents must leave where they have cost the reserve, in bytes: many times what a
// transaction that names them writes. One that finds no room has an unknown outcome, and the next start would only try again.
const commitBytes = 256 << 10

// writeBlobs makes the files of large documents durable, before anything else of their commit is written: until the
// transaction no document refers to them. Where one finds no room they are removed again, and the error wraps
// agent.ErrNothingWritten.
func (s *Store) writeBlobs(blobs []*blob) error {
	if len(blobs) == 0 {
		return nil
	}
	reserved := s.dir.has(reserveName)
	err := s.tryBlobs(blobs)
	if !isFull(err) {
		return err
	}
	if rerr := s.removeBlobs(blobs); rerr != nil {
		return errors.Join(err, rerr)
	}
	if reserved {
		s.makeReserve(0) // it was given up in vain, and is for what must be recorded
	}
	return fmt.Errorf("%w: %w", agent.ErrNothingWritten, err)
}

func (s *Store) tryBlobs(blobs []*blob) error {
	for _, b := range blobs {
		if err := s.orWithReserve(func() error { return s.meta.write(b.name(), b.bytes) }); err != nil {
			return err
		}
	}
	if s.dir.has(reserveName) {
		return nil
	}
	if free, err := s.dir.available(); err == nil && free < commitBytes {
		return fmt.Errorf("metadata leaves %d bytes, and %d must be left: %w", free, commitBytes, unix.ENOSPC)
	}
	return nil
}

// removeBlobs removes the files of a commit that found no room, whichever of them there are. A file whose bytes could be
// synced may have a name that could not, so a later commit must not find it and take it for durable: it writes the file anew.
// That they are gone need not be durable: what a power cut brings back is an orphan, which the next start sweeps.
func (s *Store) removeBlobs(blobs []*blob) error {
	for _, b := range blobs {
		for _, name := range []string{b.name() + tempSuffix, b.name()} {
			if err := s.meta.remove(name); err != nil {
				return err
			}
		}
	}
	return nil
}
