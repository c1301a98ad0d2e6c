//go:build linux && amd64

package crash

import (
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/ota-agent/ota-agent/agent/local"
	"github.com/ota-agent/ota-agent/publish"
	"github.com/ota-agent/ota-agent/verifier"
)

const (
	// updateSlack is what an update may write beyond its image and the new metadata, in bytes (DESIGN 11).
	updateSlack = 256 << 10
	// costImageBytes is not small beside updateSlack.
	costImageBytes = 4 << 20
	// idlePolls are measured together.
	idlePolls = 5
)

// total adds up calls: data calls, their bytes, and calls that wait for the disk.
func total(calls []call) (writes int, bytes int64, syncs int) {
	for _, c := range calls {
		if c.bytes > 0 {
			writes++
		}
		bytes += c.bytes
		if c.isSync() {
			syncs++
		}
	}
	return writes, bytes, syncs
}

// A start and polls that find nothing new change no file anywhere, be it by one of the agent's threads or by a hook:
// the tracer looks at the whole file system but for kernel interfaces, and at the run directory apart.
func TestNothingNewWritesNothing(t *testing.T) {
	c := newUpdate(t, false)
	b, err := c.base.clone(filepath.Join(c.dir, "idle"))
	must(t, err)
	t.Cleanup(b.unplug)
	must(t, (&story{board: b, want: c.want}).run(t.Context(), true)) // now at release 2
	b.unplug()
	// The agent starts again in the same boot: in a new one, on a machine without a synchronised clock that has been up
	// for long, it would first make durable how old its newest timestamp is.
	out, err := os.Create(b.run("log"))
	must(t, err)
	defer out.Close()
	tr := &tracer{dirs: everywhere(t), hooks: true}
	must(t, tr.start(b.daemon(), b.environ(), out))
	b.sessions = append(b.sessions, tr.pid)
	s := &story{board: b, want: c.want}
	for rest := false; !rest; {
		rest, err = s.follow(t.Context(), tr)
		must(t, err)
	}
	started := outside(b, tr)
	client := local.NewClient(b.socket())
	for range idlePolls {
		status, err := client.Check(t.Context())
		must(t, err)
		if status.Repository.LastProblem != nil {
			t.Fatalf("a check failed: %v", status.Repository.LastProblem)
		}
	}
	all := outside(b, tr)
	must(t, unix.Kill(tr.pid, unix.SIGKILL))
	<-tr.done
	must(t, tr.err)
	w, n, f := total(all[len(started):])
	t.Logf("%d polls with nothing new: %d writes to files, %d bytes, %d fsyncs, %d other changes", idlePolls, w, n, f, len(all)-len(started)-w-f)
	w, n, f = total(started)
	t.Logf("the start before them: %d writes to files, %d bytes, %d fsyncs, %d other changes", w, n, f, len(started)-w-f)
	for _, x := range all {
		t.Errorf("nothing new, and yet: %v, %d bytes", x, x.bytes)
	}
}

// everywhere are the directories in the root, but for those of the kernel and of devices that are not files.
func everywhere(t *testing.T) (dirs []string) {
	t.Helper()
	entries, err := os.ReadDir("/")
	must(t, err)
	for _, e := range entries {
		switch e.Name() {
		case "proc", "sys", "dev":
		default:
			dirs = append(dirs, "/"+e.Name())
		}
	}
	return append(dirs, memoryDir)
}

// outside are the calls that change anything but what lies in memory and is gone at the next boot.
func outside(b *board, tr *tracer) (calls []call) {
	run := filepath.Join(b.dir, "run")
	all, _ := tr.seen()
	for _, c := range all {
		if rel, err := filepath.Rel(run, c.path); err != nil || !filepath.IsLocal(rel) {
			calls = append(calls, c)
		}
	}
	return calls
}

// An update writes its image once, its metadata, and little more.
func TestBytesWrittenByAnUpdate(t *testing.T) {
	l := newLab(t)
	one := l.publish(t, costImageBytes)
	b := newBoard(t, l, one)
	must(t, (&story{board: b, want: one}).run(t.Context(), true))
	b.unplug()
	before := metadataFiles(t, l)
	two := l.publish(t, costImageBytes)
	var metadata int64
	for name, size := range metadataFiles(t, l) {
		if before[name] == 0 || name == "timestamp.json" { // the one name that is signed again
			metadata += size
		}
	}
	s := &story{board: b, want: two, traced: true}
	must(t, s.run(t.Context(), true))
	b.unplug()
	must(t, b.checkRest(two, verifier.Floors{}))
	writes, bytes, syncs := total(s.calls)
	beyond := bytes - costImageBytes - metadata
	t.Logf("an update with an image of %d bytes and %d bytes of new metadata wrote %d bytes in %d writes with %d fsyncs: "+
		"%d bytes beyond image and metadata, at most %d expected", costImageBytes, metadata, bytes, writes, syncs, beyond, updateSlack)
	t.Logf("since its last start the agent itself counted %+v", s.last.Counters)
	if beyond > updateSlack {
		t.Errorf("%d bytes beyond image and metadata, want at most %d", beyond, updateSlack)
	}
	if bytes < costImageBytes {
		t.Errorf("%d bytes for an image of %d: the tracer did not see them all", bytes, costImageBytes)
	}
	for _, c := range s.calls {
		if c.name == "mmap" {
			t.Errorf("%v: it is mapped for writing, and what is written there can't be counted", c)
		}
	}
}

// metadataFiles are the sizes of the repository's metadata files by name.
func metadataFiles(t *testing.T, l *lab) map[string]int64 {
	t.Helper()
	entries, err := os.ReadDir(publish.MetadataDir(l.dir))
	must(t, err)
	sizes := map[string]int64{}
	for _, e := range entries {
		info, err := e.Info()
		must(t, err)
		sizes[e.Name()] = info.Size()
	}
	return sizes
}
