package publish

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

var errDied = errors.New("the publisher died")

// A fault kills the publisher at the nth change of the disk: before it took effect, or right after.
type fault struct {
	at      int
	took    bool
	changes int
}

func (f *fault) disk() disk {
	return disk{step: func(op, _ string, change func() error) error {
		if op == "fsync" && f.changes < f.at {
			return nil // when only the process dies, before and after an fsync are the same
		}
		f.changes++
		switch {
		case f.changes < f.at:
			return change()
		case f.changes == f.at && f.took:
			_ = change()
		}
		// From here on it is dead: nothing that it still tries changes anything.
		return errDied
	}}
}

// unsynced skips fsync: in a test nothing but the process dies.
func unsynced() disk {
	return disk{step: func(op, _ string, change func() error) error {
		if op == "fsync" {
			return nil
		}
		return change()
	}}
}

// crashPoints runs story with a death at each change of the disk, in both kinds, until one run ends alive.
func crashPoints(t *testing.T, story func(t *testing.T, f *fault) error) {
	t.Helper()
	const changesMax = 1000
	for at := 1; at <= changesMax; at++ {
		alive := false
		for _, took := range []bool{false, true} {
			t.Run(fmt.Sprintf("%d/took=%t", at, took), func(t *testing.T) {
				f := &fault{at: at, took: took}
				err := story(t, f)
				alive = f.changes < at
				if !alive && !errors.Is(err, errDied) {
					t.Errorf("died at change %d, and it reports %v", at, err)
				}
				if alive && err != nil {
					t.Error(err)
				}
			})
		}
		if alive {
			t.Logf("%d changes, each before and after it took effect", at-1)
			return
		}
	}
	t.Fatalf("more than %d changes", changesMax)
}

// A publisher who dies between any two changes of the disk leaves a repository that devices accept, old or new; the
// next run goes on, and then devices see the new release.
func TestAPublisherMayDieAnywhere(t *testing.T) {
	template := newRepo(t, cheap())
	mustAdd(t, template, addition("board/rootfs.img", 1))
	mustPublish(t, template, start)
	template.Close()
	next := addition("board/rootfs.img", 2)
	crashPoints(t, func(t *testing.T, f *fault) error {
		dir := filepath.Join(t.TempDir(), "publisher")
		if err := os.CopyFS(dir, os.DirFS(template.Dir())); err != nil {
			t.Fatal(err)
		}
		next.Image = strings.NewReader("the second image")
		died := publishWith(dir, f.disk(), next, start.Add(time.Hour))
		report := mustVerify(t, dir, start.Add(time.Hour))
		if v := report.Versions["targets"]; v != 1+1 && v != 2+1 {
			t.Errorf("devices see targets %d", v)
		}
		next.Image = strings.NewReader("the second image")
		if err := publishWith(dir, unsynced(), next, start.Add(2*time.Hour)); err != nil {
			t.Fatalf("the next run: %v", err)
		}
		report = mustVerify(t, dir, start.Add(2*time.Hour))
		if report.Images != 1 || report.Bytes != int64(len("the second image")) {
			t.Errorf("after the next run: %+v", report)
		}
		noTemporaryFiles(t, dir)
		return died
	})
}

func publishWith(dir string, d disk, a Addition, now time.Time) (err error) {
	r, err := open(dir, Access{Passphrase: FixedPassphrase(secret)}, d)
	if err != nil {
		return err
	}
	defer r.Close()
	if _, err := r.Add(a); err != nil {
		return err
	}
	_, err = r.Publish(now)
	return err
}

// The next run needs no second "add": what was staged is there, and goes out.
func TestStagedEditsSurviveADeath(t *testing.T) {
	template := newRepo(t, cheap())
	mustAdd(t, template, addition("board/rootfs.img", 1))
	template.Close()
	crashPoints(t, func(t *testing.T, f *fault) error {
		dir := filepath.Join(t.TempDir(), "publisher")
		if err := os.CopyFS(dir, os.DirFS(template.Dir())); err != nil {
			t.Fatal(err)
		}
		died := snapshotWith(dir, f.disk(), start.Add(time.Hour))
		mustVerify(t, dir, start.Add(time.Hour))
		if err := snapshotWith(dir, unsynced(), start.Add(2*time.Hour)); err != nil {
			t.Fatalf("the next run: %v", err)
		}
		if report := mustVerify(t, dir, start.Add(2*time.Hour)); report.Images != 1 || report.Versions["targets"] != 2 {
			t.Errorf("after the next run: %+v", report)
		}
		return died
	})
}

func snapshotWith(dir string, d disk, now time.Time) error {
	r, err := open(dir, Access{Passphrase: FixedPassphrase(secret)}, d)
	if err != nil {
		return err
	}
	defer r.Close()
	_, err = r.Publish(now)
	return err
}

// An init that died is either whole, or says what to do.
func TestInitMayDieAnywhere(t *testing.T) {
	crashPoints(t, func(t *testing.T, f *fault) error {
		dir := filepath.Join(t.TempDir(), "publisher")
		_, died := initialise(dir, cheap(), f.disk())
		r, err := Open(dir, Access{Passphrase: FixedPassphrase(secret)})
		if err == nil {
			r.Close()
			mustVerify(t, dir, start)
			return died
		}
		if !errors.Is(err, ErrNoRepository) {
			t.Errorf("open: %v, want ErrNoRepository", err)
		}
		return died
	})
}

func noTemporaryFiles(t *testing.T, dir string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, _ os.DirEntry, err error) error {
		if strings.Contains(filepath.Base(path), tempPrefix) {
			t.Errorf("%s is left", path)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}
