package storage

import (
	"bufio"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"github.com/ota-agent/ota-agent/agent"
	"github.com/ota-agent/ota-agent/verifier"
)

// The directory in which this test binary is a child that commits until it is killed, or one that counts.
const (
	killDir  = "OTA_STORAGE_TEST_KILL_DIR"
	countDir = "OTA_STORAGE_TEST_COUNT_DIR"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(killDir); dir != "" {
		fmt.Fprintln(os.Stderr, commitForEver(dir))
		os.Exit(1)
	}
	if dir := os.Getenv(countDir); dir != "" {
		if err := countBytes(dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// killChange is the nth commit: all its parts carry n.
func killChange(n int) agent.Change {
	c := lifeChange(n)
	c.Metadata.Put[1].Key.Version = int64(1 + n%50) // a chain that does not grow for ever
	c.Metadata.Floors.Timestamp.Version = int64(n)
	return c
}

// commitForEver prints each number whose commit returned.
func commitForEver(dir string) error {
	s, err := Open(dir, Options{})
	if err != nil {
		return err
	}
	st, err := s.Load()
	if err != nil {
		return err
	}
	for n := st.Records["rootfs"].Attempts + 1; ; n++ {
		if err := s.Commit(killChange(n)); err != nil {
			return err
		}
		if _, err := fmt.Println(n); err != nil {
			return err
		}
	}
}

// A real process, really killed, again and again on one store: what it said is there, and nothing is torn.
func TestKilledWhileCommitting(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	dir, acknowledged := fastDir(t), 0
	for range 15 {
		acknowledged = killAfter(t, dir, r.IntN(25), acknowledged)
		s := openT(t, dir)
		st := loadT(t, s)
		n := st.Records["rootfs"].Attempts
		if n != acknowledged && n != acknowledged+1 {
			t.Fatalf("commit %d is there, %d was acknowledged", n, acknowledged)
		}
		if st.Recovered != nil {
			t.Fatalf("a kill was taken for damage: %q", st.Recovered)
		}
		if v := st.Floors.Timestamp.Version; v != int64(n) && v != int64(n+1) {
			t.Fatalf("floor %d with commit %d", v, n)
		}
		if n > 0 {
			got, err := s.Document(verifier.Key{Role: verifier.Targets})
			must(t, err)
			wantBytes(t, "targets", got, lifeDocument(n))
		}
		boltCheck(t, s.db.bolt)
		must(t, s.Close())
		acknowledged = n
	}
	t.Logf("%d commits", acknowledged)
}

// killAfter runs the child, kills it when it has said so many numbers, and returns the last one it said.
func killAfter(t *testing.T, dir string, said, last int) int {
	t.Helper()
	self, err := os.Executable()
	must(t, err)
	child := exec.Command(self)
	child.Env = append(os.Environ(), killDir+"="+dir)
	child.Stderr = os.Stderr
	out, err := child.StdoutPipe()
	must(t, err)
	must(t, child.Start())
	lines := bufio.NewReader(out)
	read := func() bool {
		line, err := lines.ReadString('\n')
		if err != nil {
			return false
		}
		last, err = strconv.Atoi(strings.TrimSpace(line))
		must(t, err)
		return true
	}
	for range said {
		if !read() {
			t.Error("the child ended by itself")
			break
		}
	}
	must(t, child.Process.Kill())
	for read() {
	}
	_, _ = io.Copy(io.Discard, out)
	if err := child.Wait(); err == nil {
		t.Error("the child ended by itself")
	}
	return last
}
