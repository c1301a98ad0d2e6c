package main

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

const (
	// filesMax bounds one call of verify.
	filesMax = 1000
	// verifyBufferBytes are read at once.
	verifyBufferBytes = 64 << 10
)

// verify checks files against what the trusted metadata lists for this device, or at the target path that was
// named. It says nothing of whether this device may install them.
func (c *cli) verify(files []string) error {
	ctx, stop := interruptible()
	defer stop()
	targets, err := c.trustedTargets(ctx)
	if err != nil {
		return err
	}
	var failed error // of the first file that failed; the others are told beside it
	for _, name := range files {
		v, err := verifyFile(ctx, name, targets)
		switch {
		case err == nil:
			err = c.ui.print("%s: %s", plain(name), plain(targetWords(v.Target())))
			if err != nil {
				return err
			}
		case failed == nil:
			failed = err
		default:
			c.ui.note("%v", err)
		}
	}
	return failed
}

func targetWords(t verifier.Target) string {
	words := "is " + t.Path
	if version := (&agent.Release{Target: t}).Info().Version; version != "" {
		words += ", version " + version
	}
	return words
}

// trustedTargets are the targets that a file may be.
func (c *cli) trustedTargets(ctx context.Context) ([]verifier.Target, error) {
	v, err := c.openVault(ctx)
	if err != nil {
		return nil, err
	}
	defer v.close()
	t, err := v.tour(ctx, v.now)
	if err != nil {
		return nil, err
	}
	paths := []string{c.target}
	if c.target == "" {
		paths = v.paths
	}
	var targets []verifier.Target
	for _, path := range paths {
		found, err := t.find(path)
		switch {
		case err == nil:
			targets = append(targets, found.Target)
		case !errors.Is(err, verifier.ErrNotListed):
			return nil, fmt.Errorf("find target %s: %w", path, err)
		}
	}
	if len(targets) == 0 {
		return nil, &failure{exitRefused, fmt.Errorf("the trusted metadata does not list %s", strings.Join(paths, ", ")),
			"publish it, or name another target path with --target"}
	}
	return targets, nil
}

// targetPaths are those of the components.
func (s settings) targetPaths() []string {
	var paths []string
	for _, c := range s.agent.Components {
		paths = append(paths, c.TargetPath(s.agent.Device))
	}
	return paths
}

// verifyFile reads a file once and tells which of the targets it is.
func verifyFile(ctx context.Context, name string, targets []verifier.Target) (verifier.Verified, error) {
	f, err := os.Open(name)
	if err != nil {
		return verifier.Verified{}, err
	}
	defer f.Close()
	stop := context.AfterFunc(ctx, func() { f.Close() }) // a pipe may stay silent for ever
	defer stop()
	checks := make([]*verifier.Check, len(targets))
	for i, t := range targets {
		checks[i] = t.Check()
	}
	if err := readInto(f, checks); err != nil {
		return verifier.Verified{}, fmt.Errorf("%s: %w", name, errors.Join(ctx.Err(), err))
	}
	var refused []error
	for _, check := range checks {
		v, err := check.Done()
		if err == nil && v.OK() {
			return v, nil
		}
		refused = append(refused, err)
	}
	return verifier.Verified{}, &failure{exitRefused, fmt.Errorf("%s is no target that this device trusts: %s", name, oneLine(refused)),
		"do not install it: it is damaged, or another release than the one that the trusted metadata names now"}
}

// readInto reads to the end, or until no check has any use for more.
func readInto(r io.Reader, checks []*verifier.Check) error {
	buffer := make([]byte, verifyBufferBytes)
	for {
		n, err := r.Read(buffer)
		open := false
		for _, check := range checks {
			if _, err := check.Write(buffer[:n]); err == nil {
				open = true
			}
		}
		switch {
		case errors.Is(err, io.EOF), err == nil && !open:
			return nil
		case err != nil:
			return err
		}
	}
}

func oneLine(errs []error) string {
	texts := make([]string, len(errs))
	for i, err := range errs {
		texts[i] = err.Error()
	}
	return strings.Join(texts, "; ")
}
