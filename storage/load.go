package storage

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"go.etcd.io/bbolt"

	"github.com/ota-agent/ota-agent/agent"
)

// Load reads the state. A record that is damaged is not in Records but named in Recovered, at each Load until
// the component's next record replaces it; it is kept in the database for whoever wants to know why.
//
// Where an update is under way it also makes sure that what it found is durable: the agent acts upon it before it
// commits anything, and a power cut must not leave the action without its record.
func (s *Store) Load() (agent.State, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.broken != nil {
		return agent.State{}, s.broken
	}
	st := agent.State{
		Floors:    cloneFloors(s.floors),
		Records:   map[string]agent.Record{},
		Recovered: slices.Clone(s.recovered),
	}
	err := s.db.view(func(tx *bbolt.Tx) error { return load(tx, &st, s.anchor) })
	if err == nil && !s.readOnly && underWay(st.Records) {
		err = s.settle()
	}
	if err != nil {
		return agent.State{}, s.failed("read "+s.dir.join(databaseName), s.refuseNewer(err))
	}
	return st, nil
}

func underWay(records map[string]agent.Record) bool {
	for _, r := range records {
		if r.Phase != agent.Idle {
			return true
		}
	}
	return false
}

func load(tx *bbolt.Tx, st *agent.State, anchor string) error {
	if err := loadLost(tx, st, anchor); err != nil {
		return err
	}
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
	if err = forgive(st, err, "the device state was damaged: whether the device was paused is forgotten"); err != nil {
		return fmt.Errorf("device state: %w", err)
	}
	st.Delegated = delegated(tx)
	return loadEvents(tx, st)
}

// loadLost puts what was lost as a whole before all else, the worst first: the event of it holds one sentence.
func loadLost(tx *bbolt.Tx, st *agent.State, anchor string) error {
	var lost agent.State
	if anchor != "" {
		lost.Recovered = []string{anchor}
	}
	for _, l := range []struct{ key, damaged string }{
		{keyAnchor, "the floors were lost before: what this device demands begins again at its trust anchor"},
		{keyLost, "the database was lost before, and so is what became of it"},
	} {
		text, err := get(tx, bucketStore, []byte(l.key))
		if err = forgive(&lost, err, l.damaged); ignoreNewer(err) != nil {
			return err
		}
		if text != nil {
			lost.Recovered = append(lost.Recovered, string(text))
		}
	}
	st.Recovered = append(lost.Recovered, st.Recovered...)
	began, err := get(tx, bucketStore, []byte(keyNew))
	st.New = began != nil
	return ignoreNewer(ignoreDamaged(err)) // what can't be read any more doesn't say that the state is new
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
	raw := tx.Bucket([]byte(bucket)).Get(key)
	if raw == nil {
		return false, nil
	}
	err = openJSON(bucket, key, raw, v)
	return err == nil, err
}

// openJSON reads a stored value into v, and leaves v zero on an error.
func openJSON[T any](bucket string, key, raw []byte, v *T) error {
	payload, err := unseal(bucket, key, raw)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(payload, v); err != nil {
		*v = *new(T)
		return fmt.Errorf("%w: %w", err, errDamaged)
	}
	return nil
}
