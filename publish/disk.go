package publish

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

const (
	secretMode fs.FileMode = 0o600 // private keys, settings
	publicMode fs.FileMode = 0o644 // what is uploaded
	dirMode    fs.FileMode = 0o755
	secretDir  fs.FileMode = 0o700
)

// tempPrefix marks files that are not whole yet. A leading dot keeps them out of most upload tools' globs; Open
// sweeps what a dead publisher left.
const tempPrefix = ".tmp-"

// A disk changes files so that each appears whole or not at all. Every single change goes through step, which the
// tests use to die there, before or after the change took effect.
type disk struct {
	step func(op, path string, change func() error) error
}

func (d disk) do(op, path string, change func() error) error {
	if d.step == nil {
		return change()
	}
	return d.step(op, path, change)
}

// mkdirAll makes a directory and its missing parents, each durable in its parent.
func (d disk) mkdirAll(dir string, mode fs.FileMode) error {
	if info, err := os.Stat(dir); err == nil {
		if !info.IsDir() {
			return &fs.PathError{Op: "mkdir", Path: dir, Err: errors.New("a file is in the way")}
		}
		return nil
	}
	parent := filepath.Dir(dir)
	if parent != dir {
		if err := d.mkdirAll(parent, dirMode); err != nil {
			return err
		}
	}
	err := d.do("mkdir", dir, func() error { return os.Mkdir(dir, mode) })
	if err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return d.syncDir(parent)
}

// writeFile puts b at path: temporary file, fsync, rename, fsync of the directory.
func (d disk) writeFile(path string, b []byte, mode fs.FileMode) error {
	return d.write(path, mode, func(w io.Writer) error {
		_, err := w.Write(b)
		return err
	})
}

// writeOnce is writeFile for a name that never changes its content: the same bytes again are no change, other bytes
// are refused.
func (d disk) writeOnce(path string, b []byte, mode fs.FileMode) error {
	old, err := os.ReadFile(path)
	switch {
	case err == nil && bytes.Equal(old, b):
		return d.syncDir(filepath.Dir(path))
	case err == nil:
		return fmt.Errorf("%s exists with other content: a published version never changes", path)
	case !errors.Is(err, fs.ErrNotExist):
		return err
	}
	return d.writeFile(path, b, mode)
}

// write streams a file into place.
func (d disk) write(path string, mode fs.FileMode, fill func(io.Writer) error) error {
	temp, err := d.fill(filepath.Dir(path), mode, fill)
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	if err := d.rename(temp, path); err != nil {
		return fmt.Errorf("write %s: %w", path, errors.Join(err, d.removeTemp(temp)))
	}
	return nil
}

// fill makes a durable temporary file in dir and returns its name.
func (d disk) fill(dir string, mode fs.FileMode, fill func(io.Writer) error) (name string, err error) {
	var f *os.File
	err = d.do("create", dir, func() (err error) {
		f, err = os.CreateTemp(dir, tempPrefix)
		return err
	})
	if err != nil {
		return "", err
	}
	name = f.Name()
	defer func() {
		if err != nil {
			err = errors.Join(err, d.removeTemp(name))
		}
	}()
	err = errors.Join(
		d.do("write", name, func() error { return fill(f) }),
		f.Chmod(mode),
	)
	if err == nil {
		err = d.do("fsync", name, f.Sync)
	}
	return name, errors.Join(err, f.Close())
}

func (d disk) rename(from, to string) error {
	if err := d.do("rename", to, func() error { return os.Rename(from, to) }); err != nil {
		return err
	}
	return d.syncDir(filepath.Dir(to))
}

// remove deletes a file; one that is not there is no error.
func (d disk) remove(path string) error {
	err := d.do("remove", path, func() error { return os.Remove(path) })
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return d.syncDir(filepath.Dir(path))
}

// removeTemp clears up after a failure; what stays is swept at the next Open.
func (d disk) removeTemp(path string) error {
	return d.do("remove", path, func() error { return os.Remove(path) })
}

// syncDir makes the names in dir durable.
func (d disk) syncDir(dir string) error {
	return d.do("fsync", dir, func() error {
		f, err := os.Open(dir)
		if err != nil {
			return err
		}
		return errors.Join(f.Sync(), f.Close())
	})
}

// sweep removes temporary files that a dead publisher left under dir.
func (d disk) sweep(dir string) error {
	return filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() || len(e.Name()) <= len(tempPrefix) || e.Name()[:len(tempPrefix)] != tempPrefix {
			return err
		}
		return d.remove(path)
	})
}

// readFile reads a file of at most max bytes.
func readFile(path string, max int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	b, err := io.ReadAll(io.LimitReader(f, max+1))
	if err := errors.Join(err, f.Close()); err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	if int64(len(b)) > max {
		return nil, fmt.Errorf("read %s: more than %d bytes", path, max)
	}
	return b, nil
}
