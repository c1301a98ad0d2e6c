package storage

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ota-agent/ota-agent/agent"
	"github.com/ota-agent/ota-agent/storage/storetest"
	"github.com/ota-agent/ota-agent/verifier"
)

func TestOneProcessAtATime(t *testing.T) {
	dir := fastDir(t)
	quick := Options{LockTimeout: time.Millisecond}
	s := openT(t, dir)
	_, err := Open(dir, quick)
	wantReason(t, err, agent.ReasonLocked)
	_, err = OpenReadOnly(dir, quick)
	wantReason(t, err, agent.ReasonLocked)
	must(t, s.Close())
	a, err := OpenReadOnly(dir, quick)
	must(t, err)
	b, err := OpenReadOnly(dir, quick)
	must(t, err)
	_, err = Open(dir, quick)
	wantReason(t, err, agent.ReasonLocked)
	if !strings.Contains(err.Error(), "a command that reads it") { // no agent runs that could be asked
		t.Error(err)
	}
	must(t, a.Close())
	must(t, b.Close())
	openT(t, dir)
}

// The directory is locked before anything in it is looked at: another process may be setting it in order.
func TestDirectoryIsLocked(t *testing.T) {
	dir := fastDir(t)
	d, err := openDir(&disk{}, dir, false)
	must(t, err)
	defer d.close()
	must(t, lock(d, false, 0))
	_, err = Open(dir, Options{LockTimeout: time.Millisecond})
	wantReason(t, err, agent.ReasonLocked)
	if left := listing(t, dir); len(left) != 0 {
		t.Errorf("it made %v", left)
	}
}

// A program that is being started has a copy of each open file until its own code runs.
func TestLockIsGoneThoughACopyOfItIsOpen(t *testing.T) {
	dir := fastDir(t)
	s := openT(t, dir)
	fd, err := syscall.Dup(s.dir.fd())
	must(t, err)
	defer syscall.Close(fd)
	must(t, s.Close())
	s, err = Open(dir, Options{LockTimeout: time.Millisecond})
	must(t, err)
	must(t, s.Close())
}

func TestReadOnly(t *testing.T) {
	dir := fastDir(t)
	_, err := OpenReadOnly(dir, Options{})
	if !errors.Is(err, agent.ErrAbsent) {
		t.Errorf("nothing there: %v", err)
	}
	_, err = OpenReadOnly(filepath.Join(dir, "no", "such"), Options{})
	if !errors.Is(err, agent.ErrAbsent) {
		t.Errorf("no directory: %v", err)
	}
	s := openT(t, dir)
	must(t, s.Commit(fullChange(1)))
	want := loadT(t, s)
	image := storetest.Image(1000, 1)
	p, err := s.Images().Partial(target(image))
	must(t, err)
	_, err = p.Write(image)
	must(t, err)
	must(t, p.Stage(storetest.Verified(t, target(image), image)))
	must(t, p.Close())
	must(t, s.Close())
	before := snapshot(t, dir)

	s, err = OpenReadOnly(dir, Options{})
	must(t, err)
	if got := loadT(t, s); !reflect.DeepEqual(got, want) {
		t.Errorf("state %+v, expected %+v", got, want)
	}
	got, err := s.Document(verifier.Key{Role: verifier.Targets})
	must(t, err)
	wantBytes(t, "targets", got, lifeDocument(1))
	i, err := s.Images().Open(target(image))
	must(t, err)
	must(t, i.Close())
	wantReason(t, s.Commit(fullChange(2)), agent.ReasonReadOnly)
	wantReason(t, s.Images().Keep(nil), agent.ReasonReadOnly)
	wantReason(t, second(s.Images().Partial(target(image))), agent.ReasonReadOnly)
	must(t, s.Close())
	if after := snapshot(t, dir); !reflect.DeepEqual(before, after) {
		t.Errorf("the files changed: %v, %v", before, after)
	}
}

func TestClosedStore(t *testing.T) {
	s := openT(t, fastDir(t))
	must(t, s.Close())
	wantReason(t, s.Commit(fullChange(1)), agent.ReasonStore)
	wantReason(t, second(s.Load()), agent.ReasonStore)
	must(t, s.Close())
}

// Links in the place of files and directories are not followed, and nothing outside is touched.
func TestLinksAreNotFollowed(t *testing.T) {
	image := storetest.Image(1000, 1)
	id := target(image).ID()
	for _, name := range []string{databaseName, floorsName, "meta", "partial", "images"} {
		outside, dir := fastDir(t), fastDir(t)
		victim := filepath.Join(outside, "victim")
		must(t, os.WriteFile(victim, []byte("precious"), 0o600))
		must(t, os.Symlink(victim, filepath.Join(dir, name)))
		_, err := Open(dir, Options{})
		wantReason(t, err, agent.ReasonStore)
		b, err := os.ReadFile(victim)
		must(t, err)
		wantBytes(t, "outside", b, []byte("precious"))
	}
	outside, dir := fastDir(t), fastDir(t)
	s := openT(t, dir)
	for _, name := range []string{"partial/" + id, "partial/" + id + tagSuffix, "images/" + id} {
		victim := filepath.Join(outside, "victim")
		must(t, os.WriteFile(victim, image, 0o600))
		must(t, os.Symlink(victim, filepath.Join(dir, name)))
		var err error
		if filepath.Dir(name) == "images" {
			_, err = s.Images().Open(target(image))
		} else {
			_, err = s.Images().Partial(target(image))
		}
		wantReason(t, err, agent.ReasonStore)
		must(t, s.Images().Keep(nil)) // removes the link
		b, err := os.ReadFile(victim)
		must(t, err)
		wantBytes(t, "outside", b, image)
	}
}

// A pipe in a file's place must not hold up the start.
func TestOtherThingsInPlaceOfFiles(t *testing.T) {
	for _, name := range []string{databaseName, floorsName} {
		dir := fastDir(t)
		must(t, os.Mkdir(filepath.Join(dir, name), 0o700))
		_, err := Open(dir, Options{})
		wantReason(t, err, agent.ReasonStore)
	}
}

func TestModes(t *testing.T) {
	dir := filepath.Join(fastDir(t), "a", "state")
	s := openT(t, dir)
	must(t, s.Commit(lifeChange(1)))
	must(t, filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := e.Info()
		want := fs.FileMode(0o600)
		if e.IsDir() {
			want = 0o700
		}
		if err == nil && info.Mode().Perm() != want {
			t.Errorf("%s has mode %v", path, info.Mode())
		}
		return err
	}))
}
