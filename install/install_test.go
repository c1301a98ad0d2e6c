package install

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ota-agent/ota-agent/agent"
	"github.com/ota-agent/ota-agent/verifier"
)

func TestInstallStreamsTheWholeImage(t *testing.T) {
	for _, size := range []int{0, 1, blockBytes - 1, blockBytes, blockBytes + 1, 3 * blockBytes, 1_000_003} {
		out := filepath.Join(t.TempDir(), "out")
		image := pattern(size)
		j := job(abScript(t, "cat >"+out), image)
		if err := newRunner(t, ComponentConfig{}).Install(t.Context(), j, verified(t, j.Release.Target, image), newImage(t, image)); err != nil {
			t.Errorf("%d bytes: %v", size, err)
		}
		if got := mustRead(t, out); got != string(image) {
			t.Errorf("%d bytes: the hook read %d bytes, or others", size, len(got))
		}
	}
}

// Between verification and installation the file changes: the hook must never see the end of it.
func TestInstallWithholdsAChangedImage(t *testing.T) {
	image := pattern(3*blockBytes + 10)
	for name, change := range map[string]func([]byte) []byte{
		"first byte": func(b []byte) []byte { b[0]++; return b },
		"last byte":  func(b []byte) []byte { b[len(b)-1]++; return b },
		"cut":        func(b []byte) []byte { return b[:len(b)-1] },
		"empty":      func([]byte) []byte { return nil },
		"longer":     func(b []byte) []byte { return append(b, 'x') },
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			out, ended := filepath.Join(dir, "out"), filepath.Join(dir, "ended")
			j := job(abScript(t, "trap '' TERM; cat >"+out+"; echo >"+ended), image)
			changed := change(bytes.Clone(image))
			err := newRunner(t, ComponentConfig{}).Install(t.Context(), j, verified(t, j.Release.Target, image), newImage(t, changed))
			var p *agent.Problem
			if !errors.As(err, &p) || p.Reason != agent.ReasonHashMismatch && p.Reason != agent.ReasonLengthMismatch {
				t.Errorf("got %v", err)
			}
			if _, err := os.Stat(ended); err == nil {
				t.Error("the hook saw an end of file")
			}
			if got, err := os.ReadFile(out); err == nil && len(got) >= len(changed) && len(changed) > 0 {
				t.Errorf("the hook read all %d bytes", len(got))
			}
		})
	}
}

// The standard library reports success for each of these.
func TestInstallNoticesUnreadBytes(t *testing.T) {
	for name, body := range map[string]string{
		"reads nothing":     "exit 0",
		"reads a beginning": "head -c 1000 >/dev/null; echo satisfied",
		"closes its input":  "exec <&-; true",
	} {
		for _, size := range []int{50_000, 1_000_000} { // fits into the pipe, and does not
			image := pattern(size)
			j := job(abScript(t, body), image)
			err := newRunner(t, ComponentConfig{}).Install(t.Context(), j, verified(t, j.Release.Target, image), newImage(t, image))
			text := wantReason(t, err, agent.ReasonHookFailed)
			if !strings.Contains(text, fmt.Sprint(size)) {
				t.Errorf("%s: the text does not tell the size: %s", name, text)
			}
			if name == "reads a beginning" && !strings.Contains(text, "only 1000 of") {
				t.Errorf("%s: the text does not tell what was read: %s", name, text)
			}
		}
	}
}

func TestInstallRefusesSlots(t *testing.T) {
	image := pattern(10)
	for name, c := range map[string]struct{ status, slot string }{
		"booted":  {statusAB, "A"},
		"mounted": {statusAB + "mounted.B=yes\n", "B"},
		"unknown": {statusAB, "C"},
	} {
		touched := filepath.Join(t.TempDir(), "touched")
		j := job(script(t, "if [ $1 = status ]; then printf '%s' '"+c.status+"'; else echo >"+touched+"; cat; fi"), image)
		j.Slot = c.slot
		err := newRunner(t, ComponentConfig{}).Install(t.Context(), j, verified(t, j.Release.Target, image), newImage(t, image))
		wantReason(t, err, agent.ReasonSlot)
		if _, err := os.Stat(touched); err == nil {
			t.Errorf("%s: the hook was run all the same", name)
		}
	}
}

func TestInstallRefusesWhatIsNotVerified(t *testing.T) {
	image := pattern(10)
	j := job(abScript(t, "cat >/dev/null"), image)
	other := job("", pattern(11)).Release.Target
	for name, v := range map[string]verifier.Verified{"zero": {}, "another target": verified(t, other, pattern(11))} {
		err := newRunner(t, ComponentConfig{}).Install(t.Context(), j, v, newImage(t, image))
		if text := wantReason(t, err, agent.ReasonHashMismatch); !strings.Contains(text, "not verified") {
			t.Errorf("%s: %s", name, text)
		}
	}
}

func TestInstallByPath(t *testing.T) {
	image := pattern(200_000)
	out := filepath.Join(t.TempDir(), "out")
	hook := func(body string) string {
		return script(t, "if [ $1 = status ]; then printf '%s' '"+statusAB+"input=path\n'; else "+body+"; fi")
	}
	r := newRunner(t, ComponentConfig{})
	j := job(hook(`read -r x && exit 9; cp "$OTA_INPUT" `+out), image)
	v := verified(t, j.Release.Target, image)
	if err := r.Install(t.Context(), j, v, newImage(t, image)); err != nil {
		t.Fatal(err)
	}
	if mustRead(t, out) != string(image) {
		t.Error("the hook read something else")
	}

	// Changed before: the hook does not run. Changed meanwhile: its success does not count.
	os.Remove(out)
	wantReason(t, r.Install(t.Context(), j, v, newImage(t, image[1:])), agent.ReasonLengthMismatch)
	if _, err := os.Stat(out); err == nil {
		t.Error("the hook ran on a changed image")
	}
	j.Hook = hook(`printf x >>"$OTA_INPUT"`)
	wantReason(t, r.Install(t.Context(), j, v, newImage(t, image)), agent.ReasonLengthMismatch)
}

type brokenImage struct {
	imageFile
	reads int
}

var errDisk = errors.New("disk is broken")

func (b *brokenImage) Read(p []byte) (int, error) {
	if b.reads++; b.reads > 2 {
		return 0, errDisk
	}
	return b.imageFile.Read(p)
}

func TestInstallTellsAReadErrorFromAHookError(t *testing.T) {
	image := pattern(5 * blockBytes)
	j := job(abScript(t, "cat >/dev/null"), image)
	err := newRunner(t, ComponentConfig{}).Install(t.Context(), j, verified(t, j.Release.Target, image), &brokenImage{imageFile: newImage(t, image)})
	wantReason(t, err, agent.ReasonStore)
	if !errors.Is(err, errDisk) {
		t.Errorf("the cause is lost: %v", err)
	}
}

// A hook that fails while it is being fed speaks for itself, not of its pipe.
func TestInstallReportsTheHooksOwnWords(t *testing.T) {
	image := pattern(1_000_000)
	for code, want := range map[int]agent.Reason{1: agent.ReasonHookFailed, 65: agent.ReasonHookRefused, 75: agent.ReasonHookBusy} {
		j := job(abScript(t, fmt.Sprintf("head -c 10 >/dev/null; echo no such partition >&2; exit %d", code)), image)
		err := newRunner(t, ComponentConfig{}).Install(t.Context(), j, verified(t, j.Release.Target, image), newImage(t, image))
		if text := wantReason(t, err, want); !strings.Contains(text, "no such partition") {
			t.Errorf("exit %d: %s", code, text)
		}
	}
}

func TestInstallStopsWithItsContext(t *testing.T) {
	image := pattern(1_000_000)
	ready := filepath.Join(t.TempDir(), "ready")
	if err := mkfifo(ready); err != nil {
		t.Fatal(err)
	}
	j := job(abScript(t, "head -c 10 >/dev/null; echo >"+ready+"; exec sleep 1000"), image)
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		f, err := os.Open(ready) // returns when the hook has opened it, too
		if err == nil {
			io.Copy(io.Discard, f)
			f.Close()
		}
		cancel()
	}()
	err := newRunner(t, ComponentConfig{}).Install(ctx, j, verified(t, j.Release.Target, image), newImage(t, image))
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}
