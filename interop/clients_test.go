package interop

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata/config"
	"github.com/theupdateframework/go-tuf/v2/metadata/updater"

	"github.com/ota-agent/ota-agent/agent"
	"github.com/ota-agent/ota-agent/agent/fetch"
	"github.com/ota-agent/ota-agent/verifier"
	"github.com/ota-agent/ota-agent/verifier/tuftest"
)

// A site is a repository on a web server: metadata/ and targets/ below one URL.
type site struct {
	url    string
	anchor []byte
}

func (s site) metadata() string { return s.url + "/metadata" }
func (s site) targets() string  { return s.url + "/targets" }

// serve hands out the files below dir.
func serve(t *testing.T, dir string, anchor []byte) site {
	t.Helper()
	server := httptest.NewServer(http.FileServer(http.Dir(dir)))
	t.Cleanup(server.Close)
	return site{server.URL, anchor}
}

// A download is a target as a client got it.
type download struct {
	content []byte
	custom  []byte // the target's custom value, JSON
}

// A client remembers what it accepted from one get to the next.
type client interface {
	// get refreshes, finds the target, downloads and verifies it.
	get(t *testing.T, path string) (download, error)
}

// ourClient is package verifier over the agent's own way to a repository.
type ourClient struct {
	site       site
	now        time.Time
	store      *tuftest.Store
	repository *fetch.Repository
}

func newOurClient(t *testing.T, s site, now time.Time) *ourClient {
	t.Helper()
	c := &ourClient{site: s, now: now, store: tuftest.NewStore()}
	var err error
	c.repository, err = fetch.New(fetch.Config{
		Metadata: []string{s.metadata()}, Targets: []string{s.targets()}, Proxy: "direct",
		Now: func() time.Time { return now },
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.repository.Close() })
	return c
}

func (c *ourClient) get(t *testing.T, path string) (download, error) {
	found, err := c.find(t.Context(), path)
	if err != nil {
		return download{}, err
	}
	target := found.Target
	body, err := c.repository.Image(t.Context(), agent.ImageRequest{Name: target.Name, Length: target.Length})
	if err != nil {
		return download{}, err
	}
	defer body.Close()
	content, err := io.ReadAll(body)
	if err != nil {
		return download{}, err
	}
	check := target.Check()
	if _, err := check.Write(content); err != nil {
		return download{}, err
	}
	verified, err := check.Done()
	if err == nil && !verified.OK() {
		err = errors.New("a check that ended well verified nothing")
	}
	return download{content, target.Custom}, err
}

// find refreshes and searches.
func (c *ourClient) find(ctx context.Context, path string) (verifier.Found, error) {
	refresh, err := verifier.Begin(c.site.anchor, c.store.Floors, c.now, verifier.Limits{})
	if err != nil {
		return verifier.Found{}, err
	}
	if err := c.drive(ctx, refresh); err != nil {
		return verifier.Found{}, err
	}
	search := refresh.Find(path)
	if err := c.drive(ctx, search); err != nil {
		return verifier.Found{}, err
	}
	return search.Found()
}

func (c *ourClient) drive(ctx context.Context, v verifier.Conversation) error {
	ask := func(r verifier.Request) verifier.Answer {
		if r.Source == verifier.Stored {
			return c.store.Answer(r.Key)
		}
		b, err := c.repository.Metadata(ctx, r.Name, r.BytesMax)
		switch {
		case err == nil:
			return verifier.Bytes(b)
		case errors.Is(err, agent.ErrAbsent):
			return verifier.Absent()
		}
		return verifier.Failed(err)
	}
	return verifier.Drive(v, ask, c.store.Commit)
}

// goTUF is go-tuf's updater, as its documentation has it.
type goTUF struct {
	site site
	now  time.Time
	dir  string
}

func newGoTUF(t *testing.T, s site, now time.Time) *goTUF {
	t.Helper()
	return &goTUF{s, now, t.TempDir()}
}

func (c *goTUF) get(t *testing.T, path string) (download, error) {
	cfg, err := config.New(c.site.metadata(), c.anchor(t))
	if err != nil {
		return download{}, err
	}
	cfg.LocalMetadataDir, cfg.LocalTargetsDir = filepath.Join(c.dir, "metadata"), filepath.Join(c.dir, "targets")
	cfg.RemoteTargetsURL = c.site.targets()
	u, err := updater.New(cfg)
	if err != nil {
		return download{}, err
	}
	u.UnsafeSetRefTime(c.now)
	if err := u.Refresh(); err != nil {
		return download{}, err
	}
	info, err := u.GetTargetInfo(path)
	if err != nil {
		return download{}, err
	}
	var d download
	if info.Custom != nil {
		d.custom = *info.Custom
	}
	_, d.content, err = u.DownloadTarget(info, "", "")
	return d, err
}

// anchor is what go-tuf kept, which it trusts instead of the one it was shipped with.
func (c *goTUF) anchor(t *testing.T) []byte {
	t.Helper()
	kept, err := os.ReadFile(filepath.Join(c.dir, "metadata", "root.json"))
	if errors.Is(err, os.ErrNotExist) {
		return c.site.anchor
	}
	if err != nil {
		t.Fatal(err)
	}
	return kept
}
