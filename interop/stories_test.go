package interop

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ota-agent/ota-agent/verifier"
	"github.com/ota-agent/ota-agent/verifier/tuftest"
)

// A scene is a repository on a web server that changes between two visits of a device.
type scene struct {
	*tuftest.Repository
	site   site
	images map[string]string // by escaped path below targets/
	status map[string]int    // answered for a metadata file in place of 404
}

func newScene(t *testing.T) *scene {
	t.Helper()
	s := &scene{Repository: tuftest.New(), images: map[string]string{}, status: map[string]int{}}
	s.add("app.img", "app")
	server := httptest.NewServer(http.HandlerFunc(s.serve))
	t.Cleanup(server.Close)
	s.site = site{server.URL, s.Anchor()}
	return s
}

// add lists a target and puts its image where a client of consistent snapshots looks.
func (s *scene) add(path, content string) {
	s.Targets().Add(path, []byte(content))
	entry := s.Targets().Targets[path].(tuftest.Object)
	hash := entry["hashes"].(tuftest.Object)["sha256"].(string)
	s.images["/targets/"+hash+"."+url.PathEscape(path)] = content
}

func (s *scene) serve(w http.ResponseWriter, r *http.Request) {
	path := r.URL.EscapedPath()
	if image, ok := s.images[path]; ok {
		w.Write([]byte(image))
		return
	}
	name := strings.TrimPrefix(path, "/metadata/")
	if b, ok := s.Repository.Files()[name]; ok {
		w.Write(b)
		return
	}
	status := http.StatusNotFound
	if s.status[name] != 0 {
		status = s.status[name]
	}
	http.Error(w, http.StatusText(status), status)
}

// clients are ours and go-tuf's, fresh.
func (s *scene) clients(t *testing.T) (our *ourClient, peer *goTUF) {
	return newOurClient(t, s.site, now()), newGoTUF(t, s.site, now())
}

// visit gets a target with both, and says who is expected to get it.
func visit(t *testing.T, our *ourClient, peer *goTUF, path, content string, peerToo bool) {
	t.Helper()
	if got, err := our.get(t, path); err != nil || string(got.content) != content {
		t.Errorf("ours: %q, %v; want %q", got.content, err, content)
	}
	got, err := peer.get(t, path)
	if ok := err == nil && string(got.content) == content; ok != peerToo {
		t.Errorf("go-tuf: %q, %v; it was known otherwise: correct docs/interop.md", got.content, err)
	}
}

// An object store behind a CDN answers 403 for what it does not have (C4). So there is no newer root.
func TestRootForbiddenMeansNoNewerRoot(t *testing.T) {
	s := newScene(t)
	s.status["2.root.json"] = http.StatusForbidden
	our, peer := s.clients(t)
	visit(t, our, peer, "app.img", "app", false)
}

// Whoever had the keys of timestamp and snapshot drove the snapshot's version up. The publisher replaces the snapshot's
// key and goes on from the old versions (C9): devices must follow, though the timestamp's key is the same.
func TestRecoveryFromFastForwardWhenOnlyTheSnapshotKeyRotates(t *testing.T) {
	s := newScene(t)
	our, peer := s.clients(t)
	s.Snapshot.Version, s.Timestamp.Version = 1_000_000, 2
	visit(t, our, peer, "app.img", "app", true)

	s.Snapshot.Version, s.Timestamp.Version = 3, 3
	s.Rotate(verifier.Snapshot, "snapshot-2")
	s.PublishRoot()
	visit(t, our, peer, "app.img", "app", false)
}

// The power went while a file was written (C11). What is stored is torn; the repository has it whole.
func TestTornStoredFileIsFetchedAgain(t *testing.T) {
	s := newScene(t)
	our, peer := s.clients(t)
	visit(t, our, peer, "app.img", "app", true)

	key := verifier.Key{Role: verifier.Timestamp}
	our.store.Documents[key] = our.store.Documents[key][:100]
	fatal(t, os.Truncate(filepath.Join(peer.dir, "metadata", "timestamp.json"), 100))
	visit(t, our, peer, "app.img", "app", false)
	visit(t, our, peer, "app.img", "app", false)
}

// A target path is no URL (G6).
func TestTargetPathsAreEscaped(t *testing.T) {
	for path, peerToo := range map[string]bool{
		"a b.img": true, "50%.img": false, "a#b.img": false, "a?b.img": false, "ä%20.img": false,
	} {
		t.Run(path, func(t *testing.T) {
			s := newScene(t)
			s.add(path, "image of "+path)
			our, peer := s.clients(t)
			visit(t, our, peer, path, "image of "+path, peerToo)
		})
	}
}
