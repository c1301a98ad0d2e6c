package main

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

func TestSystemReadsThisMachine(t *testing.T) {
	s, err := newSystem(settings{bootID: defaultBootID})
	if err != nil {
		t.Fatal(err)
	}
	if len(s.BootID()) != 36 {
		t.Errorf("boot ID %q", s.BootID())
	}
	first := s.Uptime()
	if second := s.Uptime(); first <= 0 || second < first {
		t.Errorf("uptime %s, then %s", first, second)
	}
	if now, _ := s.Clock(); time.Since(now).Abs() > time.Minute {
		t.Errorf("clock %s", now)
	}
}

func TestBootIDMustBeThere(t *testing.T) {
	empty := filepath.Join(t.TempDir(), "empty")
	if err := os.WriteFile(empty, []byte(" \n"), 0o600); err != nil {
		t.Fatal(err)
	}
	long := filepath.Join(t.TempDir(), "long")
	if err := os.WriteFile(long, make([]byte, bootIDBytesMax+1), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{empty, long, filepath.Join(t.TempDir(), "none"), t.TempDir()} {
		if s, err := newSystem(settings{bootID: path}); err == nil || exitCode(err) != exitConfig {
			t.Errorf("%s gave %q, %v", path, s.bootID, err)
		}
	}
}
