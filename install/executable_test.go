package install

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/ota-agent/ota-agent/agent"
)

func TestCheck(t *testing.T) {
	dir := t.TempDir()
	file := func(name string, mode os.FileMode, content string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), mode); err != nil {
			t.Fatal(err)
		}
		return path
	}
	if err := os.Symlink(file("good", 0o755, "#!/bin/sh\n"), filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{
		filepath.Join(dir, "good"), filepath.Join(dir, "link"), os.Args[0],
		file("options", 0o700, "#! /bin/sh -e\n"), file("noend", 0o700, "#!/bin/sh"),
	} {
		if err := Check(path); err != nil {
			t.Error(err)
		}
	}
	for path, says := range map[string]string{
		"":                                  "absolute",
		"hook":                              "absolute",
		filepath.Join(dir, "none"):          "does not exist",
		filepath.Join(dir, "good/x"):        "can't be looked at",
		dir:                                 "not a regular file",
		file("plain", 0o644, "#!/bin/sh\n"): "chmod +x " + filepath.Join(dir, "plain"),
		file("python", 0o755, "#!/usr/bin/no-such-python\n"): "/usr/bin/no-such-python",
		file("dos", 0o755, "#!/bin/sh\r\nexit\r\n"):          "DOS line ends",
		file("bare", 0o755, "#!\n"):                          "names no interpreter",
	} {
		if text := wantReason(t, Check(path), agent.ReasonHookMissing); !strings.Contains(text, says) {
			t.Errorf("%s: %q does not say %q", path, text, says)
		}
	}
}

func TestHookThatCanNotStart(t *testing.T) {
	dir := t.TempDir()
	for name, content := range map[string]string{
		"none": "", "garbage": "\x00\x01\x02", "no first line": "exit 0\n", "no interpreter": "#!/no/such\n",
	} {
		path := filepath.Join(dir, strings.ReplaceAll(name, " ", "-"))
		if content != "" {
			if err := os.WriteFile(path, []byte(content), 0o755); err != nil {
				t.Fatal(err)
			}
		}
		err := newRunner(t, ComponentConfig{}).Do(t.Context(), agent.VerbTry, job(path, nil))
		if text := wantReason(t, err, agent.ReasonHookMissing); !strings.Contains(text, path) {
			t.Errorf("%s: the text does not name the file: %s", name, text)
		}
	}
}

func TestHookThatIsBeingWritten(t *testing.T) {
	err := startProblem("hook", script(t, ""), syscall.ETXTBSY)
	wantReason(t, err, agent.ReasonHookBusy)
	if !errors.Is(err, syscall.ETXTBSY) {
		t.Error("the cause is lost")
	}
}
