package e2e

import (
	"archive/tar"
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ota-agent/ota-agent/publish"
	"github.com/ota-agent/ota-agent/release"
)

// A machine is a Debian with a booted systemd, in a container that shares the network of the test.
type machine struct {
	t    *testing.T
	root string
	init int // the process ID of its systemd
}

// rootfsVariable names a directory that mmdebstrap has made before, which saves a minute: mmdebstrap --variant=minbase
// --include=systemd-sysv,dbus bookworm DIR.
const rootfsVariable = "OTA_E2E_ROOTFS"

// bootMachine makes and boots one.
func bootMachine(t *testing.T) *machine {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("SKIPPED, not root: a container with a service manager needs it. Run the tests as root")
	}
	nspawn := install(t, "systemd-nspawn", "systemd-container")
	root := os.Getenv(rootfsVariable)
	if root == "" {
		root = filepath.Join(t.TempDir(), "rootfs")
		cmd := exec.Command(install(t, "mmdebstrap", "mmdebstrap"), "--variant=minbase", "--include=systemd-sysv,dbus", "bookworm", root)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Skipf("SKIPPED, no Debian to boot: %v: %s. It needs Debian's mirror, or %s", err, out, rootfsVariable)
		}
	}
	name := "ota-e2e-" + strconv.Itoa(os.Getpid())
	must(t, os.RemoveAll(filepath.Join(filepath.Dir(root), "."+filepath.Base(root)+".lck"))) // of a test that was killed
	// script gives it a terminal, without which it does not boot here.
	cmd := exec.Command("script", "-qec", nspawn+" -D "+root+" --register=no --keep-unit -b -M "+name, "/dev/null")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	must(t, cmd.Start())
	m := &machine{t: t, root: root}
	t.Cleanup(func() {
		if m.init > 0 {
			_ = syscall.Kill(m.init, syscall.SIGKILL)
		}
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		_ = cmd.Wait()
	})
	m.eventually(time.Minute, "systemd runs", func() bool {
		if m.init = initOf(cmd.Process.Pid); m.init == 0 {
			return false
		}
		_, err := m.try("systemctl", "is-active", "dbus.socket")
		return err == nil
	})
	return m
}

// initOf finds the container's first process below the one that started it, or 0.
func initOf(pid int) int {
	out, err := exec.Command("pgrep", "-P", strconv.Itoa(pid)).Output()
	if err != nil {
		return 0
	}
	for child := range strings.FieldsSeq(string(out)) {
		n, _ := strconv.Atoi(child)
		if comm, _ := os.ReadFile("/proc/" + child + "/comm"); strings.TrimSpace(string(comm)) == "systemd" {
			return n
		}
		if below := initOf(n); below > 0 {
			return below
		}
	}
	return 0
}

func (m *machine) try(args ...string) (string, error) {
	out, err := exec.Command("nsenter", append([]string{"-t", strconv.Itoa(m.init), "-a"}, args...)...).CombinedOutput()
	return string(out), err
}

func (m *machine) run(args ...string) string {
	m.t.Helper()
	out, err := m.try(args...)
	if err != nil {
		m.t.Fatalf("%v: %v: %s", args, err, out)
	}
	return out
}

func (m *machine) write(path, text string, mode os.FileMode) {
	m.t.Helper()
	path = filepath.Join(m.root, path)
	must(m.t, os.MkdirAll(filepath.Dir(path), 0o755))
	must(m.t, os.WriteFile(path, []byte(text), mode))
	must(m.t, os.Chmod(path, mode))
}

func (m *machine) copy(from, to string) {
	m.t.Helper()
	text, err := os.ReadFile(from)
	must(m.t, err)
	m.write(to, string(text), 0o755)
}

func (m *machine) read(path string) string {
	text, _ := os.ReadFile(filepath.Join(m.root, path))
	return string(text)
}

func (m *machine) eventually(within time.Duration, what string, is func() bool) {
	m.t.Helper()
	for end := time.Now().Add(within); !is(); time.Sleep(200 * time.Millisecond) {
		if time.Now().After(end) {
			log, _ := m.try("journalctl", "-u", "ota-agent", "--no-pager", "-o", "cat", "-n", "60")
			m.t.Fatalf("after %s it is not so that %s\n%s", within, what, log)
		}
	}
}

// ownConfig and ownUnit are what docs/hooks.md says of an agent that is an application of its own, with times
// for a test.
const (
	ownConfig = `anchor = "/etc/ota-agent/root.json"
[device]
id = "board-1"
hardware = "bench-board"
[repository]
metadata = "URL/metadata"
targets = "URL/targets"
poll = "1m"
backoff_min = "1s"
backoff_max = "3s"
[[component]]
name   = "agent"
target = "agent.tar"
hook   = "/usr/lib/ota-agent/hooks/app-symlink"
env    = { APP_DIR = "/srv/ota-agent", APP_RESTART = "systemctl restart ota-agent" }
[component.health]
every = "1s"
deadline = "10s"
`
	ownUnit = `[Service]
Environment=APP_DIR=/srv/ota-agent
ExecStart=
ExecStart=/usr/lib/ota-agent/hooks/app-symlink launch ./ota-agent run --config /etc/ota-agent/config.toml
ReadWritePaths=/srv/ota-agent
TimeoutStartSec=4s
RestartSec=200ms
`
)

// The releases: the first line of each says what its agent does.
var ownReleases = map[string]string{
	"good":            "#!/bin/sh\nexec ./agent.real \"$@\"\n",
	"ends at once":    "#!/bin/sh\nexit 1\n",
	"hangs":           "#!/bin/sh\nexec sleep 1000\n",
	"can't reach it":  "#!/bin/sh\nexec ./agent.real run --config /etc/ota-agent/deaf.toml\n",
	"the one before ": "#!/bin/sh\n# the first\nexec ./agent.real \"$@\"\n",
}

// TestAnAgentAsItsOwnApplication: under a booted systemd, with the shipped unit and hook, in the documented
// way. The agent installs a release of itself, which restarts the service in the middle of try.
func TestAnAgentAsItsOwnApplication(t *testing.T) {
	m := bootMachine(t)
	binary, err := buildAgent()
	must(t, err)
	m.copy("../packaging/hooks/app-symlink", "/usr/lib/ota-agent/hooks/app-symlink")
	unit, err := os.ReadFile("../packaging/systemd/ota-agent.service")
	must(t, err)
	m.write("/etc/systemd/system/ota-agent.service", string(unit), 0o644)
	m.write("/etc/systemd/system/ota-agent.service.d/own.conf", ownUnit, 0o644)
	m.run("systemctl", "daemon-reload")
	for _, c := range []struct {
		release string
		slot    string // that runs in the end
		waiting string // why it takes up no other
		starts  int    // of any agent, at most
		within  time.Duration
	}{
		{"good", "B", "", 3, time.Minute},
		{"ends at once", "A", `"rejected"`, 16, 2 * time.Minute},
		{"hangs", "A", `"rejected"`, 16, 4 * time.Minute},
		{"can't reach it", "A", `"held"`, 16, 5 * time.Minute},
	} {
		t.Run(c.release, func(t *testing.T) {
			m.t = t
			server := provisionOwn(m, binary, ownReleases[c.release])
			defer server.Close()
			since := time.Now()
			m.run("systemctl", "start", "ota-agent")
			defer m.run("systemctl", "stop", "ota-agent")
			m.eventually(c.within, fmt.Sprintf("slot %s is confirmed and it waits for %s", c.slot, c.waiting), func() bool {
				out, err := m.try("/srv/ota-agent/slot.A/agent.real", "status", "--json", "--config", "/etc/ota-agent/config.toml")
				return err == nil && strings.Contains(out, `"booted": "`+c.slot+`"`) && strings.Contains(out, `"primary": "`+c.slot+`"`) &&
					strings.Contains(out, `"phase": "idle"`) && (c.waiting == "" || strings.Contains(out, `"reason": `+c.waiting))
			})
			if link, _ := os.Readlink(filepath.Join(m.root, "srv/ota-agent/current")); link != "slot."+c.slot {
				t.Errorf("current is %s", link)
			}
			log := m.run("journalctl", "--no-pager", "-o", "cat", "--since", since.Format(time.DateTime), "_PID=1")
			starts := strings.Count(log, "Starting ota-agent.service")
			t.Logf("%d starts in %s", starts, time.Since(since).Round(time.Second))
			if starts > c.starts || starts < 2 {
				t.Errorf("the service was started %d times, expected 2 to %d\n%s", starts, c.starts, log)
			}
		})
	}
}

// provisionOwn makes a device whose slot A holds an agent that works, and a repository that offers one that
// does what its script says.
func provisionOwn(m *machine, binary, script string) *httptest.Server {
	for _, path := range []string{"var/lib/ota-agent", "srv/ota-agent", "run/ota-agent"} {
		must(m.t, os.RemoveAll(filepath.Join(m.root, path)))
	}
	dir := m.t.TempDir()
	secret := publish.FixedPassphrase("e2e")
	_, err := publish.Init(dir, publish.Options{Now: time.Now(), Passphrase: secret, Hardware: []string{hardware}, KDF: publish.KDF{LogN: 10, R: 8, P: 1}})
	must(m.t, err)
	repo, err := publish.Open(dir, publish.Access{Passphrase: secret})
	must(m.t, err)
	defer repo.Close()
	index := int64(1)
	_, err = repo.Add(publish.Addition{Path: "agent.tar", Image: ownArchive(m.t, binary, script),
		Info: release.Info{Version: "2", RollbackIndex: &index, Hardware: []string{hardware}}})
	must(m.t, err)
	_, err = repo.Publish(time.Now())
	must(m.t, err)
	server := httptest.NewServer(http.FileServer(http.Dir(publish.RepositoryDir(dir))))
	anchor, err := os.ReadFile(filepath.Join(publish.MetadataDir(dir), "1.root.json"))
	must(m.t, err)
	m.write("/etc/ota-agent/root.json", string(anchor), 0o644)
	m.write("/etc/ota-agent/config.toml", strings.ReplaceAll(ownConfig, "URL", server.URL), 0o600)
	m.write("/etc/ota-agent/deaf.toml", strings.ReplaceAll(ownConfig, "URL", "http://127.0.0.1:1"), 0o600)
	m.write("/srv/ota-agent/slot.A/ota-agent", ownReleases["the one before "], 0o755)
	m.copy(binary, "/srv/ota-agent/slot.A/agent.real")
	must(m.t, os.Symlink("slot.A", filepath.Join(m.root, "srv/ota-agent/current")))
	return server
}

// ownArchive is a release: the script that is started, and the binary beside it.
func ownArchive(t *testing.T, binary, script string) io.Reader {
	real, err := os.ReadFile(binary)
	must(t, err)
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for name, text := range map[string][]byte{"ota-agent": []byte(script), "agent.real": real} {
		must(t, w.WriteHeader(&tar.Header{Name: name, Mode: 0o755, Size: int64(len(text)), Typeflag: tar.TypeReg}))
		_, err := w.Write(text)
		must(t, err)
	}
	must(t, w.Close())
	return &b
}
