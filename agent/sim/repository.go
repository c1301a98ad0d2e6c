package sim

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/ota-agent/ota-agent/publish"
	"github.com/ota-agent/ota-agent/release"
)

// The components of a device.
const (
	rootfs = "rootfs" // needs a reboot
	app    = "app"    // needs none
)

const day = 24 * time.Hour

const (
	imageBytes = 4 << 10
	chunkBytes = 1 << 10 // of a body's read, and between two flushes
)

// epoch is when the simulated publisher starts.
var epoch = time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)

// expiry is of all metadata: a device that is frozen notices after that time.
const expiry = 100 * 24 * time.Hour

// A repository is a publisher's real, signed repository after each of its publications. It is made once and shared.
type repository struct {
	anchor     []byte
	components []string
	// stages[i] is what a mirror serves after publications 0..i: path below the repository → bytes.
	stages   []map[string][]byte
	releases map[string][][]byte
	known    []known
}

// A known release is one of the publisher's.
type known struct {
	image []byte
	id    string
	how   string
	index int64
}

// A publication is one edit of the repository.
type publication struct {
	component string
	how       string // the release behaves like this; empty: the component's release is withdrawn
	requires  int64  // of rootfs, by its index; 0: nothing
	day       int    // after epoch
	index     int64  // rollback_index; 0: one more than the component's last
	root      bool   // a new root comes with it
	urgent    bool
	rollout   time.Duration // from the day on; 0: for all at once
}

// publishAll publishes one release of rootfs after the other.
func publishAll(t testing.TB, behaviours ...string) *repository {
	t.Helper()
	var all []publication
	for _, how := range behaviours {
		all = append(all, publication{component: rootfs, how: how})
	}
	return publishEach(t, all...)
}

// publishEach makes one publication after the other, with a rollback_index that rises per component.
func publishEach(t testing.TB, all ...publication) *repository {
	t.Helper()
	return publishFor(t, expiry, all...)
}

// publishFor is publishEach with metadata that expires that long after it was signed.
func publishFor(t testing.TB, expiry time.Duration, all ...publication) *repository {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "publisher")
	pass := publish.FixedPassphrase("simulated")
	must(t, second(publish.Init(dir, publish.Options{Now: epoch, Passphrase: pass, KDF: publish.KDF{LogN: 10, R: 1, P: 1},
		Expiry: publish.Expiry{Targets: expiry, Snapshot: expiry, Timestamp: expiry}})))
	repo, err := publish.Open(dir, publish.Access{Passphrase: pass})
	must(t, err)
	defer repo.Close()
	r := &repository{releases: map[string][][]byte{}}
	for i, p := range all {
		path := "board/stable/" + p.component + ".img"
		now := epoch.Add(time.Duration(p.day)*day + time.Duration(i+1)*time.Minute)
		switch {
		case p.component == "": // signed again
		case p.how == "":
			must(t, repo.Remove(path))
		default:
			must(t, second(repo.Add(r.addition(path, p))))
		}
		if p.root {
			must(t, second(repo.Sign("root", now)))
		}
		must(t, second(repo.Publish(now)))
		r.stages = append(r.stages, readAll(t, publish.RepositoryDir(dir)))
	}
	r.anchor = r.stages[0]["metadata/1.root.json"]
	return r
}

// addition makes the component's next release.
func (r *repository) addition(path string, p publication) publish.Addition {
	if r.releases[p.component] == nil {
		r.components = append(r.components, p.component)
	}
	index := int64(len(r.releases[p.component]) + 1)
	image := slices.Repeat(fmt.Appendf(nil, "%s v%d of %s\n", p.how, index, p.component), imageBytes)[:imageBytes]
	version := fmt.Sprintf("v%d", index)
	if p.index > 0 {
		index = p.index
	}
	r.releases[p.component] = append(r.releases[p.component], image)
	r.known = append(r.known, known{image: image, id: hash(image), how: p.how, index: index})
	info := release.Info{Version: version, RollbackIndex: &index, Urgent: p.urgent}
	if p.rollout > 0 {
		info.Rollout = &release.Rollout{Start: epoch.Add(time.Duration(p.day) * day), Duration: p.rollout}
	}
	if p.requires > 0 {
		info.Requires = []release.Requirement{{Component: rootfs, RollbackIndex: p.requires}}
	}
	return publish.Addition{Path: path, Image: bytes.NewReader(image), Info: info}
}

func second[T any](_ T, err error) error { return err }

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func readAll(t testing.TB, dir string) map[string][]byte {
	files := map[string][]byte{}
	must(t, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		name, _ := filepath.Rel(dir, path)
		files[filepath.ToSlash(name)] = b
		return err
	}))
	return files
}

// find returns the publisher's release with these bytes.
func (r *repository) find(image []byte) (known, bool) {
	i := slices.IndexFunc(r.known, func(k known) bool { return bytes.Equal(k.image, image) })
	if i < 0 {
		return known{}, false
	}
	return r.known[i], true
}

// hashOf is the hex hash of a release of the publisher's, or "".
func (r *repository) hashOf(image []byte) string {
	k, _ := r.find(image)
	return k.id
}

// index is the release's rollback_index, or 0.
func (r *repository) index(image []byte) int64 {
	k, _ := r.find(image)
	return k.index
}

// behaviour is how the release with this ID behaves, or "".
func (r *repository) behaviour(id string) string {
	for _, k := range r.known {
		if k.id == id {
			return k.how
		}
	}
	return ""
}
