package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ota-agent/ota-agent/agent"
	"github.com/ota-agent/ota-agent/agent/files"
)

// ownedDevice is a device with every file that others must leave alone.
func ownedDevice(t *testing.T) *runDevice {
	t.Helper()
	d := newRunDevice(t, "")
	for _, dir := range []string{"etc", "checks", "state", "run", "run/hooks", "bin"} {
		if err := os.Mkdir(d.path(dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	d.write("bin/sh", "", 0o755)
	for name, mode := range map[string]os.FileMode{"etc/id": 0o444, "mounted": 0o644, "etc/boot_id": 0o444, "etc/ca": 0o644, "etc/cert": 0o644, "etc/key": 0o600,
		"etc/mqtt-ca": 0o644, "etc/mqtt-cert": 0o644, "etc/mqtt-key": 0o640, "etc/password": 0o600, "state/agent.db": 0o600, "run/hooks/mark": 0o600} {
		d.write(name, "board-1", mode)
	}
	for _, name := range []string{"gate", "reboot", "checks/10-a"} {
		d.write(name, "#!/bin/sh\n", 0o755)
	}
	d.write("hook", "#!"+d.path("bin/sh")+"\n", 0o755)
	text, err := os.ReadFile(d.path("config.toml"))
	if err != nil {
		t.Fatal(err)
	}
	config := strings.NewReplacer("$DIR", d.dir).Replace(`floors = "$DIR/floors.json"
state_mount = "$DIR/mounted"
` + strings.NewReplacer(`id = "board-1"`, `id = "file:$DIR/etc/id"`, "[[component]]", `ca = "$DIR/etc/ca"
cert = "$DIR/etc/cert"
key = "$DIR/etc/key"
[reboot]
command = ["$DIR/reboot"]
boot_id = "$DIR/etc/boot_id"
[gates]
hook = "$DIR/gate"
[mqtt]
broker = "tls://broker.example:8883"
ca = "$DIR/etc/mqtt-ca"
cert = "$DIR/etc/mqtt-cert"
key = "$DIR/etc/mqtt-key"
password_file = "$DIR/etc/password"
[[component]]
reboot = true`).Replace(string(text)) + "[component.health]\nchecks = \"$DIR/checks\"\n")
	d.write("config.toml", config, 0o644)
	d.write("floors.json", "{}", 0o644)
	return d
}

// owners is what preflightOwners says of the device.
func (d *runDevice) owners() error {
	d.t.Helper()
	s, err := loadSettings(d.path("config.toml"))
	if err != nil {
		d.t.Fatal(err)
	}
	return preflightOwners(s)
}

// Whatever decides what runs here, or is secret, is refused where others may change it, by itself or above
// it, and the command that is named mends it.
func TestFilesThatOthersMayChangeAreRefused(t *testing.T) {
	d := ownedDevice(t)
	if err := d.owners(); err != nil {
		t.Fatal(err)
	}
	decides := []string{"config.toml", "repo/root.json", "floors.json", "mounted", "hook", "bin/sh", "gate", "reboot", "checks", "checks/10-a", "state", "state/agent.db",
		"run", "run/hooks", "run/hooks/mark", "etc/id", "etc/boot_id", "etc/ca", "etc/cert", "etc/key", "etc/mqtt-ca", "etc/mqtt-cert", "etc/mqtt-key", "etc/password"}
	above := []string{"repo", "bin", "etc", ""}
	refused := func(what, name string) {
		t.Helper()
		err := d.owners()
		wrong, ok := errors.AsType[*files.OwnerError](err)
		if !ok || exitCode(err) != exitOwner || wrong.Place.Path != filepath.Clean(d.path(name)) {
			t.Errorf("%s of %q: got %v with exit code %d, want it refused with %d", what, name, err, exitCode(err), exitOwner)
			return
		}
		if out, err := exec.Command("sh", "-c", wrong.Mend).CombinedOutput(); err != nil {
			t.Errorf("%s: %v: %s", wrong.Mend, err, out)
		}
		if err := d.owners(); err != nil {
			t.Errorf("%s of %q: after %s: %v", what, name, wrong.Mend, err)
		}
	}
	change := func(name string, bits os.FileMode) {
		t.Helper()
		info, err := os.Stat(d.path(name))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(d.path(name), info.Mode()|bits); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range append(decides, above...) {
		change(name, 0o022)
		refused("mode", name)
		if os.Geteuid() == 0 {
			if err := os.Chown(d.path(name), 65534, 65534); err != nil {
				t.Fatal(err)
			}
			refused("owner", name)
		}
	}
	for _, name := range []string{"etc/key", "etc/mqtt-key", "etc/password"} {
		change(name, 0o004)
		refused("readability", name)
	}
	// A directory where others may make files, and rename only their own, is fine above a file.
	if err := os.Chmod(d.path("etc"), os.ModeSticky|0o777); err != nil {
		t.Fatal(err)
	}
	if err := d.owners(); err != nil {
		t.Errorf("a sticky directory: %v", err)
	}
}

// What is not there is for others to find, and what guests are meant to write is theirs.
func TestWhatIsNotForPreflightOwners(t *testing.T) {
	d := ownedDevice(t)
	for _, name := range []string{"repo/root.json", "state", "run", "checks", "gate", "etc/ca"} {
		if err := os.RemoveAll(d.path(name)); err != nil {
			t.Fatal(err)
		}
	}
	if err := d.owners(); err != nil {
		t.Errorf("what is not there: %v", err)
	}
	if err := os.MkdirAll(d.path("run/inhibit"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(d.path("run/inhibit"), 0o777); err != nil {
		t.Fatal(err)
	}
	if err := d.owners(); err != nil {
		t.Errorf("the inhibit directory may be a group's: %v", err)
	}
}

// Both the check of a config and the start end with the code, the path, its owner, its mode and the command.
func TestOwnersAreLookedAtByCheckAndRun(t *testing.T) {
	d := newRunDevice(t, "")
	if err := os.Chmod(d.path("hook"), 0o777); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"config", "check"}, {"run"}} {
		var out, errs bytes.Buffer
		cmd := exec.Command("ota-agent", append(args, "-c", d.path("config.toml"))...)
		cmd.Stdout, cmd.Stderr = &out, &errs
		_ = cmd.Run()
		if code := cmd.ProcessState.ExitCode(); code != exitOwner {
			t.Errorf("%v: exit code %d, want %d: %s%s", args, code, exitOwner, &out, &errs)
		}
		for _, want := range []string{d.path("hook"), "0777", "chmod go-w " + d.path("hook"), "config.toml:"} {
			if !strings.Contains(errs.String(), want) {
				t.Errorf("%v: %q does not say %s", args, &errs, want)
			}
		}
	}
	if _, err := os.Stat(d.path("state")); err == nil {
		t.Error("a refused start made a state directory")
	}
}

// A hook that others may change since the start is not run, and the status says how to mend it.
func TestAHookThatIsOpenedUpLaterIsNotRun(t *testing.T) {
	d := newRunDevice(t, "")
	null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	d.start(null)
	problem := func() agent.Reason {
		s, err := d.client.Status(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if p := s.Components[0].Problem; p != nil {
			return p.Reason
		}
		return ""
	}
	again := func(mode os.FileMode, refused bool) {
		t.Helper()
		if err := os.Chmod(d.path("hook"), mode); err != nil {
			t.Fatal(err)
		}
		d.await(fmt.Sprintf("refusal (%t) of a hook with mode %v", refused, mode), func() bool {
			if _, err := d.client.Command(t.Context(), agent.Command{Name: "retry"}); err != nil {
				t.Fatal(err)
			}
			return (problem() == agent.ReasonHookMissing) == refused
		})
	}
	d.await("first status of the hook", func() bool {
		s, err := d.client.Status(t.Context())
		return err == nil && s.Components[0].Booted == "A"
	})
	again(0o777, true)
	again(0o755, false)
	if err := d.terminate(); err != nil {
		t.Error(err)
	}
}

// What the kernel shows below /proc and /sys nobody can replace. Under a root of a user namespace, as in a
// container without privileges, it belongs to nobody: the command that would mend that can't be run.
func TestTheKernelsOwnFilesAreNotAskedForTheirOwner(t *testing.T) {
	s := settings{file: "/etc/ota-agent/config.toml", bootID: defaultBootID, identity: "/sys/firmware/devicetree/base/serial-number"}
	for _, o := range s.owned() {
		if strings.HasPrefix(o.path, "/proc") || strings.HasPrefix(o.path, "/sys") {
			t.Errorf("config key %q: %s is looked at", o.key, o.path)
		}
	}
	s.bootID, s.identity = "/processes/boot_id", "/etc/machine-id"
	looked := 0
	for _, o := range s.owned() {
		if o.path == s.bootID || o.path == s.identity {
			looked++
		}
	}
	if looked != 2 {
		t.Errorf("%d of two files that are not the kernel's are looked at", looked)
	}
}
