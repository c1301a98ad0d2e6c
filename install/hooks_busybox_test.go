package install_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ota-agent/ota-agent/install/hooktest"
)

// underBusyBox makes newDevice's hook run with BusyBox for the shell and for every command that it has.
func underBusyBox(t *testing.T, newDevice func(*testing.T) hooktest.Device) func(*testing.T) hooktest.Device {
	t.Helper()
	busybox, err := exec.LookPath("busybox")
	if err != nil {
		t.Skip("busybox is missing: apt-get install busybox")
	}
	list, err := exec.Command(busybox, "--list").Output()
	if err != nil {
		t.Fatal(err)
	}
	bin := t.TempDir()
	for _, name := range strings.Fields(string(list)) {
		if err := os.Symlink(busybox, filepath.Join(bin, name)); err != nil {
			t.Fatal(err)
		}
	}
	// Debian builds its BusyBox without flock; others have it.
	if _, err := os.Lstat(filepath.Join(bin, "flock")); err != nil {
		flock, err := exec.LookPath("flock")
		if err != nil {
			t.Skip("flock is missing: apt-get install util-linux")
		}
		if err := os.Symlink(flock, filepath.Join(bin, "flock")); err != nil {
			t.Fatal(err)
		}
	}
	return func(t *testing.T) hooktest.Device {
		d := newDevice(t)
		script := filepath.Join(t.TempDir(), "hook")
		writeExecutable(t, script, "#!"+filepath.Join(bin, "sh")+"\n"+read(t, d.Hook))
		d.Hook = script
		d.Env["PATH"] = bin
		return d
	}
}

// The hooks run on small systems, too.
func TestShippedHooksKeepTheContractUnderBusyBox(t *testing.T) {
	t.Parallel()
	for name, newDevice := range shipped {
		t.Run(name, func(t *testing.T) { hooktest.Contract(t, underBusyBox(t, newDevice)) })
	}
}

func TestAppRefusesHostileArchivesUnderBusyBox(t *testing.T) {
	t.Parallel()
	testHostileArchives(t, underBusyBox(t, newAppDevice))
}
