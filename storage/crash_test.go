package storage

import (
	"bytes"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"

	"github.com/ota-agent/ota-agent/agent"
	"github.com/ota-agent/ota-agent/storage/storetest"
	"github.com/ota-agent/ota-agent/verifier"
)

// A life is what a device does with its store, and what was acknowledged to it: what must be there after a
// crash. Its steps are few, and touch every kind of file.
type life struct {
	store *Store

	commits int   // acknowledged
	pending int   // begun
	flushed int64 // bytes of the image that Flush answered for
	staged  bool
	boot    string
	// damaged: it began with a damaged database, and may say so.
	damaged bool
}

const lifeCommits = 4

var (
	lifeImage  = storetest.Image(150_000, 42)
	lifeTarget = storetest.Target("image", lifeImage)
)

// lifeDocument is a document of the nth commit: small, large and shrinking in turn.
func lifeDocument(n int) []byte {
	return bytes.Repeat([]byte{byte(n)}, []int{100, 70_000, 90_000, 3000, 66_000}[n%5])
}

// lifeChange is the nth commit: all its parts carry n.
func lifeChange(n int) agent.Change {
	return agent.Change{
		Metadata: verifier.Change{
			Put: []verifier.Document{
				{Key: verifier.Key{Role: verifier.Targets}, Bytes: lifeDocument(n)},
				{Key: verifier.Key{Role: verifier.Root, Version: int64(n)}, Bytes: []byte{byte(n)}},
			},
			Floors: &verifier.Floors{RootVersion: int64(n), Timestamp: verifier.Floor{Version: int64(n), Signers: []verifier.KeyHash{{1}}}},
		},
		Records: []agent.Record{{Schema: 1, Component: "rootfs", Phase: agent.Fetching, Attempts: n}},
		Events:  []agent.Event{storetest.Event(uint64(n), agent.EventTrial)}, DropEvents: []uint64{uint64(max(0, n-lifeEvents))},
		Journal: &agent.JournalMark{ID: "j", Last: uint64(n)},
	}
}

// lifeEvents are kept.
const lifeEvents = 2

// run lives on from whatever is there, to the end.
func (l *life) run(dir string, d *disk) error {
	s, err := open(dir, Options{BootID: l.boot}, d)
	if err != nil {
		return err
	}
	l.store = s
	st, err := s.Load()
	if err != nil {
		return err
	}
	for n := st.Records["rootfs"].Attempts + 1; n <= lifeCommits; n++ {
		l.pending = n
		if err := s.Commit(lifeChange(n)); err != nil {
			return err
		}
		l.commits = n
	}
	if err := l.download(); err != nil {
		return err
	}
	err = s.Images().Keep([]verifier.Target{lifeTarget})
	if err != nil {
		return err
	}
	return s.Close()
}

func (l *life) download() error {
	target := lifeTarget
	if image, err := l.store.Images().Open(target); err == nil {
		return image.Close()
	}
	part, err := l.store.Images().Partial(target)
	if err != nil {
		return err
	}
	defer part.Close()
	if err := part.SetValidator(`"etag"`); err != nil {
		return err
	}
	for at := part.Size(); at < target.Length; {
		next := min(at+60_000, target.Length)
		if _, err := part.Write(lifeImage[at:next]); err != nil {
			return err
		}
		if at = next; at == target.Length {
			break // Stage makes the last bytes durable
		}
		if err := part.Flush(); err != nil {
			return err
		}
		l.flushed = part.Size()
	}
	check := target.Check()
	if _, err := check.Write(lifeImage); err != nil {
		return err
	}
	v, err := check.Done()
	if err != nil {
		return err
	}
	if err := part.Stage(v); err != nil {
		return err
	}
	l.staged = true
	return nil
}

// abandon closes what the dead process had open, as the kernel does.
func (l *life) abandon() {
	if l.store != nil {
		l.store.disk.hook = nil
		l.store.Close()
	}
}

// check opens dir and compares it with what was acknowledged.
func (l *life) check(t *testing.T, dir string) {
	t.Helper()
	s, err := Open(dir, Options{BootID: l.boot})
	if err != nil {
		t.Fatalf("open after the crash: %v", err)
	}
	defer s.Close()
	st, err := s.Load()
	must(t, err)
	if st.Recovered != nil && !l.damaged {
		t.Errorf("a crash was taken for damage: %q", st.Recovered)
	}
	n := st.Records["rootfs"].Attempts
	if n != l.commits && n != l.pending {
		t.Fatalf("commit %d is there, expected %d or %d", n, l.commits, l.pending)
	}
	var told []uint64 // with the record that they tell of, and none without it
	for i := max(0, n-lifeEvents); i < n; i++ {
		told = append(told, uint64(i+1))
	}
	if !slices.Equal(seqs(st.Events), told) || st.Journal.Last != uint64(n) {
		t.Errorf("events %v, the last of them %d, with commit %d", seqs(st.Events), st.Journal.Last, n)
	}
	if v := st.Floors.Timestamp.Version; v < int64(n) || v < int64(l.commits) || v > int64(l.pending) || st.Floors.RootVersion != v {
		t.Errorf("floors %d and %d with commit %d", v, st.Floors.RootVersion, n)
	}
	for i := 1; i <= lifeCommits; i++ {
		_, err := s.Document(verifier.Key{Role: verifier.Root, Version: int64(i)})
		if (i <= n) != (err == nil) {
			t.Errorf("root %d with commit %d: %v", i, n, err)
		}
	}
	if n > 0 {
		got, err := s.Document(verifier.Key{Role: verifier.Targets})
		must(t, err)
		wantBytes(t, "targets", got, lifeDocument(n))
	}
	l.checkImage(t, s)
}

func (l *life) checkImage(t *testing.T, s *Store) {
	t.Helper()
	target := lifeTarget
	image, err := s.Images().Open(target)
	if err == nil {
		defer image.Close()
		got, err := io.ReadAll(image)
		must(t, err)
		wantBytes(t, "image", got, lifeImage)
		return
	}
	if !errors.Is(err, agent.ErrAbsent) || l.staged {
		t.Errorf("staged image: %v", err)
	}
	part, err := s.Images().Partial(target)
	must(t, err)
	defer part.Close()
	got, err := io.ReadAll(part.Durable())
	must(t, err)
	if int64(len(got)) != part.Size() || part.Size() < l.flushed {
		t.Errorf("partial: %d bytes, size %d, flushed %d", len(got), part.Size(), l.flushed)
	}
	wantBytes(t, "partial", got, lifeImage[:part.Size()])
}

// converge lives on without faults.
func (l *life) converge(t *testing.T, dir string) {
	t.Helper()
	next := life{commits: l.commits, pending: l.pending, boot: l.boot, damaged: l.damaged}
	if err := next.run(dir, &disk{}); err != nil {
		t.Errorf("it does not go on: %v", err)
	}
	next.commits, next.pending, next.staged = lifeCommits, lifeCommits, true
	next.check(t, dir)
}

// The beginnings that lives are broken from.
func beginnings() map[string]func(t *testing.T, dir string) {
	lived := func(t *testing.T, dir string) { must(t, openT(t, dir).Close()) }
	return map[string]func(t *testing.T, dir string){
		"a new device": func(*testing.T, string) {},
		"database and floors lost": func(t *testing.T, dir string) {
			lived(t, dir)
			must(t, os.Remove(filepath.Join(dir, databaseName)))
			must(t, os.Remove(filepath.Join(dir, floorsName)))
		},
		"database damaged": func(t *testing.T, dir string) {
			lived(t, dir)
			must(t, os.WriteFile(filepath.Join(dir, databaseName), []byte("x"), 0o600))
			for n := range corruptMax {
				must(t, os.WriteFile(filepath.Join(dir, corruptName(n+1)), nil, 0o600))
			}
		},
	}
}

// Every step that changes the disk, broken in every way; then the process dies, or the power goes.
func TestEveryStepBroken(t *testing.T) {
	for name, begin := range beginnings() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dry := newWorld(t, fastDir(t))
			begin(t, dry.dir)
			must(t, (&life{boot: "this boot"}).run(dry.dir, dry.disk()))
			last, modes := dry.steps, []mode{diesBefore, diesAfter, failsWithout, failsWith}
			if name != "a new device" {
				last, modes = 25, modes[:2] // the rest is no different
			}
			for _, m := range modes {
				for at := 1; at <= last; at++ {
					breakStep(t, begin, m, at, syscall.EIO)
					if m == failsWithout {
						breakStep(t, begin, m, at, syscall.ENOSPC)
					}
				}
			}
			t.Logf("%d of %d steps", last, dry.steps)
		})
	}
}

func breakStep(t *testing.T, begin func(*testing.T, string), m mode, at int, says error) {
	t.Helper()
	w := newWorld(t, fastDir(t))
	begin(t, w.dir)
	w.adopt("")
	w.mode, w.failAt, w.err = m, at, says
	l := &life{boot: "this boot", damaged: w.contents[w.entries[""][databaseName]] != nil}
	err := attempt(func() error { return l.run(w.dir, w.disk()) })
	if w.broken == nil {
		t.Fatalf("step %d never came", at)
	}
	name := fmt.Sprintf("step %d (%v) %s, %v", at, w.broken, m, says)
	l.abandon()
	if err == nil && (m == diesBefore || m == diesAfter) {
		t.Errorf("%s: nobody noticed", name)
	}
	h := fnv.New64a()
	io.WriteString(h, name)
	lost, torn := w.powerCut(nil), w.powerCut(rand.New(rand.NewPCG(h.Sum64(), 0)))
	for i, end := range []struct{ how, dir, boot string }{
		{"the power went, nothing unsynced is left", lost, "next boot"}, {"the power went, some of it is left", torn, "next boot"},
		{"it restarts", w.dir, "this boot"},
	} {
		ok := t.Run(fmt.Sprintf("%s, %s", name, end.how), func(t *testing.T) {
			l.boot = end.boot
			l.check(t, end.dir)
			if i == at%3 { // slow, and the three are alike after check
				l.converge(t, end.dir)
			}
		})
		if !ok {
			t.Fatalf("after %s, %s: see above; it said %v", name, end.how, err)
		}
		os.RemoveAll(end.dir)
	}
}
