package files

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"
)

// The ways in which a file is not taken. Test with errors.Is.
var (
	// ErrNotRegular: a directory, a named pipe, a socket, a device, or a link where none is followed.
	ErrNotRegular = errors.New("not a regular file")
	// ErrTooLong: it has more bytes than its reader wants.
	ErrTooLong = errors.New("too long")
	// ErrElsewhere: it has another name somewhere, or lies on another file system than its directory.
	ErrElsewhere = errors.New("it is a name for a file elsewhere")
)

// openFlags never wait: a named pipe without a writer opens at once, and a terminal does not become the agent's.
const openFlags = unix.O_RDONLY | unix.O_NONBLOCK | unix.O_NOCTTY | unix.O_CLOEXEC

// Read reads a regular file of at most bytesMax bytes whose path comes from the config. Links are followed,
// since an image may lay its files out by them. Anything but a regular file is refused before a byte of it is
// read.
func Read(path string, bytesMax int64) ([]byte, error) {
	path = filepath.Clean(path)
	f, err := os.OpenFile(path, openFlags, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if _, err := regular(f); err != nil {
		return nil, err
	}
	return bounded(f, bytesMax)
}

// ReadPlaced reads a regular file that a guest may have placed under name in an open directory: at most the
// first bytesMax bytes. What leads elsewhere is refused (ErrNotRegular, ErrElsewhere): a symbolic or a hard
// link would show what the guest may not read, and a file on a mount of the guest's own may never answer.
func ReadPlaced(dir *os.File, name string, bytesMax int64) ([]byte, error) {
	f, err := openPlaced(dir, name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	stat, err := regular(f)
	if err != nil {
		return nil, err
	}
	if stat.Nlink > 1 {
		return nil, &fs.PathError{Op: "read", Path: f.Name(), Err: ErrElsewhere}
	}
	return io.ReadAll(io.LimitReader(f, bytesMax))
}

// OpenDirectory opens a directory for listing, and never waits for what lies there instead.
func OpenDirectory(path string) (*os.File, error) {
	return os.OpenFile(path, openFlags|unix.O_DIRECTORY, 0)
}

// openPlaced opens one name of a directory, and follows nothing on the way.
func openPlaced(dir *os.File, name string) (*os.File, error) {
	path := filepath.Join(dir.Name(), name)
	if name != filepath.Base(name) {
		return nil, &fs.PathError{Op: "open", Path: path, Err: fs.ErrInvalid}
	}
	how := unix.OpenHow{Flags: openFlags | unix.O_NOFOLLOW,
		Resolve: unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_MAGICLINKS | unix.RESOLVE_NO_XDEV | unix.RESOLVE_BENEATH}
	fd, err := unix.Openat2(int(dir.Fd()), name, &how)
	if errors.Is(err, unix.ENOSYS) || errors.Is(err, unix.EPERM) { // a kernel before 5.6, or a filter that does not know the call
		fd, err = unix.Openat(int(dir.Fd()), name, openFlags|unix.O_NOFOLLOW, 0)
	}
	switch {
	case err == nil:
		return os.NewFile(uintptr(fd), path), nil
	case errors.Is(err, unix.ELOOP), errors.Is(err, unix.ENXIO): // a link; a socket
		err = ErrNotRegular
	case errors.Is(err, unix.EXDEV):
		err = ErrElsewhere
	}
	return nil, &fs.PathError{Op: "open", Path: path, Err: err}
}

// regular refuses what is no regular file. It looks at what was opened, not at the name, which may mean
// something else by now.
func regular(f *os.File) (*syscall.Stat_t, error) {
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	switch {
	case info.IsDir():
		return nil, &fs.PathError{Op: "read", Path: f.Name(), Err: isDirectory{}}
	case !info.Mode().IsRegular() || !ok:
		return nil, &fs.PathError{Op: "read", Path: f.Name(), Err: ErrNotRegular}
	}
	return stat, nil
}

// isDirectory is ErrNotRegular in words that everybody knows.
type isDirectory struct{}

func (isDirectory) Error() string { return syscall.EISDIR.Error() }
func (isDirectory) Unwrap() error { return ErrNotRegular }

// bounded reads all of a file, if that is not too much.
func bounded(f *os.File, bytesMax int64) ([]byte, error) {
	b, err := io.ReadAll(io.LimitReader(f, bytesMax+1))
	if err != nil {
		return nil, err
	}
	if int64(len(b)) > bytesMax {
		return nil, fmt.Errorf("%s is longer than %d bytes: %w", f.Name(), bytesMax, ErrTooLong)
	}
	return b, nil
}
