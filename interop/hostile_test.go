package interop

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata"
	"github.com/theupdateframework/go-tuf/v2/metadata/config"
	"github.com/theupdateframework/go-tuf/v2/metadata/updater"

	"github.com/ota-agent/ota-agent/verifier"
	"github.com/ota-agent/ota-agent/verifier/tuftest"
)

// A verdict is what another client makes of a repository: go-tuf v2.4.2 and tuf-js 5.0.1.
type verdict string

const (
	accepts verdict = "accepts"
	refuses verdict = "refuses"
	panics  verdict = "panics"
)

// A difference is a repository that not all clients judge alike. The same bytes go to each.
type difference struct {
	rule   string // the part of the verifier's contract that decides (docs/interop.md)
	name   string
	change func(r *tuftest.Repository)
	path   string // looked up after the refresh; empty: app.img
	ours   error  // the class of our refusal; nil: accepted
	goTUF  verdict
	tufJS  verdict
}

// repository makes the documents.
func (d difference) repository() (anchor []byte, files map[string][]byte, path string) {
	r := tuftest.New()
	r.Targets().Add("app.img", []byte("app"))
	d.change(r)
	if path = d.path; path == "" {
		path = "app.img"
	}
	return r.Anchor(), r.Files(), path
}

func differences() []difference {
	return slices.Concat(honestFiles(), parsedLoosely(), unboundedFields(), nullEntries(), keysAndSchemes(), delegations())
}

// The clients judge the same documents. Where they differ ours is right; a new version of another that judges otherwise
// than was known shows here.
func TestWhereOthersDiffer(t *testing.T) {
	for _, d := range differences() {
		t.Run(d.rule+" "+d.name, func(t *testing.T) {
			anchor, files, path := d.repository()
			if err := ask(anchor, files, path); !errors.Is(err, d.ours) {
				t.Errorf("ours: %v; want %v", err, d.ours)
			}
			got, why := askGoTUF(t.TempDir(), anchor, files, path)
			if got != d.goTUF {
				t.Errorf("go-tuf %s (%s); it was known that it %s: correct docs/interop.md", got, why, d.goTUF)
			}
		})
	}
}

// ask refreshes and looks a path up with our verifier.
func ask(anchor []byte, files map[string][]byte, path string) error {
	store := tuftest.NewStore()
	answer := func(r verifier.Request) verifier.Answer {
		if r.Source == verifier.Stored {
			return store.Answer(r.Key)
		}
		if b, ok := files[r.Name]; ok {
			return verifier.Bytes(b)
		}
		return verifier.Absent()
	}
	refresh, err := verifier.Begin(anchor, verifier.Floors{}, now(), verifier.Limits{})
	if err != nil {
		return err
	}
	if err := verifier.Drive(refresh, answer, store.Commit); err != nil {
		return err
	}
	search := refresh.Find(path)
	if err := verifier.Drive(search, answer, store.Commit); err != nil {
		return err
	}
	_, err = search.Found()
	return err
}

// memory is a go-tuf fetcher over files in memory.
type memory map[string][]byte

const memoryURL = "http://repository/"

func (m memory) DownloadFile(url string, bytesMax int64, _ time.Duration) ([]byte, error) {
	b, ok := m[strings.TrimPrefix(url, memoryURL)]
	if !ok {
		return nil, &metadata.ErrDownloadHTTP{StatusCode: 404, URL: url}
	}
	if int64(len(b)) > bytesMax {
		return nil, &metadata.ErrDownloadLengthMismatch{Msg: "too long"}
	}
	return b, nil
}

// askGoTUF is the same with go-tuf, which keeps its files in dir.
func askGoTUF(dir string, anchor []byte, files map[string][]byte, path string) (v verdict, why string) {
	defer func() {
		if p := recover(); p != nil {
			v, why = panics, fmt.Sprint(p)
		}
	}()
	cfg, err := config.New(memoryURL, anchor)
	if err != nil {
		return refuses, err.Error()
	}
	cfg.Fetcher, cfg.LocalMetadataDir, cfg.LocalTargetsDir = memory(files), dir, dir
	u, err := updater.New(cfg)
	if err != nil {
		return refuses, err.Error()
	}
	u.UnsafeSetRefTime(now())
	if _, err := u.GetTargetInfo(path); err != nil {
		return refuses, err.Error()
	}
	return accepts, ""
}
