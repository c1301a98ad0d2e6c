package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ota-agent/ota-agent/storage"
)

// What the suite's protocol (row K) says of DIR and of the command line.

func TestInitTwice(t *testing.T) {
	s, d := newTrusting(t)
	s.publish("root")
	d.refresh(0)
	d.init(0, s.files["root"][0])
	d.wantTrusted("root 2, snapshot 1, targets 1, timestamp 1")
	other, _ := newInner(t)
	d.init(1, other.last("root"))
	d.init(1, s.last("root")) // a newer root of the same repository comes by a refresh
	d.wantTrusted("root 2, snapshot 1, targets 1, timestamp 1")
	d.refresh(0)
}

// newInner is a second repository of a test.
func newInner(t *testing.T) (s *simulator, root []byte) {
	s = newSimulator(t)
	s.rotate("root")
	s.forget("root")
	s.publish("root")
	return s, s.last("root")
}

func TestInitOfWhatIsNoFile(t *testing.T) {
	_, d := newScene(t)
	d.run(1, "--metadata-dir", d.dir, "init", filepath.Join(d.dir, "nothing"))
	d.run(1, "--metadata-dir", d.dir, "init", d.dir)
	d.init(1, bytes.Repeat([]byte(" "), 1<<20))
	d.wantTrusted("")
}

func TestRefreshWithoutInit(t *testing.T) {
	_, d := newScene(t)
	d.refresh(1)
	d.wantAsked()
	d.wantTrusted("")
}

func TestOneProcessAtATime(t *testing.T) {
	_, d := newTrusting(t)
	store, err := storage.Open(d.dir, storage.Options{})
	if err != nil {
		t.Fatal(err)
	}
	d.refresh(1)
	d.wantAsked()
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	d.refresh(0)
}

func TestExportedCopiesArePutRight(t *testing.T) {
	s, d := newTrusting(t)
	s.delegate("targets", "delegated", false, "*")
	s.docs["targets"]["x-filler"] = strings.Repeat("x", 100<<10) // so large that it is kept as a file of its own
	s.add("delegated", "file", "content")
	s.publish("root", "delegated", "targets", "snapshot", "timestamp")
	d.download(0, "file")
	d.wantAsked("2.root.json", "3.root.json", "timestamp.json", "2.snapshot.json", "2.targets.json", "1.delegated.json")
	for name, spoil := range map[string]func(file string) error{
		"removed":       os.Remove,
		"changed":       func(file string) error { return os.WriteFile(file, []byte("{}"), 0o600) },
		"an older root": func(file string) error { return os.WriteFile(file, s.files["root"][0], 0o600) },
	} {
		for _, file := range d.exported() {
			if err := spoil(filepath.Join(d.dir, file)); err != nil {
				t.Fatal(err)
			}
		}
		d.download(0, "file")
		d.wantAsked("3.root.json", "timestamp.json")
		for _, role := range []string{"root", "timestamp", "snapshot", "targets", "delegated"} {
			d.wantFile(role, s.last(role))
		}
		if t.Failed() {
			t.Fatal(name)
		}
	}
}

func TestWhatWasNeverTrustedIsNotTakenFromTheCopies(t *testing.T) {
	s, d := newTrusting(t)
	forged, root := newInner(t)
	for role, file := range map[string][]byte{"root": root, "timestamp": forged.last("timestamp"),
		"snapshot": forged.last("snapshot"), "targets": forged.last("targets"), "stray": root} {
		if err := os.WriteFile(filepath.Join(d.dir, role+".json"), file, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	os.Remove(filepath.Join(d.dir, "stray.json"))
	d.refresh(0)
	d.wantTrusted("root 1, snapshot 1, targets 1, timestamp 1")
	d.wantFile("root", s.last("root"))
}

func TestAFullBoundOfRoots(t *testing.T) {
	s, d := newTrusting(t)
	for range 257 {
		s.publish("root")
	}
	d.run(0, "--metadata-url", s.base+"metadata/", "--metadata-dir", d.dir, "refresh")
	d.wantTrusted("root 257, snapshot 1, targets 1, timestamp 1")
	if !strings.Contains(d.said, "refresh again") {
		t.Errorf("it says %q, want that there may be more roots", d.said)
	}
	d.refresh(0)
	d.wantTrusted("root 258, snapshot 1, targets 1, timestamp 1")
}

func TestEndlessMetadata(t *testing.T) {
	s, d := newTrusting(t)
	d.refresh(0)
	s.put("timestamp", [][]byte{append(slices.Clone(s.last("timestamp")), bytes.Repeat([]byte(" "), 1<<20)...)})
	d.refresh(1)
	d.wantTrusted("root 1, snapshot 1, targets 1, timestamp 1")
}

func TestWebPageInPlaceOfMetadata(t *testing.T) {
	s, d := newTrusting(t)
	s.put("timestamp", [][]byte{[]byte("<html>log in</html>")})
	d.refresh(1)
	d.wantTrusted("root 1")
}

func TestUsage(t *testing.T) {
	_, d := newTrusting(t)
	for name, args := range map[string][]string{
		"nothing":                {},
		"no verb":                {"--metadata-dir", d.dir},
		"unknown verb":           {"--metadata-dir", d.dir, "update"},
		"unknown option":         {"--offline", "--metadata-dir", d.dir, "refresh"},
		"option behind the verb": {"--metadata-dir", d.dir, "refresh", "--metadata-url", d.s.base},
		"init without a file":    {"--metadata-dir", d.dir, "init"},
		"init with two files":    {"--metadata-dir", d.dir, "init", "a", "b"},
		"refresh without DIR":    {"--metadata-url", d.s.base, "refresh"},
		"refresh without a URL":  {"--metadata-dir", d.dir, "refresh"},
		"not a URL":              {"--metadata-dir", d.dir, "--metadata-url", "::", "refresh"},
		"download of nothing": {"--metadata-dir", d.dir, "--metadata-url", d.s.base, "--target-dir", d.targets,
			"--target-base-url", d.s.base, "download"},
		"download of no name": {"--metadata-dir", d.dir, "--metadata-url", d.s.base, "--target-name", "", "--target-dir", d.targets,
			"--target-base-url", d.s.base, "download"},
		"download without TDIR": {"--metadata-dir", d.dir, "--metadata-url", d.s.base, "--target-name", "a",
			"--target-base-url", d.s.base, "download"},
		"download without TURL": {"--metadata-dir", d.dir, "--metadata-url", d.s.base, "--target-name", "a",
			"--target-dir", d.targets, "download"},
	} {
		d.run(1, args...)
		if t.Failed() {
			t.Fatal(name)
		}
	}
	d.wantAsked()
	d.wantTrusted("root 1")
}

func TestHelp(t *testing.T) {
	var said bytes.Buffer
	if status := run(t.Context(), []string{"--help"}, &said); status != 0 || said.String() != usage {
		t.Errorf("exit status %d, and it says %q", status, said.String())
	}
}

func TestPanicIsAFailure(t *testing.T) {
	var none context.Context // the clock can't work with it
	var said bytes.Buffer
	if status := run(none, []string{"--metadata-dir", t.TempDir(), "init", "x"}, &said); status != 1 ||
		!strings.Contains(said.String(), "internal error") || strings.Count(said.String(), "\n") != 1 {
		t.Errorf("exit status %d, and it says %q; want 1 and one line", status, said.String())
	}
}

func TestSeconds(t *testing.T) {
	for s, want := range map[string]time.Time{
		"0\n":            time.Unix(0, 0),
		"1906545600\n":   start(),
		"253402300799\n": time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC),
	} {
		if got, err := readSeconds(s); err != nil || !got.Equal(want) {
			t.Errorf("%q: %v (%v), want %v", s, got, err, want)
		}
	}
	for _, s := range []string{"", "\n", "-1\n", "1.5\n", "1e9\n", " 1\n", "1\n\n", "253402300800\n", "99999999999999999999\n",
		"Mon Jan  1\n"} {
		if got, err := readSeconds(s); err == nil {
			t.Errorf("%q: %v, want an error", s, got)
		}
	}
}

func TestRealDate(t *testing.T) {
	before := time.Now().Truncate(time.Second)
	now, err := clock(t.Context())
	if err != nil || now.Before(before) || now.After(time.Now()) {
		t.Errorf("%v (%v), want the time", now, err)
	}
}

func FuzzLocalName(f *testing.F) {
	for _, name := range []string{"", ".", "..", "root", "%", "a/b", "\x00", ".hidden", strings.Repeat("x", 300)} {
		f.Add(name, name+"x")
	}
	f.Fuzz(func(t *testing.T, a, b string) {
		if name := targetName(a); a != "" && (name == "" || name[0] == '.' || len(name) > nameBytesMax || strings.ContainsAny(name, "/\x00")) {
			t.Errorf("%q gets the file name %q", a, name)
		}
		if a != b && targetName(a) == targetName(b) {
			t.Errorf("%q and %q share the file name %q", a, b, targetName(a))
		}
	})
}
