package storage

import (
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/ota-agent/ota-agent/agent"
	"github.com/ota-agent/ota-agent/storage/storetest"
	"github.com/ota-agent/ota-agent/verifier"
)

func target(b []byte) verifier.Target { return storetest.Target("image", b) }

func TestImageThatDoesNotFit(t *testing.T) {
	const mib = 1 << 20
	image := storetest.Image(mib, 1)
	for _, c := range []struct {
		free int64
		fits bool
	}{{0, false}, {8 * mib, false}, {9*mib - 1, false}, {9 * mib, true}} {
		w := newWorld(t, fastDir(t))
		d := w.disk()
		s, err := open(w.dir, Options{}, d)
		must(t, err)
		d.space = func() (int64, error) { return c.free, nil }
		before := w.steps
		p, err := s.Images().Partial(target(image))
		if c.fits {
			must(t, err)
			must(t, p.Close())
		} else {
			wantReason(t, err, agent.ReasonDiskFull)
			for _, figure := range []string{"needs 1048576 bytes", "8388608 are reserved"} {
				if !strings.Contains(err.Error(), figure) {
					t.Errorf("%q does not say %q", err, figure)
				}
			}
			if w.steps != before {
				t.Errorf("%d steps changed the disk", w.steps-before)
			}
		}
		must(t, s.Close())
	}
}

// A staged image that went bad is asked for again, and where one image fits and not two its own blocks are all the room that there
// is. One that would not fit even then stays.
func TestBadImageGivesItsRoomToTheNext(t *testing.T) {
	const mib = 1 << 20
	image := storetest.Image(mib, 1)
	for _, c := range []struct {
		free  int64
		gone  bool
		other int64 // bytes that a target with the same hash claims to have beyond these
	}{{8*mib - 1, false, 0}, {8 * mib, true, 0}, {9 * mib, false, 0}, {8 * mib, false, -1}} {
		w := newWorld(t, fastDir(t))
		d := w.disk()
		s, err := open(w.dir, Options{}, d)
		must(t, err)
		p, err := s.Images().Partial(target(image))
		must(t, err)
		_, err = p.Write(image)
		must(t, err)
		must(t, p.Stage(storetest.Verified(t, target(image), image)))
		must(t, p.Close())
		path := filepath.Join(w.dir, "images", target(image).ID())
		d.space = func() (int64, error) {
			if _, err := os.Stat(path); err != nil {
				return c.free + mib, nil
			}
			return c.free, nil
		}
		next := target(image)
		next.Length += c.other // a vendor's mistake, or worse: the image that is staged may be another one's
		p, err = s.Images().Partial(next)
		if fits := c.free >= 8*mib && c.other == 0; fits {
			must(t, err)
			must(t, p.Close())
		} else {
			wantReason(t, err, agent.ReasonDiskFull)
		}
		if _, err := os.Stat(path); (err != nil) != c.gone {
			t.Errorf("%d bytes are free: the staged image is gone: %t", c.free, err != nil)
		}
		if _, there := w.entries["images"][target(image).ID()]; there == c.gone {
			t.Errorf("%d bytes are free: the staged image is durably gone: %t", c.free, !there)
		}
		must(t, s.Close())
	}
}

// Databases that were set aside can be as large as anything. They go for an image, the oldest first, as many as it takes; and
// none where that would not help.
func TestDatabasesSetAsideGiveTheirRoomToAnImage(t *testing.T) {
	const mib = 1 << 20
	sizes := map[string]int64{corruptName(2): 2 * mib, corruptName(9): mib, corruptName(10): mib}
	for _, c := range []struct {
		free int64
		kept int
	}{{9 * mib, 3}, {9*mib - 1, 2}, {7 * mib, 2}, {7*mib - 1, 1}, {5 * mib, 0}, {5*mib - 1, 3}} {
		w := newWorld(t, fastDir(t))
		d := w.disk()
		s, err := open(w.dir, Options{}, d)
		must(t, err)
		for name, n := range sizes {
			must(t, os.WriteFile(filepath.Join(w.dir, name), make([]byte, n), 0o600))
		}
		d.space = func() (int64, error) {
			free := c.free
			for name, n := range sizes {
				if !s.dir.has(name) {
					free += n
				}
			}
			return free, nil
		}
		p, err := s.Images().Partial(target(storetest.Image(mib, 1)))
		if c.free < 5*mib {
			wantReason(t, err, agent.ReasonDiskFull)
		} else {
			must(t, err)
			must(t, p.Close())
		}
		numbers, err := corruptNumbers(s.dir)
		must(t, err)
		if !slices.Equal(numbers, []int{2, 9, 10}[3-c.kept:]) {
			t.Errorf("%d bytes are free: kept %d", c.free, numbers)
		}
		must(t, s.Close())
	}
}

// Only what is missing has to fit: the partial's own blocks are there already.
func TestPartialCountsItsBlocks(t *testing.T) {
	image := storetest.Image(1<<20, 2)
	d := &disk{}
	s, err := open(t.TempDir(), Options{FreeBytesMin: 1}, d)
	must(t, err)
	defer s.Close()
	p, err := s.Images().Partial(target(image))
	must(t, err)
	_, err = p.Write(image)
	must(t, err)
	must(t, p.Flush())
	must(t, p.Close())
	d.space = func() (int64, error) { return 10, nil }
	p, err = s.Images().Partial(target(image))
	must(t, err)
	must(t, p.Close())
}

// After a power cut the file may have a tail that never was flushed: zeros, garbage, or the right bytes. None of
// it counts, and what was flushed is not lost with it.
func TestTailAfterPowerCut(t *testing.T) {
	image := storetest.Image(400_000, 3)
	for name, tail := range map[string][]byte{
		"none": nil, "zeros": make([]byte, 100_000), "garbage": storetest.Image(99_999, 9), "to its full length": make([]byte, 250_000),
		"beyond it": make([]byte, 300_000),
	} {
		t.Run(name, func(t *testing.T) {
			dir := fastDir(t)
			s := openT(t, dir)
			p, err := s.Images().Partial(target(image))
			must(t, err)
			must(t, p.SetValidator("v"))
			_, err = p.Write(image[:150_000])
			must(t, err)
			must(t, p.Flush())
			must(t, p.Close())
			f, err := os.OpenFile(filepath.Join(dir, "partial", target(image).ID()), os.O_WRONLY|os.O_APPEND, 0)
			must(t, err)
			_, err = f.Write(tail)
			must(t, err)
			must(t, f.Close())

			p, err = s.Images().Partial(target(image))
			must(t, err)
			defer p.Close()
			if p.Size() != 150_000 || p.Validator() != "v" {
				t.Fatalf("size %d, validator %q", p.Size(), p.Validator())
			}
			_, err = p.Write(image[150_000:])
			must(t, err)
			must(t, p.Stage(storetest.Verified(t, target(image), image)))
			i, err := s.Images().Open(target(image))
			must(t, err)
			defer i.Close()
			got, err := io.ReadAll(i)
			must(t, err)
			wantBytes(t, "image", got, image)
		})
	}
}

// A tag may be damaged, or outlive its partial: then nothing counts that can't be known.
func TestTagAndPartialDisagree(t *testing.T) {
	image := storetest.Image(200_000, 4)
	id := target(image).ID()
	for name, c := range map[string]struct {
		change func(partials string) error
		size   int64
	}{
		"tag gone":        {func(p string) error { return os.Remove(filepath.Join(p, id+tagSuffix)) }, 0},
		"tag empty":       {func(p string) error { return os.Truncate(filepath.Join(p, id+tagSuffix), 0) }, 0},
		"partial gone":    {func(p string) error { return os.Remove(filepath.Join(p, id)) }, 0},
		"partial cut":     {func(p string) error { return os.Truncate(filepath.Join(p, id), 99_999) }, 0},
		"nothing changed": {func(string) error { return nil }, 100_000},
	} {
		t.Run(name, func(t *testing.T) {
			dir := fastDir(t)
			s := openT(t, dir)
			p, err := s.Images().Partial(target(image))
			must(t, err)
			_, err = p.Write(image[:100_000])
			must(t, err)
			must(t, p.Flush())
			must(t, p.Close())
			must(t, c.change(filepath.Join(dir, "partial")))
			for range 2 {
				p, err = s.Images().Partial(target(image))
				must(t, err)
				if p.Size() != c.size {
					t.Errorf("size %d, expected %d", p.Size(), c.size)
				}
				must(t, p.Close())
			}
		})
	}
}

// A write or flush that failed may have had any effect: nothing goes on from it, until a restart.
func TestPartialAfterAFailure(t *testing.T) {
	image := storetest.Image(300_000, 5)
	w := newWorld(t, fastDir(t))
	s, err := open(w.dir, Options{}, w.disk())
	must(t, err)
	defer s.Close()
	p, err := s.Images().Partial(target(image))
	must(t, err)
	defer p.Close()
	_, err = p.Write(image[:100_000])
	must(t, err)
	must(t, p.Flush())
	w.failAt, w.mode, w.err = w.steps+1, failsWith, syscall.ENOSPC
	if n, err := p.Write(image[100_000:]); n != 0 {
		t.Errorf("%d bytes of a failed write counted", n)
	} else {
		wantReason(t, err, agent.ReasonDiskFull)
	}
	wantReason(t, p.Flush(), agent.ReasonDiskFull)
	if p.Size() != 100_000 {
		t.Errorf("size %d", p.Size())
	}
	must(t, p.Restart())
	_, err = p.Write(image)
	must(t, err)
	must(t, p.Stage(storetest.Verified(t, target(image), image)))
}

func TestImageOfTheWrongSizeIsAbsent(t *testing.T) {
	image := storetest.Image(1000, 6)
	dir := fastDir(t)
	s := openT(t, dir)
	must(t, os.WriteFile(filepath.Join(dir, "images", target(image).ID()), image[:999], 0o600))
	if _, err := s.Images().Open(target(image)); !errors.Is(err, agent.ErrAbsent) {
		t.Errorf("open: %v", err)
	}
}

func TestNamesThatAreNoIDs(t *testing.T) {
	s := openT(t, fastDir(t))
	for _, bad := range []verifier.Target{{}, {SHA256: []byte{1}}, {SHA256: make([]byte, 33)}, {SHA512: make([]byte, 32+1)},
		{SHA256: make([]byte, 32), Length: -1}} {
		_, err := s.Images().Partial(bad)
		wantReason(t, err, agent.ReasonMalformed)
		_, err = s.Images().Open(bad)
		wantReason(t, err, agent.ReasonMalformed)
		wantReason(t, s.Images().Keep([]verifier.Target{bad}), agent.ReasonMalformed)
	}
}

func TestKeepLeavesOtherThingsAlone(t *testing.T) {
	dir := fastDir(t)
	s := openT(t, dir)
	image := storetest.Image(10, 7)
	p, err := s.Images().Partial(target(image))
	must(t, err)
	defer p.Close()
	must(t, os.WriteFile(filepath.Join(dir, "images", "README"), nil, 0o600))
	must(t, os.Mkdir(filepath.Join(dir, "images", target(storetest.Image(11, 8)).ID()), 0o700))
	before := s.Counters()
	must(t, s.Images().Keep(nil))
	if s.Counters() != before {
		t.Errorf("removing nothing wrote: %+v", s.Counters())
	}
	_, err = p.Write(image) // it is open, so it stayed
	must(t, err)
	must(t, p.Stage(storetest.Verified(t, target(image), image)))
}

// Any mix of writes, flushes, reopenings and restarts yields the image.
func TestPartialAtRandom(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	for i := range 20 {
		image := storetest.Image(r.IntN(600_000), byte(i))
		s := openT(t, fastDir(t))
		p, err := s.Images().Partial(target(image))
		must(t, err)
		at, flushed := 0, 0
		for at < len(image) {
			n := min(r.IntN(1<<r.IntN(20))+1, len(image)-at)
			_, err := p.Write(image[at : at+n])
			must(t, err)
			at += n
			switch r.IntN(8) {
			case 0, 1:
				must(t, p.Flush())
				flushed = at
			case 2:
				must(t, p.Close())
				p, err = s.Images().Partial(target(image))
				must(t, err)
				at = flushed
			case 3:
				if r.IntN(4) == 0 {
					must(t, p.Restart())
					at, flushed = 0, 0
				}
			}
			if p.Size() != int64(flushed) {
				t.Fatalf("size %d, expected %d", p.Size(), flushed)
			}
		}
		must(t, p.Stage(storetest.Verified(t, target(image), image)))
		must(t, p.Close())
	}
}
