package files

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// places makes one of each kind of thing in a directory, and opens it.
func places(t *testing.T) (*os.File, func(string) string) {
	t.Helper()
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, "in", name) }
	for _, err := range []error{
		os.Mkdir(filepath.Join(dir, "in"), 0o755),
		os.WriteFile(filepath.Join(dir, "secret"), []byte("secret"), 0o600),
		os.WriteFile(at("file"), []byte("text"), 0o644),
		os.WriteFile(at("empty"), nil, 0o644),
		os.WriteFile(at("shared"), []byte("text"), 0o644),
		os.Chmod(at("shared"), 0o666),
		os.Mkdir(at("directory"), 0o755),
		os.Symlink("../secret", at("link")),
		os.Symlink("link", at("chain")),
		os.Symlink("nothing", at("dangling")),
		os.Symlink("loop", at("loop")),
		os.Link(filepath.Join(dir, "secret"), at("hard")),
		syscall.Mkfifo(at("pipe"), 0o600),
		syscall.Mknod(at("socket"), syscall.S_IFSOCK|0o600, 0),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	opened, err := OpenDirectory(filepath.Join(dir, "in"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { opened.Close() })
	return opened, at
}

// soon fails a test whose reader waits for something.
func soon(t *testing.T, what string, do func() ([]byte, error)) (string, error) {
	t.Helper()
	type result struct {
		b   []byte
		err error
	}
	done := make(chan result, 1)
	go func() { b, err := do(); done <- result{b, err} }()
	select {
	case r := <-done:
		return string(r.b), r.err
	case <-time.After(10 * time.Second):
		t.Fatalf("%s: it blocks", what)
		return "", nil
	}
}

func TestReadPlaced(t *testing.T) {
	dir, _ := places(t)
	for name, want := range map[string]error{
		"file": nil, "empty": nil, "shared": nil, "directory": ErrNotRegular, "link": ErrNotRegular, "chain": ErrNotRegular, "dangling": ErrNotRegular,
		"loop": ErrNotRegular, "hard": ErrElsewhere, "pipe": ErrNotRegular, "socket": ErrNotRegular, "nothing": fs.ErrNotExist,
		"../secret": fs.ErrInvalid, "..": ErrNotRegular, ".": ErrNotRegular, "/etc/passwd": fs.ErrInvalid,
	} {
		text, err := soon(t, name, func() ([]byte, error) { return ReadPlaced(dir, name, 3) })
		if want == nil && err != nil || want != nil && (!errors.Is(err, want) && !(name == ".." && err != nil)) {
			t.Errorf("%s: got %v, want %v", name, err, want)
		}
		if strings.Contains(text, "sec") || (name == "file" && text != "tex") {
			t.Errorf("%s: read %q", name, text)
		}
	}
}

func TestReadOwn(t *testing.T) {
	_, at := places(t)
	for name, want := range map[string]error{
		"file": nil, "empty": nil, "shared": ErrForeign, "directory": ErrNotRegular, "link": ErrNotRegular, "hard": ErrElsewhere,
		"pipe": ErrNotRegular, "socket": ErrNotRegular, "nothing": fs.ErrNotExist, "none/nothing": fs.ErrNotExist,
	} {
		text, err := soon(t, name, func() ([]byte, error) { return ReadOwn(at(name), 100) })
		if want == nil && err != nil || want != nil && !errors.Is(err, want) || strings.Contains(text, "secret") {
			t.Errorf("%s: got %q, %v, want %v", name, text, err, want)
		}
	}
	if _, err := ReadOwn(at("file"), 3); !errors.Is(err, ErrTooLong) {
		t.Errorf("four bytes for three: %v", err)
	}
	if os.Geteuid() != 0 {
		t.Log("not root: a file of another user was not tried")
		return
	}
	if err := os.Chown(at("file"), 65534, 65534); err != nil {
		t.Fatal(err)
	}
	if _, err := ReadOwn(at("file"), 100); !errors.Is(err, ErrForeign) {
		t.Errorf("of another user: %v", err)
	}
}

func TestRead(t *testing.T) {
	_, at := places(t)
	for name, want := range map[string]error{
		"file": nil, "empty": nil, "link": nil, "chain": nil, "hard": nil, "directory": ErrNotRegular, "dangling": fs.ErrNotExist,
		"loop": syscall.ELOOP, "pipe": ErrNotRegular, "socket": syscall.ENXIO, "nothing": fs.ErrNotExist,
	} {
		_, err := soon(t, name, func() ([]byte, error) { return Read(at(name), 100) })
		if want == nil && err != nil || want != nil && !errors.Is(err, want) {
			t.Errorf("%s: got %v, want %v", name, err, want)
		}
	}
	if _, err := Read(at("file"), 3); !errors.Is(err, ErrTooLong) {
		t.Errorf("four bytes for three: %v", err)
	}
	if _, err := soon(t, "endless", func() ([]byte, error) { return Read("/dev/zero", 100) }); !errors.Is(err, ErrNotRegular) {
		t.Errorf("/dev/zero: %v", err)
	}
	// The kernel's own files say that they are empty.
	if b, err := Read("/proc/sys/kernel/random/boot_id", 100); err != nil || len(b) < 36 {
		t.Errorf("the boot ID: %q, %v", b, err)
	}
}

// What is written replaces a link, and does not follow it.
func TestWriteOwn(t *testing.T) {
	_, at := places(t)
	for _, name := range []string{"new", "link", "hard", "file", "pipe"} {
		if err := os.Symlink("../secret", at(name+temporarySuffix)); err != nil {
			t.Fatal(err)
		}
		if err := WriteOwn(at(name), []byte("mine")); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		info, err := os.Lstat(at(name))
		if err != nil || info.Mode() != 0o600 {
			t.Errorf("%s: %v, %v", name, info.Mode(), err)
		}
		if b, err := ReadOwn(at(name), 100); string(b) != "mine" || err != nil {
			t.Errorf("%s: %q, %v", name, b, err)
		}
		if _, err := os.Lstat(at(name + temporarySuffix)); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: the temporary file is left: %v", name, err)
		}
	}
	if b, _ := os.ReadFile(at("../secret")); string(b) != "secret" {
		t.Errorf("the secret is %q", b)
	}
	if err := WriteOwn(at("directory"), nil); err == nil {
		t.Error("a directory was replaced")
	} else if _, err := os.Lstat(at("directory" + temporarySuffix)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the temporary file is left: %v", err)
	}
}
