package sim

import (
	"bytes"
	"io"
	"maps"
	"slices"
	"unicode/utf8"

	"github.com/ota-agent/ota-agent/agent"
	"github.com/ota-agent/ota-agent/verifier"
)

// images is the image store on a small file system: what a process sees is not what a power cut leaves.
type images struct {
	w *World
	// seen is what a process sees; durable is what the directories say after a power cut. Both name the same files.
	seen, durable map[string]*file
	open          map[string]bool
	rotten        bool // bits have flipped: hashes need not hold any more
}

// A file's bytes are there after a power cut once they were synced; of those behind them some may be, torn.
type file struct {
	data      []byte
	synced    int
	validator string
}

func newImages(w *World) *images {
	return &images{w: w, seen: map[string]*file{}, durable: map[string]*file{}, open: map[string]bool{}}
}

func partialName(t verifier.Target) string { return "partial/" + t.ID() }
func finalName(t verifier.Target) string   { return "images/" + t.ID() }

// syncDirs makes the names durable.
func (m *images) syncDirs() { m.durable = maps.Clone(m.seen) }

// losePower leaves the durable names, and of each file what was synced; then a torn rest, or none.
func (m *images) losePower() {
	m.seen = maps.Clone(m.durable)
	for _, name := range slices.Sorted(maps.Keys(m.seen)) {
		f := m.seen[name]
		rest := f.data[f.synced:]
		f.data = slices.Clone(f.data[:f.synced])
		if m.w.random.IntN(2) == 0 || len(rest) == 0 {
			continue
		}
		f.data = append(f.data, rest[:m.w.random.IntN(len(rest)+1)]...)
		if n := len(f.data) - f.synced; n > 0 && m.w.random.IntN(2) == 0 {
			f.data[f.synced+m.w.random.IntN(n)] ^= 0x40
		}
		f.synced = len(f.data)
	}
}

// start is what a process does first: a name that the one before it left without syncing its directory may be seen and
// yet be lost in a power cut, so the directories are synced.
func (m *images) start() {
	m.open = map[string]bool{}
	if m.w.plant != plantNoDirSync {
		m.syncDirs()
	}
}

// rot flips a bit in each file.
func (m *images) rot() {
	m.rotten = true
	for _, name := range slices.Sorted(maps.Keys(m.seen)) {
		if f := m.seen[name]; len(f.data) > 0 {
			f.data[m.w.random.IntN(len(f.data))] ^= 1
		}
	}
}

// Partial implements agent.Images.
func (m *images) Partial(t verifier.Target) (agent.Partial, error) {
	name := partialName(t)
	if m.open[name] {
		return nil, &agent.Problem{Reason: agent.ReasonStore, Text: "the partial file is open already"}
	}
	if m.seen[name] == nil {
		err := m.w.step("create the partial file", func() error { m.seen[name] = &file{}; m.syncDirs(); return nil })
		if err != nil {
			return nil, err
		}
	}
	f := m.seen[name]
	f.data = f.data[:min(f.synced, len(f.data))]
	if m.w.dead {
		return nil, errDead
	}
	m.open[name] = true
	return &partial{m: m, f: f, t: t}, nil
}

// Open implements agent.Images.
func (m *images) Open(t verifier.Target) (agent.Image, error) {
	if m.w.dead {
		return nil, errDead
	}
	f, ok := m.seen[finalName(t)]
	if !ok {
		return nil, agent.ErrAbsent
	}
	return image{bytes.NewReader(f.data)}, nil
}

// Keep implements agent.Images.
func (m *images) Keep(keep []verifier.Target) error {
	kept := map[string]bool{}
	for _, t := range keep {
		kept[partialName(t)], kept[finalName(t)] = true, true
	}
	gone := func(name string) bool { return !kept[name] }
	if !slices.ContainsFunc(slices.Collect(maps.Keys(m.seen)), gone) {
		return nil
	}
	return m.w.step("sweep images", func() error {
		maps.DeleteFunc(m.seen, func(name string, _ *file) bool { return gone(name) })
		return nil // durable only with the next sync: what comes back is swept again
	})
}

type image struct{ *bytes.Reader }

func (image) Path() string { return "" }
func (image) Close() error { return nil }

// A partial is written in memory and counted when flushed.
type partial struct {
	m *images
	f *file
	t verifier.Target
}

func (p *partial) Size() int64        { return int64(p.f.synced) }
func (p *partial) Validator() string  { return p.f.validator }
func (p *partial) Durable() io.Reader { return bytes.NewReader(p.f.data[:p.f.synced]) }

func (p *partial) Close() error {
	delete(p.m.open, partialName(p.t))
	return nil
}

func (p *partial) SetValidator(v string) error {
	if !utf8.ValidString(v) {
		v = ""
	}
	return p.m.w.step("keep the validator", func() error { p.f.validator = v; return nil })
}

func (p *partial) Write(b []byte) (int, error) {
	if p.m.w.dead {
		return 0, errDead
	}
	if int64(len(p.f.data)+len(b)) > p.t.Length {
		return 0, &agent.Problem{Reason: agent.ReasonTooLarge, Text: "more bytes than the target's length"}
	}
	p.f.data = append(p.f.data, b...)
	return len(b), nil
}

func (p *partial) Flush() error {
	return p.m.w.step("flush the partial file", func() error {
		p.f.synced = len(p.f.data)
		if p.m.w.plant == plantEarlyRename && int64(p.f.synced) == p.t.Length {
			p.rename()
		}
		return nil
	})
}

func (p *partial) Restart() error {
	return p.m.w.step("restart the partial file", func() error { *p.f = file{}; return nil })
}

// Stage implements agent.Partial in its four steps.
func (p *partial) Stage(v verifier.Verified) error {
	if !v.OK() || v.Target().ID() != p.t.ID() || int64(len(p.f.data)) != p.t.Length {
		return &agent.Problem{Reason: agent.ReasonHashMismatch, Text: "not verified for this target"}
	}
	if err := p.Flush(); err != nil {
		return err
	}
	if err := p.m.w.step("rename the image", func() error { p.rename(); return nil }); err != nil {
		return err
	}
	if p.m.w.plant == plantNoDirSync {
		return nil
	}
	return p.m.w.step("sync the directory", func() error { p.m.syncDirs(); return nil })
}

func (p *partial) rename() {
	delete(p.m.seen, partialName(p.t))
	p.m.seen[finalName(p.t)] = p.f
}
