package storage

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"go.etcd.io/bbolt"

	"github.com/ota-agent/ota-agent/agent"
	"github.com/ota-agent/ota-agent/verifier"
)

// A good database must never be taken for a damaged one: whatever is put and dropped, the check agrees with
// bbolt's own, and with a map.
func TestCheckPagesAgreesWithBolt(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	dir := fastDir(t)
	model := map[verifier.Key][]byte{}
	for range 12 {
		s, err := Open(dir, Options{})
		must(t, err)
		if len(s.recovered) > 0 {
			t.Fatalf("taken for damaged: %q", s.recovered)
		}
		for range r.IntN(30) {
			c := randomChange(r, model)
			must(t, s.Commit(agent.Change{Metadata: c}))
			must(t, checkFile(filepath.Join(dir, databaseName)))
		}
		for k, want := range model {
			got, err := s.Document(k)
			must(t, err)
			wantBytes(t, fmt.Sprint(k), got, want)
		}
		boltCheck(t, s.db.bolt)
		must(t, s.Close())
	}
}

// randomChange drops and puts, in model too.
func randomChange(r *rand.Rand, model map[verifier.Key][]byte) verifier.Change {
	var c verifier.Change
	for range r.IntN(40) {
		k := verifier.Key{Role: fmt.Sprintf("role %d", r.IntN(300)), Kind: verifier.Kind(r.IntN(2))}
		if _, there := model[k]; there && r.IntN(2) == 0 {
			c.Drop = append(c.Drop, k)
			delete(model, k)
			continue
		}
		b := bytes.Repeat([]byte{byte(r.Uint32())}, r.IntN(1<<(1+r.IntN(16))))
		c.Put = append(c.Put, verifier.Document{Key: k, Bytes: b})
		model[k] = b
	}
	// A key that was put and later dropped in one change would be put: dropping comes first.
	for k := range maps.Clone(model) {
		for _, d := range c.Drop {
			if d == k {
				c.Drop = nil
			}
		}
	}
	for _, d := range c.Put {
		model[d.Key] = d.Bytes
	}
	return c
}

func checkFile(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	oneMeta, err := checkPages(f, info.Size())
	if err == nil && oneMeta {
		err = errors.New("only one meta page")
	}
	return err
}

func boltCheck(t *testing.T, db *bbolt.DB) {
	t.Helper()
	must(t, db.View(func(tx *bbolt.Tx) error {
		for err := range tx.Check() {
			t.Errorf("bbolt's check: %v", err)
		}
		return nil
	}))
}

// Another program may have compacted the file, and then it has a freelist and large branch pages.
func TestCheckPagesWithFreelist(t *testing.T) {
	path := filepath.Join(fastDir(t), "db")
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{PageSize: pageSize})
	must(t, err)
	key := func(i int) []byte { return fmt.Appendf(nil, "%06d%s", i, bytes.Repeat([]byte("k"), i%200)) }
	must(t, db.Update(func(tx *bbolt.Tx) error {
		outer, err := tx.CreateBucket([]byte("outer"))
		if err != nil {
			return err
		}
		for i := range 20_000 {
			if err := outer.Put(key(i), make([]byte, i%300)); err != nil {
				return err
			}
		}
		_, err = outer.CreateBucket([]byte("inline"))
		return err
	}))
	must(t, checkFile(path))
	must(t, db.Update(func(tx *bbolt.Tx) error {
		for i := range 19_000 {
			if err := tx.Bucket([]byte("outer")).Delete(key(i)); err != nil {
				return err
			}
		}
		return nil
	}))
	must(t, checkFile(path))
	boltCheck(t, db)
	must(t, db.Close())
}

// seedDatabase is a small database with trees, overflow pages and inline buckets, and its directory.
func seedDatabase(t testing.TB) (dir string, b []byte) {
	t.Helper()
	dir = fastDir(t)
	s, err := Open(dir, Options{})
	must(t, err)
	var c agent.Change
	for i := range seedDocuments {
		c.Metadata.Put = append(c.Metadata.Put, verifier.Document{Key: verifier.Key{Role: fmt.Sprint("role ", i)},
			Bytes: seedDocument(i)})
	}
	c.Metadata.Floors = &verifier.Floors{RootVersion: 3, Timestamp: verifier.Floor{Version: 7, Signers: []verifier.KeyHash{{1}}}}
	c.Records = []agent.Record{{Schema: 1, Component: "app", Phase: agent.Trial}, {Schema: 1, Component: "rootfs", Phase: agent.Idle}}
	c.Device = &agent.DeviceState{Paused: true}
	must(t, s.Commit(c))
	must(t, s.Close())
	b, err = os.ReadFile(filepath.Join(dir, databaseName))
	must(t, err)
	return dir, b
}

const seedDocuments = 12

func seedDocument(i int) []byte { return bytes.Repeat([]byte{byte(i)}, 20+60*i*i) }

// Whatever one bit becomes: nothing panics, and what is read is what was written, or is known to be lost.
func TestEveryByteFlipped(t *testing.T) {
	t.Parallel()
	dir, good := seedDatabase(t)
	path := filepath.Join(dir, databaseName)
	opened, caught, bad := 0, 0, bytes.Clone(good)
	for at := range good {
		inHead := at%pageSize < pageHeader && at%pageSize >= 8 // flags, count, overflow
		for bit := range 8 {
			if !inHead && (bit != at%8 || at%17 > 1) {
				continue
			}
			copy(bad, good)
			bad[at] ^= 1 << bit
			if _, err := checkPages(bytes.NewReader(bad), int64(len(bad))); err != nil {
				if !errors.Is(err, errDamaged) {
					t.Fatalf("byte %d: %v", at, err)
				}
				caught++
				continue
			}
			if !inHead && at%97 != 0 { // opening is slow
				continue
			}
			must(t, os.WriteFile(path, bad, 0o600))
			checkDamagedStore(t, dir, fmt.Sprintf("byte %d bit %d", at, bit))
			opened++
		}
	}
	t.Logf("of %d bytes: the page check caught %d changes, %d more were opened", len(good), caught, opened)
}

// A page without elements says by its flags alone that it is damaged; bbolt panics at them in a goroutine of its own.
func TestEmptyPageOfNoKind(t *testing.T) {
	t.Parallel()
	dir, good := seedDatabase(t)
	caught := 0
	for page := 2 * pageSize; page < len(good); page += pageSize {
		for _, flags := range []uint16{0, branchFlag | leafFlag, freelistFlag, 0x1000, 0xffff} {
			bad := bytes.Clone(good)
			binary.NativeEndian.PutUint16(bad[page+8:], flags)
			binary.NativeEndian.PutUint16(bad[page+10:], 0)
			if _, err := checkPages(bytes.NewReader(bad), int64(len(bad))); errors.Is(err, errDamaged) {
				caught++
			}
			must(t, os.WriteFile(filepath.Join(dir, databaseName), bad, 0o600))
			checkDamagedStore(t, dir, fmt.Sprintf("page %d with flags %#x", page/pageSize, flags))
		}
	}
	if caught == 0 {
		t.Error("the page check caught none")
	}
}

// checkDamagedStore opens a store whose database was tampered with, and compares it with seedDatabase's.
func checkDamagedStore(t *testing.T, dir, what string) {
	t.Helper()
	s, err := Open(dir, Options{})
	if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
	defer s.Close()
	st, err := s.Load()
	if err != nil {
		t.Fatalf("%s: load: %v", what, err)
	}
	if (len(st.Records) != 2 || !st.Device.Paused) && len(st.Recovered) == 0 {
		t.Errorf("%s: %d records, paused %t, and nothing was said", what, len(st.Records), st.Device.Paused)
	}
	if r, ok := st.Records["app"]; ok && r.Phase != agent.Trial {
		t.Errorf("%s: record %+v", what, r)
	}
	if st.Floors.RootVersion != 3 || st.Floors.Timestamp.Version != 7 {
		t.Errorf("%s: floors %+v", what, st.Floors)
	}
	for i := range seedDocuments {
		got, err := s.Document(verifier.Key{Role: fmt.Sprint("role ", i)})
		if errors.Is(err, agent.ErrAbsent) {
			continue
		}
		if err != nil || !bytes.Equal(got, seedDocument(i)) {
			t.Errorf("%s: document %d: %d bytes, %v", what, i, len(got), err)
		}
	}
}

func FuzzCheckPages(f *testing.F) {
	_, good := seedDatabase(f)
	f.Add(good, uint32(0), uint64(0))
	for i := range 200 {
		f.Add(good[:len(good)-len(good)%(i+1)], uint32(i*97), uint64(i)*0x0101010101010101)
	}
	f.Fuzz(func(t *testing.T, b []byte, at uint32, value uint64) {
		if len(b) > 1<<20 {
			return
		}
		b = bytes.Clone(b)
		if n := len(b) - 8; n > 0 {
			at := int(at) % n
			for i := range 8 {
				b[at+i] ^= byte(value >> (8 * i))
			}
		}
		dir := fastDir(t)
		must(t, os.WriteFile(filepath.Join(dir, databaseName), b, 0o600))
		// Whatever it is: the store opens, answers, and can be written to.
		s, err := Open(dir, Options{})
		if err != nil {
			if p, ok := errors.AsType[*agent.Problem](err); !ok || p.Text == "" {
				t.Fatalf("%v", err)
			}
			return
		}
		defer s.Close()
		if _, err := s.Load(); err != nil {
			return
		}
		if err := s.Commit(lifeChange(1)); err != nil {
			t.Fatalf("commit: %v", err)
		}
	})
}
