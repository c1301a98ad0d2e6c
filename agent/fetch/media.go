package fetch

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
)

// Bounds of the look for repositories on media. A look is cheap: it lists the directories that a * stands for, and asks
// for two names and the timestamp on each medium.
const (
	mediaPatternsMax = 4
	mediaStarsMax    = 2
	// mediaEntriesMax is how many entries of a directory a * stands for.
	mediaEntriesMax = 32
	// mediaMax is how many repositories are used at a time.
	mediaMax = 4
	// mediaEvery is the time between two looks where nobody asks for anything.
	mediaEvery = 10 * time.Second
	// lookTimeout bounds the look at one directory: a disk may have to spin up first.
	lookTimeout = 10 * time.Second
	// lookMax bounds a whole look: beyond it no further directory is looked at.
	lookMax = 30 * time.Second
	// lookWait is how long a request waits for a look.
	lookWait = 2 * time.Second
	// shyMax is how many directories are remembered that did not answer in time.
	shyMax = 64
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

// A medium is a repository that was found on one.
type medium struct {
	path string
	// place changes when the metadata directory does, digest when its timestamp.json does.
	place, digest     string
	metadata, targets *mirror
}

// same says whether nothing came in between: neither another medium nor other metadata on this one.
func (m *medium) same(o *medium) bool {
	return m.path == o.path && m.place == o.place && m.digest == o.digest
}

// media are the places to look at, and what was there at the last look. A look may hang, so it is made aside:
// no lock is held meanwhile, and a request waits for it no longer than lookWait.
type media struct {
	places []place
	log    *slog.Logger
	aides  *aides
	shelf  shelf // what those on media have in common
	// refused says whether the metadata of a medium, and its images, rest since they did not verify.
	refused func(memory) (metadata, images bool)
	// restsUntil is when the rest of images ends.
	restsUntil func(*health) time.Time

	late map[string]bool // what the last look saw, where it ran out of time; the look's own

	mu      sync.Mutex
	looking chan struct{} // closed at the end of the look under way; nil: there is none
	found   []*medium
	arrived bool // since it was last asked for
	memory  []memory
	shies   map[string]shyness // by directory
}

// CheckMedia says what is wrong with Config.Media.
func CheckMedia(patterns []string) error {
	_, err := parsePlaces(patterns)
	return err
}

func parsePlaces(patterns []string) (places []place, err error) {
	if len(patterns) > mediaPatternsMax {
		return nil, fmt.Errorf("want at most %d patterns, got %d", mediaPatternsMax, len(patterns))
	}
	for _, pattern := range patterns {
		p, err := parsePlace(pattern)
		if err != nil {
			return nil, err
		}
		places = append(places, p)
	}
	return places, nil
}

// refresh looks at what is there now, and waits for that, but not long.
func (m *media) refresh(ctx context.Context) {
	if len(m.places) == 0 {
		return
	}
	m.mu.Lock()
	if m.looking == nil {
		m.looking = make(chan struct{})
		go m.look()
	}
	looking := m.looking
	m.mu.Unlock()
	timer := time.NewTimer(lookWait)
	defer timer.Stop()
	select {
	case <-looking:
	case <-timer.C:
	case <-ctx.Done():
	}
}

// take puts what a look found in the place of what was there before. What was there before stays the same mirror.
func (m *media) take(now []*medium) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for i, s := range now {
		now[i] = m.known(s)
	}
	for _, s := range m.found {
		if !slices.Contains(now, s) {
			m.log.Info("medium gone", "path", s.path)
		}
	}
	m.found = now
	close(m.looking)
	m.looking = nil
}

// known is the medium that was found before, or the new one, with the health that its metadata is remembered
// with. A bad one is no news: plugging it in again changes nothing.
func (m *media) known(s *medium) *medium {
	for _, old := range m.found {
		if old.same(s) {
			return old
		}
	}
	m.remember(s)
	if m.bad(s.memory()) {
		m.log.Info("medium found that rests, since its files, or those of others, were refused", "path", s.path)
		return s
	}
	m.arrived = true
	m.log.Info("medium with a repository found", "path", s.path)
	return s
}

// list are the media that were found.
func (m *media) list() []*medium {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.found)
}

// metadata and targets are the mirrors on media.
func (m *media) metadata() (list []*mirror) {
	for _, s := range m.list() {
		list = append(list, s.metadata)
	}
	return list
}

func (m *media) targets() (list []*mirror) {
	for _, s := range m.list() {
		list = append(list, s.targets)
	}
	return list
}

// news says whether a medium came since it was last asked.
func (m *media) news(ctx context.Context) bool {
	m.refresh(ctx)
	m.mu.Lock()
	defer m.mu.Unlock()
	arrived := m.arrived
	m.arrived = false
	return arrived
}

// WatchMedia calls arrived after a medium with a repository was plugged in, or got other metadata, until ctx
// ends. Where no media are configured it returns at once. What is there at the start is no news: the first
// poll finds it.
func (r *Repository) WatchMedia(ctx context.Context, arrived func()) {
	if len(r.media.places) == 0 {
		return
	}
	r.media.news(ctx)
	tick := time.NewTicker(mediaEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			if r.media.news(ctx) {
				arrived()
			}
		}
	}
}
