package fetch

import (
	"context"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// Bounds of the look for repositories on media. A look is cheap: it lists the directories that a * stands for, and asks
// for two names on each medium.
const (
	mediaPatternsMax = 4
	mediaStarsMax    = 2
	// mediaEntriesMax is how many entries of a directory a * stands for.
	mediaEntriesMax = 32
	// mediaMax is how many repositories are used at a time.
	mediaMax = 4
	// mediaEvery is the time between two looks where nobody asks for anything.
	mediaEvery = 10 * time.Second
)

// A place is where a medium may hold a repository: a directory that the system mounts it at, in which * stands for any
// name, and the repository's own below it. What lies below belongs to the medium, and may not lead out of it.
type place struct {
	mount []string // segments
	below string   // on the medium; "." for itself
}

// parsePlace reads a pattern such as /run/media/*/*/ota: all up to the last * is the mount point.
func parsePlace(pattern string) (place, error) {
	if !filepath.IsAbs(pattern) || filepath.Clean(pattern) != strings.TrimSuffix(pattern, "/") {
		return place{}, fmt.Errorf("%q: want a clean absolute path", clip(pattern, 80))
	}
	segments := strings.Split(strings.Trim(pattern, "/"), "/")
	last, stars := len(segments)-1, 0
	for i, s := range segments {
		if s == "*" {
			last = i
			stars++
		} else if strings.ContainsAny(s, "*?[") {
			return place{}, fmt.Errorf("%q: * stands for a whole name, and nothing else is special", clip(pattern, 80))
		}
	}
	if stars > mediaStarsMax || segments[0] == "*" {
		return place{}, fmt.Errorf("%q: want at most %d *, and none at the root", clip(pattern, 80), mediaStarsMax)
	}
	return place{mount: segments[:last+1], below: filepath.Join(append([]string{"."}, segments[last+1:]...)...)}, nil
}

// mounts lists the mount points that are there, below dir.
func mounts(dir string, rest []string, found []string) []string {
	for i, s := range rest {
		if s != "*" {
			dir = filepath.Join(dir, s)
			continue
		}
		d, err := os.Open(dir)
		if err != nil {
			return found
		}
		entries, _ := d.ReadDir(mediaEntriesMax)
		d.Close()
		for _, e := range entries {
			if e.IsDir() {
				found = mounts(filepath.Join(dir, e.Name()), rest[i+1:], found)
			}
		}
		return found
	}
	return append(found, dir)
}

// A medium is a repository that was found on one.
type medium struct {
	path              string
	info              fs.FileInfo // of its metadata directory: it changes when the medium does
	metadata, targets *mirror
}

// open finds the repository below a mount point, or nil: both directories must be there.
func (p place) open(mount string) *medium {
	metadata := &directory{path: mount, below: filepath.Join(p.below, "metadata")}
	targets := &directory{path: mount, below: filepath.Join(p.below, "targets")}
	info, err := metadata.stat()
	if err != nil {
		return nil
	}
	if _, err := targets.stat(); err != nil {
		return nil
	}
	return &medium{path: filepath.Join(mount, p.below), info: info, metadata: &mirror{source: metadata}, targets: &mirror{source: targets}}
}

// same says whether nothing came in between: neither another medium nor other metadata on this one.
func (m *medium) same(o *medium) bool {
	return m.path == o.path && os.SameFile(m.info, o.info) && m.info.ModTime().Equal(o.info.ModTime())
}

// media are the places to look at, and what was there at the last look.
type media struct {
	places []place
	log    *slog.Logger

	mu      sync.Mutex
	found   []*medium
	arrived bool // since it was last asked for
}

// CheckMedia says what is wrong with Config.Media.
func CheckMedia(patterns []string) error {
	_, err := newMedia(patterns, nil)
	return err
}

func newMedia(patterns []string, log *slog.Logger) (*media, error) {
	if len(patterns) > mediaPatternsMax {
		return nil, fmt.Errorf("want at most %d patterns, got %d", mediaPatternsMax, len(patterns))
	}
	m := &media{log: log}
	for _, pattern := range patterns {
		p, err := parsePlace(pattern)
		if err != nil {
			return nil, err
		}
		m.places = append(m.places, p)
	}
	return m, nil
}

// look finds what is there now. What was there before keeps its health.
func (m *media) look() []*medium {
	m.mu.Lock()
	defer m.mu.Unlock()
	var now []*medium
	for _, p := range m.places {
		for _, mount := range mounts("/", p.mount, nil) {
			if s := p.open(mount); s != nil && len(now) < mediaMax {
				now = append(now, m.known(s))
			}
		}
	}
	for _, s := range m.found {
		if !contains(now, s) {
			m.log.Info("medium gone", "path", s.path)
		}
	}
	m.found = now
	return now
}

// known is the medium that was found before, or the new one.
func (m *media) known(s *medium) *medium {
	for _, old := range m.found {
		if old.same(s) {
			return old
		}
	}
	m.arrived = true
	m.log.Info("medium with a repository found", "path", s.path)
	return s
}

func contains(list []*medium, s *medium) bool {
	for _, o := range list {
		if o == s {
			return true
		}
	}
	return false
}

// metadata and targets are the mirrors on media.
func (m *media) metadata() (list []*mirror) {
	for _, s := range m.look() {
		list = append(list, s.metadata)
	}
	return list
}

func (m *media) targets() (list []*mirror) {
	for _, s := range m.look() {
		list = append(list, s.targets)
	}
	return list
}

// news says whether a medium came since it was last asked.
func (m *media) news() bool {
	m.look()
	m.mu.Lock()
	defer m.mu.Unlock()
	arrived := m.arrived
	m.arrived = false
	return arrived
}

// WatchMedia calls arrived after a medium with a repository was plugged in, or got other metadata, until ctx ends. Where
// no media are configured it returns at once. What is there at the start is no news: the first poll finds it.
func (r *Repository) WatchMedia(ctx context.Context, arrived func()) {
	if len(r.media.places) == 0 {
		return
	}
	r.media.news()
	tick := time.NewTicker(mediaEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			if r.media.news() {
				arrived()
			}
		}
	}
}
