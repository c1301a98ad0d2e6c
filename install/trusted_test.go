package install

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/ota-agent/ota-agent/agent"
	"github.com/ota-agent/ota-agent/agent/files"
)

// A hook or a check that somebody else could change since the start is not run, nor one whose interpreter
// could be changed.
func TestAProgramThatOthersMayChangeIsNotRun(t *testing.T) {
	ran := filepath.Join(t.TempDir(), "ran")
	checks := t.TempDir()
	writeScript(t, filepath.Join(checks, "10-a"), "echo check >>"+ran)
	r := New(Config{
		Components: map[string]ComponentConfig{"app": {ChecksDir: checks}},
		RunDir:     filepath.Join(t.TempDir(), "run"),
		Trusted:    func(path string) error { return files.CheckOwners(path, files.Unchanged) },
	})
	j := job(script(t, "echo $1 >>"+ran), nil)
	if err := r.Do(t.Context(), agent.VerbHealth, j); err != nil {
		t.Fatal(err)
	}
	if got := mustRead(t, ran); got != "health\ncheck\n" {
		t.Fatalf("ran %q", got)
	}
	interpreter := filepath.Join(t.TempDir(), "sh")
	if err := os.WriteFile(interpreter, nil, 0o755); err != nil {
		t.Fatal(err)
	}
	scripted := script(t, "")
	if err := os.WriteFile(scripted, []byte("#!"+interpreter+"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		open, hook string
		verb       agent.Verb
		runs       string // before the refusal
	}{
		{j.Hook, j.Hook, agent.VerbTry, ""},
		{j.Hook, j.Hook, agent.VerbHealth, ""},
		{filepath.Dir(j.Hook), j.Hook, agent.VerbTry, ""},
		{filepath.Join(checks, "10-a"), j.Hook, agent.VerbHealth, "health\n"},
		{interpreter, scripted, agent.VerbTry, ""},
	} {
		if err := os.WriteFile(ran, nil, 0o644); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(c.open, 0o777); err != nil {
			t.Fatal(err)
		}
		j.Hook = c.hook
		err := r.Do(t.Context(), c.verb, j)
		wantReason(t, err, agent.ReasonHookMissing)
		if wrong, ok := errors.AsType[*files.OwnerError](err); !ok || wrong.Place.Path != c.open {
			t.Errorf("%s: got %v", c.open, err)
		}
		if got := mustRead(t, ran); got != c.runs {
			t.Errorf("%s: ran %q, want %q", c.open, got, c.runs)
		}
		if err := os.Chmod(c.open, 0o755); err != nil {
			t.Fatal(err)
		}
	}
}
