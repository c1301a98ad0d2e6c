package main

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

func TestTreeSeesEveryChange(t *testing.T) {
	write := func(t *testing.T, path, text string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for name, c := range map[string]struct {
		change func(t *testing.T, dir string)
		want   []string
	}{
		"nothing": {func(*testing.T, string) {}, nil},
		"same bytes written again": {func(t *testing.T, dir string) {
			write(t, filepath.Join(dir, "a"), "one")
			now := time.Now().Add(time.Second)
			if err := os.Chtimes(filepath.Join(dir, "a"), now, now); err != nil {
				t.Fatal(err)
			}
		}, []string{"a"}},
		"other bytes, same time": {func(t *testing.T, dir string) {
			info, err := os.Stat(filepath.Join(dir, "a"))
			if err != nil {
				t.Fatal(err)
			}
			write(t, filepath.Join(dir, "a"), "two")
			if err := os.Chtimes(filepath.Join(dir, "a"), info.ModTime(), info.ModTime()); err != nil {
				t.Fatal(err)
			}
		}, []string{"a"}},
		"removed": {func(t *testing.T, dir string) { remove(t, filepath.Join(dir, "a")) }, []string{".", "a"}},
		"added":   {func(t *testing.T, dir string) { write(t, filepath.Join(dir, "b"), "") }, []string{".", "b"}},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			write(t, filepath.Join(dir, "a"), "one")
			before, err := readTree(dir)
			if err != nil {
				t.Fatal(err)
			}
			// A directory's time has a step of its own; without this its change could fall into the same one.
			old := time.Now().Add(-time.Hour)
			if name == "removed" || name == "added" {
				if err := os.Chtimes(dir, old, old); err != nil {
					t.Fatal(err)
				}
				if before, err = readTree(dir); err != nil {
					t.Fatal(err)
				}
			}
			c.change(t, dir)
			after, err := readTree(dir)
			if err != nil {
				t.Fatal(err)
			}
			got := before.changes(after)
			slices.Sort(got)
			if !slices.Equal(got, c.want) {
				t.Errorf("changed: %v, want %v", got, c.want)
			}
		})
	}
}

func TestHashFirst(t *testing.T) {
	path := filepath.Join(t.TempDir(), "slot")
	if err := os.WriteFile(path, []byte("abcdef"), 0o644); err != nil {
		t.Fatal(err)
	}
	const abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad" // FIPS 180-2, example B.1
	if got := hashFirst(path, 3); got != abc {
		t.Errorf("hash of abc is %s", got)
	}
	if got := hashFirst(path, 7); len(got) == len(abc) {
		t.Errorf("hash of 7 bytes out of 6 is %s", got)
	}
}

func TestImageReadsBack(t *testing.T) {
	path := filepath.Join(t.TempDir(), "image")
	if err := writeImage(path, "7", false, 1<<20, [32]byte{1}); err != nil {
		t.Fatal(err)
	}
	m, err := readManifest(path)
	if err != nil || m.Version != "7" || m.Healthy || m.Bytes != 1<<20 {
		t.Fatalf("manifest %+v, %v", m, err)
	}
	// A slot may be longer than its image, but not shorter.
	f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString("left from a longer image"); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := readManifest(path); err != nil {
		t.Errorf("a longer slot: %v", err)
	}
	if err := os.Truncate(path, 1<<20-1); err != nil {
		t.Fatal(err)
	}
	if _, err := readManifest(path); err == nil {
		t.Error("a slot that is one byte short boots")
	}
}
