//go:build unix && !linux

package storage

import (
	"os"

	"golang.org/x/sys/unix"
)

// Devices run Linux. The rest is for a developer's laptop: it is safe there, but reserves no blocks.

func fdatasync(f *os.File) error { return f.Sync() }

func allocate(*os.File, int64) error { return errNoAllocate }

func startWriteback(*os.File, int64, int64) {}

func available(f *os.File) (int64, error) {
	var st unix.Statfs_t
	if err := again(func() error { return unix.Fstatfs(int(f.Fd()), &st) }); err != nil {
		return 0, &os.PathError{Op: "statfs", Path: f.Name(), Err: err}
	}
	return int64(st.Bavail) * int64(st.Bsize), nil
}

func corruptErrnos() []error { return nil }
