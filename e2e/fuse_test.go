package e2e

import (
	"context"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
)

// A sickMount is a directory that is mounted through FUSE and read-only. Once it hangs, its other side
// answers nothing, or no read: whoever asks then waits in the kernel, and no signal ends that.
type sickMount struct {
	mu    sync.Mutex
	all   bool // hangs at whatever it is asked, else at reads of large files
	hung  bool
	ended chan struct{} // closed when it answers again
}

func (m *sickMount) hang(all bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.hung, m.all = true, all
}

// wait is called before each answer. It does not look at the context, as a daemon that hangs does not.
func (m *sickMount) wait(large bool) {
	m.mu.Lock()
	wait := m.hung && (m.all || large)
	m.mu.Unlock()
	if wait {
		<-m.ended
	}
}

// mountSick shows dir at mount, or skips the test where FUSE is not to be had.
func mountSick(t *testing.T, dir, mount string) *sickMount {
	t.Helper()
	m := &sickMount{ended: make(chan struct{})}
	never := time.Duration(0) // nothing is cached: each look asks anew
	server, err := fs.Mount(mount, &sickNode{mount: m, path: dir}, &fs.Options{EntryTimeout: &never, AttrTimeout: &never,
		MountOptions: fuse.MountOptions{DirectMountStrict: true, Options: []string{"ro"}, FsName: "sick"}})
	if err != nil {
		t.Skipf("SKIPPED, no FUSE here: %v. Run the tests as root where /dev/fuse is and mounting is allowed", err)
	}
	t.Cleanup(func() {
		close(m.ended)
		for range 100 {
			if err = server.Unmount(); err == nil {
				return
			}
			time.Sleep(50 * time.Millisecond)
		}
		t.Errorf("unmount: %v", err)
	})
	return m
}

// A sickNode is a file or directory of it.
type sickNode struct {
	fs.Inode
	mount *sickMount
	path  string
}

var _ interface {
	fs.NodeLookuper
	fs.NodeGetattrer
	fs.NodeReaddirer
	fs.NodeOpener
	fs.NodeReader
} = (*sickNode)(nil)

func (n *sickNode) attr(path string, out *fuse.Attr) (uint32, syscall.Errno) {
	n.mount.wait(false)
	var st syscall.Stat_t
	if err := syscall.Lstat(path, &st); err != nil {
		return 0, fs.ToErrno(err)
	}
	out.FromStat(&st)
	return st.Mode, 0
}

func (n *sickNode) Lookup(ctx context.Context, name string, out *fuse.EntryOut) (*fs.Inode, syscall.Errno) {
	path := filepath.Join(n.path, name)
	mode, errno := n.attr(path, &out.Attr)
	if errno != 0 {
		return nil, errno
	}
	return n.NewInode(ctx, &sickNode{mount: n.mount, path: path}, fs.StableAttr{Mode: mode & syscall.S_IFMT, Ino: out.Ino}), 0
}

func (n *sickNode) Getattr(_ context.Context, _ fs.FileHandle, out *fuse.AttrOut) syscall.Errno {
	_, errno := n.attr(n.path, &out.Attr)
	return errno
}

func (n *sickNode) Readdir(context.Context) (fs.DirStream, syscall.Errno) {
	n.mount.wait(false)
	entries, err := os.ReadDir(n.path)
	if err != nil {
		return nil, fs.ToErrno(err)
	}
	var list []fuse.DirEntry
	for _, e := range entries {
		mode := uint32(syscall.S_IFREG)
		if e.IsDir() {
			mode = syscall.S_IFDIR
		}
		list = append(list, fuse.DirEntry{Name: e.Name(), Mode: mode})
	}
	return fs.NewListDirStream(list), 0
}

func (n *sickNode) Open(context.Context, uint32) (fs.FileHandle, uint32, syscall.Errno) {
	n.mount.wait(false)
	return nil, fuse.FOPEN_DIRECT_IO, 0
}

func (n *sickNode) Read(_ context.Context, _ fs.FileHandle, dest []byte, off int64) (fuse.ReadResult, syscall.Errno) {
	info, err := os.Stat(n.path)
	if err != nil {
		return nil, fs.ToErrno(err)
	}
	n.mount.wait(info.Size() > 64<<10)
	f, err := os.Open(n.path)
	if err != nil {
		return nil, fs.ToErrno(err)
	}
	defer f.Close()
	got, err := f.ReadAt(dest, off)
	if got == 0 && err != nil && info.Size() > off {
		return nil, fs.ToErrno(err)
	}
	return fuse.ReadResultData(dest[:got]), 0
}

// A mount whose other side never answers holds up neither a check over the network, nor a download, nor the
// end of the agent, be it a stick or a repository that the config names. What hangs in the kernel is left
// behind, and few hang at a time.
func TestHungMount(t *testing.T) {
	for name, tt := range map[string]struct {
		all, configured bool
		patience        time.Duration // until the image is at the hook
	}{
		"a stick that hangs at once":       {all: true, patience: 20 * time.Second},
		"a stick that hangs at its image":  {patience: 90 * time.Second},
		"a configured directory that does": {all: true, configured: true, patience: 2 * time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRepository(t, 3<<20)
			web := httptest.NewServer(http.FileServer(http.Dir(r.dir)))
			t.Cleanup(web.Close)
			mounts := t.TempDir()
			mount := filepath.Join(mounts, "stick")
			must(t, os.Mkdir(mount, 0o755))
			m := mountSick(t, r.dir, mount)
			metadata, targets, extra := web.URL+"/metadata", web.URL+"/targets", "media = [\""+mounts+"/*\"]\n"
			if tt.configured {
				extra = "metadata_mirrors = [\"" + metadata + "\"]\ntargets_mirrors = [\"" + targets + "\"]\n"
				metadata, targets = "file://"+mount+"/metadata", "file://"+mount+"/targets"
			}
			d := newDevice(t, r, metadata, targets, extra)
			m.hang(tt.all)
			d.start()
			d.awaitImage(r, tt.patience)
			begun := time.Now()
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			out, err := exec.CommandContext(ctx, d.agent, "check", "--config", d.path("config.toml")).CombinedOutput()
			if time.Since(begun) > 10*time.Second {
				t.Errorf("check ended after %v: %v\n%s", time.Since(begun), err, out)
			}
			if n := len(aidesOf(t, d.cmd.Process.Pid)); n < 1 || n > 6 {
				t.Errorf("%d aides run, want one that hangs, and 6 at most", n)
			}
			begun = time.Now()
			must(t, d.cmd.Process.Signal(syscall.SIGTERM))
			select {
			case err := <-d.ended:
				d.ended <- err
				t.Logf("ended %v after SIGTERM: %v", time.Since(begun).Round(time.Millisecond), err)
			case <-time.After(10 * time.Second):
				t.Error("the agent did not end within 10 s of SIGTERM")
			}
		})
	}
}

// aidesOf lists the running aides that an agent started.
func aidesOf(t *testing.T, agent int) (pids []string) {
	t.Helper()
	all, err := filepath.Glob("/proc/[0-9]*/cmdline")
	must(t, err)
	for _, path := range all {
		line, _ := os.ReadFile(path)
		stat, _ := os.ReadFile(filepath.Join(filepath.Dir(path), "stat"))
		_, after, _ := strings.Cut(string(stat), ") ")
		if fields := strings.Fields(after); strings.Contains(string(line), "media-aide") && len(fields) > 1 && fields[1] == strconv.Itoa(agent) {
			pids = append(pids, filepath.Base(filepath.Dir(path))+" "+fields[0])
		}
	}
	return pids
}
