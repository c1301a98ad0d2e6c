package agent

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/ota-agent/ota-agent/verifier"
)

// flushEvery is how long a download on a slow link may go on before what came is made durable, short of
// Config.FlushBytes: a vehicle that has power for ten minutes at a time must get on too. More often would
// wear the flash for little.
const flushEvery = time.Minute

// refusalsMax bounds how often a run asks elsewhere at once after bytes that did not verify or a body that
// failed, whatever the repository says is left.
const refusalsMax = 16

// copyBytes is the buffer between the network and the disk: larger ones gain nothing.
const copyBytes = 128 << 10

// A download brings one image from the repository to the image store: it resumes after the last durable byte,
// hashes as it goes, and shows nothing under a final name before length and hashes are right.
type download struct {
	repo   Repository
	images Images
	target verifier.Target
	// flushBytes is how often what was written is made durable, if flushEvery does not come first.
	flushBytes int64
	uptime     func() time.Duration
	// progress is told of the bytes present; it must not block.
	progress func(done, resumedFrom int64)
}

// run downloads, verifies and stages the image; it returns what was verified. An image that is staged already is
// verified again instead; one that is not what it should be, or that a bad sector keeps from being read, is of no use.
// Wrong bytes, and a body that failed, are asked for again at once while there is a mirror that does not rest: what one
// mirror does is no reason for the device to wait.
func (d download) run(ctx context.Context) (verifier.Verified, error) {
	if v, err := checkStaged(ctx, d.images, d.target); err == nil {
		return v, nil
	} else if ctx.Err() != nil {
		return verifier.Verified{}, err
	}
	part, err := d.images.Partial(d.target)
	if err != nil {
		return verifier.Verified{}, fmt.Errorf("download %s: %w", d.target.Path, err)
	}
	defer part.Close()
	v, err := d.into(ctx, part)
	var before error
	for tries := 1; err != nil; tries++ {
		p, _ := errors.AsType[*Problem](err)
		elsewhere := p != nil && p.Elsewhere
		if isBadImage(err) {
			if from := d.repo.ImageSource(d.target.Name); from != "" {
				err = fmt.Errorf("%w; the bytes came from %s", err, from)
			}
			elsewhere = !workerOf(ctx).isAbandoned() && d.repo.ImageRefused(d.target.Name)
			if rerr := part.Restart(); rerr != nil { // only now are the bytes known to be worth nothing
				err = errors.Join(err, rerr)
				break
			}
		}
		if !elsewhere || tries == refusalsMax || ctx.Err() != nil {
			break
		}
		if before == nil || isBadImage(err) {
			before = err
		}
		v, err = d.into(ctx, part)
	}
	switch {
	case err == nil || before == nil:
	case isBadImage(before):
		err = fmt.Errorf("%w (and before that, from another mirror: %v)", err, before)
	default: // what ended the download says how long to wait: a stick that was pulled will be back
		err = fmt.Errorf("%w (and then, from another mirror: %v)", before, err)
	}
	if err != nil {
		return verifier.Verified{}, fmt.Errorf("download %s: %w", d.target.Path, err)
	}
	return v, nil
}

// into fails with what isBadImage recognises where the bytes are wrong.
func (d download) into(ctx context.Context, part Partial) (verifier.Verified, error) {
	check := d.target.Check()
	if _, err := copyContext(ctx, check, part.Durable()); err != nil {
		if ctx.Err() == nil && !isBadImage(err) {
			err = errors.Join(err, part.Restart()) // what can't be read back is worth nothing
		}
		return verifier.Verified{}, err
	}
	resumed := part.Size()
	d.progress(resumed, resumed)
	if resumed < d.target.Length {
		body, err := d.repo.Image(ctx, ImageRequest{Name: d.target.Name, From: resumed,
			Length: d.target.Length, Validator: part.Validator()})
		if errors.Is(err, ErrAbsent) {
			err = &Problem{Reason: ReasonHTTP, Err: err,
				Text: fmt.Sprintf("the repository names the image, but does not have it (upload it): %v", err)}
		}
		if err != nil {
			return verifier.Verified{}, err
		}
		body.ReadCloser = &fencedBody{ReadCloser: body.ReadCloser, worker: workerOf(ctx)}
		workerOf(ctx).reads(body.ReadCloser)
		defer body.Close()
		if body.From != resumed {
			if err := part.Restart(); err != nil {
				return verifier.Verified{}, err
			}
			check, resumed = d.target.Check(), 0
		}
		if body.Validator != part.Validator() {
			if err := part.SetValidator(body.Validator); err != nil {
				return verifier.Verified{}, err
			}
		}
		if err := d.stream(ctx, part, check, body, resumed); err != nil {
			return verifier.Verified{}, err
		}
	}
	v, err := check.Done()
	if err != nil {
		return verifier.Verified{}, err
	}
	return v, part.Stage(v)
}

// stream copies the body to the partial file and the check, flushing as it grows. What came before a failure is
// flushed too, so that the next run goes on after it.
func (d download) stream(ctx context.Context, part Partial, check io.Writer, body io.Reader, resumed int64) error {
	buf := make([]byte, copyBytes)
	done, flushed, flushedAt := resumed, resumed, d.uptime()
	for {
		n, err := body.Read(buf)
		if n > 0 {
			if _, werr := part.Write(buf[:n]); werr != nil {
				return werr
			}
			if _, werr := check.Write(buf[:n]); werr != nil {
				return werr
			}
			done += int64(n)
			Moved(ctx)
			d.progress(done, resumed)
		}
		if err == nil {
			err = ctx.Err()
		}
		if done-flushed >= d.flushBytes || err != nil || done > flushed && d.uptime()-flushedAt >= flushEvery {
			if ferr := part.Flush(); ferr != nil {
				return ferr
			}
			flushed, flushedAt = done, d.uptime()
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// checkStaged hashes a staged image again: what lay on the disk since is not trusted against bit rot.
func checkStaged(ctx context.Context, images Images, t verifier.Target) (verifier.Verified, error) {
	image, err := images.Open(t)
	if err != nil {
		return verifier.Verified{}, fmt.Errorf("open the staged image of %s: %w", t.Path, err)
	}
	defer image.Close()
	return checkImage(ctx, image, t)
}

func checkImage(ctx context.Context, image io.Reader, t verifier.Target) (verifier.Verified, error) {
	check := t.Check()
	if _, err := copyContext(ctx, check, image); err != nil {
		return verifier.Verified{}, fmt.Errorf("the staged image of %s: %w", t.Path, err)
	}
	v, err := check.Done()
	if err != nil {
		return verifier.Verified{}, fmt.Errorf("the staged image of %s: %w", t.Path, err)
	}
	return v, nil
}

func isBadImage(err error) bool {
	return errors.Is(err, verifier.ErrHashMismatch) || errors.Is(err, verifier.ErrLengthMismatch)
}

// copyContext is io.Copy that stops when ctx is done.
func copyContext(ctx context.Context, w io.Writer, r io.Reader) (int64, error) {
	return io.CopyBuffer(w, contextReader{ctx, r}, make([]byte, copyBytes))
}

type contextReader struct {
	ctx context.Context
	r   io.Reader
}

func (c contextReader) Read(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	n, err := c.r.Read(p)
	if n > 0 {
		Moved(c.ctx)
	}
	return n, err
}

func hexSHA256(v verifier.Verified) string {
	sum := v.SHA256()
	return hex.EncodeToString(sum[:])
}
