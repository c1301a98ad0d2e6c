package main

import (
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// testBoard is a board with system 1 in slot A and system 2 in slot B, and nothing that runs on it.
func testBoard(t *testing.T, env string) *board {
	t.Helper()
	p := newPaths(t.TempDir())
	b := &board{paths: p, show: &show{out: io.Discard}}
	b.agent = func() *exec.Cmd { return nil }
	b.app = b.agent
	for _, dir := range []string{p.slots(), p.run} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for slot, version := range map[string]string{"A": "1", "B": "2"} {
		if err := writeImage(p.slot(slot), version, true, 64<<10, [32]byte{}); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(p.bootEnv(), []byte(env), 0o644); err != nil {
		t.Fatal(err)
	}
	return b
}

func readText(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestBootDecides(t *testing.T) {
	for _, c := range []struct {
		name, env string
		boots     string // the slots of three boots in a row
		after     string
	}{
		{"primary", "primary=A\ntry=\ngood.A=1\ngood.B=0\n", "A A A", "primary=A\ntry=\ngood.A=1\ngood.B=0\n"},
		{"a try is one boot", "primary=A\ntry=B\ngood.A=1\ngood.B=0\n", "B A A", "primary=A\ntry=\ngood.A=1\ngood.B=0\n"},
		{"confirmed", "primary=B\ntry=\ngood.A=1\ngood.B=1\n", "B B B", "primary=B\ntry=\ngood.A=1\ngood.B=1\n"},
		{"unknown lines stay", "primary=A\ntry=B\nserial=7\n", "B A A", "primary=A\ntry=\nserial=7\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := testBoard(t, c.env)
			var slots, ids []string
			for range 3 {
				if err := b.powerOn(); err != nil {
					t.Fatal(err)
				}
				last := b.boots[len(b.boots)-1]
				slots, ids = append(slots, last.Slot), append(ids, last.ID)
				if got := readText(t, b.paths.booted()); got != last.Slot+"\n" {
					t.Errorf("booted says %q in slot %s", got, last.Slot)
				}
				if got := readText(t, b.paths.bootID()); !strings.HasPrefix(got, last.ID+"\n") {
					t.Errorf("boot_id says %q, want %s and when that boot began", got, last.ID)
				}
				if err := b.cutPower(); err != nil {
					t.Fatal(err)
				}
			}
			if got := strings.Join(slots, " "); got != c.boots {
				t.Errorf("booted %s, want %s", got, c.boots)
			}
			if ids[0] == ids[1] || ids[1] == ids[2] {
				t.Errorf("boot IDs repeat: %v", ids)
			}
			if got := readText(t, b.paths.bootEnv()); got != c.after {
				t.Errorf("boot environment %q, want %q", got, c.after)
			}
		})
	}
}

// A try is cleared before the slot is booted: a slot that does not even start gets one boot, and a power cut between
// the two costs the try, not the board.
func TestTryOfABadSlotFallsBack(t *testing.T) {
	b := testBoard(t, "primary=A\ntry=B\ngood.A=1\ngood.B=0\n")
	if err := os.Truncate(b.paths.slot("B"), 5000); err != nil {
		t.Fatal(err)
	}
	if err := b.powerOn(); err != nil {
		t.Fatal(err)
	}
	if last := b.boots[len(b.boots)-1]; last.Slot != "A" || last.Try {
		t.Errorf("booted %+v, want primary A", last)
	}
	if m := b.system.Load(); m == nil || m.Version != "1" {
		t.Errorf("the booted system is %+v, want version 1", m)
	}
}

func TestBoardIsLostOnlyWithoutAWholePrimary(t *testing.T) {
	for name, spoil := range map[string]func(*testing.T, *board){
		"torn slot":      func(t *testing.T, b *board) { flipByte(t, b.paths.slot("A"), 10_000) },
		"torn manifest":  func(t *testing.T, b *board) { flipByte(t, b.paths.slot("A"), 3) },
		"no slot":        func(t *testing.T, b *board) { remove(t, b.paths.slot("A")) },
		"no environment": func(t *testing.T, b *board) { remove(t, b.paths.bootEnv()) },
	} {
		t.Run(name, func(t *testing.T) {
			b := testBoard(t, "primary=A\ntry=\ngood.A=1\ngood.B=0\n")
			spoil(t, b)
			if err := b.powerOn(); !errors.Is(err, errBricked) {
				t.Errorf("boot: %v, want %v", err, errBricked)
			}
			if _, err := b.trouble(); !errors.Is(err, errBricked) {
				t.Errorf("trouble: %v, want %v", err, errBricked)
			}
		})
	}
}

func flipByte(t *testing.T, path string, at int64) {
	t.Helper()
	b := []byte(readText(t, path))
	b[at] ^= 1
	if err := os.WriteFile(path, b, 0o644); err != nil {
		t.Fatal(err)
	}
}

func remove(t *testing.T, path string) {
	t.Helper()
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
}

// What a boot leaves in memory is gone after the next one; the flash stays.
func TestPowerCutEmptiesMemory(t *testing.T) {
	b := testBoard(t, "primary=A\ntry=\n")
	if err := b.powerOn(); err != nil {
		t.Fatal(err)
	}
	volatile, durable := filepath.Join(b.paths.run, "left"), filepath.Join(b.paths.flash, "left")
	for _, path := range []string{volatile, durable} {
		if err := os.WriteFile(path, nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(b.cutPower(), b.powerOn()); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(volatile); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("after a boot, %s: %v, want it gone", volatile, err)
	}
	if _, err := os.Stat(durable); err != nil {
		t.Error(err)
	}
}

func TestBootEnvRefusesATornFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "bootenv")
	for _, text := range []string{"", "primary=A\ntry=", strings.Repeat("a=b\n", 2000)} {
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if env, err := readBootEnv(path); err == nil {
			t.Errorf("%d bytes without a proper end were read as %q", len(text), env)
		}
	}
}
