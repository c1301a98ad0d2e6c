package install

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ota-agent/ota-agent/agent"
)

// Only a check that came to an end and said no is a verdict.
func TestHealthOfTheHook(t *testing.T) {
	const deaf = "exec sleep 1000"
	for body, want := range map[string]agent.Reason{
		"echo sensor is dead >&2; exit 1": agent.ReasonUnhealthy,
		"exit 65":                         agent.ReasonUnhealthy,
		"exit 75":                         agent.ReasonHookBusy,
		"kill -TERM $$":                   agent.ReasonHookBusy,
		"sh -c 'kill -TERM $$'":           agent.ReasonHookBusy, // the shell exits with 143
		deaf:                              agent.ReasonHookTimeout,
	} {
		var limits Timeouts
		if body == deaf {
			limits.Health = 300 * time.Millisecond
		}
		r := newRunner(t, ComponentConfig{Timeouts: limits})
		text := wantReason(t, r.Do(t.Context(), agent.VerbHealth, job(script(t, body), nil)), want)
		if want == agent.ReasonUnhealthy && strings.Contains(body, "sensor") && !strings.Contains(text, "sensor is dead") {
			t.Error(text)
		}
	}
	wantReason(t, newRunner(t, ComponentConfig{}).Do(t.Context(), agent.VerbHealth, job("/no/such/hook", nil)), agent.ReasonHookMissing)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	err := newRunner(t, ComponentConfig{}).Do(ctx, agent.VerbHealth, job(script(t, "exec sleep 1000"), nil))
	wantReason(t, err, agent.ReasonHookBusy)
	if !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

func TestHealthRunsEachCheck(t *testing.T) {
	dir := t.TempDir()
	checks := filepath.Join(dir, "checks.d")
	if err := os.MkdirAll(checks+"/40-directory", 0o755); err != nil {
		t.Fatal(err)
	}
	order := filepath.Join(dir, "order")
	for _, name := range []string{"30-c", "10-a", "20-b"} {
		writeScript(t, filepath.Join(checks, name), "[ $# = 0 ]; echo $OTA_COMPONENT ${0##*/} >>"+order)
	}
	writeScript(t, filepath.Join(checks, ".hidden"), "exit 1")
	r := newRunner(t, ComponentConfig{ChecksDir: checks})
	j := job(script(t, ""), nil)
	if err := r.Do(t.Context(), agent.VerbHealth, j); err != nil {
		t.Fatal(err)
	}
	if got := mustRead(t, order); got != "app 10-a\napp 20-b\napp 30-c\n" {
		t.Errorf("ran %q", got)
	}

	writeScript(t, filepath.Join(checks, "20-b"), "echo no camera; exit 3")
	text := wantReason(t, r.Do(t.Context(), agent.VerbHealth, j), agent.ReasonUnhealthy)
	if !(strings.HasPrefix(text, "no camera (") && strings.Contains(text, "20-b exited with 3")) {
		t.Error(text)
	}
	if err := os.Chmod(filepath.Join(checks, "20-b"), 0o644); err != nil {
		t.Fatal(err)
	}
	wantReason(t, r.Do(t.Context(), agent.VerbHealth, j), agent.ReasonHookMissing)
	wantReason(t, CheckDir(checks), agent.ReasonHookMissing)
	wantReason(t, CheckDir(filepath.Join(dir, "none")), agent.ReasonHookMissing)
}

func TestHealthByHTTP(t *testing.T) {
	status := http.StatusOK
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) }))
	defer server.Close()
	r := newRunner(t, ComponentConfig{HealthHTTP: server.URL + "/healthz?token=secret"})
	j := job(script(t, ""), nil)
	if err := r.Do(t.Context(), agent.VerbHealth, j); err != nil {
		t.Error(err)
	}
	status = http.StatusInternalServerError
	text := wantReason(t, r.Do(t.Context(), agent.VerbHealth, j), agent.ReasonUnhealthy)
	if !strings.Contains(text, "/healthz") || !strings.Contains(text, "500") || strings.Contains(text, "secret") {
		t.Error(text)
	}
	server.Close()
	wantReason(t, r.Do(t.Context(), agent.VerbHealth, j), agent.ReasonHookBusy)
}
