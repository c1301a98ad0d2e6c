package install

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ota-agent/ota-agent/agent"
)

func TestReboot(t *testing.T) {
	out := filepath.Join(t.TempDir(), "out")
	t.Setenv("SECRET", "x")
	if err := Reboot(t.Context(), []string{script(t, `echo "$1 ${SECRET-none}" >`+out), "$HOME; now"}); err != nil {
		t.Error(err)
	}
	if got := mustRead(t, out); got != "$HOME; now none\n" {
		t.Errorf("the command saw %q", got)
	}
	if err := Reboot(t.Context(), []string{"true"}); err != nil {
		t.Error(err)
	}
	text := wantReason(t, Reboot(t.Context(), []string{script(t, "echo not now; exit 1")}), agent.ReasonHookFailed)
	if !strings.Contains(text, "not now") {
		t.Error(text)
	}
	for _, command := range [][]string{nil, {"no-such-command"}, {"./true"}, {"/no/such/file"}} {
		wantReason(t, Reboot(t.Context(), command), agent.ReasonHookMissing)
		wantReason(t, CheckReboot(command), agent.ReasonHookMissing)
	}
}

// The shutdown stops the agent before the command that began it has ended.
func TestRebootCommandOutlivesTheAgent(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"go", "done"} {
		if err := mkfifo(filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	err := Reboot(ctx, []string{script(t, "read -r line <"+dir+"/go; echo rebooted >"+dir+"/done")})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if err := os.WriteFile(filepath.Join(dir, "go"), []byte("go\n"), 0); err != nil { // waits for the reader
		t.Fatal(err)
	}
	if got := mustRead(t, filepath.Join(dir, "done")); got != "rebooted\n" {
		t.Errorf("got %q", got)
	}
}
