//go:build linux && amd64

package crash

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ota-agent/ota-agent/crash/writelog"
	"github.com/ota-agent/ota-agent/publish"
)

const (
	// guestWithin bounds a run of the machine, which emulates its processor.
	guestWithin = 5 * time.Minute
	guestMemory = "768"
	// logBytesMax bounds the log of its writes.
	logBytesMax = 1 << 30
)

// guestModules are the drivers of the disk, in the order in which they need each other.
var guestModules = []string{"virtio_ring", "virtio", "virtio_pci_legacy_dev", "virtio_pci_modern_dev", "virtio_pci", "virtio_blk"}

// A machine is a virtual one: its parts from Debian, and the root directory that it has in memory.
type machine struct {
	lab    *lab
	dir    string
	root   string // also of the agents that run on the disk afterwards, without the machine
	kernel string
	disk   string // the image, as the factory made it until the machine has run
}

// labInside is what a board has that is closed in its root directory.
func labInside() *lab { return &lab{agent: "/ota-agent", hook: "/ab-file", url: "file:///repo"} }

// newMachine gets the parts, or skips the test.
func newMachine(t *testing.T) *machine {
	t.Helper()
	needsLoop(t)
	needs(t, "qemu-system-x86_64", "qemu-system-x86")
	needs(t, "mke2fs", "e2fsprogs")
	m := &machine{lab: newLab(t), dir: shortDir(t)}
	m.root, m.disk = filepath.Join(m.dir, "root"), filepath.Join(m.dir, "disk")
	parts := filepath.Join(m.dir, "parts")
	must(t, unpack(t, parts, "busybox-static"))
	must(t, unpack(t, parts, kernelPackage(t)))
	kernels, err := filepath.Glob(filepath.Join(parts, "boot", "vmlinuz-*"))
	must(t, err)
	if len(kernels) != 1 {
		t.Fatalf("kernels in the package: %v, expected one", kernels)
	}
	m.kernel = kernels[0]
	for _, dir := range []string{"bin", "dev", "proc", "run", "flash", "modules"} {
		must(t, os.MkdirAll(filepath.Join(m.root, dir), 0o755))
	}
	must(t, m.programs(parts))
	must(t, m.modules(parts))
	return m
}

// programs puts what runs on the device into its root directory.
func (m *machine) programs(parts string) error {
	busybox := filepath.Join(parts, "bin", "busybox")
	list, err := exec.Command(busybox, "--list").Output()
	if err != nil {
		return fmt.Errorf("list what busybox can do: %w", err)
	}
	for _, name := range strings.Fields(string(list)) {
		if err := os.Symlink("/busybox", filepath.Join(m.root, "bin", name)); err != nil {
			return err
		}
	}
	build := exec.Command("go", "test", "-c", "-trimpath", "-ldflags=-s -w", "-o", filepath.Join(m.root, guestInit), ".")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if text, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("build the machine's first process: %w\n%s", err, text)
	}
	for name, from := range map[string]string{"busybox": busybox, "ota-agent": m.lab.agent, "ab-file": m.lab.hook} {
		content, err := os.ReadFile(from)
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(m.root, name), content, 0o755); err != nil {
			return err
		}
	}
	return nil
}

func (m *machine) modules(parts string) error {
	for n, name := range guestModules {
		var content []byte
		err := filepath.WalkDir(filepath.Join(parts, "lib", "modules"), func(path string, d fs.DirEntry, err error) error {
			if err == nil && d.Name() == name+".ko" {
				content, err = os.ReadFile(path)
			}
			return err
		})
		if err != nil {
			return err
		}
		if content == nil {
			return fmt.Errorf("the kernel has no module %s", name)
		}
		if err := os.WriteFile(filepath.Join(m.root, "modules", fmt.Sprintf("%d-%s", n, name)), content, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// publish signs a release, and keeps a copy of the repository in which it is the newest.
func (m *machine) publish(t *testing.T) published {
	t.Helper()
	r := m.lab.publish(t, imageBytes)
	must(t, os.CopyFS(filepath.Join(m.root, "repo."+r.version), os.DirFS(publish.RepositoryDir(m.lab.dir))))
	return r
}

// format makes the disk of a device that left the factory with r.
func (m *machine) format(t *testing.T, r published) {
	t.Helper()
	inside := *m.lab
	outside := labInside()
	inside.agent, inside.hook, inside.url = outside.agent, outside.hook, outside.url
	factory := newBoard(t, &inside, r)
	factory.root = factory.dir
	must(t, factory.configure())
	must(t, os.WriteFile(m.disk, nil, 0o600))
	must(t, os.Truncate(m.disk, diskBytes))
	out, err := exec.Command(program("mke2fs"), "-q", "-F", "-t", "ext4", "-b", "4096", "-E", "lazy_itable_init=0,nodiscard",
		"-d", factory.flash(), m.disk, fmt.Sprint(fileSystemBytes>>10)+"k").CombinedOutput()
	if err != nil {
		t.Fatalf("make the file system: %v\n%s", err, out)
	}
}

// run lets the machine run until it switches itself off, and returns the log of its disk, and what it printed. Its kernel
// writes early or late.
func (m *machine) run(t *testing.T, writes string) (l *writelog.Log, console string) {
	t.Helper()
	initrd, log := filepath.Join(m.dir, "initrd"), filepath.Join(m.dir, "log")
	must(t, os.WriteFile(log, nil, 0o600)) // empty also after another run
	f, err := os.Create(initrd)
	must(t, err)
	must(t, archive(f, m.root))
	must(t, f.Close())
	line := "console=ttyS0 quiet panic=-1 rdinit=" + guestInit + " " + guestWrites + "=" + writes
	for _, r := range m.lab.releases {
		line += " " + guestHash + r.version + "=" + r.sha256
	}
	ctx, cancel := context.WithTimeout(t.Context(), guestWithin)
	defer cancel()
	qemu := exec.CommandContext(ctx, "qemu-system-x86_64", "-machine", "pc,accel=tcg", "-cpu", "max", "-m", guestMemory,
		"-nodefaults", "-no-user-config", "-display", "none", "-serial", "stdio",
		"-kernel", m.kernel, "-initrd", initrd, "-append", line,
		"-blockdev", "driver=file,node-name=disk,filename="+m.disk, "-blockdev", "driver=file,node-name=log,filename="+log,
		"-blockdev", "driver=blklogwrites,node-name=logged,file=disk,log=log",
		"-device", "virtio-blk-pci,drive=logged,write-cache=on")
	var out bytes.Buffer
	qemu.Stdout, qemu.Stderr = &out, &out
	qemu.SysProcAttr = &unix.SysProcAttr{Pdeathsig: unix.SIGKILL}
	if err := qemu.Run(); err != nil || !strings.Contains(out.String(), guestDone) {
		t.Fatalf("the machine did not come to rest: %v, %v\n%s", err, ctx.Err(), out.String())
	}
	f, err = os.Open(log)
	must(t, err)
	defer f.Close()
	raw, err := io.ReadAll(io.LimitReader(f, logBytesMax))
	must(t, err)
	l, err = writelog.Parse(raw, diskBytes)
	must(t, err)
	return l, out.String()
}
