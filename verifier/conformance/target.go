package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/ota-agent/ota-agent/agent"
	"github.com/ota-agent/ota-agent/verifier"
)

// download refreshes, and brings each target into TDIR, in order, until one fails.
func (c *client) download(ctx context.Context, o options) error {
	r, err := c.refresh(ctx)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(o.targetDir, 0o755); err != nil {
		return err
	}
	for _, path := range o.targetNames {
		if err := c.bring(ctx, r, o.targetDir, path); err != nil {
			return fmt.Errorf("target %.200q: %w", path, err)
		}
	}
	return nil
}

// bring finds a target and fetches it, unless the right file is there already (TUF 5.6.7, 5.7).
func (c *client) bring(ctx context.Context, r *verifier.Refresh, dir, path string) error {
	search := r.Find(path)
	if err := c.drive(ctx, search); err != nil {
		return err
	}
	found, err := search.Found()
	if err != nil {
		return err
	}
	target, file := found.Target, filepath.Join(dir, targetName(path))
	if holds(file, target) {
		return nil
	}
	body, err := c.repository.Image(ctx, agent.ImageRequest{Name: target.Name, Length: target.Length})
	if err != nil {
		return err
	}
	defer body.Close()
	return place(file, target, body)
}

// targetName is the one file name of a target path below TDIR, whatever the path is: no separator, no dot segment.
func targetName(path string) string {
	return localName(strings.TrimSuffix(verifier.FileName(path, 0), ".json"))
}

// holds reports whether file is the target already. It must be a plain file: a link might lead to one that is right
// now and another later.
func holds(file string, t verifier.Target) bool {
	f, err := os.OpenFile(file, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if err != nil {
		return false
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil || !info.Mode().IsRegular() || info.Size() != t.Length {
		return false
	}
	check := t.Check()
	if _, err := io.Copy(check, f); err != nil {
		return false
	}
	v, err := check.Done()
	return err == nil && v.OK()
}

// place streams body to a file of its own, and gives it the target's name once it is verified.
func place(file string, t verifier.Target, body io.Reader) (err error) {
	f, err := os.CreateTemp(filepath.Dir(file), ".new-*")
	if err != nil {
		return err
	}
	temp := f.Name()
	defer func() {
		if err != nil {
			os.Remove(temp)
		}
	}()
	check := t.Check()
	// The check comes first: it takes no byte beyond the target's length (TUF 5.7.3).
	_, err = io.Copy(io.MultiWriter(check, f), body)
	if err == nil {
		_, err = check.Done()
	}
	if err == nil {
		err = errors.Join(f.Chmod(0o644), f.Sync())
	}
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err := os.Rename(temp, file); err != nil {
		return err
	}
	return syncDir(filepath.Dir(file))
}
