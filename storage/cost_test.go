package storage

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ota-agent/ota-agent/agent"
	"github.com/ota-agent/ota-agent/storage/storetest"
	"github.com/ota-agent/ota-agent/verifier"
)

// written is how many bytes this process has handed to write calls so far, as the kernel counts them.
func written() (int64, error) {
	b, err := os.ReadFile("/proc/self/io")
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(b)) {
		if figure, ok := strings.CutPrefix(line, "wchar: "); ok {
			return strconv.ParseInt(strings.TrimSpace(figure), 10, 64)
		}
	}
	return 0, errors.New("no wchar in /proc/self/io")
}

// fullChange has every part.
func fullChange(n int) agent.Change {
	c := lifeChange(n)
	c.Metadata.Put = append(c.Metadata.Put, verifier.Document{Key: verifier.Key{Role: verifier.Targets, Kind: verifier.Receipt}, Bytes: []byte{1}})
	c.Records[0] = storetest.Record("rootfs", agent.Staged)
	c.Time = &agent.TimeFloor{Accrued: time.Hour}
	c.Device = &agent.DeviceState{Paused: true}
	return c
}

// What is stored already costs nothing, nor does opening a store that is in order.
func TestNothingNewCostsNothing(t *testing.T) {
	dir := fastDir(t)
	w := newWorld(t, dir)
	s, err := open(dir, Options{}, w.disk())
	must(t, err)
	must(t, s.Commit(fullChange(2)))
	image := storetest.Image(1000, 1)
	p, err := s.Images().Partial(target(image))
	must(t, err)
	must(t, p.SetValidator("v"))
	must(t, p.Close())
	must(t, s.Close())
	before := snapshot(t, dir)

	w = newWorld(t, dir)
	s, err = open(dir, Options{}, w.disk())
	must(t, err)
	must(t, s.Commit(fullChange(2)))
	must(t, s.Commit(agent.Change{}))
	must(t, s.Commit(agent.Change{Metadata: verifier.Change{Drop: []verifier.Key{{Role: "never"}}}}))
	must(t, s.Images().Keep([]verifier.Target{target(image)}))
	p, err = s.Images().Partial(target(image))
	must(t, err)
	must(t, p.SetValidator("v"))
	must(t, p.Flush())
	must(t, p.Close())
	if c := s.Counters(); c != (agent.Counters{}) {
		t.Errorf("counters: %+v", c)
	}
	must(t, s.Close())
	if w.steps != 0 {
		t.Errorf("%d steps changed the disk", w.steps)
	}
	if after := snapshot(t, dir); !reflect.DeepEqual(before, after) {
		t.Errorf("the files changed: %v, %v", before, after)
	}
}

// snapshot is every file's size and time of its last change.
func snapshot(t *testing.T, dir string) map[string]string {
	t.Helper()
	files := map[string]string{}
	must(t, filepath.WalkDir(dir, func(path string, e os.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		info, err := e.Info()
		files[path] = fmt.Sprint(info.Size(), info.ModTime())
		return err
	}))
	return files
}

// The counters say what the kernel says. A child counts: go test makes this process write a log of its own.
func TestCountersAreTrue(t *testing.T) {
	if _, err := written(); err != nil {
		t.Skipf("the kernel does not count: %v", err)
	}
	self, err := os.Executable()
	must(t, err)
	child := exec.Command(self)
	child.Env = append(os.Environ(), countDir+"="+fastDir(t))
	child.Stderr = os.Stderr
	out, err := child.Output()
	must(t, err)
	var counted, kernel, countedAgain, kernelAgain int64
	_, err = fmt.Sscan(string(out), &counted, &kernel, &countedAgain, &kernelAgain)
	must(t, err)
	if counted != kernel || counted < 500_000 {
		t.Errorf("counted %d bytes written, the kernel %d", counted, kernel)
	}
	if countedAgain != 0 || kernelAgain != 0 {
		t.Errorf("the same again: counted %d bytes written, the kernel %d", countedAgain, kernelAgain)
	}
}

// countBytes lives a life, and tries to live it again, and prints what that wrote.
func countBytes(dir string) error {
	var counts []any
	for range 2 {
		from, err := written()
		if err != nil {
			return err
		}
		l := &life{}
		d := &disk{}
		if err := l.run(dir, d); err != nil {
			return err
		}
		s, err := Open(dir, Options{})
		if err != nil {
			return err
		}
		rest := lifeChange(lifeCommits)
		rest.Records[0].Phase = agent.Idle // an update under way costs a start its page
		if err := s.Commit(rest); err != nil {
			return err
		}
		if err := s.Close(); err != nil {
			return err
		}
		to, err := written()
		if err != nil {
			return err
		}
		counts = append(counts, d.bytesWritten.Load()+s.Counters().BytesWritten, to-from)
	}
	_, err := fmt.Println(counts...)
	return err
}

// A commit of a record costs two pages and two fsyncs.
func TestCostOfACommit(t *testing.T) {
	s := openT(t, fastDir(t))
	must(t, s.Commit(fullChange(1)))
	before := s.Counters()
	must(t, s.Commit(agent.Change{Records: []agent.Record{{Schema: 1, Component: "rootfs", Phase: agent.Trial}}}))
	after := s.Counters()
	if n := after.BytesWritten - before.BytesWritten; n > 3*pageSize {
		t.Errorf("%d bytes", n)
	}
	if n := after.Fsyncs - before.Fsyncs; n != 2 {
		t.Errorf("%d fsyncs", n)
	}
}

func BenchmarkCommit(b *testing.B) {
	for name, dir := range map[string]string{"disk": b.TempDir(), "memory": fastDir(b)} {
		b.Run(name, func(b *testing.B) {
			s := openT(b, dir)
			before := s.Counters()
			n := 0
			for b.Loop() {
				n++
				must(b, s.Commit(agent.Change{Records: []agent.Record{{Schema: 1, Component: "rootfs", Attempts: n}}}))
			}
			after := s.Counters()
			b.ReportMetric(float64(after.BytesWritten-before.BytesWritten)/float64(n), "bytes-written/op")
			b.ReportMetric(float64(after.Fsyncs-before.Fsyncs)/float64(n), "fsyncs/op")
			must(b, s.Close())
		})
	}
}

func BenchmarkPartial(b *testing.B) {
	image := storetest.Image(8<<20, 1)
	s := openT(b, b.TempDir())
	b.SetBytes(int64(len(image)))
	for b.Loop() {
		p, err := s.Images().Partial(target(image))
		must(b, err)
		_, err = p.Write(image)
		must(b, err)
		must(b, p.Flush())
		must(b, p.Restart())
		must(b, p.Close())
	}
}

// What is full, read-only or broken is said with its reason, the file and what to do; and nothing goes on from it.
func TestFailuresAreNamed(t *testing.T) {
	for says, reason := range map[error]agent.Reason{
		syscall.ENOSPC: agent.ReasonDiskFull, syscall.EDQUOT: agent.ReasonDiskFull, syscall.EROFS: agent.ReasonReadOnly,
		syscall.EACCES: agent.ReasonStore, syscall.EIO: agent.ReasonStore, syscall.ELOOP: agent.ReasonStore,
	} {
		w := newWorld(t, fastDir(t))
		s, err := open(w.dir, Options{}, w.disk())
		must(t, err)
		must(t, s.dir.remove(reserveName)) // which would be given up first
		w.failAt, w.mode, w.err = w.steps+1, failsWithout, says
		err = s.Commit(fullChange(3)) // without a large document, whose file could be removed again
		wantReason(t, err, reason)
		if !strings.Contains(err.Error(), floorsName) || !errors.Is(err, says) {
			t.Errorf("%v: %v", says, err)
		}
		for _, again := range []error{s.Commit(agent.Change{}), second(s.Load()), second(s.Document(verifier.Key{Role: "a"}))} {
			wantReason(t, again, reason)
		}
		must(t, s.Close())
	}
}

// The disk is full: the reserve goes, and the commit comes through.
func TestReserveIsGivenUpFirst(t *testing.T) {
	for what, floor := range map[step]int64{ // a file of its own that finds no room is refused before the floors
		{opWrite, "meta/"}: 1, {opWrite, floorsName}: 1, {opSync, floorsName}: 2, {opCommit, databaseName}: 2,
	} {
		for _, copied := range []bool{false, true} { // if not, the floors record before is written again first
			t.Run(fmt.Sprintf("%v, copied: %t", what, copied), func(t *testing.T) { givesUpReserve(t, what, copied, floor) })
		}
	}
}

func givesUpReserve(t *testing.T, what step, copied bool, floor int64) {
	w := newWorld(t, fastDir(t))
	d := w.disk()
	s, err := open(w.dir, Options{}, d)
	must(t, err)
	if info, err := os.Stat(filepath.Join(w.dir, reserveName)); err != nil || info.Size() != 0 {
		t.Fatalf("reserve: %v, %v", info, err)
	}
	if copied {
		must(t, s.Commit(agent.Change{Device: &agent.DeviceState{}}))
	}
	full := true
	d.hook = func(s step, do func() error) error {
		switch {
		case s.name == reserveName && s.op == opRemove:
			full = false
		case s.op == what.op && strings.HasPrefix(s.name, what.name) && full:
			if s.op == opSync { // file systems that find room late say so only now
				must(t, do())
			}
			return syscall.ENOSPC
		}
		return do()
	}
	seq := s.slots.seq
	must(t, s.Commit(fullChange(1)))
	if full || s.dir.has(reserveName) || s.slots.seq != seq+1 {
		t.Errorf("the reserve was kept, or the floors record's number rose from %d to %d", seq, s.slots.seq)
	}
	full = true
	wantReason(t, s.Commit(fullChange(2)), agent.ReasonDiskFull)
	must(t, s.Close())
	s = openT(t, w.dir)
	if !s.dir.has(reserveName) {
		t.Error("there is no new reserve")
	}
	if st := loadT(t, s); st.Floors.RootVersion != floor || st.Records["rootfs"].Component == "" {
		t.Errorf("state: %+v", st)
	}
}
