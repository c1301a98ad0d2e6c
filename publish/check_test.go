package publish

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ota-agent/ota-agent/release"
)

func TestTargetPaths(t *testing.T) {
	for _, p := range []string{"a", "board/stable/rootfs.img", "a b", "ä/é", "...", ".hidden/x", "a..b", strings.Repeat("x", segmentBytesMax)} {
		if err := checkTargetPath(p); err != nil {
			t.Error(err)
		}
	}
	for _, p := range []string{
		"", "/", "/a", "a/", "a//b", ".", "..", "../a", "a/../b", "a/./b", "a/..", "a\\b", "a\x00b", "a\nb", "a\x7fb", "a\u0085b", "\xff",
		"a\u2028b", ".tmp-1", "a/.tmp-x/b", strings.Repeat("x", segmentBytesMax+1), strings.Repeat("x/", targetPathBytesMax/2) + "x",
	} {
		if err := checkTargetPath(p); !errors.Is(err, ErrTargetPath) {
			t.Errorf("%q: %v, want ErrTargetPath", p, err)
		}
	}
	r := newRepo(t, cheap())
	if _, err := r.Add(addition("../outside", 1)); !errors.Is(err, ErrTargetPath) {
		t.Errorf("add: %v, want ErrTargetPath", err)
	}
}

func TestTheRollbackIndexIsRememberedBeyondRemoval(t *testing.T) {
	r := newRepo(t, cheap())
	mustAdd(t, r, addition("a", 7))
	// An edit that was never published binds nobody.
	mustAdd(t, r, addition("a", 6))
	mustAdd(t, r, addition("a", 7))
	mustPublish(t, r, start)
	if err := r.Remove("a"); err != nil {
		t.Fatal(err)
	}
	mustPublish(t, r, start)
	r.Close()
	r = reopen(t, r.Dir())
	if _, err := r.Add(addition("a", 6)); !errors.Is(err, ErrIndex) {
		t.Errorf("a lower one: %v, want ErrIndex", err)
	}
	none := addition("a", 0)
	none.Info.RollbackIndex = nil
	if _, err := r.Add(none); !errors.Is(err, ErrIndex) {
		t.Errorf("none: %v, want ErrIndex", err)
	}
	mustAdd(t, r, addition("b", 0))
	forced := addition("a", 6)
	forced.LowerIndex = true
	mustAdd(t, r, forced)
	mustPublish(t, r, start)
	if _, err := r.Add(addition("a", 6)); !errors.Is(err, ErrIndex) {
		t.Errorf("after a forced one: %v, want ErrIndex", err)
	}
	mustAdd(t, r, addition("a", 8))
}

func TestHardwareNames(t *testing.T) {
	o := cheap()
	o.Hardware = []string{"board-a"}
	r := newRepo(t, o)
	a := addition("x", 1)
	a.Info.Hardware = []string{"board-a", "bord-b"}
	if _, err := r.Add(a); !errors.Is(err, ErrHardware) {
		t.Errorf("a name that is not listed: %v, want ErrHardware", err)
	}
	a.NewHardware = true
	mustAdd(t, r, a)
	r.Close()
	r = reopen(t, r.Dir())
	a.NewHardware, a.Image = false, strings.NewReader("again")
	mustAdd(t, r, a)
	a.Info.Hardware = []string{"board a"}
	a.NewHardware = true
	if _, err := r.Add(a); err == nil {
		t.Error("a name with a space: accepted")
	}
}

func TestReleasesMustNotRequireEachOther(t *testing.T) {
	r := newRepo(t, cheap())
	requires := func(path string, own int64, others ...release.Requirement) error {
		a := addition(path, own)
		a.Info.Requires = others
		_, err := r.Add(a)
		return err
	}
	on := func(component string, n int64) release.Requirement {
		return release.Requirement{Component: component, RollbackIndex: n}
	}
	for _, step := range []struct {
		err  error
		want error
	}{
		{requires("b/s/rootfs.img", 3, on("boot", 1)), nil},
		{requires("b/s/boot.bin", 1, on("app", 1)), nil},
		{requires("b/s/app.tar.gz", 1, on("rootfs", 3)), ErrCycle},
		{requires("b/s/boot.bin", 1, on("rootfs", 1)), ErrCycle},
		{requires("b/beta/boot.bin", 1, on("rootfs", 3)), nil}, // another directory is another device
		{requires("b/s/app.tar.gz", 1, on("unknown", 3)), nil},
		{requires("b/s/app.tar.gz", 5, on("app", 4)), nil}, // a stepping stone
		{requires("b/s/app.tar.gz", 5, on("app", 5)), ErrCycle},
	} {
		if !errors.Is(step.err, step.want) {
			t.Errorf("%v, want %v", step.err, step.want)
		}
	}
}

func TestAnEmptyOrBrokenImageLeavesNothing(t *testing.T) {
	r := newRepo(t, cheap())
	a := addition("dir/image", 1)
	a.Image = strings.NewReader("")
	if _, err := r.Add(a); err == nil {
		t.Error("an empty image: accepted")
	}
	a.Image = io.MultiReader(strings.NewReader("half"), brokenReader{})
	if _, err := r.Add(a); !errors.Is(err, errBroken) {
		t.Errorf("a broken image: %v", err)
	}
	left, err := os.ReadDir(filepath.Join(TargetsDir(r.Dir()), "dir"))
	if err != nil || len(left) != 0 {
		t.Errorf("left: %v, %v", left, err)
	}
	if status, err := r.Status(start); err != nil || len(status.Staged) != 0 {
		t.Errorf("staged: %+v, %v", status.Staged, err)
	}
}

var errBroken = errors.New("the cable was pulled")

type brokenReader struct{}

func (brokenReader) Read([]byte) (int, error) { return 0, errBroken }

func TestOnlyOnePublisherAtATime(t *testing.T) {
	r := newRepo(t, cheap())
	if _, err := Open(r.Dir(), Access{}); !errors.Is(err, ErrLocked) {
		t.Errorf("a second one: %v, want ErrLocked", err)
	}
	// A program that is being started has a copy of each open file until its own code runs.
	fd, err := syscall.Dup(int(r.lock.Fd()))
	if err != nil {
		t.Fatal(err)
	}
	defer syscall.Close(fd)
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	reopen(t, r.Dir())
}

func TestAThresholdIsMetOneSignatureAtATime(t *testing.T) {
	o := cheap()
	o.Roles = map[string]RoleOptions{roleTargets: {Keys: 3, Threshold: 2}}
	r := newRepo(t, o)
	dir := r.Dir()
	holders := t.TempDir()
	for _, name := range []string{"targets-1", "targets-2", "targets-3"} {
		at := filepath.Join(holders, name)
		if err := os.Mkdir(at, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(filepath.Join(dir, keysDir, name+keySuffix), filepath.Join(at, name+keySuffix)); err != nil {
			t.Fatal(err)
		}
	}
	r.Close()
	with := func(names ...string) *Repo {
		access := Access{Passphrase: FixedPassphrase(secret)}
		for _, n := range names {
			access.KeyDirs = append(access.KeyDirs, filepath.Join(holders, n))
		}
		r, err := open(dir, access, unsynced())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { r.Close() })
		return r
	}
	r = with()
	mustAdd(t, r, addition("a", 1))
	if _, err := r.Sign(roleTargets, start); !errors.Is(err, ErrThreshold) {
		t.Errorf("without keys: %v, want ErrThreshold", err)
	}
	r.Close()
	for n, step := range []struct {
		holder   string
		complete bool
		missing  int
	}{{"targets-3", false, 2}, {"targets-3", false, 2}, {"targets-1", true, 1}} {
		r = with(step.holder)
		// Each signs later than the one before; the document stays dated by the first.
		p, err := r.Sign(roleTargets, start.Add(time.Duration(n)*time.Hour))
		if err != nil || p.Complete != step.complete || len(p.Missing) != step.missing {
			t.Errorf("step %d: %+v, %v", n, p, err)
		}
		if !step.complete {
			if _, err := r.Snapshot(start.Add(time.Hour)); !errors.Is(err, ErrThreshold) {
				t.Errorf("step %d: snapshot: %v, want ErrThreshold", n, err)
			}
		}
		r.Close()
	}
	r = with()
	mustPublish(t, r, start.Add(3*time.Hour))
	if got := r.targets.Signed.Expires; got != formatTime(start.Add(90*day)) {
		t.Errorf("expires %s: the signatures are over another time", got)
	}
	mustVerify(t, dir, start.Add(3*time.Hour))
}

func TestOptionsAreChecked(t *testing.T) {
	for name, change := range map[string]func(*Options){
		"role":           func(o *Options) { o.Roles = map[string]RoleOptions{"mirrors": {}} },
		"threshold":      func(o *Options) { o.Roles = map[string]RoleOptions{roleRoot: {Keys: 2, Threshold: 3}} },
		"keys":           func(o *Options) { o.Roles = map[string]RoleOptions{roleRoot: {Keys: 17}} },
		"negative":       func(o *Options) { o.Roles = map[string]RoleOptions{roleRoot: {Keys: -1, Threshold: -1}} },
		"expiry":         func(o *Options) { o.Expiry.Root = 11 * 365 * day },
		"short expiry":   func(o *Options) { o.Expiry.Timestamp = time.Millisecond },
		"hardware":       func(o *Options) { o.Hardware = []string{"a b"} },
		"scrypt":         func(o *Options) { o.KDF.LogN = 30 },
		"no passphrase":  func(o *Options) { o.Passphrase = nil },
		"no randomness":  func(o *Options) { o.Random = brokenReader{} },
		"less than half": func(o *Options) { o.Random = io.LimitReader(strings.NewReader(strings.Repeat("r", 40)), 40) },
	} {
		t.Run(name, func(t *testing.T) {
			o := cheap()
			change(&o)
			dir := filepath.Join(t.TempDir(), "publisher")
			if _, err := Init(dir, o); err == nil {
				t.Error("accepted")
			}
			if _, err := Open(dir, Access{}); !errors.Is(err, ErrNoRepository) {
				t.Errorf("open: %v, want ErrNoRepository", err)
			}
		})
	}
}

// A targets file that every device would refuse is not published: nothing of it is written, and what is staged stays.
func TestATargetsFileLongerThanDevicesAcceptIsRefused(t *testing.T) {
	r := newRepo(t, cheap())
	mustAdd(t, r, addition("a", 1))
	mustAdd(t, r, addition("b", 1))
	r.settings.TargetsFileMax = 100
	if uploads, err := r.Publish(start); !errors.Is(err, ErrTooLong) || len(uploads) != 0 {
		t.Fatalf("published %v, %v; want ErrTooLong", uploads, err)
	}
	if _, err := os.Stat(r.path(roleTargets, 2)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the long file is there: %v", err)
	}
	r.settings.TargetsFileMax = 0
	mustPublish(t, r, start)
}
