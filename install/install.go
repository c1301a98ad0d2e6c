package install

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/ota-agent/ota-agent/agent"
	"github.com/ota-agent/ota-agent/verifier"
)

// Install writes a verified image to j.Slot. It asks the hook for its status right before, and hands over the image
// as a stream or as a path, as the hook wants it.
func (r *Runner) Install(ctx context.Context, j agent.Job, v verifier.Verified, image agent.Image) error {
	if want := j.Release.Target; !v.OK() || v.Target().ID() != want.ID() || v.Target().Length != want.Length {
		return problem(agent.ReasonHashMismatch, nil,
			"component %s: install was called with an image that was not verified as %s", j.Component, want.ID())
	}
	done, err := r.turn(ctx, j.Component)
	if err != nil {
		return err
	}
	defer done()
	status, err := r.status(ctx, j)
	if err != nil {
		return err
	}
	if err := writable(status, j); err != nil {
		return err
	}
	sum := fmt.Sprintf("OTA_SHA256=%x", v.SHA256()) // also where the metadata lists only SHA-512
	if status.slots.InputPath {
		return r.installPath(ctx, j, image, sum)
	}
	return r.installStream(ctx, j, image, sum)
}

// writable refuses a slot that is in use: writing it would pull the ground from under the running system.
func writable(s report, j agent.Job) error {
	what := describeHook(verbInstall, j)
	if _, ok := s.slots.Slots[j.Slot]; !ok {
		return problem(agent.ReasonSlot, nil, "%s: the hook's status knows no slot %s", what, quoted(j.Slot))
	}
	if s.slots.Booted == j.Slot {
		return problem(agent.ReasonSlot, nil, "%s: slot %s is booted and is never written", what, j.Slot)
	}
	if s.mounted[j.Slot] {
		return problem(agent.ReasonSlot, nil, "%s: slot %s is mounted; unmount it", what, j.Slot)
	}
	return nil
}

// installPath lets the hook read the image file itself. The file is hashed right before and right after, so that
// the hook can't have been given another one unnoticed.
func (r *Runner) installPath(ctx context.Context, j agent.Job, image agent.Image, extra ...string) error {
	what := describeHook(verbInstall, j)
	if err := hashFile(ctx, image.Path(), j.Release.Target); err != nil {
		return imageProblem(err, what+": the image before the hook ran")
	}
	if _, err := r.hook(ctx, verbInstall, j, append(extra, "OTA_INPUT="+image.Path())...); err != nil {
		return err
	}
	if err := hashFile(ctx, image.Path(), j.Release.Target); err != nil {
		return imageProblem(err, what+": the image after the hook ran")
	}
	return nil
}

// hashFile checks a file's length and hashes against t. It reads by the path, as the hook does.
func hashFile(ctx context.Context, path string, t verifier.Target) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	check := t.Check()
	buf := make([]byte, blockBytes)
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		n, err := f.Read(buf)
		if _, err := check.Write(buf[:n]); err != nil {
			return err
		}
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
	}
	_, err = check.Done()
	return err
}

// installStream feeds the image to the hook's standard input.
func (r *Runner) installStream(ctx context.Context, j agent.Job, image agent.Image, extra ...string) error {
	what := describeHook(verbInstall, j)
	if _, err := image.Seek(0, io.SeekStart); err != nil {
		return imageProblem(err, what+": the image")
	}
	f, err := newFeed(image, j.Release.Target)
	if err != nil {
		return problem(agent.ReasonHookFailed, err, "%s: can't make a pipe: %v", what, err)
	}
	defer f.close()
	p, cleanup, err := r.startHook(ctx, verbInstall, j, f.hookEnd, extra...)
	if err != nil {
		return err
	}
	defer cleanup()
	f.begin(p)
	o := p.wait(ctx)
	read, err := f.end()
	r.logRun(what, p, o)
	if err != nil {
		return imageProblem(err, what+": the image on its way to the hook")
	}
	if err := o.problem(what, p); err != nil {
		return err
	}
	if total := j.Release.Target.Length; read != total {
		said := strings.TrimSpace(p.stderr.text())
		return problem(agent.ReasonHookFailed, nil,
			"%s exited with 0, but read only %d of the image's %d bytes; it must read its standard input to the end. %s",
			what, read, total, said)
	}
	return nil
}
