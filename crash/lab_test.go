//go:build linux && amd64

package crash

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"log"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/ota-agent/ota-agent/publish"
	"github.com/ota-agent/ota-agent/release"
)

// Who the device is.
const (
	component  = "system"
	hardware   = "board"
	targetPath = "rootfs.img"
)

// A published release.
type published struct {
	version string
	index   int64
	image   []byte
	sha256  string // hex
}

// A lab is a publisher with its server, and the programs of a device.
type lab struct {
	dir      string // the publisher's
	agent    string // the binary
	hook     string
	url      string
	repo     *publish.Repo
	releases []published
}

// agentBinary builds the agent once for all tests; TestMain removes it.
var agentBinary = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "ota-agent")
	if err != nil {
		return "", err
	}
	out := filepath.Join(dir, "ota-agent")
	cmd := exec.Command("go", "build", "-trimpath", "-buildvcs=false", "-o", out, "./cmd/ota-agent")
	cmd.Dir, cmd.Env = "..", append(os.Environ(), "CGO_ENABLED=0")
	if text, err := cmd.CombinedOutput(); err != nil {
		return out, fmt.Errorf("build the agent: %w\n%s", err, text)
	}
	return out, nil
})

func TestMain(m *testing.M) {
	if inGuest() {
		runGuest()
		return
	}
	ownMounts()
	code := m.Run()
	if binary, _ := agentBinary(); binary != "" {
		if err := os.RemoveAll(filepath.Dir(binary)); err != nil {
			log.Print(err)
		}
	}
	os.Exit(code)
}

// quickKDF makes opening the test keys cheap: they guard nothing.
var quickKDF = publish.KDF{LogN: 10, R: 8, P: 1}

// lasting is how long metadata is good. The uptime of this machine counts anew at each boot of a board, and
// an agent that trusts no clock adds it up.
const lasting = 5 * 365 * 24 * time.Hour

func newLab(t *testing.T) *lab {
	t.Helper()
	binary, err := agentBinary()
	must(t, err)
	text, err := os.ReadFile("../packaging/hooks/ab-file")
	must(t, err)
	hook := filepath.Join(shortDir(t), "ab-file") // the source tree may be another user's, whose hooks the agent does not run
	must(t, os.WriteFile(hook, text, 0o755))
	l := &lab{dir: shortDir(t), agent: binary, hook: hook}
	secret := publish.FixedPassphrase("test")
	_, err = publish.Init(l.dir, publish.Options{Now: time.Now(), Passphrase: secret, KDF: quickKDF, Hardware: []string{hardware},
		Expiry: publish.Expiry{Root: lasting, Targets: lasting, Snapshot: lasting, Timestamp: lasting}})
	must(t, err)
	l.repo, err = publish.Open(l.dir, publish.Access{Passphrase: secret})
	must(t, err)
	t.Cleanup(func() { _ = l.repo.Close() })
	server := httptest.NewServer(static(publish.RepositoryDir(l.dir)))
	t.Cleanup(server.Close)
	l.url = server.URL
	return l
}

// static serves files, images with a strong validator, so that a download can resume.
func static(dir string) http.Handler {
	files := http.FileServer(http.Dir(dir))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if path.Ext(r.URL.Path) == ".img" { // its name holds its hash
			w.Header().Set("ETag", `"`+path.Base(r.URL.Path)+`"`)
		}
		files.ServeHTTP(w, r)
	})
}

// publish signs a new release of size bytes. Its content depends on its version alone.
func (l *lab) publish(t *testing.T, size int) published {
	t.Helper()
	r := published{index: int64(len(l.releases) + 1), image: make([]byte, size)}
	r.version = fmt.Sprint(r.index)
	_, err := io.ReadFull(rand.NewChaCha8([32]byte{byte(r.index)}), r.image)
	must(t, err)
	sum := sha256.Sum256(r.image)
	r.sha256 = hex.EncodeToString(sum[:])
	_, err = l.repo.Add(publish.Addition{Path: targetPath, Image: bytes.NewReader(r.image), Info: release.Info{
		Version: r.version, RollbackIndex: &r.index, Hardware: []string{hardware},
	}})
	must(t, err)
	_, err = l.repo.Publish(time.Now())
	must(t, err)
	l.releases = append(l.releases, r)
	return r
}
