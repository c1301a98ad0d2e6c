package storage

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
	"time"

	"go.etcd.io/bbolt"

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
	mu   sync.RWMutex
	disk *disk
	dir  *dir
	meta *dir // nil where a read-only store has none

	db       *database
	slots    *slotFile // nil where a read-only store has none that is valid
	floors   verifier.Floors
	images   *Images
	readOnly bool
	// recovered is what openings repaired, for State.Recovered.
	recovered []string
	// broken is what the first failed Commit said: what is on the disk is unknown from then on.
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
	if s.images, err = openImages(s.dir, true, o.FreeBytesMin); err != nil {
		return err
	}
	return s.makeReserve(o.FreeBytesMin)
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
				pathOf(s.dir, databaseName), err)
		}
		return err
	}
	if err := s.openFloors(os.O_RDONLY); err != nil {
		return err
	}
	s.images, err = openImages(s.dir, false, o.FreeBytesMin)
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
	for _, d := range []*dir{s.meta, s.dir} {
		if d != nil {
			errs = append(errs, d.close()) // the last one is the lock
		}
	}
	s.images, s.slots, s.db, s.meta, s.dir = nil, nil, nil, nil, nil
	return errors.Join(errs...)
}

// Load reads the state. A record that is damaged is not in Records but named in Recovered, at each Load until
// the component's next record replaces it; it is kept in the database for whoever wants to know why.
func (s *Store) Load() (agent.State, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.broken != nil {
		return agent.State{}, s.broken
	}
	st := agent.State{
		Floors:    cloneFloors(s.floors),
		Records:   map[string]agent.Record{},
		Recovered: slices.Clone(s.recovered),
	}
	err := s.db.view(func(tx *bbolt.Tx) error { return load(tx, &st) })
	if err != nil {
		return agent.State{}, problem("read "+pathOf(s.dir, databaseName), s.refuseNewer(err))
	}
	return st, nil
}

func load(tx *bbolt.Tx, st *agent.State) error {
	err := tx.Bucket([]byte(bucketRecords)).ForEach(func(k, _ []byte) error {
		var r agent.Record
		_, err := getJSON(tx, bucketRecords, k, &r)
		if err == nil && r.Component != string(k) {
			err = fmt.Errorf("it is the record of %q: %w", r.Component, errDamaged)
		}
		if errors.Is(err, errDamaged) {
			st.Recovered = append(st.Recovered, oneLine(fmt.Sprintf("the record of component %q was damaged (%v): "+
				"where it was in an update is found out from its hook, its rejected releases are forgotten", k, err)))
			return nil
		}
		if err != nil {
			return fmt.Errorf("record of component %q: %w", k, err)
		}
		st.Records[r.Component] = r
		return nil
	})
	if err != nil {
		return err
	}
	err = single(tx, bucketTime, keyFloor, &st.Time)
	if err = forgive(st, err, "the time floor was damaged: it begins again at the agent's build time"); err != nil {
		return fmt.Errorf("time floor: %w", err)
	}
	err = single(tx, bucketDevice, keyState, &st.Device)
	return forgive(st, err, "the device state was damaged: whether the device was paused is forgotten")
}

// single reads the value of a bucket that has one. A value under any other key is not what was written there,
// unless it is a newer agent's: a flipped bit in the key must not make the value vanish.
func single[T any](tx *bbolt.Tx, bucket, key string, v *T) error {
	err := tx.Bucket([]byte(bucket)).ForEach(func(k, raw []byte) error {
		_, err := unseal(bucket, k, raw)
		return ignoreNewer(err)
	})
	if err == nil {
		_, err = getJSON(tx, bucket, []byte(key), v)
	}
	return err
}

// forgive notes damage and goes on without the value; any other error stays one.
func forgive(st *agent.State, err error, text string) error {
	if !errors.Is(err, errDamaged) {
		return err
	}
	st.Recovered = append(st.Recovered, text)
	return nil
}

// get reads a value; nil where there is none.
func get(tx *bbolt.Tx, bucket string, key []byte) ([]byte, error) {
	raw := tx.Bucket([]byte(bucket)).Get(key)
	if raw == nil {
		return nil, nil
	}
	return unseal(bucket, key, raw)
}

// getJSON reads a value into v, and leaves v zero on an error.
func getJSON[T any](tx *bbolt.Tx, bucket string, key []byte, v *T) (found bool, err error) {
	payload, err := get(tx, bucket, key)
	if err != nil || payload == nil {
		return false, err
	}
	if err := json.Unmarshal(payload, v); err != nil {
		*v = *new(T)
		return false, fmt.Errorf("%w: %w", err, errDamaged)
	}
	return true, nil
}
