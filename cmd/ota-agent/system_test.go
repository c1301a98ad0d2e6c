package main

import (
	"fmt"
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

// TestSimulatedBoot: a board that is simulated on a host which runs for long has an uptime of its own in each boot.
func TestSimulatedBoot(t *testing.T) {
	host, err := newSystem(settings{bootID: defaultBootID})
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "boot_id")
	simulated := func(began time.Duration) system {
		text := fmt.Sprintf("boot-7\n%.2f\n", began.Seconds())
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		s, err := newSystem(settings{bootID: path})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	s := simulated(host.Uptime())
	if up := s.Uptime(); s.BootID() != "boot-7" || up > host.Uptime()/2 {
		t.Errorf("boot %q is %s old on a host that is up for %s", s.BootID(), up, host.Uptime())
	}
	if up := simulated(host.Uptime() + time.Hour).Uptime(); up != 0 {
		t.Errorf("a boot that has not begun yet is %s old", up)
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
	untimed := filepath.Join(t.TempDir(), "untimed")
	if err := os.WriteFile(untimed, []byte("boot-7\nyesterday\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{untimed, empty, long, filepath.Join(t.TempDir(), "none"), t.TempDir()} {
		if s, err := newSystem(settings{bootID: path}); err == nil || exitCode(err) != exitConfig {
			t.Errorf("%s gave %q, %v", path, s.bootID, err)
		}
	}
}
