//go:build linux && amd64

package crash

import (
	"bufio"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// archive writes a directory as a Linux kernel unpacks it into memory: cpio in its "newc" form, with a console for the
// first process.
func archive(to io.Writer, root string) error {
	w := &archiveWriter{Writer: bufio.NewWriter(to)}
	w.entry("dev", unix.S_IFDIR|0o755, nil)
	w.console()
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || path == root {
			return err
		}
		name, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		switch d.Type() {
		case fs.ModeDir:
			w.entry(name, unix.S_IFDIR|uint32(info.Mode().Perm()), nil)
		case fs.ModeSymlink:
			to, err := os.Readlink(path)
			if err != nil {
				return err
			}
			w.entry(name, unix.S_IFLNK|0o777, []byte(to))
		case 0:
			content, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			w.entry(name, unix.S_IFREG|uint32(info.Mode().Perm()), content)
		default:
			return fmt.Errorf("%s is neither file, link nor directory", path)
		}
		return nil
	})
	w.entry("TRAILER!!!", 0, nil)
	if err != nil {
		return err
	}
	return w.Flush() // a failed write stands in the way of all later ones, and of this
}

type archiveWriter struct {
	*bufio.Writer
	entries int
}

func (w *archiveWriter) entry(name string, mode uint32, content []byte) {
	w.header(name, mode, len(content), 0, 0)
	_, _ = w.Write(content)
	w.pad(len(content))
}

// console is the device 5,1.
func (w *archiveWriter) console() { w.header("dev/console", unix.S_IFCHR|0o600, 0, 5, 1) }

// header is 13 numbers of eight hex digits after the magic: inode, mode, owner, group, links, time, size, device (2),
// what a device node stands for (2), length of the name with its zero byte, checksum.
func (w *archiveWriter) header(name string, mode uint32, size, major, minor int) {
	const magic, headerBytes = "070701", 110
	w.entries++
	_, _ = w.WriteString(magic)
	for _, v := range []int{w.entries, int(mode), 0, 0, 1, 0, size, 0, 0, major, minor, len(name) + 1, 0} {
		_, _ = fmt.Fprintf(w, "%08x", v)
	}
	_, _ = w.WriteString(name + "\x00")
	w.pad(headerBytes + len(name) + 1)
}

// pad brings what began at a multiple of four bytes to one.
func (w *archiveWriter) pad(size int) { _, _ = w.Write(make([]byte, (4-size%4)%4)) }
