//go:build linux && amd64

package crash

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/ota-agent/ota-agent/publish"
)

// A board is a device: a directory that survives, one that does not, and a bootloader. What goes wrong is returned,
// since several boards run at once.
type board struct {
	lab   *lab
	dir   string
	state string // the agent's; below flash unless a test mounts something else
	agent string // the binary; empty: the lab's
	// root is the root directory of all that runs on the board; empty: the test's own.
	root  string
	boots int
	// sessions are those of all agents that ran, for ending what they started.
	sessions []int
}

func (b *board) flash(name ...string) string {
	return filepath.Join(append([]string{b.dir, "flash"}, name...)...)
}
func (b *board) run(name string) string { return filepath.Join(b.dir, "run", name) }
func (b *board) config() string         { return b.flash("config.toml") }
func (b *board) socket() string         { return b.run("agent.sock") }

// newBoard provisions a device in the factory: slot A holds r and is confirmed. The agent never ran.
func newBoard(t *testing.T, l *lab, r published) *board {
	t.Helper()
	b := &board{lab: l, dir: shortDir(t)}
	b.state = b.flash("state")
	must(t, os.MkdirAll(b.flash("ab"), 0o755))
	anchor, err := os.ReadFile(filepath.Join(publish.MetadataDir(l.dir), "1.root.json"))
	must(t, err)
	for name, content := range map[string]string{
		"root.json":      string(anchor),
		"ab/slot.A":      string(r.image),
		"ab/slot.A.info": fmt.Sprintf("sha256=%s\nlength=%d\nversion=%s\n", r.sha256, len(r.image), r.version),
		"ab/bootenv":     "primary=A\ntry=\ngood.A=1\ngood.B=0\n",
	} {
		must(t, os.WriteFile(b.flash(name), []byte(content), 0o644))
	}
	must(t, b.configure())
	t.Cleanup(b.unplug)
	return b
}

// clone is another board with the same flash.
func (b *board) clone(dir string) (*board, error) {
	c := &board{lab: b.lab, dir: dir, boots: b.boots}
	c.state = c.flash("state")
	if err := os.CopyFS(c.flash(), os.DirFS(b.flash())); err != nil {
		return nil, err
	}
	return c, c.configure()
}

// configure writes the agent's config. Its times are the shortest that it takes.
func (b *board) configure() error {
	var s strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&s, format+"\n", args...) }
	line("anchor = %q\nstate = %q\nsocket = %q", b.inside(b.flash("root.json")), b.inside(b.state), b.inside(b.socket()))
	line("[device]\nid = \"one\"\nhardware = %q\nchannel = \"stable\"", hardware)
	line("[repository]\nmetadata = \"%s/metadata/\"\ntargets = \"%[1]s/targets/\"", b.lab.url)
	line("poll = \"1h\"\nbackoff_min = \"1s\"\nbackoff_max = \"1s\"\nday_bytes_max = 1000000000")
	line("[reboot]\ncommand = [\"touch\", %q]\nboot_id = %q", b.inside(b.run("reboot")), b.inside(b.run("boot_id")))
	line("[[component]]\nname = %q\ntarget = %q\nhook = %q\nreboot = true", component, targetPath, b.lab.hook)
	line("env = { AB_DIR = %q }\n[component.health]\nevery = \"1s\"\ndeadline = \"1m\"", b.inside(b.flash("ab")))
	return os.WriteFile(b.config(), []byte(s.String()), 0o644)
}

// boot is the bootloader and the start of the kernel: a try is taken out of the boot environment before it is booted,
// memory is empty, the boot has a new ID.
func (b *board) boot() error {
	b.unplug()
	env, err := b.readEnv()
	if err != nil {
		return err
	}
	slot := env["primary"]
	if env["try"] != "" {
		slot, env["try"] = env["try"], ""
		if err := b.writeEnv(env); err != nil {
			return err
		}
	}
	b.boots++
	uptime, err := os.ReadFile("/proc/uptime")
	if err != nil {
		return err
	}
	began, _, _ := strings.Cut(string(uptime), " ")
	err = errors.Join(os.RemoveAll(filepath.Join(b.dir, "run")), os.Mkdir(filepath.Join(b.dir, "run"), 0o755))
	return errors.Join(err,
		os.WriteFile(b.run("boot_id"), fmt.Appendf(nil, "boot-%d\n%s\n", b.boots, began), 0o644),
		os.WriteFile(b.flash("ab", "booted"), []byte(slot+"\n"), 0o644))
}

// rebootAsked tells whether the agent's reboot command has run.
func (b *board) rebootAsked() bool {
	_, err := os.Stat(b.run("reboot"))
	return err == nil
}

func (b *board) readEnv() (map[string]string, error) {
	text, err := os.ReadFile(b.flash("ab", "bootenv"))
	if err != nil {
		return nil, err
	}
	env := map[string]string{}
	for line := range strings.Lines(string(text)) {
		key, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "=")
		env[key] = value
	}
	if len(env) != 4 || env["primary"] == "" {
		return nil, fmt.Errorf("the boot environment is torn: %q", text)
	}
	return env, nil
}

func (b *board) writeEnv(env map[string]string) error {
	text := fmt.Sprintf("primary=%s\ntry=%s\ngood.A=%s\ngood.B=%s\n", env["primary"], env["try"], env["good.A"], env["good.B"])
	path := b.flash("ab", "bootenv")
	f, err := os.Create(path + ".bootloader")
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	if err := errors.Join(err, f.Sync(), f.Close(), os.Rename(path+".bootloader", path)); err != nil {
		return err
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

// daemon is the command line of the agent.
func (b *board) daemon() []string {
	return []string{cmp.Or(b.agent, b.lab.agent), "run", "--config", b.inside(b.config())}
}

// inside is a path as it is called on the board.
func (b *board) inside(path string) string {
	if b.root == "" {
		return path
	}
	return "/" + strings.TrimPrefix(strings.TrimPrefix(path, b.root), "/")
}

func (b *board) environ() []string { return []string{"PATH=" + os.Getenv("PATH"), "LANG=C"} }

// unplug ends every process of the board at once.
func (b *board) unplug() {
	for _, session := range b.sessions {
		for range 200 { // each round ends what the last one saw being started
			members := sessionMembers(session)
			if len(members) == 0 {
				break
			}
			for _, pid := range members {
				_ = unix.Kill(pid, unix.SIGKILL)
			}
			unix.Nanosleep(&unix.Timespec{Nsec: 1e6}, nil)
		}
	}
	b.sessions = nil
}

// sessionMembers are the processes of a session that still run.
func sessionMembers(session int) (pids []int) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil
	}
	for _, e := range entries {
		var pid, parent, group, sid int
		var state string
		if _, err := fmt.Sscan(e.Name(), &pid); err != nil {
			continue
		}
		stat, err := os.ReadFile(filepath.Join("/proc", e.Name(), "stat"))
		if errors.Is(err, fs.ErrNotExist) || err != nil {
			continue
		}
		_, rest, _ := strings.Cut(string(stat), ") ")
		if _, err := fmt.Sscan(rest, &state, &parent, &group, &sid); err == nil && sid == session && state != "Z" && state != "X" {
			pids = append(pids, pid)
		}
	}
	return pids
}
