package storage

import (
	"errors"
	"io"

	"github.com/ota-agent/ota-agent/agent"
	"github.com/ota-agent/ota-agent/verifier"
)

// writebackBytes is how much is written before the kernel is asked to begin with it.
const writebackBytes = 1 << 20

// A partial is an agent.Partial. One goroutine uses it at a time. It gathers nothing: what Write was given is the
// kernel's, and survives the process.
type partial struct {
	images *Images
	target verifier.Target
	id     string
	f      *file
	slots  *slotFile
	tag    tag

	written int64 // bytes handed to the kernel
	started int64 // of these, the bytes whose writeback was asked for
	// failed is the first failure of a write or flush: what is in the file after tag.durable is unknown then.
	// Restart, or opening it again, mends that.
	failed error
}

var _ agent.Partial = (*partial)(nil)

// setTag makes t durable, where it is not what is stored.
func (p *partial) setTag(t tag) error {
	if t == p.tag {
		return nil
	}
	if err := p.slots.write(t.encode()); err != nil {
		return err
	}
	p.tag = t
	return nil
}

func (p *partial) Size() int64 { return p.tag.durable }

func (p *partial) Validator() string { return p.tag.validator }

func (p *partial) SetValidator(v string) error {
	return p.try("keep the validator of", func() error {
		return p.setTag(tag{durable: p.tag.durable, boot: p.images.boot, validator: keepable(v)})
	})
}

func (p *partial) Durable() io.Reader { return io.NewSectionReader(p.f, 0, p.tag.durable) }

// Write appends. More than the target's length is refused, before anything of it is written.
func (p *partial) Write(b []byte) (int, error) {
	if rest := p.target.Length - p.written; int64(len(b)) > rest {
		return 0, refuse(agent.ReasonLengthMismatch, "write %d bytes to partial image %s: only %d of its %d bytes are missing",
			len(b), p.id, rest, p.target.Length)
	}
	err := p.try("write", func() error {
		if err := p.f.writeAt(b, p.written); err != nil {
			return err
		}
		p.written += int64(len(b))
		if p.written-p.started >= writebackBytes {
			startWriteback(p.f.File, p.started, p.written-p.started)
			p.started = p.written
		}
		return nil
	})
	if err != nil {
		return 0, err
	}
	return len(b), nil
}

// Flush makes what was written durable: first the bytes, then their number.
func (p *partial) Flush() error {
	return p.try("flush", func() error {
		if p.written == p.tag.durable {
			return nil
		}
		if err := p.f.dataSync(); err != nil {
			return err
		}
		return p.setTag(tag{durable: p.written, boot: p.images.boot, validator: p.tag.validator})
	})
}

// Restart drops all bytes and the validator: first their number, then the bytes. Until they are gone no boot
// vouches for them.
func (p *partial) Restart() error {
	p.failed = nil
	return p.try("restart", func() error {
		if err := p.setTag(tag{}); err != nil {
			return err
		}
		if err := p.f.truncate(0); err != nil {
			return err
		}
		p.written, p.started = 0, 0
		if err := p.setTag(tag{boot: p.images.boot}); err != nil {
			return err
		}
		return p.allocate()
	})
}

// Stage makes the verified bytes durable under their final name; see agent.Partial. The partial is done with
// then, and only Close is left to call.
func (p *partial) Stage(v verifier.Verified) error {
	if !v.OK() || v.Target().ID() != p.id || v.Target().Length != p.target.Length {
		return refuse(agent.ReasonHashMismatch, "stage image %s: what was verified is target %q of %d bytes, not this one of %d bytes",
			p.id, v.Target().Path, v.Target().Length, p.target.Length)
	}
	return p.stage()
}

func (p *partial) stage() error {
	if p.written != p.target.Length {
		return refuse(agent.ReasonLengthMismatch, "stage image %s: %d bytes are there, expected %d", p.id, p.written, p.target.Length)
	}
	return p.try("stage", func() error {
		if err := p.f.sync(); err != nil {
			return err
		}
		from, to := p.images.partial, p.images.images
		if err := from.rename(p.id, to, p.id); err != nil {
			return err
		}
		if err := to.sync(); err != nil {
			return err
		}
		if err := from.remove(p.id + tagSuffix); err != nil {
			return err
		}
		return from.sync()
	})
}

// disown takes this boot out of the tag, best effort, after a failure: the kernel may have dropped bytes that
// it failed to write, and calls the next sync a success. So no later process may count what lies behind the
// durable bytes.
func (p *partial) disown() { _ = p.setTag(tag{durable: p.tag.durable, validator: p.tag.validator}) }

// try runs a step and remembers its failure: nothing is built on what may or may not have taken effect.
func (p *partial) try(act string, f func() error) error {
	if p.failed != nil {
		return p.failed
	}
	if err := f(); err != nil {
		p.failed = problem(act+" partial image "+p.id, err)
		p.disown()
		return p.failed
	}
	return nil
}

// Close lets the partial be opened again. What was not flushed is lost with the boot (see tag).
func (p *partial) Close() error {
	m := p.images
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.busy, p.id)
	if p.failed != nil {
		m.suspect[p.id] = true
	}
	return problem("close partial image "+p.id, p.closeFiles())
}

func (p *partial) closeFiles() error {
	var errs []error
	if p.f != nil {
		errs = append(errs, p.f.Close())
	}
	if p.slots != nil {
		errs = append(errs, p.slots.close())
	}
	p.f, p.slots = nil, nil
	return errors.Join(errs...)
}
