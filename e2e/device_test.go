package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/ota-agent/ota-agent/agent"
	"github.com/ota-agent/ota-agent/agent/local"
)

// buildAgent builds ota-agent once for all tests, as a device gets it.
var buildAgent = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "ota-e2e-")
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "ota-agent")
	// The Makefile's flags: most of the agent is not inlined.
	cmd := exec.Command("go", "-C", "..", "build", "-trimpath", "-ldflags", "-s -w -funcalign=4", "-gcflags=all=-l",
		"-gcflags=github.com/ota-agent/ota-agent/verifier/...=", "-o", path, "./cmd/ota-agent")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build ota-agent: %w\n%s", err, out)
	}
	return path, nil
})

func TestMain(m *testing.M) {
	code := m.Run()
	if path, err := buildAgent(); err == nil {
		_ = os.RemoveAll(filepath.Dir(path))
	}
	os.Exit(code)
}

// A device is a board with one component, whose hook takes images and hashes what it gets. It never gets beyond
// the reboot into a new release.
type device struct {
	t     testing.TB
	dir   string
	agent string
	// namespace is the network namespace in which the agent runs; empty: the test's own.
	namespace string
	cmd       *exec.Cmd
	ended     chan error
	client    *local.Client
}

// The device as config and publisher name it.
const (
	hardware   = "bench-board"
	targetPath = hardware + "/stable/image.bin"
)

// hookText is a board of two slots that keeps no image: install records the hash of what came.
const hookText = `#!/bin/sh
set -eu
case $1 in
status)
	printf 'slots=A,B\nbooted=A\nprimary=A\nstate.A=good\nstate.B=bad\n'
	;;
install)
	sum=$(sha256sum)
	printf '%s\n' "${sum%% *}" >"$BOARD/got.new"
	mv "$BOARD/got.new" "$BOARD/got"
	;;
verify)
	echo "sha256=$(cat "$BOARD/got")"
	;;
esac
`

// newDevice provisions a device for a repository. extra goes into the table [repository].
func newDevice(t testing.TB, r *repository, metadata, targets, extra string) *device {
	t.Helper()
	path, err := buildAgent()
	must(t, err)
	// A socket's path is short.
	dir, err := os.MkdirTemp("", "ota")
	must(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	d := &device{t: t, dir: dir, agent: path, client: local.NewClient(filepath.Join(dir, "sock"))}
	must(t, os.WriteFile(d.path("hook"), []byte(hookText), 0o755))
	must(t, os.WriteFile(d.path("root.json"), r.anchor, 0o644))
	config := fmt.Sprintf(`anchor = %q
state = %q
socket = %q
[device]
id = "e2e-1"
hardware = %q
[repository]
metadata = %q
targets = %q
poll = "1m"
backoff_min = "1s"
backoff_max = "1s"
%s
[reboot]
command = ["true"]
[[component]]
name = "image"
target = "{hardware}/{channel}/image.bin"
hook = %q
reboot = true
env = { BOARD = %q }
`, d.path("root.json"), d.path("state"), d.path("sock"), hardware, metadata, targets, extra, d.path("hook"), dir)
	must(t, os.WriteFile(d.path("config.toml"), []byte(config), 0o644))
	t.Cleanup(d.kill)
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the agent's last words:\n%s", d.tail())
		}
	})
	return d
}

func (d *device) path(name string) string { return filepath.Join(d.dir, name) }

// start starts the agent. Its log goes to a file that grows from start to start.
func (d *device) start() {
	d.t.Helper()
	log, err := os.OpenFile(d.path("log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	must(d.t, err)
	defer log.Close()
	args := []string{d.agent, "run", "--config", d.path("config.toml")}
	if d.namespace != "" {
		args = append([]string{"ip", "netns", "exec", d.namespace}, args...)
	}
	d.cmd = exec.Command(args[0], args[1:]...)
	d.cmd.Stdout, d.cmd.Stderr = log, log
	d.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: 0}
	must(d.t, d.cmd.Start())
	ended := make(chan error, 1)
	go func(c *exec.Cmd) { ended <- c.Wait() }(d.cmd)
	d.ended = ended
}

// kill ends the agent and its hooks without a warning, and waits for it.
func (d *device) kill() {
	if d.cmd == nil {
		return
	}
	_ = syscall.Kill(-d.cmd.Process.Pid, syscall.SIGKILL)
	<-d.ended
	d.cmd = nil
}

// got is the hash of what the hook was given, or empty.
func (d *device) got() string {
	b, _ := os.ReadFile(d.path("got"))
	return strings.TrimSpace(string(b))
}

// awaitImage waits until the hook has got the image.
func (d *device) awaitImage(r *repository, patience time.Duration) {
	d.t.Helper()
	d.await("the image at the hook", patience, func() bool { return d.got() != "" })
	if d.got() != r.sha256 {
		d.t.Fatalf("the hook got %s, published is %s", d.got(), r.sha256)
	}
	d.t.Logf("complete, and the hash is right: %d bytes, SHA-256 %s…", r.length, r.sha256[:16])
}

// await polls for what must come to be while the agent runs.
func (d *device) await(what string, patience time.Duration, there func() bool) {
	d.t.Helper()
	deadline := time.Now().Add(patience)
	for !there() {
		select {
		case err := <-d.ended:
			d.ended <- err
			d.t.Fatalf("the agent ended while waiting for %s: %v", what, err)
		case <-time.After(5 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			status, _ := json.Marshal(d.component())
			d.t.Fatalf("no %s within %v; status: %s", what, patience, status)
		}
	}
}

// status asks the agent; the zero value while it does not answer.
func (d *device) status() agent.Status {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	s, _ := d.client.Status(ctx)
	return s
}

func (d *device) component() agent.ComponentStatus {
	for _, c := range d.status().Components {
		return c
	}
	return agent.ComponentStatus{}
}

// done is how many bytes of the image the agent says it has.
func (d *device) done() int64 {
	if p := d.component().Progress; p != nil {
		return p.Done
	}
	return 0
}

func (d *device) tail() string {
	b, _ := os.ReadFile(d.path("log"))
	return string(b[max(0, len(b)-4000):])
}

// usage is what a running process has cost so far.
type usage struct {
	cpu     time.Duration // user and system
	system  time.Duration
	peakRSS int64 // bytes
}

// usage reads the agent's; its process group leader is the agent itself, also within a namespace.
func (d *device) usage() usage {
	d.t.Helper()
	proc := filepath.Join("/proc", strconv.Itoa(d.cmd.Process.Pid))
	stat, err := os.ReadFile(filepath.Join(proc, "stat"))
	must(d.t, err)
	// The name in parentheses may hold spaces; utime and stime are the 14th and 15th field, in 1/100 s.
	fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+2:]))
	var ticks [2]int64
	for i, f := range fields[11:13] {
		n, err := strconv.ParseInt(f, 10, 64)
		must(d.t, err)
		ticks[i] = n
	}
	status, err := os.ReadFile(filepath.Join(proc, "status"))
	must(d.t, err)
	var peak int64
	for line := range strings.Lines(string(status)) {
		if v, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			_, err := fmt.Sscanf(v, "%d kB", &peak)
			must(d.t, err)
		}
	}
	const tick = 10 * time.Millisecond
	return usage{cpu: time.Duration(ticks[0]+ticks[1]) * tick, system: time.Duration(ticks[1]) * tick, peakRSS: peak << 10}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
