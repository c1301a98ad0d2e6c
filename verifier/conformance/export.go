package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/ota-agent/ota-agent/agent"
	"github.com/ota-agent/ota-agent/verifier"
)

// commit makes a change durable and shows it in DIR at once.
func (c *client) commit(change verifier.Change) error {
	if err := c.store.Commit(agent.Change{Metadata: change}); err != nil {
		return err
	}
	for _, key := range change.Drop {
		// Which root is left is known at the end; see settle.
		if key.Kind == verifier.Metadata && key.Role != verifier.Root {
			if err := c.unexport(key.Role); err != nil {
				return err
			}
		}
	}
	for _, d := range change.Put {
		if d.Key.Kind == verifier.Metadata { // of several roots the last is the newest
			if err := c.export(d.Key.Role, d.Bytes); err != nil {
				return err
			}
		}
	}
	return nil
}

// stored reads from the store, and puts the exported copy right on the way.
func (c *client) stored(key verifier.Key) ([]byte, error) {
	b, err := c.store.Document(key)
	if key.Kind != verifier.Metadata || key.Role == verifier.Root {
		return b, err
	}
	var failed error
	switch {
	case err == nil:
		failed = c.export(key.Role, b)
	case errors.Is(err, agent.ErrAbsent):
		failed = c.unexport(key.Role)
	}
	if failed != nil {
		return nil, failed
	}
	return b, err
}

// settle puts right what a refresh may not have read: the newest trusted root, and a large targets file.
func (c *client) settle(anchor []byte, r *verifier.Refresh) error {
	if _, err := c.stored(verifier.Key{Role: verifier.Targets}); err != nil && !errors.Is(err, agent.ErrAbsent) {
		return err
	}
	root, err := c.store.Document(verifier.Key{Role: verifier.Root, Version: r.Trusted()[0].Version})
	if errors.Is(err, agent.ErrAbsent) {
		// Nothing in the store hangs on the anchor, or what did was dropped.
		root, err = anchor, nil
	}
	if err != nil {
		return err
	}
	return c.export(verifier.Root, root)
}

// export copies a role's file to DIR. It is not made durable there: a copy that a power cut spoils is put right.
func (c *client) export(role string, b []byte) error {
	name := localName(verifier.FileName(role, 0))
	path := filepath.Join(c.dir, name)
	if info, err := os.Lstat(path); err == nil && info.Mode().IsRegular() && info.Size() == int64(len(b)) {
		if had, err := os.ReadFile(path); err == nil && bytes.Equal(had, b) {
			return nil
		}
	}
	return replaceFile(c.dir, name, b, false)
}

func (c *client) unexport(role string) error {
	err := os.Remove(filepath.Join(c.dir, localName(verifier.FileName(role, 0))))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// tempName is a file being written in DIR. One process has DIR, so one name is enough, and what a crash leaves is
// overwritten next time.
const tempName = "new"

// replaceFile puts b under name, whole or not at all.
func replaceFile(dir, name string, b []byte, durable bool) (err error) {
	temp := filepath.Join(dir, tempName)
	if err := os.Remove(temp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	f, err := os.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			os.Remove(temp)
		}
	}()
	_, err = f.Write(b)
	if err == nil && durable {
		err = f.Sync()
	}
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err := os.Rename(temp, filepath.Join(dir, name)); err != nil || !durable {
		return err
	}
	return syncDir(dir)
}

// syncDir makes a directory's entries durable.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// nameBytesMax is the longest file name of common file systems, in bytes.
const nameBytesMax = 255

// localName is a percent-encoded name as a file name: a name that is too long is replaced by its hash, and one that
// would be hidden, or is "." or "..", shows its dot encoded. Different names stay different: an encoded name has
// no percent sign with anything but two digits behind it, and no encoded full stop.
func localName(encoded string) string {
	if rest, ok := strings.CutPrefix(encoded, "."); ok {
		encoded = "%2E" + rest
	}
	if len(encoded) <= nameBytesMax {
		return encoded
	}
	sum := sha256.Sum256([]byte(encoded))
	ending := filepath.Ext(encoded)
	if ending != ".json" {
		ending = ""
	}
	return "%sha256-" + hex.EncodeToString(sum[:]) + ending
}
