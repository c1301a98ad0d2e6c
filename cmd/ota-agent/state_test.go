package main

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestStateMountMustBeThere: a marker need only be there, and a directory must have something mounted on it,
// whatever its name.
func TestStateMountMustBeThere(t *testing.T) {
	dir := t.TempDir()
	marker, odd := filepath.Join(dir, "marker"), filepath.Join(dir, `with space\and 012`)
	if err := errors.Join(os.WriteFile(marker, nil, 0o600), os.Mkdir(odd, 0o700), os.Symlink(odd, filepath.Join(dir, "link"))); err != nil {
		t.Fatal(err)
	}
	check := func(path string, there bool) {
		t.Helper()
		s := settings{stateMount: path, state: filepath.Join(dir, "state")}
		if err := preflightState(s); there != (err == nil) || err != nil && exitCode(err) != exitStateMount {
			t.Errorf("%s: exit code %d: %v", path, exitCode(err), err)
		}
	}
	check("", true)
	check("/", true)
	check(marker, true)
	check(filepath.Join(dir, "none"), false)
	check(dir, false)
	check(odd, false)
	if err := unix.Mount("tmpfs", odd, "tmpfs", 0, "size=64k"); err != nil {
		t.Skipf("mounting needs root: %v", err)
	}
	check(odd, true)
	check(filepath.Join(dir, "link"), true)
	if err := unix.Unmount(odd, 0); err != nil {
		t.Fatal(err)
	}
	check(odd, false)
}

// TestWatchStateSeesALateMount: what ends the agent is seen at once, by a change of the mounts alone.
func TestWatchStateSeesALateMount(t *testing.T) {
	dir := t.TempDir()
	ctx, stop := context.WithTimeout(context.Background(), 20*time.Second) // before strayEvery is over
	defer stop()
	looks, covered := make(chan struct{}, 8), errors.New("covered")
	astray := func() error {
		select {
		case looks <- struct{}{}:
		default:
		}
		var here, above unix.Stat_t
		if err := errors.Join(unix.Stat(dir, &here), unix.Stat(filepath.Dir(dir), &above)); err != nil {
			return err
		}
		if here.Dev != above.Dev {
			return covered
		}
		return nil
	}
	ended := make(chan error, 1)
	go func() { ended <- watchState(ctx, astray, slog.New(slog.DiscardHandler)) }()
	<-looks
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=64k"); err != nil {
		t.Skipf("mounting needs root: %v", err)
	}
	defer unix.Unmount(dir, unix.MNT_DETACH)
	if err := <-ended; !errors.Is(err, covered) {
		t.Errorf("it ended with %v", err)
	}
}
