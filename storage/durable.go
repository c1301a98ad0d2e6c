package storage

import (
	"os"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// An op is a kind of step.
type op string

// The steps that change the disk.
const (
	opMkdir    op = "mkdir"
	opCreate   op = "create"
	opWrite    op = "write"
	opTruncate op = "truncate"
	opAllocate op = "allocate"
	opSync     op = "sync" // fsync or fdatasync of a file
	opRename   op = "rename"
	opRemove   op = "remove"
	opSyncDir  op = "syncdir" // fsync of a directory
	opCommit   op = "commit"  // one bbolt transaction, or a batch of them in a database that has no name yet
)

// A step is one change of the disk: what is done, and to which path below the state directory.
type step struct {
	op   op
	name string
}

// A disk is the only way in which this package changes the file system, bbolt's own pages apart, which are
// counted here as well. hook, nil in production, is run in place of each step and may run it, fail it, or both.
type disk struct {
	hook func(s step, do func() error) error
	// space replaces statfs, where not nil: bytes that are free for us.
	space func() (int64, error)

	bytesWritten, fsyncs, commits atomic.Int64
}

func (d *disk) do(o op, name string, f func() error) error {
	if d.hook == nil {
		return f()
	}
	return d.hook(step{o, name}, f)
}

// tempSuffix marks a file that is being written; one that is found at start belongs to nobody.
const tempSuffix = ".new"

// A file is an open regular file.
type file struct {
	*os.File
	disk *disk
	name string // below the state directory
}

// writeAt writes all of b at off.
func (f *file) writeAt(b []byte, off int64) error {
	return f.disk.do(opWrite, f.name, func() error {
		n, err := f.File.WriteAt(b, off)
		f.disk.bytesWritten.Add(int64(n))
		return err
	})
}

// sync makes the file's bytes, size and times durable.
func (f *file) sync() error {
	return f.disk.do(opSync, f.name, func() error {
		f.disk.fsyncs.Add(1)
		return f.File.Sync()
	})
}

// dataSync makes the file's bytes durable, and of its size what is needed to read them.
func (f *file) dataSync() error {
	return f.disk.do(opSync, f.name, func() error {
		f.disk.fsyncs.Add(1)
		return f.wrap("fdatasync", again(func() error { return fdatasync(f.File) }))
	})
}

func (f *file) truncate(size int64) error {
	return f.disk.do(opTruncate, f.name, func() error { return f.File.Truncate(size) })
}

// allocate reserves the blocks of the first size bytes without changing the file's size. A file system that
// can't do that says errNoAllocate.
func (f *file) allocate(size int64) error {
	return f.disk.do(opAllocate, f.name, func() error {
		return f.wrap("fallocate", again(func() error { return allocate(f.File, size) }))
	})
}

func (f *file) size() (int64, error) {
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

func (f *file) wrap(act string, err error) error {
	if err == nil {
		return nil
	}
	return &os.PathError{Op: act, Path: f.File.Name(), Err: err}
}

// again repeats a system call that a signal interrupted.
func again(call func() error) error {
	for {
		if err := call(); err != unix.EINTR {
			return err
		}
	}
}
