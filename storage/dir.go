package storage

import (
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// A dir is an open directory. Names are single path elements, and the last one is never followed if it is a
// symbolic link, so nothing outside is ever reached.
type dir struct {
	disk *disk
	f    *os.File
	path string // as the operator knows it, for messages and hooks
	name string // below the state directory; "" is that itself
}

// openDir opens the state directory itself. The operator may well have put a link there: it is followed.
func openDir(d *disk, path string, create bool) (*dir, error) {
	if create {
		if err := mkdirAll(d, path); err != nil {
			return nil, err
		}
	}
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return nil, err
	}
	return &dir{disk: d, f: f, path: path}, nil
}

// mkdirAll makes path and what is missing above it, durably.
func mkdirAll(d *disk, path string) error {
	_, err := os.Stat(path)
	if err == nil || !isAbsent(err) {
		return err
	}
	if err := dangling(path); err != nil {
		return err
	}
	parent := filepath.Dir(path)
	if parent == path {
		return err
	}
	if err := mkdirAll(d, parent); err != nil {
		return err
	}
	up, err := openDir(d, parent, false)
	if err != nil {
		return err
	}
	defer up.close()
	if err := d.do(opMkdir, "", func() error { return os.Mkdir(path, 0o700) }); err != nil {
		return err
	}
	return up.sync()
}

// sub opens a directory below this one, making it if create is true.
func (d *dir) sub(name string, create bool) (*dir, error) {
	fd, err := d.openat(name, unix.O_RDONLY|unix.O_DIRECTORY)
	if isAbsent(err) && create {
		err = d.disk.do(opMkdir, d.below(name), func() error {
			return d.wrap("mkdir", name, unix.Mkdirat(d.fd(), name, 0o700))
		})
		if err == nil {
			err = d.sync()
		}
		if err == nil {
			fd, err = d.openat(name, unix.O_RDONLY|unix.O_DIRECTORY)
		}
	}
	if err != nil {
		return nil, err
	}
	path := d.join(name)
	return &dir{disk: d.disk, f: os.NewFile(uintptr(fd), path), path: path, name: d.below(name)}, nil
}

// open opens an existing regular file; flag is os.O_RDONLY or os.O_RDWR.
func (d *dir) open(name string, flag int) (*file, error) {
	// O_NONBLOCK: a pipe that lies in a file's place must not hold us up. It means nothing for a regular file.
	fd, err := d.openat(name, flag|unix.O_NONBLOCK)
	if err != nil {
		return nil, err
	}
	f := &file{File: os.NewFile(uintptr(fd), d.join(name)), disk: d.disk, name: d.below(name)}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = d.wrap("open", name, errNotRegular)
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// create makes a file that must not be there yet, open for reading and writing.
func (d *dir) create(name string) (*file, error) {
	var fd int
	err := d.disk.do(opCreate, d.below(name), func() (err error) {
		fd, err = d.openat(name, unix.O_RDWR|unix.O_CREAT|unix.O_EXCL)
		return err
	})
	if err != nil {
		if fd > 0 {
			unix.Close(fd)
		}
		return nil, err
	}
	return &file{File: os.NewFile(uintptr(fd), d.join(name)), disk: d.disk, name: d.below(name)}, nil
}

func (d *dir) openat(name string, flag int) (fd int, err error) {
	err = again(func() error {
		fd, err = unix.Openat(d.fd(), name, flag|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o600)
		return err
	})
	if err != nil {
		return 0, d.wrap("open", name, err)
	}
	return fd, nil
}

func (d *dir) rename(from string, to *dir, name string) error {
	return d.disk.do(opRename, to.below(name), func() error {
		err := unix.Renameat(d.fd(), from, to.fd(), name)
		if err != nil {
			return &os.LinkError{Op: "rename", Old: d.join(from), New: to.join(name), Err: err}
		}
		return nil
	})
}

// remove removes a file. A file that is not there is no error.
func (d *dir) remove(name string) error {
	if !d.has(name) {
		return nil
	}
	return d.disk.do(opRemove, d.below(name), func() error {
		return d.wrap("remove", name, unix.Unlinkat(d.fd(), name, 0))
	})
}

// sync makes the directory's entries durable.
func (d *dir) sync() error {
	return d.disk.do(opSyncDir, d.name, func() error {
		d.disk.fsyncs.Add(1)
		return d.f.Sync()
	})
}

func (d *dir) stat(name string) (st unix.Stat_t, err error) {
	err = again(func() error { return unix.Fstatat(d.fd(), name, &st, unix.AT_SYMLINK_NOFOLLOW) })
	return st, d.wrap("stat", name, err)
}

// occupied is how many bytes of the disk a file takes; 0 where there is none.
func (d *dir) occupied(name string) (int64, error) {
	st, err := d.stat(name)
	if isAbsent(err) {
		err = nil
	}
	return int64(st.Blocks) * 512, err
}

func (d *dir) has(name string) bool {
	_, err := d.stat(name)
	return !isAbsent(err)
}

// entries lists the names in the directory.
func (d *dir) entries() ([]fs.DirEntry, error) {
	fd, err := d.openat(".", unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(fd), d.path)
	defer f.Close()
	return f.ReadDir(-1)
}

// write puts a whole file under name, durably: nobody ever sees a part of it there.
func (d *dir) write(name string, b []byte) error {
	temp := name + tempSuffix
	if err := d.remove(temp); err != nil {
		return err
	}
	f, err := d.create(temp)
	if err != nil {
		return err
	}
	err = f.writeAt(b, 0)
	if err == nil {
		err = f.sync()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = d.rename(temp, d, name)
	}
	if err == nil {
		err = d.sync()
	}
	return err
}

func (d *dir) fd() int                  { return int(d.f.Fd()) }
func (d *dir) join(name string) string  { return filepath.Join(d.path, name) }
func (d *dir) below(name string) string { return filepath.Join(d.name, name) }
func (d *dir) close() error             { return d.f.Close() }

func (d *dir) wrap(act, name string, err error) error {
	if err == nil {
		return nil
	}
	return &os.PathError{Op: act, Path: d.join(name), Err: err}
}
