package hooktest

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ota-agent/ota-agent/agent"
)

// cutMax bounds the commands of one verb.
const cutMax = 200

// cutCommands are the commands that change files: the hook is cut off right before each of them.
var cutCommands = []string{"dd", "ln", "mkdir", "mv", "rm", "sync", "tar"}

// Cuts cuts the power right before each command of each verb of a shell script, and checks that what boots then is
// whole, and that repeating the verb leads to where it would have led. Each cut is looked at in two worlds: in one
// everything that was written is there, in the other nothing but what was synced by then.
//
// It needs GNU find, stat and coreutils, and a hook that finds dd, ln, mkdir, mv, rm, sync and tar by its PATH.
func Cuts(t *testing.T, newDevice func(t *testing.T) Device) {
	used := func(b *bench) { b.mustUpdate(versionOther); b.held[b.new] = append(b.held[b.new], versionNew) }
	installed := func(b *bench) { b.mustInstall(versionNew) }
	onTrial := func(b *bench) { installed(b); b.mustDo(agent.VerbTry); b.Boot(b.t) }
	for _, c := range []struct {
		name    string
		verb    agent.Verb
		prepare func(*bench)
	}{
		{"install", "install", used},
		{"try", agent.VerbTry, installed},
		{"confirm", agent.VerbConfirm, onTrial},
		{"reject", agent.VerbReject, onTrial},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, newDevice(t))
			c.prepare(b)
			cutEverywhere(b, c.verb)
		})
	}
}

// cutEverywhere cuts verb at its first command, at its second, and so on, and last right after its end.
func cutEverywhere(b *bench, verb agent.Verb) {
	before := filepath.Join(b.t.TempDir(), "before")
	copyTree(b.t, b.Dir, before)
	cutter := newCutter(b.t, b.Dir)
	runner := b.runnerWith(cutter.env())
	run := func() error {
		if verb == "install" {
			return b.install(runner, versionNew, b.Image(versionNew))
		}
		return runner.Do(b.t.Context(), verb, b.job(b.new, versionNew))
	}
	cutter.arm(0)
	if err := run(); err != nil {
		b.t.Fatalf("without a cut: %v", err)
	}
	want := fmt.Sprintf("%+v", b.status())
	seen := make(map[string]bool)
	for at := 1; at <= cutMax && !b.t.Failed(); at++ {
		replaceTree(b.t, before, b.Dir)
		cutter.arm(at)
		err := run()
		calls := cutter.calls()
		kept, synced := filepath.Join(b.t.TempDir(), "kept"), filepath.Join(b.t.TempDir(), "synced")
		copyTree(b.t, b.Dir, kept)
		cutter.durable(synced)
		when := fmt.Sprintf("cut before command %d (%s)", at, calls[len(calls)-1])
		if err == nil {
			checkEnd(b, verb, synced, want)
			when = "cut after the end"
		}
		for world, tree := range map[string]string{"everything kept": kept, "only synced kept": synced} {
			if print := fingerprint(b.t, tree); !seen[print] {
				seen[print] = true
				checkCut(b, when+", "+world, verb, tree, want)
			}
		}
		if err == nil {
			return
		}
	}
	if !b.t.Failed() {
		b.t.Errorf("%s needs more than %d commands", verb, cutMax)
	}
}

// checkEnd checks that what a verb reported as done is durable.
func checkEnd(b *bench, verb agent.Verb, synced, want string) {
	b.t.Helper()
	replaceTree(b.t, synced, b.Dir)
	if got := fmt.Sprintf("%+v", b.status()); got != want {
		b.t.Errorf("after the end, only synced kept: seen %s, expected %s", got, want)
	}
	if verb == "install" {
		if err := b.do(agent.VerbVerify); err != nil {
			b.t.Errorf("after the end, only synced kept: %v", err)
		}
	}
}

// checkCut judges what a cut left behind.
func checkCut(b *bench, when string, verb agent.Verb, tree, want string) {
	b.t.Helper()
	replaceTree(b.t, tree, b.Dir)
	if verb == "install" {
		b.wantHonest(when)
		_ = b.do(agent.VerbTry) // the worst that can come; it may be refused
	}
	b.Boot(b.t)
	b.wantWhole(when)

	// The agent looks first: a try or a confirm whose boot is over starts again elsewhere in its plan, so only
	// the verb itself is repeated here, on the tree as the cut left it.
	replaceTree(b.t, tree, b.Dir)
	if verb == "install" {
		b.mustInstall(versionNew)
	} else {
		b.mustDo(verb)
	}
	if got := fmt.Sprintf("%+v", b.status()); got != want {
		b.t.Errorf("%s, then repeated: seen %s, expected %s", when, got, want)
	}
}

// A cutter stands between a hook and its commands: it counts them, kills the hook's process group before one of
// them, and keeps a copy of all that was synced.
type cutter struct {
	t        *testing.T
	dir      string // watched
	commands string
	log      string // one line for each command
	at       string
	state    string // copies of what is durable
}

func newCutter(t *testing.T, dir string) *cutter {
	t.Helper()
	// Beside what is watched, on the same file system: it keeps hard links.
	root, err := os.MkdirTemp(filepath.Dir(dir), "cutter")
	check(t, err)
	t.Cleanup(func() { os.RemoveAll(root) })
	c := &cutter{t: t, dir: dir, commands: filepath.Join(root, "bin"), log: filepath.Join(root, "log"),
		at: filepath.Join(root, "at"), state: filepath.Join(root, "durable")}
	if err := os.Mkdir(c.commands, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range cutCommands {
		path, err := exec.LookPath(name)
		if err != nil {
			t.Skipf("%v: install coreutils and tar", err)
		}
		body := strings.NewReplacer("REAL", path, "NAME", name).Replace(wrapper)
		writeExecutable(t, filepath.Join(c.commands, name), body)
	}
	return c
}

// env makes a hook use the wrappers.
func (c *cutter) env() map[string]string {
	return map[string]string{
		"PATH":    c.commands + ":/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin",
		"CUT_LOG": c.log, "CUT_AT": c.at, "CUT_STATE": c.state,
	}
}

// arm takes the tree as it is for durable and cuts the next run before its command number at; 0 is never.
func (c *cutter) arm(at int) {
	c.t.Helper()
	if err := os.WriteFile(c.log, nil, 0o600); err != nil {
		c.t.Fatal(err)
	}
	if err := os.WriteFile(c.at, fmt.Appendln(nil, at), 0o600); err != nil {
		c.t.Fatal(err)
	}
	recordTree(c.t, c.dir, c.state)
}

// calls are the commands that the last run came to.
func (c *cutter) calls() []string {
	b, err := os.ReadFile(c.log)
	if err != nil {
		c.t.Fatal(err)
	}
	return strings.Split(strings.TrimSpace(string(b)), "\n")
}

// durable makes a tree with nothing in it but what was synced.
func (c *cutter) durable(to string) {
	c.t.Helper()
	rebuildTree(c.t, c.dir, c.state, to)
}
