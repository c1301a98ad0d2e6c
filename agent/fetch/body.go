package fetch

import (
	"io"
	"sync/atomic"

	"github.com/ota-agent/ota-agent/agent"
)

// A body yields exactly the bytes of an image that were asked for, or an error.
type body struct {
	src   io.ReadCloser
	where func() string
	gauge *gauge // what src brought
	// left is what the answer still owes; missing is what the image needs beyond that, where a server sends
	// less than was asked for.
	left, missing int64
	// exact: the transport ends src at left by itself (Content-Length), so that there is nothing to look for
	// behind it.
	exact bool
	// done hears once how it ended: nil for complete. Never called when the caller closes early.
	done func(error)
	// cancel, where there is one, is called at the end.
	cancel func()
	err    error // sticky
	closed atomic.Bool
}

// Read never yields more than left bytes.
func (b *body) Read(p []byte) (int, error) {
	if b.err != nil {
		return 0, b.err
	}
	if b.closed.Load() {
		return 0, io.ErrClosedPipe
	}
	if len(p) == 0 {
		return 0, nil
	}
	if b.left == 0 {
		return 0, b.finish(b.behind())
	}
	n, err := b.src.Read(p[:min(int64(len(p)), b.left)])
	b.left -= int64(n)
	switch {
	case b.left == 0:
		// All is here. Whether too much follows shows at the next Read.
		return n, nil
	case err == io.EOF:
		return n, b.finish(problem(agent.ReasonCut, b.where(), "the body ended %d bytes early; the next attempt goes on from there",
			b.left+b.missing))
	case err != nil:
		return n, b.finish(err)
	}
	return n, nil
}

// behind looks behind the last byte. Only more bytes are wrong there: all that was asked for has come, whatever
// becomes of the connection.
func (b *body) behind() error {
	if b.missing > 0 {
		return problem(agent.ReasonCut, b.where(), "the server sent %d bytes less than asked for; the next attempt goes on from there",
			b.missing)
	}
	if b.exact {
		return io.EOF
	}
	for range 2 { // a Read may yield nothing and say nothing
		n, err := b.src.Read(make([]byte, 1))
		if n > 0 {
			return problem(agent.ReasonTooLarge, b.where(), "the server sends more than the image's length; it serves another file")
		}
		if err != nil {
			break
		}
	}
	return io.EOF
}

func (b *body) finish(err error) error {
	if b.closed.Load() { // the caller left: nobody failed
		b.err = io.ErrClosedPipe
		return b.err
	}
	b.err = err
	if b.done != nil {
		if err == io.EOF {
			b.done(nil)
		} else {
			b.done(err)
		}
	}
	return err
}

// Close may be called at any time, beside a Read, and more than once.
func (b *body) Close() error {
	if b.closed.Swap(true) {
		return nil
	}
	if b.cancel != nil {
		b.cancel()
	}
	return b.src.Close()
}
