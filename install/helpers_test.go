package install

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/ota-agent/ota-agent/agent"
	"github.com/ota-agent/ota-agent/verifier"
)

// script writes an executable shell script.
func script(t *testing.T, body string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "hook")
	writeScript(t, path, body)
	return path
}

func writeScript(t *testing.T, path, body string) {
	t.Helper()
	// A child that another test forks meanwhile must not inherit the open file: executing it would fail.
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	if err := os.WriteFile(path, []byte("#!/bin/sh\nset -eu\n"+body), 0o755); err != nil {
		t.Fatal(err)
	}
}

// statusAB is a status with A booted.
const statusAB = "slots=A,B\nbooted=A\nprimary=A\nstate.A=good\nstate.B=bad\n"

// abScript is a hook with slots A (booted) and B; install runs body.
func abScript(t *testing.T, body string) string {
	return script(t, `case $1 in
status) printf '%s' '`+statusAB+`' ;;
install) `+body+` ;;
esac
`)
}

func newRunner(t *testing.T, c ComponentConfig) *Runner {
	t.Helper()
	if c.Timeouts.Grace == 0 {
		c.Timeouts.Grace = time.Minute // a test that waits for it fails by its own time limit
	}
	return New(Config{
		Components: map[string]ComponentConfig{"app": c},
		RunDir:     filepath.Join(t.TempDir(), "run"),
	})
}

// job is a job for slot B and a release with these bytes.
func job(hook string, image []byte) agent.Job {
	sum := sha256.Sum256(image)
	return agent.Job{Component: "app", Hook: hook, Slot: "B", Attempt: 2, Release: agent.Release{Target: verifier.Target{
		Path: "dev/app.img", Name: "dev/app.img", Length: int64(len(image)), SHA256: sum[:],
		Custom: []byte(`{"ota":{"version":"1.1"}}`),
	}}}
}

// verified checks an image's bytes against a target.
func verified(t *testing.T, target verifier.Target, image []byte) verifier.Verified {
	t.Helper()
	check := target.Check()
	if _, err := check.Write(image); err != nil {
		t.Fatal(err)
	}
	v, err := check.Done()
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// An imageFile is a staged image.
type imageFile struct{ *os.File }

func (f imageFile) Path() string { return f.Name() }

func newImage(t *testing.T, b []byte) imageFile {
	t.Helper()
	path := filepath.Join(t.TempDir(), "image")
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return imageFile{f}
}

// pattern is n bytes that differ from block to block.
func pattern(n int) []byte {
	var b bytes.Buffer
	for i := 0; b.Len() < n; i++ {
		fmt.Fprintf(&b, "%d,", i)
	}
	return b.Bytes()[:n]
}

// wantReason checks an error's reason and returns its text.
func wantReason(t *testing.T, err error, want agent.Reason) string {
	t.Helper()
	var p *agent.Problem
	if !errors.As(err, &p) {
		t.Fatalf("got %v, want a problem with reason %s", err, want)
	}
	if p.Reason != want {
		t.Errorf("got reason %s (%s), want %s", p.Reason, p.Text, want)
	}
	return p.Text
}

func mustRead(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
