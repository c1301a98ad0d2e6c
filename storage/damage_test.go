package storage

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"github.com/ota-agent/ota-agent/agent"
	"github.com/ota-agent/ota-agent/verifier"
)

// tamper changes a value in the database as no agent would.
func tamper(t *testing.T, dir, bucket, key string, change func(raw []byte) []byte) {
	t.Helper()
	db, err := bbolt.Open(filepath.Join(dir, databaseName), 0o600, &bbolt.Options{NoFreelistSync: true})
	must(t, err)
	must(t, db.Update(func(tx *bbolt.Tx) error {
		b := tx.Bucket([]byte(bucket))
		return b.Put([]byte(key), change(bytes.Clone(b.Get([]byte(key)))))
	}))
	must(t, db.Close())
}

func flipLast(raw []byte) []byte {
	raw[len(raw)-1] ^= 1
	return raw
}

// A damaged record is said at every start until another one replaces it, and is kept then.
func TestDamagedRecord(t *testing.T) {
	dir := fastDir(t)
	s := openT(t, dir)
	must(t, s.Commit(agent.Change{Records: []agent.Record{{Schema: 1, Component: "a", Phase: agent.Trial}, {Schema: 1, Component: "b"}}}))
	must(t, s.Close())
	var damagedRaw []byte
	tamper(t, dir, bucketRecords, "a", func(raw []byte) []byte {
		damagedRaw = flipLast(raw)
		return damagedRaw
	})
	for range 2 {
		s = openT(t, dir)
		st := loadT(t, s)
		if _, there := st.Records["a"]; there || len(st.Records) != 1 || len(st.Recovered) != 1 || !strings.Contains(st.Recovered[0], `"a"`) {
			t.Fatalf("state: %+v", st)
		}
		must(t, s.Close())
	}
	s = openT(t, dir)
	must(t, s.Commit(agent.Change{Records: []agent.Record{{Schema: 1, Component: "a", Phase: agent.Idle}}}))
	must(t, s.Close())
	s = openT(t, dir)
	if st := loadT(t, s); st.Recovered != nil || st.Records["a"].Phase != agent.Idle {
		t.Errorf("state: %+v", st)
	}
	must(t, s.db.view(func(tx *bbolt.Tx) error {
		kept, err := get(tx, bucketDamaged, []byte("a"))
		wantBytes(t, "the damaged record", kept, damagedRaw)
		return err
	}))
}

// A page whose count lost a bit no longer has its last elements, and is sound but for that.
func TestVanishedValues(t *testing.T) {
	dir := fastDir(t)
	s := openT(t, dir)
	must(t, s.Commit(lifeChange(3)))
	must(t, s.Close())
	db, err := bbolt.Open(filepath.Join(dir, databaseName), 0o600, &bbolt.Options{NoFreelistSync: true})
	must(t, err)
	must(t, db.Update(func(tx *bbolt.Tx) error { return tx.Bucket([]byte(bucketRecords)).Delete([]byte("rootfs")) }))
	must(t, db.Close())
	if st := loadT(t, openT(t, dir)); len(st.Recovered) != 1 || st.Floors.RootVersion != 3 {
		t.Errorf("state: %+v", st)
	}
}

// One of the two root pages damaged: the last commit may be undone, and that is said.
func TestDamagedRootPage(t *testing.T) {
	for page := range 2 {
		dir := fastDir(t)
		s := openT(t, dir)
		must(t, s.Commit(lifeChange(1)))
		must(t, s.Commit(lifeChange(3))) // both small
		must(t, s.Close())
		path := filepath.Join(dir, databaseName)
		b, err := os.ReadFile(path)
		must(t, err)
		b[page*pageSize+pageHeader+20] ^= 4
		must(t, os.WriteFile(path, b, 0o600))
		s = openT(t, dir)
		st := loadT(t, s)
		if n := st.Records["rootfs"].Attempts; n != 1 && n != 3 || st.Floors.RootVersion != 3 {
			t.Errorf("page %d: state %+v", page, st)
		}
		if len(st.Recovered) != 1 {
			t.Errorf("page %d: recovered %q", page, st.Recovered)
		}
		// The next commit or two write both pages again.
		must(t, s.Commit(agent.Change{Device: &agent.DeviceState{Paused: true}}))
		must(t, s.Commit(agent.Change{Device: &agent.DeviceState{}}))
		must(t, s.Close())
		must(t, checkFile(path))
	}
}

// What a crash left half done is removed at start, what commits replace at once, and what is referred to never.
func TestOrphansAreSwept(t *testing.T) {
	dir := fastDir(t)
	s := openT(t, dir)
	for n := 1; n <= 4; n++ {
		must(t, s.Commit(lifeChange(n)))
		if got := len(listing(t, filepath.Join(dir, "meta"))); got > 1 {
			t.Errorf("%d files after commit %d", got, n)
		}
	}
	must(t, s.Close())
	orphans := []string{"meta/" + strings.Repeat("ab", 32), "meta/" + strings.Repeat("cd", 32) + tempSuffix, databaseName + tempSuffix,
		floorsName + tempSuffix}
	for _, name := range orphans {
		must(t, os.WriteFile(filepath.Join(dir, name), []byte("x"), 0o600))
	}
	s = openT(t, dir)
	for _, name := range orphans {
		if _, err := os.Lstat(filepath.Join(dir, name)); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s is still there: %v", name, err)
		}
	}
	got, err := s.Document(verifier.Key{Role: verifier.Targets})
	must(t, err)
	wantBytes(t, "targets", got, lifeDocument(4))
}

func TestDamagedValues(t *testing.T) {
	dir := fastDir(t)
	s := openT(t, dir)
	c := lifeChange(1)
	c.Time = &agent.TimeFloor{Accrued: time.Hour}
	c.Device = &agent.DeviceState{Paused: true}
	must(t, s.Commit(c))
	must(t, s.Close())
	_, root, err := locate(verifier.Key{Role: verifier.Root, Version: 1})
	must(t, err)
	tamper(t, dir, bucketChain, string(root), flipLast)
	tamper(t, dir, bucketTime, keyFloor, func(raw []byte) []byte { return raw[:3] })
	tamper(t, dir, bucketDevice, keyState, func([]byte) []byte { return seal(bucketDevice, []byte(keyState), []byte("{")) })
	s = openT(t, dir)
	st := loadT(t, s)
	if !reflect.DeepEqual(st.Time, agent.TimeFloor{}) || st.Device.Paused || len(st.Recovered) != 2 || len(st.Records) != 1 {
		t.Errorf("state: %+v", st)
	}
	if _, err := s.Document(verifier.Key{Role: verifier.Root, Version: 1}); !errors.Is(err, agent.ErrAbsent) {
		t.Errorf("damaged document: %v", err)
	}
	// It is fetched again, and then there is no more to say of it.
	must(t, s.Commit(c))
	must(t, s.Close())
	s = openT(t, dir)
	if st := loadT(t, s); st.Recovered != nil || st.Time.Accrued != time.Hour || !st.Device.Paused {
		t.Errorf("state: %+v", st)
	}
	_, err = s.Document(verifier.Key{Role: verifier.Root, Version: 1})
	must(t, err)
}

func TestDamagedLargeDocument(t *testing.T) {
	for name, damage := range map[string]func(path string) error{
		"flipped":   func(path string) error { return os.WriteFile(path, bytes.Repeat([]byte{2}, 70_000), 0o600) },
		"truncated": func(path string) error { return os.Truncate(path, 69_999) },
		"gone":      os.Remove,
	} {
		t.Run(name, func(t *testing.T) {
			dir := fastDir(t)
			s := openT(t, dir)
			must(t, s.Commit(lifeChange(1)))
			files, err := filepath.Glob(filepath.Join(dir, "meta", "*"))
			must(t, err)
			if len(files) != 1 {
				t.Fatalf("files: %q", files)
			}
			must(t, damage(files[0]))
			if _, err := s.Document(verifier.Key{Role: verifier.Targets}); !errors.Is(err, agent.ErrAbsent) {
				t.Errorf("damaged document: %v", err)
			}
			must(t, s.Commit(lifeChange(1))) // the same again
			got, err := s.Document(verifier.Key{Role: verifier.Targets})
			must(t, err)
			wantBytes(t, "document", got, lifeDocument(1))
		})
	}
}
