package main

import (
	"os/exec"
	"strings"
	"testing"

	"github.com/ota-agent/ota-agent/agent"
)

// TestCancelEndsARealHookThatHangs in install, and its processes; what it began is not begun again before a retry.
func TestCancelEndsARealHookThatHangs(t *testing.T) {
	d := newRunDevice(t, `if [ "$1" = install ]; then cat >/dev/null; echo $$ >"$0.pid"; sleep 1000; fi
`)
	d.start(nil)
	component := func() agent.ComponentStatus {
		s, err := d.client.Status(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return s.Components[0]
	}
	ask := func(args ...string) error {
		return exec.Command("ota-agent", append(args, "-c", d.path("config.toml"))...).Run()
	}
	if err := ask("check"); err != nil {
		t.Logf("check: %v", err) // its code says what is under way
	}
	d.await("installation", func() bool { return readFile(d.path("hook.pid")) != "" })
	if c := component(); c.Phase != agent.Writing {
		t.Fatalf("phase %s", c.Phase)
	}
	if err := ask("cancel", "app"); err != nil {
		t.Fatalf("cancel: %v", err)
	}
	d.await("end of the update", func() bool { return component().Phase == agent.Idle })
	group := strings.TrimSpace(readFile(d.path("hook.pid")))
	if out, _ := exec.Command("pgrep", "-r", "R,S,D", "-g", group).Output(); len(out) > 0 {
		t.Errorf("the hook's processes are there: %s", out)
	}
	c := component()
	if len(c.Rejected) != 1 || c.Rejected[0].Last.Reason != agent.ReasonCancelled {
		t.Errorf("rejected: %+v", c.Rejected)
	}
	if err := ask("cancel"); err == nil {
		t.Error("a second cancel, with nothing to cancel, succeeds")
	}
}
