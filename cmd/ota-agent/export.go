package main

import (
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"
	"unicode"

	"github.com/ota-agent/ota-agent/verifier"
)

// export writes the trusted metadata to a directory as a repository has it: what a device with this anchor needs to
// come to trust the same. What has expired is part of it.
func (c *cli) export(args []string) error {
	ctx, stop := interruptible()
	defer stop()
	dir := args[0]
	if err := checkEmpty(dir); err != nil {
		return err
	}
	v, err := c.openVault(ctx)
	if err != nil {
		return err
	}
	defer v.close()
	t, err := v.tour(ctx, time.Time{})
	if err != nil {
		return err
	}
	for _, path := range v.paths {
		if _, err := t.find(path); err != nil && !errors.Is(err, verifier.ErrNotListed) {
			return fmt.Errorf("find target %s: %w", path, err)
		}
	}
	if err := writeFiles(dir, t.files); err != nil {
		return err
	}
	for _, f := range t.files {
		if err := c.ui.print("%s", plain(f.name)); err != nil {
			return err
		}
	}
	return nil
}

func checkEmpty(dir string) error {
	f, err := os.Open(dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	names, err := f.Readdirnames(1)
	switch {
	case errors.Is(err, io.EOF):
		return nil
	case err != nil:
		return err
	}
	return &failure{exitFailed, fmt.Errorf("%s is not empty: there is %s", dir, names[0]), "name a directory that is empty, or not there yet"}
}

// diskName is the name under which a web server, or an agent, looks for a metadata file. A role's name may be hostile:
// one that would lead elsewhere stays percent-encoded.
func diskName(encoded string) string {
	name, err := url.PathUnescape(encoded)
	if err != nil || strings.ContainsFunc(name, func(r rune) bool { return r == '/' || unicode.IsControl(r) }) {
		return encoded
	}
	return name
}

// writeFiles leaves all files in dir, or none of them.
func writeFiles(dir string, files []trustedFile) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	for i, f := range files {
		if err := writeNew(filepath.Join(dir, f.name), f.bytes); err != nil {
			for _, written := range files[:i] {
				err = errors.Join(err, os.Remove(filepath.Join(dir, written.name)))
			}
			return err
		}
	}
	return nil
}

// writeNew writes a file that must not be there yet; after an error it is not.
func writeNew(path string, b []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	if err := errors.Join(err, f.Close()); err != nil {
		return errors.Join(err, os.Remove(path))
	}
	return nil
}
