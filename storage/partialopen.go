package storage

import (
	"errors"
	"fmt"
	"os"

	"github.com/ota-agent/ota-agent/agent"
	"github.com/ota-agent/ota-agent/verifier"
)

// Partial opens an image's partial file; see agent.Images. Who asks for it has found the staged image absent or of no use:
// that goes where there is no room for both.
func (m *Images) Partial(t verifier.Target) (agent.Partial, error) {
	id, err := imageID(t)
	if err != nil {
		return nil, err
	}
	act := fmt.Sprintf("open the partial image %s in %s", id, m.state.path)
	if m.readOnly {
		return nil, refuse(agent.ReasonReadOnly, "%s: the store was opened for reading only", act)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.busy[id] {
		return nil, refuse(agent.ReasonStore, "%s: it is open already; close it first", act)
	}
	if err := m.checkSpace(t, id); err != nil {
		return nil, problem(act, err)
	}
	p := &partial{images: m, target: t, id: id}
	if err := p.open(); err != nil {
		p.closeFiles()
		return nil, problem(act, err)
	}
	m.busy[id] = true
	return p, nil
}

// checkSpace refuses an image that does not fit, also where what is of no use makes room. Blocks that its partial has already
// count as there.
func (m *Images) checkSpace(t verifier.Target, id string) error {
	there, err := m.partial.occupied(id)
	if err != nil {
		return err
	}
	required := max(0, t.Length-there)
	free, err := m.partial.available()
	if short := required + m.freeBytesMin - free; err == nil && required > 0 && short > 0 {
		if err = m.makeRoom(t, id, short); err == nil {
			free, err = m.partial.available()
		}
	}
	if err != nil {
		return err
	}
	if required > 0 && free-m.freeBytesMin < required {
		return refuse(agent.ReasonDiskFull, "image %s needs %d bytes more in %s: available %d, of which %d are reserved: "+
			"free %d bytes on that file system, or make it larger",
			id, required, m.partial.path, free, m.freeBytesMin, required-free+m.freeBytesMin)
	}
	return nil
}

// makeRoom removes leftovers, as many as make room for short bytes; none where all of them would not do.
func (m *Images) makeRoom(t verifier.Target, id string, short int64) error {
	list, err := m.leftovers(t, id)
	if err != nil {
		return err
	}
	n := 0
	for ; short > 0 && n < len(list); n++ {
		short -= list[n].bytes
	}
	if short > 0 {
		return nil
	}
	for _, l := range list[:n] {
		if err := l.dir.remove(l.name); err != nil {
			return err
		}
	}
	return errors.Join(m.images.sync(), m.state.sync())
}

type leftover struct {
	dir   *dir
	name  string
	bytes int64
}

// leftovers are of no use, or matter less than an update: the staged image that is to be replaced, then databases that were
// set aside, the oldest first. A staged image of another length than t's may be a good one of another target, since who lists a wrong
// length for its hash never gets a verified image.
func (m *Images) leftovers(t verifier.Target, id string) ([]leftover, error) {
	numbers, err := corruptNumbers(m.state)
	if err != nil {
		return nil, err
	}
	var list []leftover
	if st, err := m.images.stat(id); err == nil && st.Size == t.Length {
		list = append(list, leftover{dir: m.images, name: id})
	}
	for _, n := range numbers {
		list = append(list, leftover{dir: m.state, name: corruptName(n)})
	}
	for i, l := range list {
		if list[i].bytes, err = l.dir.occupied(l.name); err != nil {
			return nil, err
		}
	}
	return list, nil
}

// open brings file and tag to agree: exactly tag.durable bytes, all of them durable. The caller holds images.mu.
func (p *partial) open() (err error) {
	d := p.images.partial
	if p.slots, p.tag, err = openTag(d, p.id+tagSuffix); err != nil {
		return err
	}
	p.f, err = d.open(p.id, os.O_RDWR)
	if isAbsent(err) {
		if p.f, err = d.create(p.id); err == nil {
			err = d.sync()
		}
	}
	if err != nil {
		return err
	}
	size, err := p.f.size()
	if err != nil {
		return err
	}
	// A tag that outlived its partial must not count for the new one, which will soon be that long.
	if size < p.tag.durable || p.tag.durable > p.target.Length {
		if err := p.setTag(tag{}); err != nil {
			return err
		}
	}
	if err := p.settle(size); err != nil {
		return err
	}
	p.written, p.started = p.tag.durable, p.tag.durable
	return p.allocate()
}

// settle makes what lies behind the durable bytes durable where it is known to be right, else cuts it off. From
// then on the file is this boot's.
func (p *partial) settle(size int64) error {
	m := p.images
	known := p.tag.boot == m.boot && m.boot != bootMark{} && !m.suspect[p.id]
	if size > p.tag.durable && known && size <= p.target.Length {
		if err := p.f.dataSync(); err != nil {
			m.suspect[p.id] = true
			p.disown()
			return err
		}
		return p.setTag(tag{durable: size, boot: m.boot, validator: p.tag.validator})
	}
	if size > p.tag.durable {
		if err := p.f.truncate(p.tag.durable); err != nil {
			return err
		}
	}
	delete(m.suspect, p.id)
	return p.setTag(tag{durable: p.tag.durable, boot: m.boot, validator: p.tag.validator})
}

// allocate reserves the image's blocks, so that no later write finds the disk full. Where they are reserved it
// changes nothing.
func (p *partial) allocate() error {
	st, err := p.images.partial.stat(p.id)
	if err != nil || int64(st.Blocks)*512 >= p.target.Length {
		return err
	}
	err = p.f.allocate(p.target.Length)
	if errors.Is(err, errNoAllocate) {
		return nil
	}
	return err
}
