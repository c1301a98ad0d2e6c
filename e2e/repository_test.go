package e2e

import (
	"crypto/sha256"
	"encoding/hex"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/ota-agent/ota-agent/publish"
	"github.com/ota-agent/ota-agent/release"
)

// A repository holds one release, made and signed as ota-repo does it.
type repository struct {
	dir    string // what a server serves: metadata/ and targets/
	anchor []byte // the root.json to ship with devices
	sha256 string
	length int64
	// target is the image's path below dir.
	target string
}

// newRepository publishes an image of random bytes.
func newRepository(t testing.TB, length int64) *repository {
	t.Helper()
	dir := t.TempDir()
	must(t, os.Chmod(dir, 0o755)) // a server may run as another user
	secret := publish.FixedPassphrase("e2e")
	_, err := publish.Init(dir, publish.Options{Now: time.Now(), Passphrase: secret, Hardware: []string{hardware},
		KDF: publish.KDF{LogN: 10, R: 8, P: 1}})
	must(t, err)
	repo, err := publish.Open(dir, publish.Access{Passphrase: secret})
	must(t, err)
	defer repo.Close()
	index := int64(1)
	var seed [32]byte
	seed[0] = byte(length >> 10)
	hash := sha256.New()
	image := io.TeeReader(io.LimitReader(rand.NewChaCha8(seed), length), hash)
	_, err = repo.Add(publish.Addition{Path: targetPath, Image: image,
		Info: release.Info{Version: "2", RollbackIndex: &index, Hardware: []string{hardware}}})
	must(t, err)
	_, err = repo.Publish(time.Now())
	must(t, err)
	anchor, err := os.ReadFile(filepath.Join(publish.MetadataDir(dir), "1.root.json"))
	must(t, err)
	sum := hex.EncodeToString(hash.Sum(nil))
	return &repository{dir: publish.RepositoryDir(dir), anchor: anchor, sha256: sum, length: length,
		target: filepath.Join("targets", filepath.Dir(targetPath), sum+"."+filepath.Base(targetPath))}
}
