package install

import (
	"bytes"
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
)

// nobody is a user and a group that own nothing.
const nobody = 65534

// foreign starts a process that is no hook's, with this environment: it starts a child anew whenever its child ends.
func foreign(t *testing.T, attr *syscall.SysProcAttr, environ ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command("/bin/sh", "-c", "while :; do sleep 1000; done")
	cmd.Env, cmd.SysProcAttr = environ, attr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		_ = cmd.Wait()
	})
	return cmd
}

func mustRun(t *testing.T, what string, pid int) {
	t.Helper()
	if p, ok := readStat(pid); !ok || p.ended() {
		t.Errorf("%s was ended", what)
	}
}

// Whoever carries OTA_RUN in the environment, and does not know the secret, is nobody's leftover: it is left
// alone, and holds no hook up.
func TestAForeignMarkHoldsNothingUp(t *testing.T) {
	r := newRunner(t, ComponentConfig{})
	session, err := unix.Getsid(0)
	if err != nil {
		t.Fatal(err)
	}
	was := foreign(t, &syscall.SysProcAttr{Setpgid: true}, "OTA_RUN="+strconv.Itoa(session)+":app:"+r.runDir)
	guess := foreign(t, &syscall.SysProcAttr{Setpgid: true},
		mark{session, "app", make([]byte, secretBytes)}.variable())
	for range 3 {
		begun := time.Now()
		if err := r.Do(t.Context(), agent.VerbTry, job(script(t, ""), nil)); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(begun); took > endWait/2 {
			t.Errorf("the hook was held up for %v", took)
		}
	}
	mustRun(t, "a process with a mark of before", was.Process.Pid)
	mustRun(t, "a process with a guessed mark", guess.Process.Pid)
}

// A hook that drops its rights is found all the same. A process of the same user can read its mark, and can
// do nothing with it in a session of its own.
func TestAHookThatDropsItsRights(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can drop its rights")
	}
	dir := t.TempDir()
	fifo, runDir := filepath.Join(dir, "fifo"), filepath.Join(dir, "run")
	if err := mkfifo(fifo); err != nil {
		t.Fatal(err)
	}
	hook := script(t, `chroot --userspec=65534:65534 / sh -c 'cat /proc/self/environ; sleep 1000' </dev/null >`+dir+`/environ 2>&1 &
echo $! >`+fifo+`
wait`)
	first := exec.Command(os.Args[0]) // an agent that dies
	first.Env = append(os.Environ(), agentVariable+"="+runDir+" "+hook)
	first.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := first.Start(); err != nil {
		t.Fatal(err)
	}
	left := atoi(t, readLines(t, fifo, 1)[0])
	var environ []byte
	for deadline := time.Now().Add(10 * time.Second); !bytes.Contains(environ, []byte(markName+"=")); time.Sleep(time.Millisecond) {
		if environ, _ = os.ReadFile(filepath.Join(dir, "environ")); time.Now().After(deadline) {
			t.Fatalf("the hook's child wrote no mark: %q", environ)
		}
	}
	if status := mustRead(t, procFile(left, "status")); !strings.Contains(status, "Uid:\t65534") {
		t.Fatalf("the hook's child did not drop its rights: %s", status)
	}

	var stolen string
	for entry := range strings.SplitSeq(string(environ), "\x00") {
		if strings.HasPrefix(entry, markName+"=") {
			stolen = entry
		}
	}
	other := &syscall.SysProcAttr{Setsid: true, Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	copied := foreign(t, other, stolen)
	_, proof, _ := strings.Cut(stolen, ":")
	mine := exec.Command("/bin/sh", "-c", `OTA_RUN="$$:`+proof+`"; export OTA_RUN; exec sleep 1000`)
	mine.SysProcAttr = other
	if err := mine.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = mine.Process.Kill(); _ = mine.Wait() })

	if err := first.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = first.Wait()
	mustRun(t, "the hook's child, with its agent's death,", left)
	if err := New(Config{RunDir: runDir}).Do(t.Context(), agent.VerbTry, job(script(t, ""), nil)); err != nil {
		t.Fatal(err)
	}
	mustBeGone(t, strconv.Itoa(left))
	mustRun(t, "a process that copied the mark", copied.Process.Pid)
	mustRun(t, "a process that put its own session into it", mine.Process.Pid)
}

// The secret is kept for the agents of one boot, and for nobody else.
func TestTheSecretOfTheMarks(t *testing.T) {
	runDir := filepath.Join(t.TempDir(), "run")
	in := func(boot string) mark {
		t.Helper()
		m, err := New(Config{RunDir: runDir, BootID: boot}).mark("app")
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	first := in("boot-1")
	if again := in("boot-1"); !bytes.Equal(first.secret, again.secret) {
		t.Error("a restarted agent does not know the marks of the one before it")
	}
	if next := in("boot-2"); bytes.Equal(first.secret, next.secret) || len(next.secret) != secretBytes {
		t.Error("the next boot has the same secret")
	}
	path := filepath.Join(runDir, secretName)
	info, err := os.Lstat(path)
	if err != nil || info.Mode() != 0o600 {
		t.Errorf("the secret's file: %v, %v", info, err)
	}
	// What somebody else may have put there vouches for nothing.
	text := mustRead(t, path)
	for name, plant := range map[string]func() error{
		"readable, writable": func() error { return os.Chmod(path, 0o666) },
		"a link": func() error {
			return os.Symlink("elsewhere", path)
		},
		"cut short": func() error { return os.WriteFile(path, []byte(text[:20]), 0o600) },
		"empty":     func() error { return os.WriteFile(path, nil, 0o600) },
	} {
		before := in("boot-2")
		if name == "a link" {
			if err := os.Rename(path, filepath.Join(runDir, "elsewhere")); err != nil {
				t.Fatal(err)
			}
		}
		if err := plant(); err != nil {
			t.Fatal(err)
		}
		if after := in("boot-2"); bytes.Equal(before.secret, after.secret) {
			t.Errorf("%s: the secret was believed", name)
		}
	}
}

// Once nothing is left of an earlier agent's hooks, a process elsewhere can't become one, whatever it carries.
func TestAnEarlierAgentsHooksEndOnce(t *testing.T) {
	r := newRunner(t, ComponentConfig{})
	if err := r.Do(t.Context(), agent.VerbTry, job(script(t, ""), nil)); err != nil {
		t.Fatal(err)
	}
	m, err := r.mark("app")
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("/bin/sh", "-c", `read mark; OTA_RUN="$mark"; export OTA_RUN; exec sleep 1000`)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	pid := cmd.Process.Pid // the session's number, too
	_, _ = in.Write([]byte(strconv.Itoa(pid) + ":app:" + m.proof(pid) + "\n"))
	for deadline := time.Now().Add(10 * time.Second); !m.marks(readEnviron(pid), pid); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the process never carried the mark")
		}
	}
	if err := r.Do(t.Context(), agent.VerbTry, job(script(t, ""), nil)); err != nil {
		t.Fatal(err)
	}
	mustRun(t, "a process that began later", cmd.Process.Pid)
	// A new agent can't know that it began later: it ends it, as it would an installer.
	next := New(Config{RunDir: r.runDir})
	if err := next.Do(t.Context(), agent.VerbTry, job(script(t, ""), nil)); err != nil {
		t.Fatal(err)
	}
	if p, ok := readStat(pid); ok && !p.ended() {
		t.Error("a new agent left an earlier agent's hook alone")
	}
}
