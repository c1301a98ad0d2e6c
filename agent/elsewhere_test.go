package agent

import (
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"testing"
	"time"

	"github.com/ota-agent/ota-agent/verifier"
)

// A fickleLink's first answers fail in the middle of the body.
type fickleLink struct {
	slowLink
	failures int
	problem  Problem
	asked    int
}

func (l *fickleLink) Image(context.Context, ImageRequest) (ImageBody, error) {
	if l.asked++; l.asked <= l.failures {
		p := l.problem
		return ImageBody{ReadCloser: io.NopCloser(readerFunc(func([]byte) (int, error) { return 0, &p }))}, nil
	}
	return ImageBody{ReadCloser: io.NopCloser(&l.slowLink)}, nil
}

// What one mirror's body fails of is no reason to wait while another mirror does not rest: the device would
// wait, and by then the same mirror may be asked again.
func TestAFailedBodyIsAskedForElsewhereAtOnce(t *testing.T) {
	image := []byte("0123456789")
	sum := sha256.Sum256(image)
	for _, tt := range []struct {
		name     string
		failures int
		problem  Problem
		asked    int
		done     bool
	}{
		{"too much, and another mirror", 1, Problem{Reason: ReasonTooLarge, Elsewhere: true}, 2, true},
		{"cut, and more mirrors", 3, Problem{Reason: ReasonCut, Elsewhere: true}, 4, true},
		{"cut, and all mirrors rest", 1, Problem{Reason: ReasonCut}, 1, false},
		{"for ever", 1000, Problem{Reason: ReasonCut, Elsewhere: true}, refusalsMax, false},
	} {
		l := &fickleLink{slowLink: slowLink{image: image, each: time.Millisecond}, failures: tt.failures, problem: tt.problem}
		d := download{repo: l, images: slowImages{&l.slowLink}, flushBytes: 4, uptime: func() time.Duration { return l.now },
			target:   verifier.Target{Path: "image", Name: "image", Length: int64(len(image)), SHA256: sum[:]},
			progress: func(int64, int64) {}}
		_, err := d.run(t.Context())
		if (err == nil) != tt.done || l.asked != tt.asked {
			t.Errorf("%s: asked %d times, want %d; %v", tt.name, l.asked, tt.asked, err)
		}
		if p, ok := errors.AsType[*Problem](err); err != nil && (!ok || p.Reason != tt.problem.Reason) {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
}
