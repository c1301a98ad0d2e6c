package fetch

import (
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"syscall"

	"github.com/ota-agent/ota-agent/agent"
)

// A directory is a repository's on a medium that may be pulled at any moment. It is only ever read, and
// nothing outside it is: not by "..", not by a symbolic link, not by a device file. Its methods may hang
// where the medium does, so an aide alone calls those that look at it.
type directory struct {
	path string
	// below is the directory's path within the medium at path, out of which no link leads; empty: it is path itself.
	below string
}

func newDirectory(u *url.URL) (directory, error) {
	if u.Host != "" && u.Host != "localhost" || u.RawQuery != "" || !filepath.IsAbs(u.Path) {
		return directory{}, fmt.Errorf("%s: want file:///DIRECTORY", safeURL(u))
	}
	return directory{path: filepath.Clean(u.Path)}, nil
}

func (d *directory) String() string { return "file://" + filepath.Join(d.path, d.below) }

// fileName names a file of d for a person.
func (d *directory) fileName(name string) string { return d.String() + "/" + clip(name, 200) }

// joinBelow is a directory within a medium.
func joinBelow(below, name string) string { return filepath.Join(".", below, name) }

// open opens a regular file for reading. ErrAbsent comes only from a directory that is there and holds files.
func (d *directory) open(name string) (*os.File, int64, error) {
	where := d.fileName(name)
	if !filepath.IsLocal(name) {
		return nil, 0, problem(agent.ReasonBadAnswer, where, "the name leads out of the directory")
	}
	root, err := d.root()
	if err != nil {
		return nil, 0, d.gone(err)
	}
	defer root.Close()
	// Without O_NONBLOCK a named pipe would block the open for ever.
	f, err := root.OpenFile(filepath.Join(d.below, name), os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) {
		return nil, 0, d.absent(where, root)
	}
	if err != nil {
		return nil, 0, d.broken(where, err)
	}
	info, err := f.Stat()
	if err != nil {
		f.Close()
		return nil, 0, d.broken(where, err)
	}
	if !info.Mode().IsRegular() {
		f.Close()
		return nil, 0, problem(agent.ReasonBadAnswer, where, "not a regular file (%s)", info.Mode().Type())
	}
	return f, info.Size(), nil
}

// root opens what no name may lead out of. The check comes first: opening a named pipe would block for ever.
func (d *directory) root() (*os.Root, error) {
	info, err := os.Stat(d.path)
	if err != nil {
		return nil, err
	}
	if !info.IsDir() {
		return nil, syscall.ENOTDIR
	}
	return os.OpenRoot(d.path)
}

// absent makes sure that there is a medium at all: an empty directory is a mount point without one.
func (d *directory) absent(where string, root *os.Root) error {
	dir, err := openDir(root, filepath.Join(".", d.below))
	if err != nil {
		return d.gone(err)
	}
	defer dir.Close()
	if _, err := dir.ReadDir(1); err != nil {
		return d.gone(fmt.Errorf("the directory is empty: %w", err))
	}
	if err := d.check(); err != nil {
		return err
	}
	return fmt.Errorf("%s: %w", where, agent.ErrAbsent)
}

// check says whether the directory is still there.
func (d *directory) check() error {
	if _, err := d.stat(); err != nil {
		return d.gone(err)
	}
	return nil
}

func (d *directory) stat() (os.FileInfo, error) {
	root, err := d.root()
	if err != nil {
		return nil, err
	}
	defer root.Close()
	dir, err := openDir(root, filepath.Join(".", d.below))
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	return dir.Stat()
}

// openDir fails where there is no directory, and never blocks.
func openDir(root *os.Root, name string) (*os.File, error) {
	return root.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK|syscall.O_DIRECTORY, 0)
}

func (d *directory) gone(err error) error {
	return because(problem(agent.ReasonNoMedium, d.String(), "the repository's directory can't be read; plug in the medium, or mount it"), err)
}

// broken tells a bad file from a medium that was pulled.
func (d *directory) broken(where string, err error) error {
	if gone := d.check(); gone != nil {
		return gone
	}
	if errors.Is(err, syscall.EIO) || errors.Is(err, syscall.ENODEV) || errors.Is(err, syscall.ENXIO) || errors.Is(err, syscall.ESTALE) {
		return d.gone(err)
	}
	return because(problem(agent.ReasonBadAnswer, where, "the file can't be read"), err)
}
