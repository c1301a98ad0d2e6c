package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ota-agent/ota-agent/agent"
	"github.com/ota-agent/ota-agent/agent/fetch"
	"github.com/ota-agent/ota-agent/storage"
	"github.com/ota-agent/ota-agent/verifier"
	"github.com/ota-agent/ota-agent/verifier/tuftest"
)

const (
	plainPath     = "board/app.tar"
	delegatedPath = "board/maker/firmware.bin"
)

// vaultOf is the vault of a device that has looked for two targets.
func vaultOf(t *testing.T, c *tuftest.Client) *vault {
	t.Helper()
	paths := []string{plainPath, delegatedPath, "board/not-listed"}
	for _, path := range paths {
		if _, err := c.Find(path); err != nil && !errors.Is(err, verifier.ErrNotListed) {
			t.Fatal(err)
		}
	}
	return &vault{paths: paths, anchor: c.Anchor, now: c.Now, document: func(k verifier.Key, _ int64) ([]byte, error) {
		if b, ok := c.Store.Documents[k]; ok {
			return b, nil
		}
		return nil, agent.ErrAbsent
	}}
}

// story is a repository with three roots, and a delegated role whose name no URL can have as it is.
func story(consistent bool) *tuftest.Repository {
	r := tuftest.New()
	r.Consistent = consistent
	r.Rotate(verifier.Root, "root-2")
	r.PublishRoot()
	r.Rotate(verifier.Timestamp, "timestamp-2")
	r.PublishRoot()
	r.Targets().Add(plainPath, []byte("the app"))
	maker := r.Delegate(verifier.Targets, tuftest.Delegation{Name: "3.root & maker", Paths: []string{"board/maker/*"}})
	maker.Add(delegatedPath, []byte("the firmware"))
	r.Publish(verifier.Targets, maker.Name)
	return r
}

func (v *vault) visitAll(t *testing.T, now time.Time) *tour {
	t.Helper()
	tour, err := v.tour(t.Context(), now)
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range v.paths {
		if _, err := tour.find(path); err != nil && !errors.Is(err, verifier.ErrNotListed) {
			t.Fatal(err)
		}
	}
	return tour
}

// What is exported is, byte for byte and name for name, what the repository had, and a repository itself.
func TestExportIsARepository(t *testing.T) {
	for name, consistent := range map[string]bool{"consistent snapshots": true, "plain names": false} {
		t.Run(name, func(t *testing.T) {
			r := story(consistent)
			tour := vaultOf(t, tuftest.NewClient(r)).visitAll(t, time.Time{})
			dir := filepath.Join(t.TempDir(), "new", "export")
			if err := writeFiles(dir, tour.files); err != nil {
				t.Fatal(err)
			}
			names := checkFiles(t, dir, r)
			if want := len(r.Roots) + 4; len(names) != want || len(r.Roots) != 3 {
				t.Errorf("%d files %q, want %d: the roots, timestamp, snapshot and two targets roles", len(names), names, want)
			}
			refreshFrom(t, dir, r)
		})
	}
}

func checkFiles(t *testing.T, dir string, r *tuftest.Repository) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		names = append(names, e.Name())
		got, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		if want := served(r, e.Name()); want == nil || !bytes.Equal(got, want) {
			t.Errorf("%s is not the file that the repository has under this name", e.Name())
		}
	}
	return names
}

// served is a file as the repository has it.
func served(r *tuftest.Repository, name string) []byte {
	for i, root := range r.Roots {
		if name == verifier.FileName(verifier.Root, int64(i+1)) {
			return root
		}
	}
	version := func(role *tuftest.Role) int64 {
		if r.Consistent {
			return role.Version
		}
		return 0
	}
	switch name {
	case "timestamp.json":
		return r.TimestampFile()
	case verifier.FileName(verifier.Snapshot, version(r.Snapshot)):
		return r.SnapshotFile()
	}
	for role := range r.Roles {
		if name == strings.NewReplacer("%20", " ", "%26", "&").Replace(verifier.FileName(role, version(r.Roles[role]))) {
			return r.RoleFile(role)
		}
	}
	return nil
}

// refreshFrom is another device whose repository is the directory.
func refreshFrom(t *testing.T, dir string, r *tuftest.Repository) {
	t.Helper()
	now := tuftest.Start().Add(time.Minute)
	from, err := fetch.New(fetch.Config{Metadata: []string{"file://" + dir}, Targets: []string{"file://" + dir}, Now: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	defer from.Close()
	store := tuftest.NewStore()
	answer := func(q verifier.Request) verifier.Answer {
		if q.Source == verifier.Stored {
			return store.Answer(q.Key)
		}
		b, err := from.Metadata(t.Context(), q.Name, q.BytesMax)
		switch {
		case errors.Is(err, agent.ErrAbsent):
			return verifier.Absent()
		case err != nil:
			return verifier.Failed(err)
		}
		return verifier.Bytes(b)
	}
	refresh, err := verifier.Begin(r.Anchor(), verifier.Floors{}, now, verifier.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	if err := verifier.Drive(refresh, answer, store.Commit); err != nil {
		t.Fatalf("refresh from the export: %v", err)
	}
	for path, content := range map[string]string{plainPath: "the app", delegatedPath: "the firmware"} {
		search := refresh.Find(path)
		if err := verifier.Drive(search, answer, store.Commit); err != nil {
			t.Fatalf("find %s in the export: %v", path, err)
		}
		found, err := search.Found()
		if err != nil || found.Target.Length != int64(len(content)) {
			t.Errorf("%s in the export: %+v, %v", path, found, err)
		}
	}
}

// What has expired is exported, and vouches for nothing.
func TestExpiredMetadata(t *testing.T) {
	v := vaultOf(t, tuftest.NewClient(story(true)))
	late := v.now.AddDate(0, 0, 100)
	if _, err := v.tour(t.Context(), late); !errors.Is(err, verifier.ErrExpired) || exitCode(err) != exitRefused {
		t.Errorf("expired metadata: %v, exit code %d", err, exitCode(err))
	}
	if tour := v.visitAll(t, time.Time{}); len(tour.files) != 7 {
		t.Errorf("%d files were exported, want 7", len(tour.files))
	}
}

func TestNothingTrustedYet(t *testing.T) {
	r := tuftest.New()
	v := vault{anchor: r.Anchor(), document: func(verifier.Key, int64) ([]byte, error) { return nil, agent.ErrAbsent }}
	if _, err := v.tour(t.Context(), time.Time{}); exitCode(err) != exitRefused || !strings.Contains(hintFor(err), "ota-agent check") {
		t.Errorf("got %v, exit code %d", err, exitCode(err))
	}
	v.document = func(verifier.Key, int64) ([]byte, error) { return nil, errors.New("the disk fails") }
	if _, err := v.tour(t.Context(), time.Time{}); err == nil || strings.Contains(err.Error(), "no metadata yet") {
		t.Errorf("a failure looks like absence: %v", err)
	}
}

// The vault is believed no more than a repository: with any byte of it changed there is an error, or the same answer.
func TestAChangedVaultIsRefused(t *testing.T) {
	honest := vaultOf(t, tuftest.NewClient(story(true)))
	want, err := honest.visitAll(t, honest.now).find(plainPath)
	if err != nil {
		t.Fatal(err)
	}
	files := map[verifier.Key][]byte{}
	for _, f := range honest.visitAll(t, honest.now).files {
		files[f.key] = f.bytes
	}
	refused := 0
	for changed, whole := range files {
		for at := 0; at < len(whole); at += 13 {
			v := *honest
			v.document = func(k verifier.Key, bytesMax int64) ([]byte, error) {
				b, err := honest.document(k, bytesMax)
				if k == changed && err == nil {
					b = bytes.Clone(b)
					b[at] ^= 1
				}
				return b, err
			}
			tour, err := v.tourOnce(v.now)
			if err == nil {
				var got verifier.Found
				if got, err = tour.find(plainPath); err == nil && (got.Target.Length != want.Target.Length || !bytes.Equal(got.Target.SHA256, want.Target.SHA256)) {
					t.Fatalf("byte %d of %v changed: it names %+v", at, changed, got.Target)
				}
			}
			if err != nil {
				refused++
			}
		}
	}
	if refused == 0 {
		t.Error("nothing was refused: the test changes nothing")
	}
}

// The agent may refresh while a tour is under way. The next tour finds the files of one refresh again.
func TestARefreshInTheMiddle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := story(true)
		c := tuftest.NewClient(r)
		v := vaultOf(t, c)
		old := maps.Clone(c.Store.Documents)
		r.Publish(verifier.Targets)
		if _, err := c.Find(plainPath); err != nil {
			t.Fatal(err)
		}
		asked, document := 0, v.document
		stale := 1
		v.document = func(k verifier.Key, bytesMax int64) ([]byte, error) {
			if k.Role == verifier.Timestamp {
				if asked++; asked <= stale {
					return old[k], nil
				}
			}
			return document(k, bytesMax)
		}
		if _, err := v.tour(t.Context(), v.now); err != nil || asked != 2 {
			t.Errorf("%d tours, %v; want the second one to do", asked, err)
		}
		asked, stale = 0, 100
		if _, err := v.tour(t.Context(), v.now); exitCode(err) != exitRefused || asked != toursMax {
			t.Errorf("a refresh that never ends: %d tours, %v", asked, err)
		}
		asked = 0
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := v.tour(ctx, v.now); !errors.Is(err, context.Canceled) {
			t.Errorf("interrupted: %v", err)
		}
	})
}

func TestExportLeavesNothingHalf(t *testing.T) {
	dir := t.TempDir()
	files := []trustedFile{{name: "1.root.json"}, {name: "timestamp.json"}, {name: "1.root.json"}} // the third can't be written
	if err := writeFiles(dir, files); !errors.Is(err, os.ErrExist) {
		t.Errorf("got %v", err)
	}
	if err := checkEmpty(dir); err != nil {
		t.Errorf("after a failure: %v", err)
	}
	if err := os.WriteFile(filepath.Join(dir, "mine"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := checkEmpty(dir); err == nil {
		t.Error("a directory that holds a file counts as empty")
	}
	if err := checkEmpty(filepath.Join(dir, "mine")); err == nil {
		t.Error("a file counts as an empty directory")
	}
	if err := checkEmpty(filepath.Join(dir, "none")); err != nil {
		t.Errorf("a directory to be made: %v", err)
	}
}

// A delegator names roles as it likes. No name leads out of the directory.
func TestNoRoleNameLeadsOutOfTheExport(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "b")
	roles := []string{"..", "../../x", "/etc/x", "a/b", "x\x00", "x\n", "%2e%2e%2fx", "\xff", "."}
	var files []trustedFile
	for _, role := range roles {
		files = append(files, trustedFile{name: diskName(verifier.FileName(role, 0))})
	}
	if err := writeFiles(dir, files); err != nil {
		t.Fatal(err)
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != len(roles) {
		t.Errorf("%d files, %v; want %d", len(entries), err, len(roles))
	}
}

func TestVerifyFile(t *testing.T) {
	v := vaultOf(t, tuftest.NewClient(story(true)))
	tour := v.visitAll(t, v.now)
	var targets []verifier.Target
	for _, path := range []string{plainPath, delegatedPath} {
		found, err := tour.find(path)
		if err != nil {
			t.Fatal(err)
		}
		targets = append(targets, found.Target)
	}
	for _, c := range []struct {
		content, is string
		targets     []verifier.Target
	}{
		{"the app", plainPath, targets},
		{"the firmware", delegatedPath, targets},
		{"the firmware", "", targets[:1]},
		{"the apq", "", targets},
		{"the ap", "", targets},
		{"the app ", "", targets},
		{"", "", targets},
		{strings.Repeat("the app", 1<<16), "", targets},
	} {
		file := filepath.Join(t.TempDir(), "file")
		if err := os.WriteFile(file, []byte(c.content), 0o600); err != nil {
			t.Fatal(err)
		}
		got, err := verifyFile(t.Context(), file, c.targets)
		switch {
		case c.is != "" && (err != nil || got.Target().Path != c.is):
			t.Errorf("%.20q: %q, %v; want %s", c.content, got.Target().Path, err, c.is)
		case c.is == "" && (exitCode(err) != exitRefused || got.OK()):
			t.Errorf("%.20q: %q, %v; want a refusal", c.content, got.Target().Path, err)
		}
	}
	if _, err := verifyFile(t.Context(), t.TempDir(), targets); exitCode(err) != exitFailed {
		t.Errorf("a directory: %v, want exit code %d", err, exitFailed)
	}
	if _, err := verifyFile(t.Context(), filepath.Join(t.TempDir(), "none"), targets); exitCode(err) != exitFailed {
		t.Errorf("no file: %v", err)
	}
}

// endless never ends, and counts what was read of it.
type endless struct{ bytes int64 }

func (e *endless) Read(p []byte) (int, error) {
	e.bytes += int64(len(p))
	return len(p), nil
}

// Reading ends where no target is as long, and a failing disk is not the end of a file.
func TestVerifyReadsNoMoreThanItMust(t *testing.T) {
	targets := []verifier.Target{{Path: "short", Length: 10}, {Path: "long", Length: 3 * verifyBufferBytes}}
	checks := []*verifier.Check{targets[0].Check(), targets[1].Check()}
	var source endless
	if err := readInto(&source, checks); err != nil || source.bytes > 5*verifyBufferBytes {
		t.Errorf("%d bytes were read, %v", source.bytes, err)
	}
	disk := errors.New("the disk fails")
	failing := io.MultiReader(strings.NewReader("the"), failingReader{disk})
	if err := readInto(failing, []*verifier.Check{targets[0].Check()}); !errors.Is(err, disk) {
		t.Errorf("got %v", err)
	}
}

type failingReader struct{ err error }

func (f failingReader) Read([]byte) (int, error) { return 0, f.err }

func TestTargetPathsOfTheDevice(t *testing.T) {
	s := settings{agent: agent.Config{Device: agent.Device{Hardware: "board", Channel: "stable"},
		Components: []agent.Component{{Name: "app", Target: "{hardware}/{channel}/{component}.tar"}, {Name: "b", Target: "b"}}}}
	if got, want := s.targetPaths(), []string{"board/stable/app.tar", "b"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// The stopped agent's store is judged by the time that the agent would judge by: no clock that was set back makes expired
// metadata good again.
func TestVerifyJudgesByTheEffectiveTime(t *testing.T) {
	r := story(true)
	year := time.Now().AddDate(1, 0, 0)
	for _, role := range r.Roles {
		role.Expires = year
	}
	r.Root.Expires, r.Timestamp.Expires, r.Snapshot.Expires = year, year, year
	r.PublishRoot()
	client := tuftest.NewClient(r)
	client.Now = time.Now()
	vaultOf(t, client)
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	config := write("config.toml", strings.NewReplacer("DIR", dir).Replace(`
anchor = "DIR/root.json"
state = "DIR/state"
socket = "DIR/agent.sock"
[device]
id = "d"
hardware = "board"
[repository]
metadata = "file:///nowhere"
targets = "file:///nowhere"
[[component]]
name = "app"
target = "{hardware}/app.tar"
hook = "/bin/true"
`))
	write("root.json", string(r.Anchor()))
	file := write("app.tar", "the app")
	for signedAt, want := range map[time.Time]int{{}: exitOK, year.AddDate(0, 0, 1): exitRefused} {
		if err := os.RemoveAll(filepath.Join(dir, "state")); err != nil {
			t.Fatal(err)
		}
		fillStore(t, filepath.Join(dir, "state"), client.Store, agent.TimeFloor{SignedAt: signedAt})
		var out, errs bytes.Buffer
		if code := execute([]string{"verify", file, "--config", config}, ui{out: &out, err: &errs}); code != want {
			t.Errorf("signed at %s: exit code %d, want %d: %s", signedAt, code, want, errs.String())
		}
		export := filepath.Join(t.TempDir(), "export")
		if code := execute([]string{"export", export, "-c", config}, ui{out: &out, err: &errs}); code != exitOK {
			t.Errorf("signed at %s: export exits with %d: %s", signedAt, code, errs.String())
		}
	}
}

func fillStore(t *testing.T, dir string, from *tuftest.Store, floor agent.TimeFloor) {
	t.Helper()
	store, err := storage.Open(dir, storage.Options{})
	if err != nil {
		t.Fatal(err)
	}
	change := agent.Change{Time: &floor}
	for key, b := range from.Documents {
		change.Metadata.Put = append(change.Metadata.Put, verifier.Document{Key: key, Bytes: b})
	}
	if err := errors.Join(store.Commit(change), store.Close()); err != nil {
		t.Fatal(err)
	}
}
