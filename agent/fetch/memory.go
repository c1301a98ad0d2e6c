package fetch

import (
	"slices"
	"time"
)

const (
	// rememberedMax is how many media are remembered. Beyond that the one whose rest ends first is forgotten;
	// of those that don't rest, the one that was here the longest ago.
	rememberedMax = 16
	// liesMax bounds how many media in a row are believed to be something else than the bad ones before: one
	// that shows other metadata each time would have its image written each time. After so many an unknown
	// one begins with a rest of restMax.
	liesMax = 3
)

// A memory is the health of the mirrors on a medium that was here, by its metadata: what a stick did is not
// forgotten when it is pulled, and other metadata make another stick of it. Copies of a stick count as the
// same one.
type memory struct {
	key               string
	metadata, targets *health
}

// memory is what is remembered of s.
func (m *medium) memory() memory {
	return memory{key: m.key(), metadata: m.metadata.health, targets: m.targets.health}
}

// key is the hash of its timestamp.json. One without is known by its place.
func (m *medium) key() string {
	if m.digest == "" {
		return "at " + m.path
	}
	return m.digest
}

// remember gives s the health of the medium with the same metadata, or a new one. It is called with the lock held.
func (m *media) remember(s *medium) {
	r, known := m.recall(s.key())
	if !known && m.lies() >= liesMax {
		r.targets.until, r.targets.refused = time.Now().Add(restMax), true
	}
	s.metadata.health, s.targets.health = r.metadata, r.targets
	if len(m.memory) == rememberedMax {
		first := slices.MinFunc(m.memory, func(a, b memory) int { return m.restsUntil(a.targets).Compare(m.restsUntil(b.targets)) })
		m.memory = slices.DeleteFunc(m.memory, func(r memory) bool { return r.key == first.key })
	}
	m.memory = append(m.memory, r)
}

// recall takes out what is remembered under key, or makes it anew.
func (m *media) recall(key string) (r memory, known bool) {
	for i, r := range m.memory {
		if r.key == key {
			m.memory = slices.Delete(m.memory, i, i+1)
			return r, true
		}
	}
	return memory{key: key, metadata: &health{}, targets: &health{}}, false
}

// bad says whether something on a medium was refused.
func (m *media) bad(r memory) bool {
	metadata, images := m.refused(r)
	return metadata || images
}

// lies is how many of the remembered media have bad images. Metadata that are refused may only be old, and cost little.
func (m *media) lies() (n int) {
	for _, r := range m.memory {
		if _, images := m.refused(r); images {
			n++
		}
	}
	return n
}

// isShy says whether a directory rests, since it did not answer in time.
func (m *media) isShy(path string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return time.Now().Before(m.shies[path].until)
}

// shy notes that a directory did not answer in time, or that it did.
func (m *media) shy(path string, late bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !late {
		delete(m.shies, path)
		return
	}
	if len(m.shies) >= shyMax {
		clear(m.shies)
	}
	s := m.shies[path]
	s.until = time.Now().Add(restAfter(s.failures))
	s.failures++
	m.shies[path] = s
}
