package storage

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/ota-agent/ota-agent/agent"
	"github.com/ota-agent/ota-agent/verifier"
)

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
