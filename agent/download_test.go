package agent

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/ota-agent/ota-agent/verifier"
)

// slowLink is a repository, an image store and its one partial: each read takes a while and brings one byte.
type slowLink struct {
	Repository
	Images
	Partial
	image   []byte
	each    time.Duration
	now     time.Duration
	flushes []int // how much was there at each flush
	written []byte
}

func (l *slowLink) Image(context.Context, ImageRequest) (ImageBody, error) {
	return ImageBody{ReadCloser: io.NopCloser(l)}, nil
}

func (l *slowLink) Read(p []byte) (int, error) {
	if len(l.written) == len(l.image) {
		return 0, io.EOF
	}
	l.now += l.each
	return copy(p[:1], l.image[len(l.written):]), nil
}

func (l *slowLink) Write(p []byte) (int, error) {
	l.written = append(l.written, p...)
	return len(p), nil
}

func (l *slowLink) Flush() error {
	l.flushes = append(l.flushes, len(l.written))
	return nil
}

func (l *slowLink) Open(verifier.Target) (Image, error) { return nil, ErrAbsent }

func (l *slowLink) Validator() string             { return "" }
func (l *slowLink) Size() int64                   { return 0 }
func (l *slowLink) Durable() io.Reader            { return eof{} }
func (l *slowLink) Stage(verifier.Verified) error { return nil }
func (l *slowLink) Close() error                  { return nil }

type eof struct{}

func (eof) Read([]byte) (int, error) { return 0, io.EOF }

// slowImages hands out the partial: both ports have a method Partial or embed one.
type slowImages struct{ *slowLink }

func (s slowImages) Partial(verifier.Target) (Partial, error) { return s.slowLink, nil }
func (s slowImages) Keep([]verifier.Target) error             { return nil }

// A link on which Config.FlushBytes never come together within one drive must get on all the same.
func TestSlowDownloadIsMadeDurableByTime(t *testing.T) {
	for _, tt := range []struct {
		name string
		each time.Duration
		want []int
	}{
		{"a fast link: every four bytes", time.Millisecond, []int{4, 8, 10}},
		{"a slow link: every minute", 20 * time.Second, []int{3, 6, 9, 10}},
		{"a very slow link: every byte", 2 * time.Minute, []int{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 10}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			image := []byte("0123456789")
			sum := sha256.Sum256(image)
			l := &slowLink{image: image, each: tt.each}
			d := download{repo: l, images: slowImages{l}, flushBytes: 4, uptime: func() time.Duration { return l.now },
				target:   verifier.Target{Path: "image", Name: "image", Length: int64(len(image)), SHA256: sum[:]},
				progress: func(int64, int64) {}}
			if _, err := d.run(t.Context()); err != nil {
				t.Fatal(err)
			}
			if got := l.flushes; !slices.Equal(got, tt.want) {
				t.Errorf("flushed at %v, want %v", got, tt.want)
			}
		})
	}
}

// A keptPartial has bytes already, and counts how often they are thrown away.
type keptPartial struct {
	Partial
	kept     io.Reader
	restarts int
}

func (k *keptPartial) Durable() io.Reader { return k.kept }
func (k *keptPartial) Restart() error     { k.restarts++; return nil }
func (k *keptPartial) Close() error       { return nil }

type keptImages struct {
	Images
	partial *keptPartial
}

func (k keptImages) Open(verifier.Target) (Image, error)      { return nil, ErrAbsent }
func (k keptImages) Partial(verifier.Target) (Partial, error) { return k.partial, nil }

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

// A download that is told to stop while it still hashes what is there must not throw that away: each stop of the service
// would cost what had come so far. Bytes that can't be read back are of no use, though.
func TestWhatIsThereSurvivesAStop(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	stopping := readerFunc(func(p []byte) (int, error) { stop(); return len(p), nil })
	broken := readerFunc(func([]byte) (int, error) { return 0, io.ErrNoProgress })
	for _, tt := range []struct {
		name     string
		ctx      context.Context
		kept     io.Reader
		restarts int
	}{{"stopped", ctx, stopping, 0}, {"can't be read", t.Context(), broken, 1}} {
		part := &keptPartial{kept: tt.kept}
		d := download{images: keptImages{partial: part}, target: verifier.Target{Path: "image", Name: "image", Length: 1 << 40}}
		if _, err := d.run(tt.ctx); err == nil || part.restarts != tt.restarts {
			t.Errorf("%s: thrown away %d times, want %d; %v", tt.name, part.restarts, tt.restarts, err)
		}
	}
}

// A rotten image is staged, and lies on a bad sector.
type rotten struct{ io.ReadSeeker }

func (rotten) Read([]byte) (int, error) { return 0, syscall.EIO }
func (rotten) Path() string             { return "" }
func (rotten) Close() error             { return nil }

type rottenImages struct{ slowImages }

func (rottenImages) Open(verifier.Target) (Image, error) { return rotten{}, nil }

// A staged image that can't be read is worth nothing: the install that finds out leads back to the download, and that one
// gets another copy. Both leave it alone when they are merely told to stop.
func TestAnUnreadableStagedImageIsFetchedAgain(t *testing.T) {
	image := []byte("0123456789")
	sum := sha256.Sum256(image)
	target := verifier.Target{Path: "image", Name: "image", Length: int64(len(image)), SHA256: sum[:]}
	l := &slowLink{image: image, each: time.Millisecond}
	d := download{repo: l, images: rottenImages{slowImages{l}}, flushBytes: 4, uptime: func() time.Duration { return l.now }, target: target,
		progress: func(int64, int64) {}}
	e := &engine{p: Ports{Images: d.images}}
	r := Record{Phase: Writing, Release: &Release{Target: target}}
	stopped, stop := context.WithCancel(t.Context())
	stop()
	if _, err := d.run(stopped); err == nil || len(l.written) > 0 {
		t.Errorf("told to stop, it downloaded %d bytes: %v", len(l.written), err)
	}
	if err := e.install(stopped, &live{}, r); !errors.Is(err, context.Canceled) || problemOf(err, testNow).Reason.imageIsBad() {
		t.Errorf("told to stop, the install says %v", err)
	}
	if err := e.install(t.Context(), &live{}, r); Step(r, Action{Kind: Install}, problemOf(err, testNow)).Phase != Fetching {
		t.Errorf("the install does not lead back to the download: %v", err)
	}
	if _, err := d.run(t.Context()); err != nil || !bytes.Equal(l.written, image) {
		t.Errorf("downloaded %q: %v", l.written, err)
	}
}
