package fetch

import (
	"bytes"
	"errors"
	"io"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ota-agent/ota-agent/agent"
	"github.com/ota-agent/ota-agent/agent/fetch/fetchtest"
)

// stick lays a repository as on a USB stick and opens it.
func stick(t *testing.T) (dir string, r *Repository) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "a stick%41")
	for _, d := range []string{"metadata", "targets"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	write(t, filepath.Join(dir, "metadata", "timestamp.json"), []byte("{}"))
	write(t, filepath.Join(dir, "targets", "app.img"), fetchtest.Bytes(imageBytes))
	write(t, filepath.Join(dir, "outside"), []byte("outside"))
	base := (&url.URL{Scheme: "file", Path: dir}).String()
	r, err := New(Config{Metadata: []string{base + "/metadata"}, Targets: []string{base + "/targets/"}, Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	if !r.Local() {
		t.Error("a directory needs no network")
	}
	return dir, r
}

// TestDirectoryStaysInside: no link, no dots, no device, no pipe.
func TestDirectoryStaysInside(t *testing.T) {
	dir, r := stick(t)
	in := func(name string) string { return filepath.Join(dir, "targets", name) }
	for name, target := range map[string]string{"up.img": "../outside", "abs.img": filepath.Join(dir, "outside"), "loop.img": "loop.img", "dev.img": "/dev/zero"} {
		if err := os.Symlink(target, in(name)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("..", in("dir")); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mkfifo(in("pipe.img"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(in("folder.img"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"up.img", "abs.img", "loop.img", "dev.img", "dir/outside", "pipe.img", "folder.img"} {
		if _, err := r.Image(t.Context(), agent.ImageRequest{Name: name, Length: 7}); reasonOf(err) != agent.ReasonBadAnswer {
			t.Errorf("%s: %v, want reason bad_answer", name, err)
		}
	}
	for _, name := range []string{"..%2Foutside", "%2e%2e%2foutside", "..%2Fmetadata%2Ftimestamp.json", "%00"} {
		if b, err := r.Metadata(t.Context(), name, 100); reasonOf(err) == "" || errors.Is(err, agent.ErrAbsent) {
			t.Errorf("%s: %q, %v", name, b, err)
		}
	}
	if _, err := r.Metadata(t.Context(), "timestamp.json%2Fx", 100); !errors.Is(err, agent.ErrAbsent) {
		t.Errorf("below a file: %v, want ErrAbsent", err)
	}
}

// TestDirectoryGone: no medium is not an absent file; also an empty mount point is none.
func TestDirectoryGone(t *testing.T) {
	dir, r := stick(t)
	if _, err := r.Metadata(t.Context(), "2.root.json", 100); !errors.Is(err, agent.ErrAbsent) {
		t.Errorf("missing file: %v", err)
	}
	if err := os.Remove(filepath.Join(dir, "metadata", "timestamp.json")); err != nil {
		t.Fatal(err)
	}
	gone := func(when string) {
		t.Helper()
		for _, name := range []string{"2.root.json", "timestamp.json"} {
			_, err := r.Metadata(t.Context(), name, 100)
			if reasonOf(err) != agent.ReasonNoMedium || errors.Is(err, agent.ErrAbsent) {
				t.Errorf("%s, %s: %v, want reason no_medium", when, name, err)
			}
		}
	}
	gone("empty directory")
	if err := os.Remove(filepath.Join(dir, "metadata")); err != nil {
		t.Fatal(err)
	}
	gone("no directory")
	write(t, filepath.Join(dir, "metadata"), []byte("a file where the directory was"))
	gone("a file instead")
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	gone("nothing at all")
	write(t, dir, nil)
	gone("a file higher up")
}

// TestPulledInTheMiddle: the stick is pulled while an image is read. What was read stays good, and the reason
// says what to do.
func TestPulledInTheMiddle(t *testing.T) {
	dir, r := stick(t)
	path := filepath.Join(dir, "targets", "app.img")
	body, err := r.Image(t.Context(), agent.ImageRequest{Name: "app.img", Length: imageBytes})
	if err != nil {
		t.Fatal(err)
	}
	defer body.Close()
	begin := make([]byte, 4000)
	if _, err := io.ReadFull(body, begin); err != nil || !bytes.Equal(begin, fetchtest.Bytes(4000)) {
		t.Fatal("wrong bytes", err)
	}
	if err := errors.Join(os.Truncate(path, 4000), os.RemoveAll(dir)); err != nil {
		t.Fatal(err)
	}
	if n, err := io.Copy(io.Discard, body); n != 0 || reasonOf(err) != agent.ReasonNoMedium {
		t.Errorf("%d bytes, %v; want reason no_medium", n, err)
	}
}

// TestFileShrinksOrGrows while it is read, with the medium still there.
func TestFileShrinksOrGrows(t *testing.T) {
	for size, want := range map[int64]agent.Reason{5000: agent.ReasonCut, imageBytes + 1: agent.ReasonTooLarge} {
		dir, r := stick(t)
		body, err := r.Image(t.Context(), agent.ImageRequest{Name: "app.img", Length: imageBytes})
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Truncate(filepath.Join(dir, "targets", "app.img"), size); err != nil {
			t.Fatal(err)
		}
		n, err := io.Copy(io.Discard, body)
		body.Close()
		if reasonOf(err) != want || n > imageBytes {
			t.Errorf("cut to %d: %d bytes, %v; want reason %s", size, n, err, want)
		}
	}
}

// TestReadErrors: which errors of a file system mean that the medium fails.
func TestReadErrors(t *testing.T) {
	d := &directory{path: t.TempDir()}
	for err, want := range map[error]agent.Reason{
		syscall.EIO: agent.ReasonNoMedium, syscall.ENODEV: agent.ReasonNoMedium, syscall.ESTALE: agent.ReasonNoMedium,
		syscall.EACCES: agent.ReasonBadAnswer, syscall.ELOOP: agent.ReasonBadAnswer,
	} {
		if got := reasonOf(d.broken("x", &os.PathError{Op: "read", Path: "x", Err: err})); got != want {
			t.Errorf("%v: %s, want %s", err, got, want)
		}
	}
}

// TestDirectoryResume: only a name with the hash lets a stick go on where another mirror stopped.
func TestDirectoryResume(t *testing.T) {
	dir, r := stick(t)
	write(t, filepath.Join(dir, "targets", hashed), fetchtest.Bytes(imageBytes))
	for name, want := range map[string]int64{"app.img": 0, hashed: 4000} {
		body, err := r.Image(t.Context(), agent.ImageRequest{Name: name, From: 4000, Length: imageBytes, Validator: `"v1"`})
		if err != nil || body.From != want || body.Validator != "" {
			t.Fatalf("%s: from %d, validator %q, %v", name, body.From, body.Validator, err)
		}
		body.Close()
	}
}

func TestConfig(t *testing.T) {
	dir := t.TempDir()
	junk := write(t, filepath.Join(dir, "junk"), []byte("no PEM here"))
	large := filepath.Join(dir, "large")
	write(t, large, nil)
	if err := os.Truncate(large, pemBytesMax+1); err != nil {
		t.Fatal(err)
	}
	good := func() Config {
		return Config{Metadata: []string{"https://repo.example/m"}, Targets: []string{"https://repo.example/t"}, Now: time.Now, Log: slog.Default()}
	}
	if r, err := New(good()); err != nil || r.Local() {
		t.Errorf("%v", err)
	}
	for name, change := range map[string]func(*Config){
		"no metadata":        func(c *Config) { c.Metadata = nil },
		"no targets":         func(c *Config) { c.Targets = nil },
		"too many mirrors":   func(c *Config) { c.Targets = make([]string, mirrorsMax+1) },
		"no clock":           func(c *Config) { c.Now = nil },
		"no scheme":          func(c *Config) { c.Metadata[0] = "u:secret@repo.example" },
		"another scheme":     func(c *Config) { c.Metadata[0] = "ftp://u:secret@repo.example" },
		"no host":            func(c *Config) { c.Metadata[0] = "https:///m" },
		"only a port":        func(c *Config) { c.Metadata[0] = "https://:80" },
		"not a URL":          func(c *Config) { c.Metadata[0] = "https://u:secret@%zz" },
		"a remote directory": func(c *Config) { c.Metadata[0] = "file://u:secret@host/x" },
		"a relative path":    func(c *Config) { c.Metadata[0] = "file:x" },
		"negative time-out":  func(c *Config) { c.DialTimeout = -1 },
		// rauc-hawkbit-updater#208: an absurd wait was accepted and looked like a hang.
		"absurd time-out":   func(c *Config) { c.IdleTimeout = 24 * time.Hour },
		"tiny time-out":     func(c *Config) { c.HeaderTimeout = time.Millisecond },
		"negative rate":     func(c *Config) { c.RateMin = -1 },
		"absurd rate":       func(c *Config) { c.RateMin = 1 << 50 },
		"tiny bandwidth":    func(c *Config) { c.BandwidthMax = 10 },
		"negative cap":      func(c *Config) { c.BandwidthMax = -1 },
		"cert without key":  func(c *Config) { c.Cert = junk },
		"key without cert":  func(c *Config) { c.Key = junk },
		"proxy without URL": func(c *Config) { c.Proxy = "secret" },
	} {
		c := good()
		change(&c)
		r, err := New(c)
		if err == nil || r != nil || strings.Contains(err.Error(), "secret") || strings.ContainsAny(err.Error(), "\n") {
			t.Errorf("%s: %v, %v", name, r, err)
		}
	}
	// A key file that can't be used stops nobody from starting: it is told.
	for name, change := range map[string]func(*Config){
		"missing ca":       func(c *Config) { c.CA = filepath.Join(dir, "none") },
		"ca without PEM":   func(c *Config) { c.CA = junk },
		"endless ca":       func(c *Config) { c.CA = large },
		"cert without PEM": func(c *Config) { c.Cert, c.Key = junk, junk },
	} {
		c := good()
		c.Log = nil
		change(&c)
		if r, err := New(c); err != nil || r.Credentials() == nil || CheckKeys(c) == nil {
			t.Errorf("%s: %v, %v", name, err, CheckKeys(c))
		}
	}
}
