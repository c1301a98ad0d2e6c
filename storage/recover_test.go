package storage

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"github.com/ota-agent/ota-agent/agent"
	"github.com/ota-agent/ota-agent/verifier"
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
	if st.Time != (agent.TimeFloor{}) || st.Device.Paused || len(st.Recovered) != 2 || len(st.Records) != 1 {
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

// A commit that was cut anywhere in bbolt's own writes: any of its pages may be there, and the page that makes
// them count only after all of them.
func TestTornTransaction(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	dir := fastDir(t)
	s := openT(t, dir)
	for n := 1; n <= lifeCommits; n++ {
		old := copyDir(t, dir)
		before, err := os.ReadFile(filepath.Join(dir, databaseName))
		must(t, err)
		must(t, s.Commit(lifeChange(n)))
		after, err := os.ReadFile(filepath.Join(dir, databaseName))
		must(t, err)
		for range 20 {
			torn := tearPages(before, after, r)
			l := life{commits: n - 1, pending: n}
			cut := copyDir(t, dir)
			// Files of the replaced documents are removed after the commit.
			restoreFiles(t, filepath.Join(old, "meta"), filepath.Join(cut, "meta"))
			must(t, os.WriteFile(filepath.Join(cut, databaseName), torn, 0o600))
			l.check(t, cut)
			os.RemoveAll(cut)
		}
	}
}

// tearPages is before with some sectors of after in its data pages; the meta pages are before's.
func tearPages(before, after []byte, r *rand.Rand) []byte {
	torn := bytes.Clone(after)
	copy(torn, before[:2*pageSize])
	for i := 2 * pageSize; i < len(before); i += 512 {
		if r.IntN(2) == 0 {
			copy(torn[i:i+512], before[i:])
		}
	}
	for i := len(before); i < len(after); i += 512 {
		if r.IntN(2) == 0 {
			clear(torn[i : i+512])
		}
	}
	return torn
}

// restoreFiles copies what only from has.
func restoreFiles(t *testing.T, from, to string) {
	t.Helper()
	list, err := os.ReadDir(from)
	must(t, err)
	for _, e := range list {
		b, err := os.ReadFile(filepath.Join(from, e.Name()))
		must(t, err)
		must(t, os.WriteFile(filepath.Join(to, e.Name()), b, 0o600))
	}
}

func copyDir(t *testing.T, from string) string {
	t.Helper()
	to := fastDir(t)
	must(t, os.CopyFS(filepath.Join(to, "d"), os.DirFS(from)))
	return filepath.Join(to, "d")
}

func TestCompaction(t *testing.T) {
	dir := fastDir(t)
	s := openT(t, dir)
	var full, empty agent.Change
	for i := range 100 {
		k := verifier.Key{Role: fmt.Sprint("role ", i)}
		full.Metadata.Put = append(full.Metadata.Put, verifier.Document{Key: k, Bytes: make([]byte, inlineBytesMax)})
		if i > 0 {
			empty.Metadata.Drop = append(empty.Metadata.Drop, k)
		}
	}
	must(t, s.Commit(full))
	must(t, s.Commit(lifeChange(1)))
	must(t, s.Commit(empty))
	large := s.db.size
	must(t, s.Close())
	s = openT(t, dir)
	if s.db.size*4 > large || s.recovered != nil {
		t.Errorf("%d bytes of %d are left, recovered %q", s.db.size, large, s.recovered)
	}
	got, err := s.Document(verifier.Key{Role: "role 0"})
	must(t, err)
	wantBytes(t, "document", got, make([]byte, inlineBytesMax))
	if st := loadT(t, s); st.Records["rootfs"].Attempts != 1 {
		t.Errorf("state: %+v", st)
	}
	boltCheck(t, s.db.bolt)
	must(t, s.Commit(lifeChange(2)))
	must(t, s.Close())
	s = openT(t, dir)
	if s.Counters().BytesWritten != 0 {
		t.Error("it is made smaller at each start")
	}
}
