package interop

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/ota-agent/ota-agent/release"
)

// python is the system's interpreter: the one that packages of the system are for. Another one may come first in PATH.
const python = "/usr/bin/python3"

// The verifier reads a repository whose every role must be signed by a key of each type that Python's
// securesystemslib makes.
func TestWeReadSecuresystemslibSignatures(t *testing.T) {
	if out, err := exec.Command(python, "-c", "from securesystemslib import keys").CombinedOutput(); err != nil {
		t.Skipf("securesystemslib not tested: %s can't import it (%v); apt-get install python3-securesystemslib "+
			"python3-cryptography python3-nacl\n%s", python, err, out)
	}
	dir := t.TempDir()
	program := exec.CommandContext(t.Context(), python, "-B", "python/repository.py", dir, now().Add(day).Format(time.RFC3339))
	out, err := program.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	t.Logf("key types and schemes:\n%s", out)
	anchor, err := os.ReadFile(filepath.Join(dir, "metadata", "1.root.json"))
	fatal(t, err)
	got, err := newOurClient(t, serve(t, dir, anchor), now()).get(t, "board/app.img")
	fatal(t, err)
	if want := "image signed in Python €"; string(got.content) != want {
		t.Errorf("content %q, want %q", got.content, want)
	}
	info, err := release.Parse(got.custom)
	if err != nil || info.Version != `3.1 "ä" \ €` || info.RollbackIndex == nil || *info.RollbackIndex != 9 {
		t.Errorf("custom.ota %+v, %v", info, err)
	}
}
