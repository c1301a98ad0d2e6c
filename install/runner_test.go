package install

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ota-agent/ota-agent/agent"
)

func mkfifo(path string) error { return syscall.Mkfifo(path, 0o600) }

func TestExitCodes(t *testing.T) {
	for body, want := range map[string]agent.Reason{
		"exit 75":                           agent.ReasonHookBusy,
		"exit 65":                           agent.ReasonHookRefused,
		"exit 1":                            agent.ReasonHookFailed,
		"exit 255":                          agent.ReasonHookFailed,
		"kill -KILL $$":                     agent.ReasonHookFailed,
		"echo why; echo because >&2; false": agent.ReasonHookFailed,
	} {
		err := newRunner(t, ComponentConfig{}).Do(t.Context(), agent.VerbTry, job(script(t, body), nil))
		text := wantReason(t, err, want)
		if strings.Contains(body, "because") && !strings.HasPrefix(text, "because (") {
			t.Errorf("%s: the text does not begin with the hook's words: %s", body, text)
		}
	}
	if err := newRunner(t, ComponentConfig{}).Do(t.Context(), agent.VerbTry, job(script(t, "[ $# = 2 ] && [ $1 = try ] && [ $2 = B ]"), nil)); err != nil {
		t.Error(err)
	}
}

func TestUnknownVerb(t *testing.T) {
	wantReason(t, newRunner(t, ComponentConfig{}).Do(t.Context(), "status; rm", job(script(t, ""), nil)), agent.ReasonHookFailed)
}

func TestStatus(t *testing.T) {
	r := newRunner(t, ComponentConfig{})
	s, err := r.Status(t.Context(), job(script(t, `[ $# = 1 ]; printf '%s' '`+statusAB+`'`), nil))
	if err != nil || s.Booted != "A" || s.Inactive() != "B" {
		t.Errorf("got %+v, %v", s, err)
	}
	for name, body := range map[string]string{
		"nonsense": "echo hello",
		"endless":  "printf '%s' '" + statusAB + "'; head -c 200000 /dev/zero | tr '\\0' '\\n'",
	} {
		_, err := r.Status(t.Context(), job(script(t, body), nil))
		if text := wantReason(t, err, agent.ReasonHookFailed); len(text) > 1000 {
			t.Errorf("%s: a text of %d bytes", name, len(text))
		}
	}
}

func TestVerifyComparesByValue(t *testing.T) {
	image := pattern(10)
	sum := hex.EncodeToString(job("", image).Release.Target.SHA256)
	for answer, want := range map[string]agent.Reason{
		"sha256=" + sum:                     "",
		"sha256=" + strings.ToUpper(sum):    "",
		"note=x\nsha256=" + sum:             "",
		"sha256=" + hashA:                   agent.ReasonHashMismatch,
		"sha256=":                           agent.ReasonHookFailed,
		"sha256=" + sum[2:]:                 agent.ReasonHookFailed,
		"":                                  agent.ReasonHookFailed,
		"sha512=" + sum:                     agent.ReasonHookFailed,
		"sha256=" + sum + "\nsha256=" + sum: agent.ReasonHookFailed,
	} {
		err := newRunner(t, ComponentConfig{}).Do(t.Context(), agent.VerbVerify, job(script(t, "echo '"+answer+"'"), image))
		if want == "" && err != nil {
			t.Errorf("%q: %v", answer, err)
		} else if want != "" {
			wantReason(t, err, want)
		}
	}
}

func TestVerifyWithOnlySHA512(t *testing.T) {
	j := job("", pattern(10))
	j.Release.Target.SHA256 = nil
	j.Release.Target.SHA512 = make([]byte, 64)
	j.Hook = script(t, `[ -z "$OTA_SHA256" ]; echo "sha512=$OTA_SHA512"; echo sha256=`+hashA)
	if err := newRunner(t, ComponentConfig{}).Do(t.Context(), agent.VerbVerify, j); err != nil {
		t.Error(err)
	}
	j.Hook = script(t, "echo sha512="+hashA+hashA)
	wantReason(t, newRunner(t, ComponentConfig{}).Do(t.Context(), agent.VerbVerify, j), agent.ReasonHashMismatch)
}

// Flatcar#1326, Flatcar#1332: child processes did not inherit the proxy. A hook does, and inherits nothing else.
func TestEnvironmentIsAnAllowList(t *testing.T) {
	t.Setenv("SECRET", "x")
	t.Setenv("NOTIFY_SOCKET", "/run/notify")
	dir := t.TempDir()
	r := New(Config{
		RunDir:     filepath.Join(dir, "run"),
		Environ:    append(os.Environ(), "https_proxy=http://proxy:1", "LD_PRELOAD=/evil.so"),
		Components: map[string]ComponentConfig{"app": {Env: map[string]string{"APP_DIR": "/srv/app $(date)"}}},
	})
	j := job(script(t, `env >`+dir+`/env; cat "$OTA_CUSTOM" >`+dir+`/custom; ls -l "$OTA_CUSTOM" >`+dir+`/mode; pwd >`+dir+`/pwd`), pattern(10))
	if err := r.Do(t.Context(), agent.VerbTry, j); err != nil {
		t.Fatal(err)
	}
	got := make(map[string]string)
	for line := range strings.Lines(mustRead(t, dir+"/env")) {
		name, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "=")
		got[name] = value
	}
	custom := filepath.Join(dir, "run", "custom-app.json")
	for name, want := range map[string]string{
		"PATH": hookPath, "LANG": "C", "https_proxy": "http://proxy:1", "APP_DIR": "/srv/app $(date)",
		"OTA_COMPONENT": "app", "OTA_TARGET": "dev/app.img", "OTA_VERSION": "1.1", "OTA_LENGTH": "10",
		"OTA_SHA256": fmt.Sprintf("%x", j.Release.Target.SHA256), "OTA_SHA512": "", "OTA_SLOT": "B", "OTA_ATTEMPT": "2",
		"OTA_CUSTOM": custom, "OTA_INPUT": "",
	} {
		if value, ok := got[name]; !ok || value != want {
			t.Errorf("%s is %q (set: %v), want %q", name, value, ok, want)
		}
		delete(got, name)
	}
	for _, own := range []string{"OTA_RUN", "PWD", "_", "SHLVL", "OLDPWD"} { // the mark, and what shells set
		delete(got, own)
	}
	if len(got) > 0 {
		t.Errorf("also set: %v", got)
	}
	if mustRead(t, dir+"/custom") != string(j.Release.Target.Custom) || mustRead(t, dir+"/pwd") != "/\n" {
		t.Error("the custom JSON or the directory is another one")
	}
	if !strings.HasPrefix(mustRead(t, dir+"/mode"), "-rw------- ") {
		t.Errorf("the custom JSON is readable by others: %s", mustRead(t, dir+"/mode"))
	}
	if _, err := os.Stat(custom); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the custom JSON is still there: %v", err)
	}
}

func TestCheckEnv(t *testing.T) {
	for _, name := range []string{"APP_DIR", "A", "_X", "A1", "HTTP_PROXY"} {
		if err := CheckEnv(name); err != nil {
			t.Error(err)
		}
	}
	for _, name := range []string{"", "a", "1A", "A-B", "A=B", "OTA_X", "LD_PRELOAD", "PATH", "NOTIFY_SOCKET", "É", "A\x00", "IFS"} {
		if CheckEnv(name) == nil {
			t.Errorf("%q is accepted", name)
		}
	}
}

func TestTimeout(t *testing.T) {
	// The hook's child ignores SIGTERM, and so does the hook: only SIGKILL to the group ends both.
	dir := t.TempDir()
	body := `trap '' TERM; sh -c 'trap "" TERM; echo $$ >` + dir + `/child; while :; do sleep 1000; done' & wait`
	r := newRunner(t, ComponentConfig{Timeouts: Timeouts{Try: 100 * time.Millisecond, Grace: 100 * time.Millisecond}})
	err := r.Do(t.Context(), agent.VerbTry, job(script(t, body), nil))
	wantReason(t, err, agent.ReasonHookTimeout)
	if b, err := os.ReadFile(dir + "/child"); err == nil && len(b) > 0 { // the child may not have come that far
		mustBeGone(t, strings.TrimSpace(string(b)))
	}
}

func TestTimeoutLetsAHookEndInGoodOrder(t *testing.T) {
	ready := filepath.Join(t.TempDir(), "ready")
	hook := script(t, `trap 'echo cleaned up >&2; exit 0' TERM; echo >`+ready+`; while :; do sleep 0.01; done`)
	for limit := 200 * time.Millisecond; limit < time.Minute; limit *= 4 {
		r := newRunner(t, ComponentConfig{Timeouts: Timeouts{Try: limit}})
		text := wantReason(t, r.Do(t.Context(), agent.VerbTry, job(hook, nil)), agent.ReasonHookTimeout)
		if _, err := os.Stat(ready); err != nil {
			continue // the machine is busy: the hook had not come that far
		}
		if !strings.Contains(text, "cleaned up") {
			t.Error(text)
		}
		return
	}
	t.Error("the hook never came to its trap")
}

func TestCancel(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	err := newRunner(t, ComponentConfig{}).Do(ctx, agent.VerbTry, job(script(t, "exec sleep 1000"), nil))
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

// What a hook leaves running in its group ends with it; a service that left its session lives on.
func TestGroupEndsWithTheHook(t *testing.T) {
	dir := t.TempDir()
	if err := mkfifo(dir + "/fifo"); err != nil {
		t.Fatal(err)
	}
	// Opening the fifo waits for the other side: both children are known to have started.
	body := `sh -c 'echo $$; exec sleep 1000' >` + dir + `/left &
setsid sh -c 'echo $$ >` + dir + `/service; echo >` + dir + `/fifo; exec sleep 1000' >/dev/null 2>&1 &
read -r line <` + dir + `/fifo
until [ -s ` + dir + `/left ]; do sleep 0.01; done
`
	r := newRunner(t, ComponentConfig{})
	if err := r.Do(t.Context(), agent.VerbTry, job(script(t, body), nil)); err != nil {
		t.Fatal(err)
	}
	mustBeGone(t, strings.TrimSpace(mustRead(t, dir+"/left")))
	// Also the next verb leaves the service alone.
	if err := r.Do(t.Context(), agent.VerbConfirm, job(script(t, ""), nil)); err != nil {
		t.Fatal(err)
	}
	service, err := strconv.Atoi(strings.TrimSpace(mustRead(t, dir+"/service")))
	if err != nil {
		t.Fatal(err)
	}
	if p, ok := readStat(service); !ok || p.ended() {
		t.Error("the service was ended, too")
	}
	syscall.Kill(service, syscall.SIGKILL)
}

func mustBeGone(t *testing.T, pid string) {
	t.Helper()
	n, err := strconv.Atoi(pid)
	if err != nil {
		t.Fatal(err)
	}
	if p, ok := readStat(n); ok && !p.ended() {
		t.Errorf("process %s still runs", p)
	}
}

// A service that keeps the hook's output open does not hold up the hook's end.
func TestInheritedOutputDoesNotBlock(t *testing.T) {
	pid := filepath.Join(t.TempDir(), "pid")
	body := `setsid sh -c 'echo $$ >` + pid + `; exec sleep 1000' &
until [ -s ` + pid + ` ]; do sleep 0.01; done; echo done`
	if err := newRunner(t, ComponentConfig{}).Do(t.Context(), agent.VerbTry, job(script(t, body), nil)); err != nil {
		t.Error(err)
	}
	n, err := strconv.Atoi(strings.TrimSpace(mustRead(t, pid)))
	if err != nil {
		t.Fatal(err)
	}
	syscall.Kill(n, syscall.SIGKILL)
}

func TestRunsOfAComponentExcludeEachOther(t *testing.T) {
	dir := t.TempDir()
	r := newRunner(t, ComponentConfig{})
	j := job(script(t, "mkdir "+dir+"/turn; sleep 0.02; rmdir "+dir+"/turn"), nil)
	errs := make(chan error)
	for range 4 {
		go func() { errs <- r.Do(t.Context(), agent.VerbTry, j) }()
	}
	for range 4 {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
}
