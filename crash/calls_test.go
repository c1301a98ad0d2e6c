//go:build linux && amd64

package crash

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// A call is one system call that changes a disk.
type call struct {
	name string
	path string // what it changes; of a rename the new name
	// agent is false for the calls of a process that the agent started.
	agent bool
	// bytes is what a call that writes data returned; 0 for others, and until it ended.
	bytes int64
	errno unix.Errno // how it ended, where that was not well
}

func (c call) String() string {
	who := "agent"
	if !c.agent {
		who = "hook"
	}
	return fmt.Sprintf("%s: %s %s", who, c.name, c.path)
}

// isSync tells whether the call waits for a disk.
func (c call) isSync() bool {
	switch c.name {
	case "fsync", "fdatasync", "sync", "syncfs", "msync":
		return true
	}
	return false
}

// A kind is how a system call names what it changes.
type kind struct {
	name string
	// fd is the argument that holds a file descriptor, path one with a path; -1: none. With both, the path is
	// relative to the descriptor.
	fd, path int
	// flags is the argument with open's flags: only a call that may create or empty a file changes the disk.
	flags int
	data  bool // it returns how many bytes it wrote
}

func onFile(name string, fd int) kind { return kind{name: name, fd: fd, path: -1, flags: -1} }
func onData(name string, fd int) kind {
	return kind{name: name, fd: fd, path: -1, flags: -1, data: true}
}
func onPath(name string, path int) kind  { return kind{name: name, fd: -1, path: path, flags: -1} }
func onPathAt(name string, fd int) kind  { return kind{name: name, fd: fd, path: fd + 1, flags: -1} }
func opens(name string, fd, at int) kind { return kind{name: name, fd: fd, path: at, flags: at + 1} }

// kinds are the system calls that change a disk. Memory that is mapped from a file and written to is not seen: such
// a mapping counts as a change, so that a test that allows none would notice it.
var kinds = map[uint64]kind{
	unix.SYS_WRITE:           onData("write", 0),
	unix.SYS_PWRITE64:        onData("pwrite64", 0),
	unix.SYS_WRITEV:          onData("writev", 0),
	unix.SYS_PWRITEV:         onData("pwritev", 0),
	unix.SYS_PWRITEV2:        onData("pwritev2", 0),
	unix.SYS_SENDFILE:        onData("sendfile", 0),
	unix.SYS_SPLICE:          onData("splice", 2),
	unix.SYS_COPY_FILE_RANGE: onData("copy_file_range", 2),
	unix.SYS_FSYNC:           onFile("fsync", 0),
	unix.SYS_FDATASYNC:       onFile("fdatasync", 0),
	unix.SYS_SYNCFS:          onFile("syncfs", 0),
	unix.SYS_SYNC_FILE_RANGE: onFile("sync_file_range", 0),
	unix.SYS_FTRUNCATE:       onFile("ftruncate", 0),
	unix.SYS_FALLOCATE:       onFile("fallocate", 0),
	unix.SYS_FCHMOD:          onFile("fchmod", 0),
	unix.SYS_FCHOWN:          onFile("fchown", 0),
	unix.SYS_FSETXATTR:       onFile("fsetxattr", 0),
	unix.SYS_SYNC:            {name: "sync", fd: -1, path: -1, flags: -1},
	unix.SYS_MMAP:            {name: "mmap", fd: 4, path: -1, flags: -1},
	unix.SYS_TRUNCATE:        onPath("truncate", 0),
	unix.SYS_RENAME:          onPath("rename", 1),
	unix.SYS_RENAMEAT:        onPathAt("renameat", 2),
	unix.SYS_RENAMEAT2:       onPathAt("renameat2", 2),
	unix.SYS_LINK:            onPath("link", 1),
	unix.SYS_LINKAT:          onPathAt("linkat", 2),
	unix.SYS_SYMLINK:         onPath("symlink", 1),
	unix.SYS_SYMLINKAT:       onPathAt("symlinkat", 1),
	unix.SYS_UNLINK:          onPath("unlink", 0),
	unix.SYS_UNLINKAT:        onPathAt("unlinkat", 0),
	unix.SYS_RMDIR:           onPath("rmdir", 0),
	unix.SYS_MKDIR:           onPath("mkdir", 0),
	unix.SYS_MKDIRAT:         onPathAt("mkdirat", 0),
	unix.SYS_MKNODAT:         onPathAt("mknodat", 0),
	unix.SYS_CHMOD:           onPath("chmod", 0),
	unix.SYS_FCHMODAT:        onPathAt("fchmodat", 0),
	unix.SYS_FCHOWNAT:        onPathAt("fchownat", 0),
	unix.SYS_UTIMENSAT:       onPathAt("utimensat", 0),
	unix.SYS_OPEN:            opens("open", -1, 0),
	unix.SYS_OPENAT:          opens("openat", 0, 1),
	unix.SYS_OPENAT2:         opens("openat2", 0, 1),
	unix.SYS_CREAT:           onPath("creat", 0),
}

// decode tells what a system call of thread tid changes, if it changes a file below one of dirs.
func decode(tid int, nr uint64, args [6]uint64, dirs []string) (call, kind, bool) {
	k, known := kinds[nr]
	if !known || !k.changes(tid, args) {
		return call{}, k, false
	}
	c := call{name: k.name, path: k.where(tid, args)}
	if k.fd < 0 && k.path < 0 {
		return c, k, true
	}
	for _, dir := range dirs {
		if c.path == dir || strings.HasPrefix(c.path, dir+"/") {
			return c, k, true
		}
	}
	return c, k, false
}

func (k kind) changes(tid int, args [6]uint64) bool {
	switch {
	case k.name == "mmap":
		return args[2]&unix.PROT_WRITE != 0 && args[3]&unix.MAP_TYPE != unix.MAP_PRIVATE && args[3]&unix.MAP_ANONYMOUS == 0
	case k.flags < 0:
		return true
	}
	flags := args[k.flags]
	if k.name == "openat2" { // the argument points to a struct that begins with the flags
		b := readMemory(tid, uintptr(flags), 4)
		if len(b) < 4 {
			return true
		}
		flags = uint64(b[0]) | uint64(b[1])<<8 | uint64(b[2])<<16 | uint64(b[3])<<24
	}
	return flags&(unix.O_CREAT|unix.O_TRUNC) != 0
}

func (k kind) where(tid int, args [6]uint64) string {
	base := ""
	switch {
	case k.fd >= 0 && int32(args[k.fd]) != unix.AT_FDCWD:
		base, _ = os.Readlink(fmt.Sprintf("/proc/%d/fd/%d", tid, int32(args[k.fd])))
	case k.path >= 0:
		base, _ = os.Readlink(fmt.Sprintf("/proc/%d/cwd", tid))
	}
	if k.path < 0 {
		return strings.TrimSuffix(base, " (deleted)")
	}
	name, _, _ := bytes.Cut(readMemory(tid, uintptr(args[k.path]), unix.PathMax), []byte{0})
	if filepath.IsAbs(string(name)) {
		return filepath.Clean(string(name))
	}
	return filepath.Join(base, string(name))
}

// readMemory reads up to n bytes of a stopped thread's memory; fewer where it ends.
func readMemory(tid int, addr uintptr, n int) []byte {
	const page = 4096
	var all []byte
	for len(all) < n {
		b := make([]byte, min(n-len(all), page-int(addr%page)))
		local := []unix.Iovec{{Base: &b[0], Len: uint64(len(b))}}
		got, err := unix.ProcessVMReadv(tid, local, []unix.RemoteIovec{{Base: addr, Len: len(b)}}, 0)
		if err != nil || got == 0 {
			return all
		}
		all, addr = append(all, b[:got]...), addr+uintptr(got)
		if bytes.IndexByte(b[:got], 0) >= 0 && n == unix.PathMax {
			return all
		}
	}
	return all
}
