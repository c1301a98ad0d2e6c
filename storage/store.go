package storage

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/ota-agent/ota-agent/agent"
	"github.com/ota-agent/ota-agent/verifier"
)

// Options bound a store. The zero value is what a device should run with.
type Options struct {
	// LockTimeout is how long to wait for another process that has the store open; 0 means 1 s.
	LockTimeout time.Duration
	// DatabaseBytesMax bounds agent.db; 0 means 64 MiB.
	DatabaseBytesMax int64
	// FreeBytesMin is the space that an image must leave free; 0 means 8 MiB.
	FreeBytesMin int64
	// BootID changes with each boot and only then. With it a download loses nothing when the process is killed;
	// without it, or after a power cut, what was not flushed.
	BootID string
}

func (o Options) withDefaults() Options {
	if o.LockTimeout <= 0 {
		o.LockTimeout = time.Second
	}
	if o.DatabaseBytesMax <= 0 {
		o.DatabaseBytesMax = 64 << 20
	}
	if o.FreeBytesMin <= 0 {
		o.FreeBytesMin = 8 << 20
	}
	return o
}

// A Store is an agent.Store in a directory. Its methods may be called from several goroutines.
type Store struct {
	mu   sync.Mutex
	disk *disk
	dir  *dir
	meta *dir // nil where a read-only store has none

	db     *database
	slots  *slotFile // nil where a read-only store has none that is valid
	floors verifier.Floors
	// floorsMore is what a newer agent appended to the floors: kept as it is.
	floorsMore []byte
	// uncopied is the payload of the floors file's record where the database does not hold it, too. Whoever wrote that
	// record may have died before it was durable; the copy is committed only after it.
	uncopied []byte
	images   *Images
	readOnly bool
	// recovered is what openings repaired, for State.Recovered.
	recovered []string
	// anchor, of a read-only store, says that the floors were lost, which the next start will keep in the database (keyAnchor).
	anchor string
	// broken is what the first failed Commit said: what is on the disk is unknown from then on. Or it is what ended the
	// database.
	broken error
}

var _ agent.Store = (*Store)(nil)

// Open opens the store in directory path, which it makes if need be, and repairs or sets aside what is damaged:
// State.Recovered says what. One process at a time has it: others fail with reason Locked. Opening a store that
// is in order writes nothing. Errors are *agent.Problem.
func Open(path string, o Options) (*Store, error) { return open(path, o, &disk{}) }

func open(path string, o Options, d *disk) (*Store, error) {
	s := &Store{disk: d}
	opened := false
	defer func() {
		if !opened {
			s.closeAll()
		}
	}()
	if err := s.open(path, o.withDefaults()); err != nil {
		return nil, problem("open the store in "+path, err)
	}
	opened = true
	return s, nil
}

func (s *Store) open(path string, o Options) (err error) {
	if s.dir, err = openDir(s.disk, path, true); err != nil {
		return err
	}
	if err := lock(s.dir, false, o.LockTimeout); err != nil {
		return err
	}
	if s.meta, err = s.dir.sub("meta", true); err != nil {
		return err
	}
	if err := s.openDatabase(o); err != nil {
		return err
	}
	if err := s.openFloors(os.O_RDWR); err != nil {
		return err
	}
	if err := s.sweep(); err != nil {
		return err
	}
	if s.images, err = openImages(s.dir, true, o); err != nil {
		return err
	}
	s.makeReserve(o.FreeBytesMin)
	return nil
}

// OpenReadOnly opens the store for looking at while no agent runs, changing nothing: not even what is damaged
// is set aside. Where there is no store, its error wraps agent.ErrAbsent.
func OpenReadOnly(path string, o Options) (*Store, error) {
	s := &Store{disk: &disk{}, readOnly: true}
	err := s.openReadOnly(path, o.withDefaults())
	if err != nil {
		s.closeAll()
		if isAbsent(err) {
			return nil, fmt.Errorf("no store in %s, has the agent run yet? %w", path, agent.ErrAbsent)
		}
		return nil, problem("open the store in "+path+" for reading", err)
	}
	return s, nil
}

func (s *Store) openReadOnly(path string, o Options) (err error) {
	if s.dir, err = openDir(s.disk, path, false); err != nil {
		return err
	}
	if err := lock(s.dir, true, o.LockTimeout); err != nil {
		return err
	}
	if s.meta, err = s.dir.sub("meta", false); err != nil && !isAbsent(err) {
		return err
	}
	if err := s.openExisting(o, true); err != nil {
		if errors.Is(err, errDamaged) {
			return refuse(agent.ReasonStore, "%s is damaged (%v): start the agent, it sets it aside and begins a new one",
				s.dir.join(databaseName), err)
		}
		return err
	}
	if err := s.openFloors(os.O_RDONLY); err != nil {
		return err
	}
	s.images, err = openImages(s.dir, false, o)
	return err
}

// failed makes err fit to show. Where it ended the database it is all that the store says from then on: what can't be
// read is not absent, and the next start finds out what is left.
func (s *Store) failed(act string, err error) error {
	err = problem(act, err)
	if s.db.dead != nil {
		s.broken = err
	}
	return err
}

// Images is the image store in the same directory, open for as long as s is.
func (s *Store) Images() *Images { return s.images }

// Counters are the bytes written, fsyncs and commits since Open, database and images included.
func (s *Store) Counters() agent.Counters {
	return agent.Counters{
		BytesWritten: s.disk.bytesWritten.Load(),
		Fsyncs:       s.disk.fsyncs.Load(),
		Commits:      s.disk.commits.Load(),
	}
}

// Close lets another process open the store. Nothing is left to be written then.
func (s *Store) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.broken = refuse(agent.ReasonStore, "the store is closed")
	return problem("close the store", s.closeAll())
}

func (s *Store) closeAll() error {
	var errs []error
	if s.images != nil {
		errs = append(errs, s.images.close())
	}
	if s.slots != nil {
		errs = append(errs, s.slots.close())
	}
	if s.db != nil {
		errs = append(errs, s.db.close())
	}
	if s.meta != nil {
		errs = append(errs, s.meta.close())
	}
	if s.dir != nil { // the last one: it is the lock
		errs = append(errs, unlock(s.dir), s.dir.close())
	}
	s.images, s.slots, s.db, s.meta, s.dir = nil, nil, nil, nil, nil
	return errors.Join(errs...)
}
