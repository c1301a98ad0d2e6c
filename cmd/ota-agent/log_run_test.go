package main

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ota-agent/ota-agent/agent"
	"github.com/ota-agent/ota-agent/agent/local"
)

// A runDevice is a device whose agent is the real one, in a process of its own.
type runDevice struct {
	t      *testing.T
	dir    string
	cmd    *exec.Cmd
	client *local.Client
}

// newRunDevice publishes a release and makes a config. The hook is a status of two slots, then extra.
func newRunDevice(t *testing.T, extra string) *runDevice {
	t.Helper()
	d := &runDevice{t: t, dir: t.TempDir(), client: nil}
	d.write("image", "an image", 0o644)
	if err := publishRelease([]string{d.path("repo"), "1.0", d.path("image")}); err != nil {
		t.Fatal(err)
	}
	d.write("hook", "#!/bin/sh\n"+extra+`
case $1 in
status) printf 'slots=A,B\nbooted=A\nprimary=A\nstate.A=good\nstate.B=bad\n' ;;
*) echo "not now" >&2; exit 75 ;;
esac
`, 0o755)
	d.write("config.toml", strings.ReplaceAll(`anchor = "$DIR/repo/root.json"
state = "$DIR/state"
socket = "$DIR/run/agent.sock"
[device]
id = "board-1"
hardware = "board"
[repository]
metadata = "file://$DIR/repo/repo/metadata"
targets = "file://$DIR/repo/repo/targets"
backoff_min = "1s"
[[component]]
name = "app"
target = "app.tar"
hook = "$DIR/hook"
`, "$DIR", d.dir), 0o644)
	d.client = local.NewClient(d.path("run/agent.sock"))
	return d
}

func (d *runDevice) path(name string) string { return filepath.Join(d.dir, name) }

func (d *runDevice) write(name, text string, mode fs.FileMode) {
	d.t.Helper()
	if err := os.WriteFile(d.path(name), []byte(text), mode); err != nil {
		d.t.Fatal(err)
	}
}

// start starts the agent with stderr as its standard error and output, and waits until it answers.
func (d *runDevice) start(stderr *os.File) {
	d.t.Helper()
	d.cmd = exec.Command("ota-agent", "run", "-c", d.path("config.toml"))
	d.cmd.Stdout, d.cmd.Stderr = stderr, stderr
	if err := d.cmd.Start(); err != nil {
		d.t.Fatal(err)
	}
	d.t.Cleanup(func() { _ = d.cmd.Process.Kill(); _ = d.cmd.Wait() })
	d.await("an answer on the socket", func() bool { _, err := d.client.Status(d.t.Context()); return err == nil })
}

func (d *runDevice) await(what string, done func() bool) {
	d.t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !done(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			d.t.Fatalf("no %s within 20 s", what)
		}
	}
}

// terminate sends SIGTERM and returns how the agent ended, within ten seconds.
func (d *runDevice) terminate() error {
	d.t.Helper()
	return d.terminateWithin(10 * time.Second)
}

func (d *runDevice) terminateWithin(most time.Duration) error {
	d.t.Helper()
	if err := d.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		d.t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- d.cmd.Wait() }()
	select {
	case err := <-ended:
		return err
	case <-time.After(most):
		d.t.Fatalf("it did not end within %s after SIGTERM", most)
		return nil
	}
}

// fullPipe is a pipe whose reader reads nothing, filled to the last byte.
func fullPipe(t *testing.T) *os.File {
	t.Helper()
	var fds [2]int
	if err := unix.Pipe2(fds[:], unix.O_CLOEXEC|unix.O_NONBLOCK); err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := unix.Write(fds[1], []byte("x")); err != nil {
			if !errors.Is(err, unix.EAGAIN) {
				t.Fatal(err)
			}
			break
		}
	}
	// What the agent gets is an ordinary pipe, whose write waits.
	if err := unix.SetNonblock(fds[1], false); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fds[0]) })
	w := os.NewFile(uintptr(fds[1]), "full pipe")
	t.Cleanup(func() { w.Close() })
	return w
}

// goesOn has the agent write lines and shows that it works all the same.
func (d *runDevice) goesOn() {
	d.t.Helper()
	for range 5 {
		if _, err := d.client.Check(d.t.Context()); err != nil {
			d.t.Fatalf("check: %v", err)
		}
	}
	s, err := d.client.Status(d.t.Context())
	if err != nil || s.Repository.LastSuccess.IsZero() {
		d.t.Errorf("status: %v, last success %v", err, s.Repository.LastSuccess)
	}
}

// The reader of the log hangs: nothing else does, and SIGTERM ends the agent well.
func TestAHungLogReaderStopsNothing(t *testing.T) {
	d := newRunDevice(t, "")
	d.start(fullPipe(t))
	d.goesOn()
	if err := d.terminate(); err != nil {
		t.Errorf("after SIGTERM: %v", err)
	}
}

// The reader of the log hangs, and the runtime has words to say: a service manager's watchdog sends SIGABRT,
// and the process ends.
func TestAHungLogReaderHoldsNoCrashUp(t *testing.T) {
	sockets := func(t *testing.T) *os.File {
		fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		ours := os.NewFile(uintptr(fds[0]), "reader")
		t.Cleanup(func() { ours.Close() })
		for {
			if _, err := unix.SendmsgN(fds[1], []byte("x"), nil, nil, unix.MSG_DONTWAIT); err != nil {
				break
			}
		}
		w := os.NewFile(uintptr(fds[1]), "full socket")
		t.Cleanup(func() { w.Close() })
		return w
	}
	for name, stderr := range map[string]func(*testing.T) *os.File{"pipe": fullPipe, "socket": sockets} {
		d := newRunDevice(t, "")
		d.start(stderr(t))
		d.goesOn()
		if err := d.cmd.Process.Signal(syscall.SIGABRT); err != nil {
			t.Fatal(err)
		}
		ended := make(chan error, 1)
		go func() { ended <- d.cmd.Wait() }()
		select {
		case <-ended:
		case <-time.After(10 * time.Second):
			t.Errorf("%s: it did not end within ten seconds after SIGABRT", name)
			_ = d.cmd.Process.Kill()
			<-ended
		}
	}
}

// A flood of requests is a line a minute, with its count, in the log of the real agent.
func TestAFloodIsFewLinesOfTheRealLog(t *testing.T) {
	d := newRunDevice(t, "")
	d.write("log", "", 0o644)
	log, err := os.OpenFile(d.path("log"), os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	d.start(log)
	const commands = 200
	for range commands {
		if _, err := d.client.Command(t.Context(), agent.Command{Name: "resume"}); err != nil {
			t.Fatal(err)
		}
	}
	if err := d.terminate(); err != nil {
		t.Errorf("after SIGTERM: %v", err)
	}
	text, err := os.ReadFile(d.path("log"))
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasSuffix(strings.TrimSpace(string(text)), "msg="+logStopped) {
		t.Errorf("the end is not the last line: %s", text)
	}
	lines, told := 0, 0
	for line := range strings.Lines(string(text)) {
		if strings.Contains(line, `msg="local command"`) {
			_, n, _ := strings.Cut(line, repeatedName+"=")
			more, _ := strconv.Atoi(strings.TrimSpace(n))
			lines, told = lines+1, told+1+more
		}
	}
	if lines > 3 || told != commands {
		t.Errorf("%d commands are %d lines, which tell of %d: %s", commands, lines, told, text)
	}
}

// The reader of the log hangs, and the start fails: the process ends with its code.
func TestAHungLogReaderHoldsNoFailureUp(t *testing.T) {
	d := newRunDevice(t, "")
	d.write("repo/root.json", "{}", 0o644)
	cmd := exec.Command("ota-agent", "run", "-c", d.path("config.toml"))
	cmd.Stderr = fullPipe(t)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	stuck := time.AfterFunc(10*time.Second, func() { _ = cmd.Process.Kill() })
	defer stuck.Stop()
	if _ = cmd.Wait(); cmd.ProcessState.ExitCode() != exitAnchor {
		t.Errorf("got %v, want exit code %d", cmd.ProcessState, exitAnchor)
	}
}

// The reader of the log dies: the agent does not, and its hooks have the default disposition of SIGPIPE, also
// when the agent itself was started with another one, as systemd does.
func TestADeadLogReaderKillsNothing(t *testing.T) {
	const ignored = "grep SigIgn /proc/self/status >\"$0.sigign\"\n"
	d := newRunDevice(t, ignored)
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	r.Close()
	defer w.Close()
	d.start(w)
	d.goesOn()
	d.await("run of the hook", func() bool { b, _ := os.ReadFile(d.path("hook.sigign")); return len(b) > 0 })
	text, err := os.ReadFile(d.path("hook.sigign"))
	if err != nil {
		t.Fatal(err)
	}
	mask, err := strconv.ParseUint(strings.Fields(string(text))[1], 16, 64)
	if err != nil {
		t.Fatal(err)
	}
	if mask&(1<<(uint(syscall.SIGPIPE)-1)) != 0 {
		t.Errorf("a hook ignores SIGPIPE: %s", text)
	}
	if err := d.terminate(); err != nil {
		t.Errorf("after SIGTERM: %v", err)
	}
}

// A reader that reads gets every line, up to the last one.
func TestTheLogsLastLineIsWritten(t *testing.T) {
	d := newRunDevice(t, "")
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	d.start(w)
	w.Close()
	if err := d.terminate(); err != nil {
		t.Errorf("after SIGTERM: %v", err)
	}
	text, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"msg=" + logStarted, "msg=" + logStopped} {
		if !strings.Contains(string(text), want) {
			t.Errorf("no line %q: %s", want, text)
		}
	}
}
