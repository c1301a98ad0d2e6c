package publish

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ota-agent/ota-agent/verifier"
)

// verify runs the device's verifier over the repository.
func verify(t *testing.T, dir string, now time.Time) (Report, error) {
	t.Helper()
	anchor, err := os.ReadFile(filepath.Join(MetadataDir(dir), "1.root.json"))
	if err != nil {
		t.Fatal(err)
	}
	return Verify(RepositoryDir(dir), anchor, now)
}

func mustVerify(t *testing.T, dir string, now time.Time) Report {
	t.Helper()
	report, err := verify(t, dir, now)
	if err != nil {
		t.Fatal(err)
	}
	return report
}

func TestADeviceAcceptsWhatIsPublished(t *testing.T) {
	r := newRepo(t, cheap())
	mustVerify(t, r.Dir(), start)
	for n, p := range []string{"board/stable/rootfs.img", "board/stable/app.tar.gz", "image", "a/weiß/50%?#.img"} {
		mustAdd(t, r, addition(p, int64(n)))
		mustPublish(t, r, start.Add(time.Duration(n+1)*time.Hour))
	}
	report := mustVerify(t, r.Dir(), start.Add(5*time.Hour))
	if report.Images != 4 || report.Versions["targets"] != 5 || report.Versions["timestamp"] != 5 || report.Versions["root"] != 1 {
		t.Errorf("report %+v", report)
	}
	if _, err := verify(t, r.Dir(), start.Add(4*time.Hour+day)); !errors.Is(err, verifier.ErrExpired) {
		t.Errorf("after a day: %v, want ErrExpired", err)
	}
}

func TestFlippedBytesOfTheRepositoryAreNoticed(t *testing.T) {
	r := newRepo(t, cheap())
	mustAdd(t, r, addition("board/rootfs.img", 1))
	mustPublish(t, r, start)
	current := []string{"metadata/1.root.json", "metadata/2.snapshot.json", "metadata/2.targets.json", "metadata/timestamp.json"}
	image, err := filepath.Glob(filepath.Join(TargetsDir(r.Dir()), "board", "*.rootfs.img"))
	if err != nil || len(image) != 1 {
		t.Fatal(image, err)
	}
	anchor, err := os.ReadFile(filepath.Join(MetadataDir(r.Dir()), "1.root.json"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range append(current[1:], "targets/board/"+filepath.Base(image[0])) {
		path := filepath.Join(RepositoryDir(r.Dir()), name)
		whole, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		const stride = 5 // each byte of each role is the verifier's own test
		for i := 0; i < len(whole); i += stride {
			flipped := append([]byte(nil), whole...)
			flipped[i] ^= 1
			if err := os.WriteFile(path, flipped, 0o644); err != nil {
				t.Fatal(err)
			}
			// Bytes of a key ID or of a signature beyond the threshold would be no change; with one key there are none.
			if _, err := Verify(RepositoryDir(r.Dir()), anchor, start); err == nil {
				t.Errorf("%s: byte %d (%q) flipped, and accepted", name, i, whole[i])
			}
		}
		if err := os.WriteFile(path, whole, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	mustVerify(t, r.Dir(), start)
}

func TestATornDirectoryIsNotSignedOver(t *testing.T) {
	for name, tear := range map[string]func(t *testing.T, dir string){
		"targets truncated": func(t *testing.T, dir string) { truncate(t, dir, "2.targets.json") },
		"snapshot empty":    func(t *testing.T, dir string) { write(t, dir, "2.snapshot.json", "") },
		"root truncated":    func(t *testing.T, dir string) { truncate(t, dir, "1.root.json") },
		"targets replaced":  func(t *testing.T, dir string) { replace(t, dir, "2.targets.json", `"length":25`, `"length":26`) },
		"snapshot edited":   func(t *testing.T, dir string) { replace(t, dir, "2.snapshot.json", `"length":`, `"length":1`) },
		"root edited":       func(t *testing.T, dir string) { replace(t, dir, "1.root.json", `"threshold":1`, `"threshold":2`) },
		"targets missing":   func(t *testing.T, dir string) { remove(t, dir, "2.targets.json") },
		"a foreign field":   func(t *testing.T, dir string) { replace(t, dir, "2.targets.json", `"version":2`, `"version":2,"x":1`) },
		"role mixed up":     func(t *testing.T, dir string) { replace(t, dir, "2.snapshot.json", `"snapshot"`, `"targets"`) },
	} {
		t.Run(name, func(t *testing.T) {
			r := newRepo(t, cheap())
			mustAdd(t, r, addition("board/rootfs.img", 1))
			mustPublish(t, r, start)
			r.Close()
			tear(t, MetadataDir(r.Dir()))
			again, err := Open(r.Dir(), Access{Passphrase: FixedPassphrase(secret)})
			if err == nil {
				again.Close()
				t.Fatal("opened")
			}
		})
	}
}

// Two publishers with the same keys each made a version 2: their files don't mix.
func TestASignedFileOfAnotherHistoryIsNoticed(t *testing.T) {
	r := newRepo(t, cheap())
	r.Close()
	other := filepath.Join(t.TempDir(), "other")
	if err := os.CopyFS(other, os.DirFS(r.Dir())); err != nil {
		t.Fatal(err)
	}
	for dir, image := range map[string]string{r.Dir(): "mine", other: "theirs"} {
		a := addition("board/rootfs.img", 1)
		a.Image = strings.NewReader(image)
		if err := publishWith(dir, unsynced(), a, start); err != nil {
			t.Fatal(err)
		}
	}
	theirs, err := os.ReadFile(filepath.Join(MetadataDir(other), "2.targets.json"))
	if err != nil {
		t.Fatal(err)
	}
	write(t, MetadataDir(r.Dir()), "2.targets.json", string(theirs))
	if again, err := Open(r.Dir(), Access{}); err == nil {
		again.Close()
		t.Error("opened")
	}
}

// What this program does not know it would lose by writing the file again.
func TestAStagedFileWithForeignFieldsIsRefused(t *testing.T) {
	r := newRepo(t, cheap())
	mustAdd(t, r, addition("board/rootfs.img", 1))
	replace(t, filepath.Join(r.Dir(), stagedDir), "targets.json", `"version":2`, `"version":2,"x":1`)
	if _, err := r.Snapshot(start); !errors.Is(err, errForeign) {
		t.Errorf("snapshot: %v, want errForeign", err)
	}
	if _, err := r.Add(addition("board/app.img", 1)); !errors.Is(err, errForeign) {
		t.Errorf("add: %v, want errForeign", err)
	}
}

func TestAMissingOrForgedTimestampIsNotStartedAgain(t *testing.T) {
	for name, tear := range map[string]func(t *testing.T, dir string){
		"missing": func(t *testing.T, dir string) { remove(t, dir, "timestamp.json") },
		"forged": func(t *testing.T, dir string) {
			replace(t, dir, "timestamp.json", `"signed_at":"2026`, `"signed_at":"2025`)
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRepo(t, cheap())
			tear(t, MetadataDir(r.Dir()))
			if _, err := r.Timestamp(start); err == nil {
				t.Error("signed")
			}
			if _, err := r.Snapshot(start); err == nil {
				t.Error("signed")
			}
		})
	}
}

func write(t *testing.T, dir, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func replace(t *testing.T, dir, name, old, next string) {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		t.Fatal(err)
	}
	text := strings.Replace(string(b), old, next, 1)
	if text == string(b) {
		t.Fatalf("%s holds no %s", name, old)
	}
	write(t, dir, name, text)
}

func truncate(t *testing.T, dir, name string) {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		t.Fatal(err)
	}
	write(t, dir, name, string(b[:len(b)/2]))
}

func remove(t *testing.T, dir, name string) {
	t.Helper()
	if err := os.Remove(filepath.Join(dir, name)); err != nil {
		t.Fatal(err)
	}
}
