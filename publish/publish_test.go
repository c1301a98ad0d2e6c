package publish

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ota-agent/ota-agent/release"
)

// start is when every test's repository is made.
var start = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

const secret = "correct horse"

// cheap makes key files that open at once.
func cheap() Options {
	return Options{Now: start, Passphrase: FixedPassphrase(secret), KDF: KDF{LogN: 10, R: 1, P: 1}}
}

// newRepo makes a repository and opens it.
func newRepo(t *testing.T, o Options) *Repo {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "publisher")
	if _, err := initialise(dir, o, unsynced()); err != nil {
		t.Fatal(err)
	}
	return reopen(t, dir)
}

func reopen(t *testing.T, dir string) *Repo {
	t.Helper()
	r, err := open(dir, Access{Passphrase: FixedPassphrase(secret)}, unsynced())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	return r
}

func index(n int64) *int64 { return &n }

func addition(path string, n int64) Addition {
	return Addition{
		Path:  path,
		Image: strings.NewReader("image of " + path),
		Info:  release.Info{Version: "1", RollbackIndex: index(n)},
	}
}

func mustAdd(t *testing.T, r *Repo, a Addition) Image {
	t.Helper()
	i, err := r.Add(a)
	if err != nil {
		t.Fatal(err)
	}
	return i
}

func mustPublish(t *testing.T, r *Repo, now time.Time) []string {
	t.Helper()
	uploads, err := r.Publish(now)
	if err != nil {
		t.Fatal(err)
	}
	return uploads
}

func TestUploadsComeInTheOrderThatIsSafeForReaders(t *testing.T) {
	r := newRepo(t, cheap())
	i := mustAdd(t, r, addition("board/stable/rootfs.img", 1))
	want := []string{
		"targets/board/stable/" + i.SHA256 + ".rootfs.img",
		"metadata/2.targets.json", "metadata/2.snapshot.json", "metadata/timestamp.json",
	}
	got := mustPublish(t, r, start.Add(time.Minute))
	if !slices.Equal(got, want) {
		t.Fatalf("uploads\n%v, want\n%v", got, want)
	}
	for _, name := range got {
		if _, err := os.Stat(filepath.Join(RepositoryDir(r.Dir()), name)); err != nil {
			t.Error(err)
		}
	}
}

func TestVersionsAndTimesNeverGoBackwards(t *testing.T) {
	r := newRepo(t, cheap())
	if _, err := r.Timestamp(start.Add(-time.Second)); !errors.Is(err, ErrClock) {
		t.Errorf("an earlier time: %v, want ErrClock", err)
	}
	if _, err := r.Timestamp(start.Add(8 * day)); !errors.Is(err, ErrExpired) {
		t.Errorf("over an expired snapshot: %v, want ErrExpired", err)
	}
	mustPublish(t, r, start.Add(8*day))
	d, err := r.readTimestamp()
	if err != nil || d.Signed.Version != 2 || d.Signed.SignedAt != formatTime(start.Add(8*day)) {
		t.Errorf("timestamp %+v, %v", d.Signed, err)
	}
}
