package storage

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"

	"go.etcd.io/bbolt"

	"github.com/ota-agent/ota-agent/agent"
)

// schemaVersion is what this agent writes; a database that says it needs more of its readers is refused, never
// taken for damaged. Newer agents should only add, and then leave ReadableBy alone: the other slot may hold an
// agent of any age.
const schemaVersion = 1

// A schema says who can read a database.
type schema struct {
	// Schema is the newest that ever wrote here; ReadableBy the oldest that can read it.
	Schema     int `json:"schema"`
	ReadableBy int `json:"readable_by"`
}

// putSchema begins a database. lost says what became of the one before it, or is empty where there was none.
func putSchema(tx *bbolt.Tx, lost string) error {
	for _, name := range bucketNames() {
		if _, err := tx.CreateBucketIfNotExists([]byte(name)); err != nil {
			return fmt.Errorf("make bucket %s: %w", name, err)
		}
	}
	payload, err := json.Marshal(schema{Schema: schemaVersion, ReadableBy: schemaVersion})
	if err != nil {
		return err
	}
	if err := putOwn(tx, keySchema, payload); err != nil {
		return err
	}
	why, text := keyNew, "the state began empty"
	if lost != "" {
		why, text = keyLost, lost
	}
	if err := putOwn(tx, why, []byte(text)); err != nil {
		return err
	}
	return putCount(tx, 0)
}

// putOwn puts what the database says of itself.
func putOwn(tx *bbolt.Tx, key string, payload []byte) error {
	return tx.Bucket([]byte(bucketStore)).Put([]byte(key), seal(bucketStore, []byte(key), payload))
}

// checkSchema refuses what a newer agent made unreadable; anything but our own database, whole, is errDamaged.
func (db *database) checkSchema(path string) error {
	return db.view(func(tx *bbolt.Tx) error {
		var s schema
		var found bool
		var err error
		if tx.Bucket([]byte(bucketStore)) != nil {
			found, err = getJSON(tx, bucketStore, []byte(keySchema), &s)
		}
		// Before the buckets: a newer agent may have others.
		if errors.Is(err, errNewer) || s.ReadableBy > schemaVersion {
			return refuse(agent.ReasonStore, "open %s: a newer agent wrote it (schema %d, readable from schema %d on), "+
				"this one knows schema %d; nothing was changed: run that newer agent", path, s.Schema, s.ReadableBy, schemaVersion)
		}
		if err != nil || !found {
			return fmt.Errorf("no schema: %w", errors.Join(err, errDamaged))
		}
		for _, name := range bucketNames() {
			if tx.Bucket([]byte(name)) == nil {
				return fmt.Errorf("no bucket %q, so it is not the agent's: %w", name, errDamaged)
			}
		}
		return checkCount(tx)
	})
}

// checkCount compares the number of values with the number that was committed.
func checkCount(tx *bbolt.Tx) error {
	want, err := getCount(tx)
	if err != nil {
		return err
	}
	got := int64(0)
	err = tx.ForEach(func(name []byte, b *bbolt.Bucket) error {
		if string(name) == bucketStore {
			return nil
		}
		return b.ForEach(func(_, _ []byte) error { got++; return nil })
	})
	if err == nil && got != want {
		err = fmt.Errorf("%d values, expected %d: %w", got, want, errDamaged)
	}
	return err
}

func getCount(tx *bbolt.Tx) (int64, error) {
	payload, err := get(tx, bucketStore, []byte(keyCount))
	if err == nil && len(payload) != 8 {
		err = errDamaged
	}
	if err != nil {
		return 0, fmt.Errorf("count of values: %w", err)
	}
	return int64(binary.BigEndian.Uint64(payload)), nil
}

func putCount(tx *bbolt.Tx, n int64) error {
	return putOwn(tx, keyCount, binary.BigEndian.AppendUint64(nil, uint64(n)))
}
