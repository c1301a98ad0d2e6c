package local

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestListenReplacesWhatADeadProcessLeft(t *testing.T) {
	path := filepath.Join(t.TempDir(), "run", "agent.sock")
	for round := range 3 {
		l, err := Listen(path)
		if err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		info, err := os.Lstat(path)
		if err != nil || info.Mode() != os.ModeSocket|socketMode {
			t.Errorf("round %d: %v, %v; want a socket with mode %o", round, info.Mode(), err, socketMode)
		}
		l.(*listener).UnixListener.Close() // as the kernel does for a process that is killed
	}
	// So does a kill between bind and rename.
	unfinished, err := net.Listen("unix", path+temporarySuffix)
	if err != nil {
		t.Fatal(err)
	}
	unfinished.(*net.UnixListener).SetUnlinkOnClose(false)
	unfinished.Close()
	l, err := Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
}

func TestListenRefuses(t *testing.T) {
	dir := t.TempDir()
	t.Run("a living socket", func(t *testing.T) {
		path := filepath.Join(dir, "living")
		l, err := Listen(path)
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		if second, err := Listen(path); !errors.Is(err, ErrInUse) {
			t.Errorf("got %v, %v; want ErrInUse", second, err)
		}
		if c, err := net.Dial("unix", path); err != nil {
			t.Errorf("the first one is gone: %v", err)
		} else {
			c.Close()
		}
	})
	t.Run("a file", func(t *testing.T) {
		path := filepath.Join(dir, "file")
		if err := os.WriteFile(path, []byte("precious"), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Listen(path); err == nil {
			t.Error("a file was replaced")
		}
		if b, err := os.ReadFile(path); err != nil || string(b) != "precious" {
			t.Errorf("the file is %q, %v", b, err)
		}
	})
	t.Run("a long path", func(t *testing.T) {
		path := filepath.Join(dir, strings.Repeat("x", 120))
		if _, err := Listen(path); err == nil || !strings.Contains(err.Error(), "kernel") {
			t.Errorf("got %v, want the kernel's limit named", err)
		}
	})
}
