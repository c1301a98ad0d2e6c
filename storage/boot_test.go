package storage

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/ota-agent/ota-agent/agent"
	"github.com/ota-agent/ota-agent/storage/storetest"
)

// A process that dies in the middle of a download takes nothing with it: only a power cut loses what was not
// flushed, and then there is another boot ID.
func TestUnflushedBytesOfAKilledProcess(t *testing.T) {
	image := storetest.Image(500_000, 11)
	for name, c := range map[string]struct {
		before, after string
		change        func(t *testing.T, partial string)
		size          int64
	}{
		"the same boot":           {"b1", "b1", nil, 300_001},
		"another boot":            {"b1", "b2", nil, 200_000},
		"no boot ID":              {"", "", nil, 200_000},
		"a boot ID for the first": {"", "b1", nil, 200_000},
		"more than the image": {"b1", "b1", func(t *testing.T, partial string) {
			must(t, os.Truncate(partial, 500_001))
		}, 200_000},
		"fewer than were durable": {"b1", "b1", func(t *testing.T, partial string) {
			must(t, os.Truncate(partial, 199_999))
		}, 0},
		"the tag is gone": {"b1", "b1", func(t *testing.T, partial string) {
			must(t, os.Remove(partial+tagSuffix))
		}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			dir := fastDir(t)
			partial := filepath.Join(dir, partialDir, target(image).ID())
			s, err := Open(dir, Options{BootID: c.before})
			must(t, err)
			p := openPartial(t, s, image)
			must(t, p.SetValidator("v"))
			appendTo(t, p, image[:200_000])
			must(t, p.Flush())
			appendTo(t, p, image[200_000:300_001])
			must(t, s.Close()) // and neither Flush nor Close for the partial, as after a kill
			if c.change != nil {
				c.change(t, partial)
			}

			s, err = Open(dir, Options{BootID: c.after})
			must(t, err)
			defer s.Close()
			p = openPartial(t, s, image)
			defer p.Close()
			if p.Size() != c.size {
				t.Fatalf("size %d, expected %d", p.Size(), c.size)
			}
			if validator := p.Validator(); (validator == "v") != (c.size > 0) {
				t.Errorf("validator %q", validator)
			}
			appendTo(t, p, image[c.size:])
			must(t, p.Stage(storetest.Verified(t, target(image), image)))
		})
	}
}

// Bytes that the hash found wrong are dropped. A process that is killed at any step of that leaves none of them to
// be counted by the next.
func TestKilledWhileRestarting(t *testing.T) {
	wrong, image := storetest.Image(300_000, 12), storetest.Image(300_000, 13)
	for at := 1; ; at++ {
		w := newWorld(t, fastDir(t))
		s, err := open(w.dir, Options{BootID: "b1"}, w.disk())
		must(t, err)
		p := openPartial(t, s, image)
		appendTo(t, p, wrong[:200_000])
		w.failAt, w.mode = w.steps+at, diesAfter
		err = attempt(p.Restart)
		s.disk.hook = nil
		must(t, s.Close())
		if w.broken == nil {
			must(t, err)
			if at < 4 {
				t.Errorf("a restart of %d steps", at-1)
			}
			return
		}
		s, err = Open(w.dir, Options{BootID: "b1"})
		must(t, err)
		p = openPartial(t, s, image)
		if size := p.Size(); size != 0 && (size != 200_000 || at > 1) {
			t.Errorf("killed at step %d: size %d", at, size)
		}
		must(t, p.Close())
		must(t, s.Close())
	}
}

// After a write or flush that failed anything may lie behind the durable bytes, in the same boot too.
func TestNothingCountsAfterAFailure(t *testing.T) {
	image := storetest.Image(300_000, 14)
	w := newWorld(t, fastDir(t))
	s, err := open(w.dir, Options{BootID: "b1"}, w.disk())
	must(t, err)
	defer s.Close()
	p := openPartial(t, s, image)
	appendTo(t, p, image[:100_000])
	must(t, p.Flush())
	appendTo(t, p, image[100_000:200_000])
	w.failAt, w.mode, w.err = w.steps+1, failsWithout, syscall.EIO
	wantReason(t, p.Flush(), agent.ReasonStore)
	must(t, p.Close())
	p = openPartial(t, s, image)
	if p.Size() != 100_000 {
		t.Errorf("size %d, expected 100000", p.Size())
	}
	appendTo(t, p, image[100_000:150_000])
	must(t, p.Close())
	p = openPartial(t, s, image)
	defer p.Close()
	if p.Size() != 150_000 {
		t.Errorf("size %d, expected 150000: what came after the failure counts", p.Size())
	}
}

func openPartial(t *testing.T, s *Store, image []byte) agent.Partial {
	t.Helper()
	p, err := s.Images().Partial(target(image))
	must(t, err)
	return p
}

func appendTo(t *testing.T, p agent.Partial, b []byte) {
	t.Helper()
	_, err := p.Write(b)
	must(t, err)
}

// The kernel forgets bytes that it failed to write, and calls the next sync a success. They are fetched again, in this
// process and in the next one of the same boot.
func TestFailedSyncIsNotBelievedLater(t *testing.T) {
	image := storetest.Image(300_000, 21)
	for name, fail := range map[string]func(t *testing.T, w *world, s *Store) *Store{
		"of what a killed process left": func(t *testing.T, w *world, s *Store) *Store {
			must(t, s.Close())
			s = openBoot(t, w)
			w.failAt, w.mode = w.steps+1, failsWithout
			wantReason(t, second(s.Images().Partial(target(image))), agent.ReasonStore)
			return s
		},
		"of what a killed process left, and it ends": func(t *testing.T, w *world, s *Store) *Store {
			must(t, s.Close())
			s = openBoot(t, w)
			w.failAt, w.mode = w.steps+1, failsWithout
			wantReason(t, second(s.Images().Partial(target(image))), agent.ReasonStore)
			must(t, s.Close())
			return openBoot(t, w)
		},
		"of what a killed process left, and its tag can't be written": func(t *testing.T, w *world, s *Store) *Store {
			must(t, s.Close())
			s = openBoot(t, w)
			w.failAt, w.mode = w.steps+1, failsWithout
			through := s.disk.hook
			s.disk.hook = func(s step, do func() error) error {
				if w.broken != nil {
					return syscall.EIO
				}
				return through(s, do)
			}
			wantReason(t, second(s.Images().Partial(target(image))), agent.ReasonStore)
			s.disk.hook = through
			return s
		},
		"of a flush, and the process ends": func(t *testing.T, w *world, s *Store) *Store {
			must(t, s.Close())
			s = openBoot(t, w)
			p := openPartial(t, s, image)
			appendTo(t, p, image[p.Size():250_000])
			w.failAt, w.mode = w.steps+1, failsWithout
			wantReason(t, p.Flush(), agent.ReasonStore)
			must(t, s.Close()) // without Close of the partial, as after a kill
			return openBoot(t, w)
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, fastDir(t))
			s := openBoot(t, w)
			p := openPartial(t, s, image)
			appendTo(t, p, image[:100_000])
			must(t, p.Flush())
			appendTo(t, p, image[100_000:200_000])
			s = fail(t, w, s)
			defer s.Close()
			if w.broken == nil || w.broken.op != opSync {
				t.Fatalf("broke %v", w.broken)
			}
			path := filepath.Join(partialDir, target(image).ID())
			synced := int64(len(w.contents[inode(t, filepath.Join(w.dir, path))]))
			p = openPartial(t, s, image)
			defer p.Close()
			if p.Size() != synced {
				t.Errorf("size %d, of which %d are on the disk", p.Size(), synced)
			}
		})
	}
}

// openBoot opens a store, always in the same boot.
func openBoot(t *testing.T, w *world) *Store {
	t.Helper()
	s, err := open(w.dir, Options{BootID: "b1"}, w.disk())
	must(t, err)
	return s
}
