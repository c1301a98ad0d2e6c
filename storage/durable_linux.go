package storage

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

func fdatasync(f *os.File) error { return unix.Fdatasync(int(f.Fd())) }

// allocate reserves blocks beyond the file's end; size 0 asks for nothing.
func allocate(f *os.File, size int64) error {
	if size == 0 {
		return nil
	}
	err := unix.Fallocate(int(f.Fd()), unix.FALLOC_FL_KEEP_SIZE, 0, size)
	if errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.ENOSYS) {
		return errNoAllocate
	}
	return err
}

// startWriteback lets the kernel begin to write a range, so that the next fdatasync has less to wait for. It
// promises nothing, so its errors mean nothing.
func startWriteback(f *os.File, off, n int64) {
	_ = unix.SyncFileRange(int(f.Fd()), off, n, unix.SYNC_FILE_RANGE_WRITE)
}

// available is how many bytes an unprivileged process may still write beside f, clamped to int64.
func available(f *os.File) (int64, error) {
	var st unix.Statfs_t
	if err := again(func() error { return unix.Fstatfs(int(f.Fd()), &st) }); err != nil {
		return 0, &os.PathError{Op: "statfs", Path: f.Name(), Err: err}
	}
	block := int64(st.Frsize)
	if block == 0 {
		block = int64(st.Bsize)
	}
	const bytesMax = 1 << 62
	if block <= 0 || st.Bavail > uint64(bytesMax/block) {
		return bytesMax, nil
	}
	return int64(st.Bavail) * block, nil
}

// corruptErrnos are what file systems say when they find themselves damaged.
func corruptErrnos() []error { return []error{unix.EUCLEAN, unix.EBADMSG} }
