package fetch

import "time"

// rememberedMax is how many media are remembered. Whoever plugs in more than that can have a bad one asked again.
const rememberedMax = 16

// A memory is the health of the mirrors on a medium that was here, by its metadata: what a stick did is not forgotten when it is
// pulled, and other metadata make another stick of it. Copies of a stick count as the same one.
type memory struct {
	key               string
	metadata, targets *health
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
	r := memory{key: s.key(), metadata: &health{}, targets: &health{}}
	for i, old := range m.memory {
		if old.key == r.key {
			r = old
			m.memory = append(m.memory[:i], m.memory[i+1:]...)
			break
		}
	}
	s.metadata.health, s.targets.health = r.metadata, r.targets
	m.memory = append(m.memory, r)
	if len(m.memory) > rememberedMax {
		m.memory = m.memory[1:]
	}
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
