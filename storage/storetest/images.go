package storetest

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"io"
	"testing"

	"github.com/ota-agent/ota-agent/agent"
	"github.com/ota-agent/ota-agent/verifier"
)

// An ImagesReopener can be opened again, as after the process died: what was not flushed may be gone.
type ImagesReopener interface {
	Reopen(t *testing.T) agent.Images
}

// ImagesContract runs the suite for image stores. open makes a new, empty one, which lives as long as its test.
func ImagesContract(t *testing.T, open func(t *testing.T) agent.Images) {
	for name, test := range map[string]func(t *testing.T, m agent.Images){
		"an image is absent until staged":            stagedOnly,
		"a partial resumes at its durable bytes":     resumes,
		"unflushed bytes do not count":               unflushed,
		"a restart drops all bytes":                  restarts,
		"an image of no bytes can be staged":         emptyImage,
		"what is not this image is not staged":       refusesOthers,
		"no byte beyond the length is taken":         bounded,
		"a partial is open once":                     openOnce,
		"only what is to be kept stays":              keeps,
		"an image staged again replaces the old one": stagedAgain,
	} {
		t.Run(name, func(t *testing.T) { test(t, open(t)) })
	}
}

// Target is the target that image's bytes verify against.
func Target(name string, image []byte) verifier.Target {
	sum := sha256.Sum256(image)
	return verifier.Target{Path: name, Name: name, Length: int64(len(image)), SHA256: sum[:]}
}

// Verified checks image against t.
func Verified(t *testing.T, target verifier.Target, image []byte) verifier.Verified {
	t.Helper()
	c := target.Check()
	if _, err := c.Write(image); err != nil {
		t.Fatal(err)
	}
	v, err := c.Done()
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// Image is n bytes that differ from image to image.
func Image(n int, seed byte) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i>>8) ^ byte(i)*31 ^ seed
	}
	return b
}

func partialOf(t *testing.T, m agent.Images, target verifier.Target) agent.Partial {
	t.Helper()
	p, err := m.Partial(target)
	if err != nil {
		t.Fatalf("partial: %v", err)
	}
	return p
}

func must(t *testing.T, what string, err error) {
	t.Helper()
	if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
}

func write(t *testing.T, p agent.Partial, b []byte) {
	t.Helper()
	if n, err := p.Write(b); n != len(b) || err != nil {
		t.Fatalf("write of %d bytes: %d, %v", len(b), n, err)
	}
}

func stage(t *testing.T, m agent.Images, name string, image []byte) verifier.Target {
	t.Helper()
	target := Target(name, image)
	p := partialOf(t, m, target)
	write(t, p, image[p.Size():])
	must(t, "flush", p.Flush())
	must(t, "stage", p.Stage(Verified(t, target, image)))
	must(t, "close", p.Close())
	return target
}

func wantImage(t *testing.T, m agent.Images, target verifier.Target, want []byte) {
	t.Helper()
	i, err := m.Open(target)
	if want == nil {
		if !errors.Is(err, agent.ErrAbsent) {
			t.Fatalf("open: error %v, expected absent", err)
		}
		return
	}
	must(t, "open", err)
	defer i.Close()
	for range 2 { // seekable
		got, err := io.ReadAll(i)
		if err != nil || !bytes.Equal(got, want) {
			t.Fatalf("image: %d bytes, error %v, expected %d", len(got), err, len(want))
		}
		if _, err := i.Seek(0, io.SeekStart); err != nil {
			t.Fatal(err)
		}
	}
}

func reopenedImages(t *testing.T, m agent.Images) agent.Images {
	t.Helper()
	if r, ok := m.(ImagesReopener); ok {
		return r.Reopen(t)
	}
	return m
}

func stagedOnly(t *testing.T, m agent.Images) {
	image := Image(300_000, 1)
	target := Target("a", image)
	wantImage(t, m, target, nil)
	p := partialOf(t, m, target)
	write(t, p, image)
	must(t, "flush", p.Flush())
	wantImage(t, m, target, nil)
	must(t, "stage", p.Stage(Verified(t, target, image)))
	must(t, "close", p.Close())
	wantImage(t, m, target, image)
	wantImage(t, reopenedImages(t, m), target, image)
}

func resumes(t *testing.T, m agent.Images) {
	image := Image(300_000, 2)
	target := Target("a", image)
	for _, upTo := range []int{1, 131_072, 299_999, 300_000} {
		p := partialOf(t, m, target)
		have, err := io.ReadAll(p.Durable())
		if err != nil || !bytes.Equal(have, image[:p.Size()]) {
			t.Fatalf("durable: %d bytes, error %v, size %d", len(have), err, p.Size())
		}
		if upTo > 1 && p.Validator() != `"v"` {
			t.Errorf("validator %q, expected what was set", p.Validator())
		}
		must(t, "validator that can't be kept", p.SetValidator("\"\xff\xfe\""))
		if p.Validator() != "" {
			t.Errorf("validator %q in place of one that can't be kept", p.Validator())
		}
		must(t, "validator", p.SetValidator(`"v"`))
		write(t, p, image[p.Size():upTo])
		must(t, "flush", p.Flush())
		if p.Size() != int64(upTo) {
			t.Fatalf("size %d after a flush, expected %d", p.Size(), upTo)
		}
		must(t, "close", p.Close())
		m = reopenedImages(t, m)
		p = partialOf(t, m, target)
		if p.Size() != int64(upTo) {
			t.Fatalf("size %d when opened again, expected %d", p.Size(), upTo)
		}
		must(t, "close", p.Close())
	}
	p := partialOf(t, m, target)
	must(t, "stage", p.Stage(Verified(t, target, image)))
	must(t, "close", p.Close())
	wantImage(t, m, target, image)
}

func unflushed(t *testing.T, m agent.Images) {
	image := Image(400_000, 3)
	target := Target("a", image)
	p := partialOf(t, m, target)
	write(t, p, image[:200_000])
	must(t, "flush", p.Flush())
	write(t, p, image[200_000:390_000])
	if p.Size() != 200_000 {
		t.Errorf("size %d before the flush, expected 200000", p.Size())
	}
	must(t, "close", p.Close())
	p = partialOf(t, reopenedImages(t, m), target)
	defer p.Close()
	have, err := io.ReadAll(p.Durable())
	if err != nil || p.Size() < 200_000 || !bytes.Equal(have, image[:p.Size()]) {
		t.Errorf("durable: %d bytes, error %v, size %d", len(have), err, p.Size())
	}
}

func restarts(t *testing.T, m agent.Images) {
	old, image := Image(200_000, 4), Image(200_000, 5)
	target := Target("a", image)
	p := partialOf(t, m, target)
	write(t, p, old[:150_000])
	must(t, "flush", p.Flush())
	write(t, p, old[150_000:160_000])
	must(t, "restart", p.Restart())
	if p.Size() != 0 {
		t.Errorf("size %d after a restart", p.Size())
	}
	write(t, p, image)
	must(t, "stage", p.Stage(Verified(t, target, image)))
	must(t, "close", p.Close())
	wantImage(t, m, target, image)
}

func emptyImage(t *testing.T, m agent.Images) {
	p := partialOf(t, m, Target("empty", nil))
	if err := p.Stage(verifier.Verified{}); err == nil {
		t.Error("an unverified image was staged")
	}
	must(t, "close", p.Close())
	target := stage(t, m, "empty", []byte{})
	wantImage(t, reopenedImages(t, m), target, []byte{})
}

func refusesOthers(t *testing.T, m agent.Images) {
	image, other := Image(1000, 6), Image(1000, 7)
	target := Target("a", image)
	p := partialOf(t, m, target)
	write(t, p, image)
	if err := p.Stage(verifier.Verified{}); err == nil {
		t.Error("an unverified image was staged")
	}
	if err := p.Stage(Verified(t, Target("b", other), other)); err == nil {
		t.Error("an image was staged as another one")
	}
	must(t, "stage", p.Stage(Verified(t, target, image)))
	must(t, "close", p.Close())
	wantImage(t, m, target, image)

	p = partialOf(t, m, Target("b", other))
	defer p.Close()
	write(t, p, other[:999])
	if err := p.Stage(Verified(t, Target("b", other), other)); err == nil {
		t.Error("an image was staged of which a byte is missing")
	}
	wantImage(t, m, Target("b", other), nil)
}

func bounded(t *testing.T, m agent.Images) {
	image := Image(1000, 8)
	p := partialOf(t, m, Target("a", image))
	defer p.Close()
	if _, err := p.Write(append(image, 0)); err == nil {
		t.Error("more bytes than the target's length were taken")
	}
	if p.Size() != 0 {
		t.Errorf("size %d after a failed write", p.Size())
	}
	write(t, p, image)
	if _, err := p.Write([]byte{0}); err == nil {
		t.Error("one byte more than the target's length was taken")
	}
}

func openOnce(t *testing.T, m agent.Images) {
	target := Target("a", Image(10, 9))
	p := partialOf(t, m, target)
	if _, err := m.Partial(target); err == nil {
		t.Error("one partial was opened twice")
	}
	must(t, "close", p.Close())
	must(t, "close", partialOf(t, m, target).Close())
}

func keeps(t *testing.T, m agent.Images) {
	a, b, c, d := Image(1000, 10), Image(1000, 11), Image(1000, 12), Image(1000, 13)
	ta, tb := stage(t, m, "a", a), stage(t, m, "b", b)
	for _, image := range [][]byte{c, d} {
		p := partialOf(t, m, Target("p", image))
		write(t, p, image[:500])
		must(t, "flush", p.Flush())
		must(t, "close", p.Close())
	}
	for range 2 {
		must(t, "keep", m.Keep([]verifier.Target{ta, Target("c", c)}))
		m = reopenedImages(t, m)
		wantImage(t, m, ta, a)
		wantImage(t, m, tb, nil)
	}
	for i, want := range []int64{500, 0} {
		p := partialOf(t, m, Target("p", [][]byte{c, d}[i]))
		if p.Size() != want {
			t.Errorf("partial %d has %d bytes, expected %d", i, p.Size(), want)
		}
		must(t, "close", p.Close())
	}
	must(t, "keep nothing", m.Keep(nil))
	wantImage(t, m, ta, nil)
}

func stagedAgain(t *testing.T, m agent.Images) {
	image := Image(5000, 14)
	stage(t, m, "a", image)
	wantImage(t, reopenedImages(t, m), stage(t, m, "a", image), image)
}
