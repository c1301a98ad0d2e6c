package storage

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/ota-agent/ota-agent/agent"
	"github.com/ota-agent/ota-agent/verifier"
)

const (
	partialDir = "partial"
	imagesDir  = "images"
	tagSuffix  = ".tag"
)

// Images is the agent.Images of a Store. Its methods may be called from several goroutines.
type Images struct {
	state   *dir
	partial *dir // nil where a read-only store has none
	images  *dir // likewise
	// freeBytesMin is what an image leaves free.
	freeBytesMin int64
	boot         bootMark
	readOnly     bool

	mu   sync.Mutex
	busy map[string]bool // IDs of open partials
	// suspect are IDs of partials that this process failed to write or flush: there may be anything in them behind
	// their durable bytes.
	suspect map[string]bool
}

var _ agent.Images = (*Images)(nil)

func openImages(state *dir, write bool, o Options) (*Images, error) {
	m := &Images{state: state, freeBytesMin: o.FreeBytesMin, boot: markBoot(o.BootID), readOnly: !write,
		busy: map[string]bool{}, suspect: map[string]bool{}}
	for name, d := range map[string]**dir{partialDir: &m.partial, imagesDir: &m.images} {
		got, err := state.sub(name, write)
		if err != nil && (write || !isAbsent(err)) {
			m.close()
			return nil, err
		}
		*d = got
	}
	return m, nil
}

func (m *Images) close() error {
	var errs []error
	for _, d := range []*dir{m.partial, m.images} {
		if d != nil {
			errs = append(errs, d.close())
		}
	}
	return errors.Join(errs...)
}

// Open opens a staged image. One of the wrong size is as good as absent: it is fetched again, and replaced.
func (m *Images) Open(t verifier.Target) (agent.Image, error) {
	id, err := imageID(t)
	if err != nil {
		return nil, err
	}
	if m.images == nil {
		return nil, agent.ErrAbsent
	}
	f, err := m.images.open(id, os.O_RDONLY)
	if isAbsent(err) {
		return nil, agent.ErrAbsent
	}
	if err != nil {
		return nil, problem("open image "+id, err)
	}
	size, err := f.size()
	if err != nil || size != t.Length {
		f.Close()
		if err == nil {
			err = agent.ErrAbsent
		}
		return nil, err
	}
	return &image{File: f.File, path: filepath.Join(m.images.path, id)}, nil
}

// An image is a staged image's file, read only.
type image struct {
	*os.File
	path string
}

func (i *image) Path() string { return i.path }

// Keep removes every image and partial but those of keep. Partials that are open stay, and so does what is not
// an image's file or partial by its name.
func (m *Images) Keep(keep []verifier.Target) error {
	if m.readOnly {
		return refuse(agent.ReasonReadOnly, "remove images below %s: the store was opened for reading only", m.state.path)
	}
	keepIDs := map[string]bool{}
	for _, t := range keep {
		id, err := imageID(t)
		if err != nil {
			return err
		}
		keepIDs[id] = true
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for id := range m.busy {
		keepIDs[id] = true
	}
	for _, d := range []*dir{m.partial, m.images} {
		if err := removeBut(d, keepIDs); err != nil {
			return problem("remove old images from "+d.path, err)
		}
	}
	return nil
}

func removeBut(d *dir, keep map[string]bool) error {
	entries, err := d.entries()
	if err != nil {
		return err
	}
	removed := false
	for _, e := range entries {
		id := strings.TrimSuffix(e.Name(), tagSuffix)
		if e.IsDir() || !validID(id) || keep[id] {
			continue
		}
		if err := d.remove(e.Name()); err != nil {
			return err
		}
		removed = true
	}
	if !removed {
		return nil
	}
	return d.sync()
}

// imageID is a target's ID, checked: it becomes a file name.
func imageID(t verifier.Target) (string, error) {
	if t.Length < 0 {
		return "", refuse(agent.ReasonMalformed, "image of target %q: length %d, expected 0 or more", t.Path, t.Length)
	}
	id := t.ID()
	if !validID(id) {
		return "", refuse(agent.ReasonMalformed, "image of target %q: its ID %.80q is not the lower-case hex of a SHA-256 or SHA-512",
			t.Path, id)
	}
	return id, nil
}

func validID(id string) bool {
	if len(id) != 64 && len(id) != 128 {
		return false
	}
	return strings.Trim(id, "0123456789abcdef") == ""
}
