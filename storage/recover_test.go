package storage

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.etcd.io/bbolt"

	"github.com/ota-agent/ota-agent/agent"
)

func openT(t testing.TB, dir string) *Store {
	t.Helper()
	s, err := Open(dir, Options{})
	must(t, err)
	t.Cleanup(func() { s.Close() })
	return s
}

func loadT(t testing.TB, s *Store) agent.State {
	t.Helper()
	st, err := s.Load()
	must(t, err)
	return st
}

func wantReason(t *testing.T, err error, want agent.Reason) {
	t.Helper()
	if p, ok := errors.AsType[*agent.Problem](err); !ok || p.Reason != want || strings.ContainsAny(p.Text, "\n") {
		t.Errorf("error %v, expected a problem with reason %s", err, want)
	}
}

// What can lie in the database's place.
func foreign(t *testing.T, good []byte) map[string][]byte {
	other := filepath.Join(t.TempDir(), "other.db")
	db, err := bbolt.Open(other, 0o600, &bbolt.Options{PageSize: pageSize})
	must(t, err)
	must(t, db.Update(func(tx *bbolt.Tx) error {
		_, err := tx.CreateBucket([]byte("photos"))
		return err
	}))
	must(t, db.Close())
	foreign, err := os.ReadFile(other)
	must(t, err)
	noise := make([]byte, 40_000)
	for i := range noise {
		noise[i] = byte(rand.Uint32())
	}
	return map[string][]byte{
		"empty": {}, "one byte": {0}, "zeros": make([]byte, 32<<10), "text": []byte("SQLite format 3\x00"), "noise": noise,
		"another program's bbolt": foreign, "half of it": good[:len(good)/2], "two pages": good[:2*pageSize],
		"all but the last page": good[:len(good)/2-pageSize],
	}
}

func TestDamagedDatabaseIsSetAside(t *testing.T) {
	_, good := seedDatabase(t)
	for name, b := range foreign(t, good) {
		t.Run(name, func(t *testing.T) {
			dir := fastDir(t)
			s := openT(t, dir)
			must(t, s.Commit(lifeChange(3)))
			must(t, s.Close())
			must(t, os.WriteFile(filepath.Join(dir, databaseName), b, 0o600))

			_, err := OpenReadOnly(dir, Options{})
			wantReason(t, err, agent.ReasonStore)

			s = openT(t, dir)
			st := loadT(t, s)
			if len(st.Recovered) != 1 || !strings.Contains(st.Recovered[0], "agent.db.corrupt-1") || len(st.Records) != 0 {
				t.Errorf("state: %+v", st)
			}
			if st.Floors.Timestamp.Version != 3 || st.Floors.RootVersion != 3 {
				t.Errorf("the floors fell with the database: %+v", st.Floors)
			}
			aside, err := os.ReadFile(filepath.Join(dir, "agent.db.corrupt-1"))
			must(t, err)
			wantBytes(t, "what was set aside", aside, b)
			must(t, s.Commit(lifeChange(4)))
			must(t, s.Close())
			if st := loadT(t, openT(t, dir)); st.Recovered != nil || st.Records["rootfs"].Attempts != 4 {
				t.Errorf("state of the new database: %+v", st)
			}
		})
	}
}

func TestOnlyTheNewestDamagedDatabasesAreKept(t *testing.T) {
	dir := fastDir(t)
	for i := range 6 {
		must(t, os.WriteFile(filepath.Join(dir, databaseName), fmt.Append(nil, i), 0o600))
		must(t, openT(t, dir).Close())
	}
	kept, err := filepath.Glob(filepath.Join(dir, "agent.db.corrupt-*"))
	must(t, err)
	want := []string{corruptName(4), corruptName(5), corruptName(6)}
	for i := range want {
		want[i] = filepath.Join(dir, want[i])
	}
	if !slices.Equal(kept, want) {
		t.Errorf("kept %q, expected %q", kept, want)
	}
}

func TestNewerSchemaIsRefusedAndLeftAlone(t *testing.T) {
	for name, c := range map[string]struct {
		bucket, key string
		change      func(raw []byte) []byte
		readable    bool
	}{
		"only added to":     {bucketStore, keySchema, schemaSays(7, 1), true},
		"not readable":      {bucketStore, keySchema, schemaSays(7, 2), false},
		"value of a record": {bucketRecords, "rootfs", newerValue(bucketRecords, "rootfs"), false},
		"value of schema":   {bucketStore, keySchema, newerValue(bucketStore, keySchema), false},
	} {
		t.Run(name, func(t *testing.T) {
			dir := fastDir(t)
			s := openT(t, dir)
			must(t, s.Commit(lifeChange(2)))
			must(t, s.Close())
			tamper(t, dir, c.bucket, c.key, c.change)
			before, err := os.ReadFile(filepath.Join(dir, databaseName))
			must(t, err)
			s, err = Open(dir, Options{})
			if err == nil {
				_, err = s.Load()
				must(t, s.Close())
			}
			if c.readable {
				must(t, err)
			} else {
				wantReason(t, err, agent.ReasonStore)
			}
			after, err := os.ReadFile(filepath.Join(dir, databaseName))
			must(t, err)
			wantBytes(t, "database", after, before)
		})
	}
}

func schemaSays(schema, readableBy int) func([]byte) []byte {
	return func([]byte) []byte {
		return seal(bucketStore, []byte(keySchema), fmt.Appendf(nil, `{"schema":%d,"readable_by":%d,"more":[]}`, schema, readableBy))
	}
}

func newerValue(bucket, key string) func([]byte) []byte {
	return func(raw []byte) []byte {
		raw[0] = valueVersion + 1
		sum := checksum(bucket, []byte(key), raw)
		copy(raw[1:], []byte{byte(sum >> 24), byte(sum >> 16), byte(sum >> 8), byte(sum)})
		return raw
	}
}

// What an older agent leaves alone is there when the newer one comes back.
func TestUnknownBucketsStay(t *testing.T) {
	dir := fastDir(t)
	must(t, openT(t, dir).Close())
	path := filepath.Join(dir, databaseName)
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{NoFreelistSync: true})
	must(t, err)
	must(t, db.Update(func(tx *bbolt.Tx) error {
		b, err := tx.CreateBucket([]byte("outbox"))
		if err != nil {
			return err
		}
		if err := putCount(tx, 1); err != nil {
			return err
		}
		return b.Put([]byte("k"), []byte("v"))
	}))
	must(t, db.Close())
	s := openT(t, dir)
	must(t, s.Commit(lifeChange(1)))
	must(t, s.Close())
	s = openT(t, dir)
	if st := loadT(t, s); st.Recovered != nil || len(st.Records) != 1 {
		t.Errorf("state: %+v", st)
	}
	must(t, s.db.view(func(tx *bbolt.Tx) error {
		wantBytes(t, "outbox", tx.Bucket([]byte("outbox")).Get([]byte("k")), []byte("v"))
		return nil
	}))
}
