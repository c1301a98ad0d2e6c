package install

import (
	"bufio"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/ota-agent/ota-agent/agent"
)

// agentVariable makes the test binary play an agent that runs one hook: "RUNDIR HOOK".
const agentVariable = "INSTALL_TEST_AGENT"

func TestMain(m *testing.M) {
	if len(os.Args) == 2 && os.Args[1] == aideArg {
		beAnAide()
		os.Exit(0)
	}
	if dir, hook, ok := strings.Cut(os.Getenv(agentVariable), " "); ok {
		r := New(Config{RunDir: dir})
		if err := r.Do(context.Background(), agent.VerbTry, agent.Job{Component: "app", Hook: hook, Slot: "B"}); err != nil {
			os.Stderr.WriteString(err.Error())
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// The agent is killed in the middle of a verb; the next agent's first verb finds nothing of it any more.
func TestLeftoversOfADeadAgentEnd(t *testing.T) {
	dir := t.TempDir()
	fifo := filepath.Join(dir, "fifo")
	if err := mkfifo(fifo); err != nil {
		t.Fatal(err)
	}
	// Job control gives the second child a group of its own.
	hook := script(t, `set -m
sh -c 'echo $$ >`+fifo+`; exec sleep 1000' &
echo $$ >`+fifo+`
wait`)
	runDir := filepath.Join(dir, "run")
	first := exec.Command(os.Args[0])
	first.Env = append(os.Environ(), agentVariable+"="+runDir+" "+hook)
	first.SysProcAttr = &syscall.SysProcAttr{Setsid: true} // a service manager gives each agent a session of its own
	if err := first.Start(); err != nil {
		t.Fatal(err)
	}
	pids := readLines(t, fifo, 2)
	if err := first.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	first.Wait()
	for _, pid := range pids {
		if p, ok := readStat(atoi(t, pid)); !ok || p.ended() {
			t.Fatalf("process %s did not outlive its agent: the test shows nothing", pid)
		}
	}

	second := New(Config{RunDir: runDir})
	other := New(Config{RunDir: runDir + "2"})
	j := job(script(t, ""), nil)
	if err := other.Do(t.Context(), agent.VerbTry, j); err != nil {
		t.Fatal(err)
	}
	elsewhere := j
	elsewhere.Component = "another"
	if err := second.Do(t.Context(), agent.VerbTry, elsewhere); err != nil {
		t.Fatal(err)
	}
	for _, pid := range pids {
		if p, ok := readStat(atoi(t, pid)); !ok || p.ended() {
			t.Errorf("process %s was ended by another agent's or component's verb", pid)
		}
	}
	if err := second.Do(t.Context(), agent.VerbTry, j); err != nil {
		t.Fatal(err)
	}
	for _, pid := range pids {
		mustBeGone(t, pid)
	}
}

// readLines reads n lines that writers put into a fifo, each with an open of its own.
func readLines(t *testing.T, fifo string, n int) []string {
	t.Helper()
	f, err := os.OpenFile(fifo, os.O_RDWR, 0) // for writing, too: no end of file in between
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var lines []string
	for s := bufio.NewScanner(f); len(lines) < n && s.Scan(); {
		lines = append(lines, s.Text())
	}
	return lines
}

func atoi(t *testing.T, s string) int {
	t.Helper()
	n, err := strconv.Atoi(s)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestMark(t *testing.T) {
	of := func(session int, component, secret string) mark { return mark{session, component, []byte(secret)} }
	m := of(7, "app", "secret")
	environ := func(values ...string) []byte { return []byte(strings.Join(values, "\x00") + "\x00") }
	for _, c := range []struct {
		environ []byte
		session int
		want    bool
	}{
		{environ("A=1", m.variable()), 7, true},
		{environ(of(9, "app", "secret").variable()), 9, true}, // started by an agent in another session
		{environ(m.variable()), 8, false},                     // left the session, or copied it
		{environ(strings.Replace(m.variable(), "=7:", "=8:", 1)), 8, false},
		{environ(of(7, "app2", "secret").variable()), 7, false},
		{environ(strings.Replace(of(7, "app2", "secret").variable(), ":app2:", ":app:", 1)), 7, false},
		{environ(of(7, "app", "guess").variable()), 7, false},
		{environ("OTA_RUN=7:app:/run/ota-agent"), 7, false},
		{environ("OTA_RUN=7:app:"), 7, false},
		{environ("X" + m.variable()), 7, false},
		{environ("X=" + m.variable()), 7, false},
		{environ("OTA_RUN="), 7, false},
		{environ("OTA_RUN=", m.variable()), 7, false}, // the first one counts, as for getenv
		{environ(m.variable() + "0"), 7, false},
		{nil, 7, false},
	} {
		if got := m.marks(c.environ, c.session); got != c.want {
			t.Errorf("%q in session %d: got %v", c.environ, c.session, got)
		}
	}
}

func TestParseStat(t *testing.T) {
	p, ok := parseStat([]byte("123 (a) b (c) S 1 45 67 0 -1 4194560"))
	if want := (procEntry{123, "a) b (c", 'S', 45, 67, ""}); !ok || p != want {
		t.Errorf("got %+v, %v", p, ok)
	}
	p, ok = parseStat([]byte("123 (a) S 1 45 67 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 987654 11 12"))
	if !ok || p.start != "987654" {
		t.Errorf("started at %q (%v), expected field 22 of proc(5)", p.start, ok)
	}
	for _, bad := range []string{"", "1", "1 (x", "x (y) S 1 2 3", "1 (x) S 1 2", ") (", "1 (x) S 1 a 3", "1 (x) SS 1 2 3"} {
		if p, ok := parseStat([]byte(bad)); ok {
			t.Errorf("%q: accepted as %+v", bad, p)
		}
	}
	session, err := unix.Getsid(0)
	self, ok := readStat(os.Getpid())
	if err != nil || !ok || self.session != session || self.group != syscall.Getpgrp() {
		t.Errorf("this process is %+v, expected session %d", self, session)
	}
	if self.gone() {
		t.Error("this process counts as gone")
	}
	if self.start += "1"; !self.gone() {
		t.Error("another process that got the ID of one that ended counts as that one")
	}
}
