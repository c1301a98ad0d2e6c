package fetch

import (
	"context"
	"errors"
	"path/filepath"
	"slices"
	"time"

	"github.com/ota-agent/ota-agent/agent"
)

// A look is one look at all places, by an aide. A directory that does not answer in time rests, as a mirror
// does, and is not looked at while an aide hangs there.
type look struct {
	media *media
	aide  *aide
	ends  time.Time
	seen  map[string]bool // the mount points that were looked at
	found []*medium
}

// A shyness is that of a directory that did not answer in time.
type shyness struct {
	failures int
	until    time.Time
}

// look is run aside, once at a time.
func (m *media) look() {
	l := look{media: m, ends: time.Now().Add(lookMax), seen: map[string]bool{}}
	type spot struct {
		place place
		mount string
		late  bool // the last look had time for it, and then for no more
	}
	var spots []spot
	for _, p := range m.places {
		for _, mount := range l.mounts("/", p.mount, nil) {
			spots = append(spots, spot{p, mount, m.late[filepath.Join(mount, p.below)]})
		}
	}
	slices.SortStableFunc(spots, func(a, b spot) int { // slow ones must not hide those behind them for ever
		switch {
		case a.late == b.late:
			return 0
		case b.late:
			return -1
		}
		return 1
	})
	for _, s := range spots {
		l.open(s.place, s.mount)
	}
	if l.aide != nil {
		m.aides.giveBack(l.aide)
	}
	m.late = nil
	if !time.Now().Before(l.ends) { // what was not come to may still be there
		m.late = l.seen
		for _, s := range m.list() {
			if !l.seen[s.path] && len(l.found) < mediaMax {
				l.found = append(l.found, s)
			}
		}
	}
	m.take(l.found)
}

// mounts lists the mount points that are there, below dir.
func (l *look) mounts(dir string, rest []string, found []string) []string {
	for i, s := range rest {
		if s != "*" {
			dir = filepath.Join(dir, s)
			continue
		}
		r, ok := l.ask(dir, aideAsk{Verb: aideList, Path: []byte(dir)})
		if !ok {
			return found
		}
		for _, name := range r.Names[:min(len(r.Names), mediaEntriesMax)] {
			if isSegment(string(name)) {
				found = l.mounts(filepath.Join(dir, string(name)), rest[i+1:], found)
			}
		}
		return found
	}
	return append(found, dir)
}

// isSegment says whether a name that an aide gave is one.
func isSegment(name string) bool {
	return filepath.IsLocal(name) && filepath.Base(name) == name && name != "."
}

// open finds the repository below a mount point, if there is one: both directories must be there.
func (l *look) open(p place, mount string) {
	path := filepath.Join(mount, p.below)
	if l.seen[path] || len(l.found) == mediaMax || !time.Now().Before(l.ends) {
		return
	}
	l.seen[path] = true
	r, ok := l.ask(mount, aideAsk{Verb: aideLook, Path: []byte(mount), Below: []byte(p.below)})
	if !ok {
		return
	}
	side := func(name string) *mirror {
		s := l.media.shelf
		s.directory = directory{path: mount, below: joinBelow(p.below, name)}
		return &mirror{source: &s}
	}
	l.found = append(l.found, &medium{path: path, place: clip(r.Place, 100), digest: clip(r.Digest, 100), metadata: side("metadata"), targets: side("targets")})
}

// ask says whether the directory at path answered, in time, that all is there.
func (l *look) ask(path string, q aideAsk) (aideReply, bool) {
	m := l.media
	if !time.Now().Before(l.ends) || m.isShy(path) {
		return aideReply{}, false
	}
	if m.aides.hangs(path) {
		return aideReply{}, false
	}
	if l.aide == nil {
		a, err := m.aides.borrow(path)
		if err != nil {
			return aideReply{}, false
		}
		l.aide = a
	}
	r, _, err := l.aide.ask(context.Background(), q, nil, lookTimeout)
	if _, answered := errors.AsType[*agent.Problem](err); err == nil || answered || errors.Is(err, agent.ErrAbsent) {
		m.shy(path, false)
		return r, err == nil
	}
	m.aides.leave(l.aide, path)
	l.aide = nil
	m.shy(path, true)
	return aideReply{}, false
}
