package hooktest

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// wrapper is put in the place of a command. A sync, and a dd with conv=fsync, adds to CUT_STATE what has become
// durable: of a file its content, under f.INODE, and of a directory its names, under d.INODE. A link to each file
// keeps its inode number from being given away.
const wrapper = `#!/bin/sh
echo "NAME $*" >>"$CUT_LOG"
read -r left <"$CUT_AT"
echo $((left - 1)) >"$CUT_AT"
[ "$left" != 1 ] || kill -9 0
REAL "$@" || exit
case NAME in
sync) ;;
dd) case " $* " in *" conv="*fsync*) ;; *) exit ;; esac ;;
*) exit ;;
esac
for path; do
	case $path in if=* | bs=* | conv=*) continue ;; esac
	path=${path#of=}
	inode=$(stat -c %i "$path")
	if [ -d "$path" ]; then
		find "$path" -mindepth 1 -maxdepth 1 -printf '%i %y %m %f\t%l\n' >"$CUT_STATE/d.$inode"
	else
		/bin/ln "$path" "$CUT_STATE/keep.$inode" 2>/dev/null
		/bin/cp -p "$path" "$CUT_STATE/f.$inode"
	fi
done
`

func writeExecutable(t *testing.T, path, body string) {
	t.Helper()
	// A child that another test forks meanwhile must not inherit the open file: executing it would fail.
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	if err := os.WriteFile(path, []byte(body), 0o755); err != nil {
		t.Fatal(err)
	}
}

// recordTree notes a whole tree as durable, in the form in which the wrapper does.
func recordTree(t *testing.T, dir, state string) {
	t.Helper()
	check(t, os.RemoveAll(state))
	check(t, os.MkdirAll(state, 0o700))
	check(t, filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		inode := inodeOf(t, path)
		switch {
		case e.IsDir():
			return os.WriteFile(filepath.Join(state, "d."+inode), listing(t, path), 0o600)
		case e.Type().IsRegular():
			if err := os.Link(path, filepath.Join(state, "keep."+inode)); err != nil {
				return err
			}
			return copyFile(path, filepath.Join(state, "f."+inode))
		}
		return nil
	}))
}

// listing is a directory in the form of the wrapper's find.
func listing(t *testing.T, dir string) []byte {
	t.Helper()
	entries, err := os.ReadDir(dir)
	check(t, err)
	var b []byte
	for _, e := range entries {
		path := filepath.Join(dir, e.Name())
		info, err := e.Info()
		check(t, err)
		kind, target := "f", ""
		switch {
		case e.IsDir():
			kind = "d"
		case e.Type()&fs.ModeSymlink != 0:
			kind = "l"
			target, err = os.Readlink(path)
			check(t, err)
		}
		b = fmt.Appendf(b, "%s %s %o %s\t%s\n", inodeOf(t, path), kind, info.Mode().Perm(), e.Name(), target)
	}
	return b
}

// rebuildTree makes the tree that a power cut leaves of dir: a name is there if its directory was synced with it, and
// a file that was not synced is empty.
func rebuildTree(t *testing.T, dir, state, to string) {
	t.Helper()
	check(t, os.MkdirAll(to, 0o755))
	rebuild(t, inodeOf(t, dir), state, to)
}

func rebuild(t *testing.T, inode, state, to string) {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(state, "d."+inode))
	if errors.Is(err, fs.ErrNotExist) {
		return // the directory was never synced: it is empty
	}
	check(t, err)
	for line := range strings.Lines(string(b)) {
		head, target, ok := strings.Cut(strings.TrimSuffix(line, "\n"), "\t")
		fields := strings.SplitN(head, " ", 4)
		if !ok || len(fields) != 4 {
			t.Fatalf("malformed listing: %q", line)
		}
		mode, err := strconv.ParseUint(fields[2], 8, 32)
		check(t, err)
		path := filepath.Join(to, fields[3])
		switch fields[1] {
		case "d":
			check(t, os.Mkdir(path, fs.FileMode(mode)))
			rebuild(t, fields[0], state, path)
		case "l":
			check(t, os.Symlink(target, path))
		default:
			err := copyFile(filepath.Join(state, "f."+fields[0]), path)
			if errors.Is(err, fs.ErrNotExist) {
				err = os.WriteFile(path, nil, fs.FileMode(mode))
			}
			check(t, err)
		}
	}
}

// copyTree copies a directory: files, directories and symbolic links, with their modes.
func copyTree(t *testing.T, from, to string) {
	t.Helper()
	check(t, filepath.WalkDir(from, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		below, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		copied := filepath.Join(to, below)
		switch {
		case e.IsDir():
			return os.MkdirAll(copied, 0o755)
		case e.Type()&fs.ModeSymlink != 0:
			target, err := os.Readlink(path)
			if err != nil {
				return err
			}
			return os.Symlink(target, copied)
		}
		return copyFile(path, copied)
	}))
}

// replaceTree makes a directory's content a copy of another's; the directory itself stays the same one.
func replaceTree(t *testing.T, from, to string) {
	t.Helper()
	entries, err := os.ReadDir(to)
	check(t, err)
	for _, e := range entries {
		check(t, os.RemoveAll(filepath.Join(to, e.Name())))
	}
	copyTree(t, from, to)
}

// fingerprint is equal for equal trees.
func fingerprint(t *testing.T, dir string) string {
	t.Helper()
	h := sha256.New()
	check(t, filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		var content []byte
		switch {
		case e.Type()&fs.ModeSymlink != 0:
			target, err := os.Readlink(path)
			if err != nil {
				return err
			}
			content = []byte(target)
		case !e.IsDir():
			if content, err = os.ReadFile(path); err != nil {
				return err
			}
		}
		fmt.Fprintf(h, "%q %v %x\n", strings.TrimPrefix(path, dir), info.Mode(), sha256.Sum256(content))
		return nil
	}))
	return string(h.Sum(nil))
}

func copyFile(from, to string) error {
	info, err := os.Stat(from)
	if err != nil {
		return err
	}
	b, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return os.WriteFile(to, b, info.Mode().Perm())
}

func inodeOf(t *testing.T, path string) string {
	t.Helper()
	var s syscall.Stat_t
	check(t, syscall.Lstat(path, &s))
	return strconv.FormatUint(s.Ino, 10)
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
