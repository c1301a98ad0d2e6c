package hooktest

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ota-agent/ota-agent/agent"
	"github.com/ota-agent/ota-agent/install"
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
	c := cutting{bench: b, verb: verb, cutter: newCutter(b.t, b.Dir), seen: make(map[string]bool)}
	c.runner = b.runnerWith(c.cutter.env())
	c.cutter.arm(0)
	if err := c.run(); err != nil {
		b.t.Fatalf("without a cut: %v", err)
	}
	c.want = fmt.Sprintf("%+v", b.status())
	for at := 1; at <= cutMax; at++ {
		replaceTree(b.t, before, b.Dir)
		c.cutter.arm(at)
		if c.cut(at) || b.t.Failed() {
			return
		}
	}
	b.t.Errorf("%s needs more than %d commands", verb, cutMax)
}

// cutting is one verb of a device, cut again and again.
type cutting struct {
	*bench
	verb   agent.Verb
	runner *install.Runner // with the cutter in between
	cutter *cutter
	want   string          // the status that the verb leads to
	seen   map[string]bool // the trees that were judged
}

func (c *cutting) run() error {
	if c.verb == "install" {
		return c.install(c.runner, versionNew, c.Image(versionNew))
	}
	return c.runner.Do(c.t.Context(), c.verb, c.job(c.new, versionNew))
}

// cut runs the verb, cut before its command number at, and judges what that leaves. It is true where the verb came to
// its end.
func (c *cutting) cut(at int) bool {
	c.t.Helper()
	err := c.run()
	calls := c.cutter.calls()
	when := fmt.Sprintf("cut before command %d (%s)", at, calls[len(calls)-1])
	if err == nil {
		when = "cut after the end"
	}
	kept, synced := filepath.Join(c.t.TempDir(), "kept"), filepath.Join(c.t.TempDir(), "synced")
	copyTree(c.t, c.Dir, kept)
	c.cutter.durable(synced)
	if err == nil {
		c.checkDone(when, synced)
	} else {
		// Only the hook died. Its repetition must not take for durable what is only there.
		c.cutter.disarm()
		if err := c.run(); err != nil {
			c.t.Errorf("%s, then repeated: %v", when, err)
		}
		repeated := filepath.Join(c.t.TempDir(), "repeated")
		c.cutter.durable(repeated)
		c.checkDone(when+", then repeated", repeated)
	}
	c.checkBoot(when+", everything kept", kept)
	c.checkBoot(when+", only synced kept", synced)
	c.checkRepetition(when+", only synced kept", synced)
	return err == nil
}

// checkDone checks that what a verb reported as done is durable.
func (c *cutting) checkDone(when, synced string) {
	c.t.Helper()
	if !c.judge("done", synced) {
		return
	}
	replaceTree(c.t, synced, c.Dir)
	if got := fmt.Sprintf("%+v", c.status()); got != c.want {
		c.t.Errorf("%s, only synced kept: seen %s, expected %s", when, got, c.want)
	}
	if c.verb == "install" {
		if err := c.do(agent.VerbVerify); err != nil {
			c.t.Errorf("%s, only synced kept: %v", when, err)
		}
	}
}

// checkBoot checks that what boots from a tree that a cut left is whole.
func (c *cutting) checkBoot(when, tree string) {
	c.t.Helper()
	if !c.judge("boot", tree) {
		return
	}
	replaceTree(c.t, tree, c.Dir)
	if c.verb == "install" {
		c.wantHonest(when)
		_ = c.do(agent.VerbTry) // the worst that can come; it may be refused
	}
	c.Boot(c.t)
	c.wantWhole(when)
}

// checkRepetition checks that the verb leads from a tree that a cut left to where it would have led. It is not booted
// in between: an agent whose trial is over by then begins elsewhere in its plan.
func (c *cutting) checkRepetition(when, tree string) {
	c.t.Helper()
	if !c.judge("repetition", tree) {
		return
	}
	replaceTree(c.t, tree, c.Dir)
	if c.verb == "install" {
		c.mustInstall(versionNew)
	} else {
		c.mustDo(c.verb)
	}
	if got := fmt.Sprintf("%+v", c.status()); got != c.want {
		c.t.Errorf("%s, then repeated: seen %s, expected %s", when, got, c.want)
	}
}

// judge is true where no equal tree was judged before in this respect.
func (c *cutting) judge(what, tree string) bool {
	c.t.Helper()
	print := what + fingerprint(c.t, tree)
	first := !c.seen[print]
	c.seen[print] = true
	return first
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
	check(c.t, os.WriteFile(c.log, nil, 0o600))
	check(c.t, os.WriteFile(c.at, fmt.Appendln(nil, at), 0o600))
	recordTree(c.t, c.dir, c.state)
}

// disarm lets the next run come to its end; what is durable stays what it is.
func (c *cutter) disarm() {
	c.t.Helper()
	check(c.t, os.WriteFile(c.at, []byte("0\n"), 0o600))
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
