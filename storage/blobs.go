package storage

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/ota-agent/ota-agent/agent"
)

// commitBytes is the room, in bytes, that a transaction must have, with what the reserve holds, where somebody else than the publisher
// may have chosen how much it writes: many times what names a large document. One that finds no room has an unknown outcome, and
// the next start would only try again.
const commitBytes = 256 << 10

// prepare makes the files of large documents durable, before anything else of their commit is written: until the
// transaction no document refers to them. Where one finds no room, or too little is left for the transaction, they are removed
// again, and the error wraps agent.ErrNothingWritten.
func (s *Store) prepare(p *plan) error {
	if len(p.blobs) == 0 && p.delegated == 0 {
		return nil
	}
	reserved := s.reserved() > 0
	err := s.tryBlobs(p)
	if !isFull(err) {
		return err
	}
	if rerr := s.removeBlobs(p.blobs); rerr != nil {
		return errors.Join(err, rerr)
	}
	if reserved {
		s.makeReserve(0) // it was given up in vain, and is for what must be recorded
	}
	return fmt.Errorf("%w: %w", agent.ErrNothingWritten, err)
}

func (s *Store) tryBlobs(p *plan) error {
	for _, b := range p.blobs {
		if err := s.orWithReserve(func() error { return s.meta.write(b.name(), b.bytes) }); err != nil {
			return err
		}
	}
	free, err := s.dir.available()
	if err != nil {
		return nil // it can't be known
	}
	if free += s.reserved(); free < commitBytes+p.delegated {
		return fmt.Errorf("%d bytes are free or in reserve, and a commit of this metadata needs %d: %w", free, commitBytes+p.delegated, unix.ENOSPC)
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
