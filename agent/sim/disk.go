package sim

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"

	"github.com/ota-agent/ota-agent/agent"
	"github.com/ota-agent/ota-agent/verifier"
)

// A disk keeps the state and the images. The state changes by whole commits; image bytes count once flushed.
type disk struct {
	w         *World
	state     []byte // agent.State as JSON: what is loaded shares nothing with what was committed
	documents map[verifier.Key][]byte
	floors    verifier.Floors // the floors file: raised before the commit
	images    *images
}

func newDisk(w *World) *disk {
	d := &disk{w: w, documents: map[verifier.Key][]byte{}}
	d.images = &images{w: w, staged: map[string][]byte{}, partials: map[string]*file{}}
	d.save(agent.State{})
	return d
}

func (d *disk) save(s agent.State) {
	s.Floors = verifier.Floors{}
	b, err := json.Marshal(s)
	if err != nil {
		panic(fmt.Sprintf("the state can't be kept: %v", err))
	}
	d.state = b
}

func (d *disk) load() agent.State {
	var s agent.State
	if err := json.Unmarshal(d.state, &s); err != nil {
		panic(fmt.Sprintf("the state can't be read: %v", err))
	}
	s.Floors = d.floors
	return s
}

// Load implements agent.Store.
func (d *disk) Load() (agent.State, error) {
	if d.w.dead {
		return agent.State{}, errDead
	}
	return d.load(), nil
}

// Document implements agent.Store.
func (d *disk) Document(k verifier.Key) ([]byte, error) {
	if d.w.dead {
		return nil, errDead
	}
	b, ok := d.documents[k]
	if !ok {
		return nil, agent.ErrAbsent
	}
	return slices.Clone(b), nil
}

// Commit implements agent.Store: the floors are one step, the transaction is another.
func (d *disk) Commit(c agent.Change) error {
	if f := c.Metadata.Floors; f != nil {
		raised := *f
		raised.Index = maps.Clone(f.Index)
		if err := d.w.step("raise the floors", func() error { d.floors = raised; return nil }); err != nil {
			return err
		}
	}
	return d.w.step("commit "+describe(c), func() error { d.apply(c); return nil })
}

func (d *disk) apply(c agent.Change) {
	for _, k := range c.Metadata.Drop {
		delete(d.documents, k)
	}
	for _, doc := range c.Metadata.Put {
		d.documents[doc.Key] = slices.Clone(doc.Bytes)
	}
	s := d.load()
	if s.Records == nil {
		s.Records = map[string]agent.Record{}
	}
	for _, r := range c.Records {
		s.Records[r.Component] = r
	}
	for _, name := range c.Forget {
		delete(s.Records, name)
	}
	if c.Time != nil {
		s.Time = *c.Time
	}
	if c.Device != nil {
		s.Device = *c.Device
	}
	d.save(s)
}

func describe(c agent.Change) string {
	var b bytes.Buffer
	for _, r := range c.Records {
		fmt.Fprintf(&b, "%s %s ", r.Component, r.Phase)
	}
	for _, k := range c.Metadata.Drop {
		fmt.Fprintf(&b, "-%s ", k.Role)
	}
	for _, doc := range c.Metadata.Put {
		fmt.Fprintf(&b, "+%s ", doc.Key.Role)
	}
	return b.String()
}

func (d *disk) losePower() {
	for _, f := range d.images.partials {
		f.data = f.data[:f.durable]
	}
}

// images is the image store.
type images struct {
	w        *World
	staged   map[string][]byte
	partials map[string]*file
}

type file struct {
	data      []byte
	durable   int
	validator string
}

// Partial implements agent.Images.
func (m *images) Partial(t verifier.Target) (agent.Partial, error) {
	err := m.w.step("open partial", func() error {
		if m.partials[t.ID()] == nil {
			m.partials[t.ID()] = &file{}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	f := m.partials[t.ID()]
	f.data = f.data[:f.durable]
	return &partial{m: m, f: f, t: t}, nil
}

// Open implements agent.Images.
func (m *images) Open(t verifier.Target) (agent.Image, error) {
	if m.w.dead {
		return nil, errDead
	}
	b, ok := m.staged[t.ID()]
	if !ok {
		return nil, agent.ErrAbsent
	}
	return image{bytes.NewReader(b)}, nil
}

// Keep implements agent.Images.
func (m *images) Keep(keep []verifier.Target) error {
	kept := map[string]bool{}
	for _, t := range keep {
		kept[t.ID()] = true
	}
	gone := func(id string) bool { return !kept[id] }
	if !slices.ContainsFunc(slices.Collect(maps.Keys(m.staged)), gone) && !slices.ContainsFunc(slices.Collect(maps.Keys(m.partials)), gone) {
		return nil
	}
	return m.w.step("sweep images", func() error {
		maps.DeleteFunc(m.staged, func(id string, _ []byte) bool { return gone(id) })
		maps.DeleteFunc(m.partials, func(id string, _ *file) bool { return gone(id) })
		return nil
	})
}

type image struct{ *bytes.Reader }

func (image) Path() string { return "" }
func (image) Close() error { return nil }

type partial struct {
	m *images
	f *file
	t verifier.Target
}

func (p *partial) Size() int64        { return int64(p.f.durable) }
func (p *partial) Validator() string  { return p.f.validator }
func (p *partial) Durable() io.Reader { return bytes.NewReader(p.f.data[:p.f.durable]) }
func (p *partial) Close() error       { return nil }

func (p *partial) SetValidator(v string) error {
	return p.m.w.step("keep the validator", func() error { p.f.validator = v; return nil })
}

func (p *partial) Write(b []byte) (int, error) {
	if p.m.w.dead {
		return 0, errDead
	}
	p.f.data = append(p.f.data, b...)
	return len(b), nil
}

func (p *partial) Flush() error {
	return p.m.w.step("flush the partial file", func() error { p.f.durable = len(p.f.data); return nil })
}

func (p *partial) Restart() error {
	return p.m.w.step("restart the partial file", func() error { *p.f = file{}; return nil })
}

func (p *partial) Stage(v verifier.Verified) error {
	if !v.OK() || v.Target().ID() != p.t.ID() {
		return &agent.Problem{Reason: agent.ReasonHashMismatch, Text: "not verified for this target"}
	}
	if err := p.Flush(); err != nil {
		return err
	}
	return p.m.w.step("stage the image", func() error {
		p.m.staged[p.t.ID()] = slices.Clone(p.f.data)
		delete(p.m.partials, p.t.ID())
		return nil
	})
}
