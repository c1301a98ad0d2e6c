package install

import (
	"errors"
	"io"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ota-agent/ota-agent/verifier"
)

// blockBytes is how much of an image is in memory twice: the block being read and the one held back.
const blockBytes = 64 << 10

// A feed carries an image into a hook's standard input, through a pipe of its own: os/exec would not tell that the
// hook had stopped reading. The last block is held back until the whole image has passed its check, and the pipe
// stays open until then: so no hook ever reads a whole image, or an end of file, that is not the verified one.
type feed struct {
	image   io.Reader
	check   *verifier.Check
	hookEnd *os.File // stays open here, too: what was left in the pipe is counted after the hook's end
	ourEnd  *os.File

	done    chan struct{} // closed when written and err are final
	written int64
	err     error // of the image, not of the pipe
}

func newFeed(image io.Reader, t verifier.Target) (*feed, error) {
	hookEnd, ourEnd, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	return &feed{image: image, check: t.Check(), hookEnd: hookEnd, ourEnd: ourEnd, done: make(chan struct{})}, nil
}

func (f *feed) close() {
	f.ourEnd.Close()
	f.hookEnd.Close()
}

// begin feeds p, which reads f.hookEnd, until end is called. An image that fails its check kills p.
func (f *feed) begin(p *process) {
	go func() {
		defer close(f.done)
		f.written, f.err = f.run()
		if f.err != nil {
			close(p.abort) // the pipe is still open: p has seen no end of file
		}
	}()
}

// end is called after the hook's end. It returns how many bytes the hook read.
func (f *feed) end() (read int64, err error) {
	// A write that waits for the hook will wait no more. It fails when the feed has ended already: all is written.
	_ = f.ourEnd.SetWriteDeadline(time.Unix(1, 0))
	<-f.done
	if f.err != nil {
		return 0, f.err
	}
	unread, err := unix.IoctlGetUint32(int(f.hookEnd.Fd()), unix.TIOCINQ)
	if err != nil {
		return 0, err
	}
	return f.written - int64(unread), nil
}

// run copies the image. Errors are of the image; a pipe that breaks only ends the copy.
func (f *feed) run() (written int64, err error) {
	held, next := make([]byte, 0, blockBytes), make([]byte, blockBytes)
	for {
		n, err := io.ReadFull(f.image, next)
		if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
			return written, err
		}
		last := err != nil
		if _, err := f.check.Write(next[:n]); err != nil {
			return written, err
		}
		if n > 0 {
			w, err := f.ourEnd.Write(held)
			written += int64(w)
			if err != nil {
				return written, nil
			}
			held, next = next[:n], held[:blockBytes]
		}
		if last {
			break
		}
	}
	if _, err := f.check.Done(); err != nil {
		return written, err
	}
	w, err := f.ourEnd.Write(held)
	written += int64(w)
	if err != nil {
		return written, nil
	}
	f.ourEnd.Close() // the end of file
	return written, nil
}
