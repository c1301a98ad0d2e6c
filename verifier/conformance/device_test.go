package main

import (
	"bytes"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"encoding/json"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// asClient, in the environment, makes the test's binary the command itself: each run is a process, as the suite's
// are.
const asClient = "OTA_CONFORMANCE_CLIENT"

// fakeTime is what the fake date prints, as under faketime.
const fakeTime = "OTA_CONFORMANCE_TIME"

// fakeDate is the directory of a date that prints fakeTime.
var fakeDate string

func TestMain(m *testing.M) {
	if os.Getenv(asClient) != "" {
		main()
	}
	os.Exit(test(m))
}

func test(m *testing.M) int {
	var err error
	if fakeDate, err = os.MkdirTemp("", "conformance"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(fakeDate)
	script := "#!/bin/sh\ntest \"$*\" = +%s && echo \"$" + fakeTime + "\"\n"
	if err := os.WriteFile(filepath.Join(fakeDate, "date"), []byte(script), 0o755); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	// The processes wait for the disk more than for a CPU.
	flag.Parse()
	if err := flag.Set("test.parallel", "12"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return m.Run()
}

// A device runs the command over directories of its own.
type device struct {
	t            *testing.T
	s            *simulator
	dir, targets string
	now          time.Time
	said         string // by the last run
}

// newScene is a repository with version 1 of each role, and a device that knows nothing yet.
func newScene(t *testing.T) (*simulator, *device) {
	t.Helper()
	t.Parallel()
	s, dir := newSimulator(t), t.TempDir()
	d := &device{t: t, s: s, dir: filepath.Join(dir, "metadata"), targets: filepath.Join(dir, "targets"), now: start()}
	for _, path := range []string{d.dir, d.targets} {
		if err := os.Mkdir(path, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return s, d
}

// newTrusting is a scene whose device has been given root 1.
func newTrusting(t *testing.T) (*simulator, *device) {
	t.Helper()
	s, d := newScene(t)
	d.init(0, s.files["root"][0])
	return s, d
}

// run runs the command and checks its exit status, and what holds after each run.
func (d *device) run(status int, args ...string) {
	d.t.Helper()
	self, err := os.Executable()
	if err != nil {
		d.t.Fatal(err)
	}
	cmd := exec.Command(self, args...)
	cmd.Env = append(os.Environ(), asClient+"=1", fmt.Sprintf("%s=%d", fakeTime, d.now.Unix()), "PATH="+fakeDate)
	d.s.mu.Lock()
	d.s.wrong = nil
	d.s.mu.Unlock()
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Run(); err != nil && cmd.ProcessState == nil {
		d.t.Fatal(err)
	}
	d.said = said.String()
	if got := cmd.ProcessState.ExitCode(); got != status {
		d.t.Fatalf("%v: exit status %d, want %d; it says: %s", args, got, status, d.said)
	}
	lines := 1
	if strings.Contains(d.said, "agent.db was missing beside floors") { // it tells of what it repaired, too
		lines++
	}
	if status != 0 && (!strings.HasPrefix(d.said, "conformance: ") || strings.Count(d.said, "\n") != lines) {
		d.t.Errorf("exit status %d, and it says %q, want %d lines", status, d.said, lines)
	}
	d.s.mu.Lock()
	defer d.s.mu.Unlock()
	if len(d.s.wrong) > 0 {
		d.t.Errorf("requests against the protocol: %q", d.s.wrong)
	}
}

func (d *device) init(status int, root []byte) {
	d.t.Helper()
	file := filepath.Join(d.t.TempDir(), "initial_root.json")
	if err := os.WriteFile(file, root, 0o644); err != nil {
		d.t.Fatal(err)
	}
	d.run(status, "--metadata-dir", d.dir, "init", file)
}

func (d *device) refresh(status int) {
	d.t.Helper()
	d.run(status, "--metadata-url", d.s.base+"metadata/", "--metadata-dir", d.dir, "refresh")
}

func (d *device) download(status int, paths ...string) {
	d.t.Helper()
	args := []string{"--metadata-url", d.s.base + "metadata/", "--metadata-dir", d.dir}
	for _, path := range paths {
		args = append(args, "--target-name", path)
	}
	d.run(status, append(args, "--target-dir", d.targets, "--target-base-url", d.s.base+"targets/", "download")...)
}

// wantTrusted compares all exported files but those of delegated roles, whose names are the client's own affair:
// of them it compares how many there are.
func (d *device) wantTrusted(want string, delegated ...int) {
	d.t.Helper()
	var top []string
	others := 0
	for _, name := range d.exported() {
		b, err := os.ReadFile(filepath.Join(d.dir, name))
		if err != nil {
			d.t.Fatal(err)
		}
		var file struct{ Signed struct{ Version int } }
		if err := json.Unmarshal(b, &file); err != nil {
			d.t.Fatalf("%s: %v", name, err)
		}
		switch role := strings.TrimSuffix(name, ".json"); role {
		case "root", "timestamp", "snapshot", "targets":
			top = append(top, fmt.Sprintf("%s %d", role, file.Signed.Version))
		default:
			others++
		}
	}
	if got := strings.Join(top, ", "); got != want {
		d.t.Errorf("trusted: %s; want %s", got, want)
	}
	if wantOthers := append(delegated, 0)[0]; others != wantOthers {
		d.t.Errorf("%d delegated roles trusted, want %d", others, wantOthers)
	}
}

// exported lists what a suite takes for trusted roles.
func (d *device) exported() []string {
	entries, err := os.ReadDir(d.dir)
	if err != nil {
		d.t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), ".json") {
			names = append(names, e.Name())
		}
	}
	return names
}

// wantFile compares an exported file with what was published, byte for byte.
func (d *device) wantFile(role string, want []byte) {
	d.t.Helper()
	got, err := os.ReadFile(filepath.Join(d.dir, role+".json"))
	if err != nil || !bytes.Equal(got, want) {
		d.t.Errorf("%s.json: %d bytes (%v), want the %d that were published", role, len(got), err, len(want))
	}
}

// wantAsked compares the metadata requests since it was called last, all of them and in order.
func (d *device) wantAsked(want ...string) {
	d.t.Helper()
	if got := d.s.metadataAsked(); !slices.Equal(got, want) {
		d.t.Errorf("asked for %q, want %q", got, want)
	}
}

// wantLastAsked compares the last metadata request.
func (d *device) wantLastAsked(want string) {
	d.t.Helper()
	if got := d.s.metadataAsked(); len(got) == 0 || got[len(got)-1] != want {
		d.t.Errorf("asked for %q, want %q last", got, want)
	}
}

// wantImagesAsked compares the requests for targets since it was called last.
func (d *device) wantImagesAsked(want ...string) {
	d.t.Helper()
	d.s.mu.Lock()
	got := d.s.askedImages
	d.s.askedImages = nil
	d.s.mu.Unlock()
	if !slices.Equal(got, want) {
		d.t.Errorf("asked for the targets %q, want %q", got, want)
	}
}

// wantGot compares the contents of all files in TDIR, in any order: a file system's clock is too coarse to say which of two was
// written last. wantImagesAsked has the order.
func (d *device) wantGot(want ...string) {
	d.t.Helper()
	var got []string
	err := filepath.WalkDir(d.targets, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		got = append(got, string(b))
		return err
	})
	if err != nil {
		d.t.Fatal(err)
	}
	slices.Sort(got)
	if !slices.Equal(got, slices.Sorted(slices.Values(want))) {
		d.t.Errorf("target files %q, want %q in any order", got, want)
	}
}

// digest is a hash in hex; of an algorithm that nobody knows, any hex will do.
func digest(algorithm, content string) string {
	if algorithm == "sha256" {
		sum := sha256.Sum256([]byte(content))
		return hex.EncodeToString(sum[:])
	}
	sum := sha512.Sum512([]byte(content))
	return hex.EncodeToString(sum[:])
}
