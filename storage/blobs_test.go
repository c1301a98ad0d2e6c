package storage

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"syscall"
	"testing"

	"github.com/ota-agent/ota-agent/agent"
	"github.com/ota-agent/ota-agent/verifier"
)

// A roomless is a world in which a certain step of the files of large documents finds no room while it is full, however often
// it is tried.
type roomless struct {
	*world
	op    op
	after int  // files that find room before
	took  bool // the step takes effect all the same
	says  error
	full  bool
}

func (r *roomless) hook(s step, do func() error) error {
	if !r.full || s.op != r.op || s.name != "meta" && !strings.HasPrefix(s.name, "meta/") {
		return r.world.hook(s, do)
	}
	if r.after > 0 {
		r.after--
		return r.world.hook(s, do)
	}
	if r.took {
		if err := r.world.hook(s, do); err != nil {
			return err
		}
	}
	return &os.PathError{Op: string(s.op), Path: s.name, Err: r.says}
}

// twoLarge are two large documents in one commit, with all else that there can be.
func twoLarge() agent.Change {
	c := fullChange(2)
	c.Metadata.Put = append(c.Metadata.Put, verifier.Document{Key: verifier.Key{Role: "vendor"}, Bytes: bytes.Repeat([]byte("v"), 80_000)})
	return c
}

// begin opens a store that holds a large document and a reserve, or none, and then is full.
func (r *roomless) begin(t *testing.T, reserved bool) *Store {
	r.world = newWorld(t, fastDir(t))
	s, err := open(r.dir, Options{}, &disk{hook: r.hook})
	must(t, err)
	t.Cleanup(func() { s.Close() })
	must(t, s.Commit(lifeChange(1)))
	if !reserved {
		must(t, s.dir.remove(reserveName))
		must(t, s.dir.sync())
	}
	r.full = true
	return s
}

// wantRefused checks that a commit was refused for want of room.
func wantRefused(t *testing.T, err error) {
	t.Helper()
	wantReason(t, err, agent.ReasonDiskFull)
	if !errors.Is(err, agent.ErrNothingWritten) {
		t.Fatalf("%v; want that nothing was written", err)
	}
}

// wantLife checks that a store holds what lifeChange(n) left, and nothing of twoLarge.
func wantLife(t *testing.T, s *Store, n int) {
	t.Helper()
	st := loadT(t, s)
	if st.Recovered != nil || st.Floors.RootVersion != int64(n) || st.Floors.Timestamp.Version != int64(n) || st.Records["rootfs"].Attempts != n ||
		st.Device != (agent.DeviceState{}) || len(st.Delegated) != 0 {
		t.Errorf("state: %+v", st)
	}
	got, err := s.Document(verifier.Key{Role: verifier.Targets})
	must(t, err)
	wantBytes(t, "targets", got, lifeDocument(n))
}

// Whichever step of a large document's file finds no room: nothing of its commit has happened, also if the power goes then;
// the store goes on; and once there is room the same commit is durable, whatever is left in the page cache of the first attempt.
func TestALargeDocumentWithoutRoomChangesNothing(t *testing.T) {
	for _, o := range []op{opCreate, opWrite, opSync, opRename, opSyncDir} {
		for after := range 2 {
			for _, took := range []bool{false, true} {
				for _, reserved := range []bool{true, false} {
					name := fmt.Sprintf("%s of file %d, took effect: %t, with reserve: %t", o, after+1, took, reserved)
					t.Run(name, func(t *testing.T) {
						noRoom(t, &roomless{op: o, after: after, took: took, says: syscall.ENOSPC}, reserved)
					})
				}
			}
		}
	}
	t.Run("quota", func(t *testing.T) { noRoom(t, &roomless{op: opWrite, says: syscall.EDQUOT}, true) })
}

func noRoom(t *testing.T, r *roomless, reserved bool) {
	s := r.begin(t, reserved)
	before, floors := listing(t, filepath.Join(r.dir, "meta")), snapshot(t, r.dir)[filepath.Join(r.dir, floorsName)]
	wantRefused(t, s.Commit(twoLarge()))
	if now := listing(t, filepath.Join(r.dir, "meta")); !reflect.DeepEqual(now, before) {
		t.Errorf("meta holds %v, and before %v", now, before)
	}
	if snapshot(t, r.dir)[filepath.Join(r.dir, floorsName)] != floors {
		t.Error("the floors file was written")
	}
	if s.dir.has(reserveName) != reserved {
		t.Error("the reserve was not given back")
	}
	wantLife(t, s, 1)
	for i, round := range []*rand.Rand{nil, rand.New(rand.NewPCG(1, 0)), rand.New(rand.NewPCG(2, 0)), rand.New(rand.NewPCG(3, 0))} {
		cut := openT(t, r.powerCut(round))
		wantLife(t, cut, 1)
		if n := len(listing(t, cut.dir.join("meta"))); n != 1 {
			t.Errorf("power cut %d: meta holds %d files", i, n)
		}
		must(t, cut.Commit(twoLarge()))
		must(t, cut.Close())
	}
	must(t, s.Commit(agent.Change{Records: []agent.Record{{Schema: 1, Component: "app"}}})) // replaces no file, so nothing is swept
	wantLife(t, s, 1)
	r.full = false
	c := twoLarge()
	must(t, s.Commit(c))
	cut := openT(t, r.powerCut(nil))
	if st := loadT(t, cut); st.Floors.RootVersion != 2 || st.Records["app"].Component == "" {
		t.Errorf("state: %+v", st)
	}
	for _, d := range c.Metadata.Put {
		got, err := cut.Document(d.Key)
		must(t, err)
		wantBytes(t, d.Key.Role, got, d.Bytes)
	}
	must(t, s.Close())
}

// Anything else that goes wrong there, also in the clean-up, has an unknown outcome: the store says so to every call, and the
// next start finds all in order.
func TestOnlyWantOfRoomHasAKnownOutcome(t *testing.T) {
	for _, o := range []op{opCreate, opWrite, opSync, opRename, opSyncDir} {
		t.Run(string(o)+" says EIO", func(t *testing.T) {
			r := &roomless{op: o, says: syscall.EIO}
			wantUnknown(t, r, r.begin(t, true), agent.ReasonStore)
		})
	}
	for _, says := range []error{syscall.EIO, syscall.ENOSPC} {
		t.Run(fmt.Sprintf("the clean-up says %v", says), func(t *testing.T) {
			r := &roomless{op: opSync, says: syscall.ENOSPC}
			s := r.begin(t, false)
			s.disk.hook = func(step step, do func() error) error {
				if step.op == opRemove && strings.HasPrefix(step.name, "meta/") {
					return &os.PathError{Op: "unlinkat", Path: step.name, Err: says}
				}
				return r.hook(step, do)
			}
			wantUnknown(t, r, s, agent.ReasonDiskFull)
		})
	}
}

func wantUnknown(t *testing.T, r *roomless, s *Store, reason agent.Reason) {
	t.Helper()
	for _, err := range []error{s.Commit(twoLarge()), s.Commit(agent.Change{}), second(s.Load())} {
		wantReason(t, err, reason)
		if errors.Is(err, agent.ErrNothingWritten) {
			t.Errorf("%v; want an unknown outcome", err)
		}
	}
	must(t, s.Close())
	for _, dir := range []string{r.powerCut(nil), r.dir} {
		again := openT(t, dir)
		wantLife(t, again, 1)
		if names := listing(t, again.dir.join("meta")); len(names) != 1 {
			t.Errorf("meta holds %v", names)
		}
		must(t, again.Close())
	}
}

// A large document that takes all room but a little would have the transaction fail, whose outcome nobody knows.
func TestALargeDocumentLeavesRoomForItsTransaction(t *testing.T) {
	for _, tt := range []struct {
		free     int64
		reserved bool
		refused  bool
	}{{commitBytes - 1, false, true}, {commitBytes, false, false}, {commitBytes - 1, true, false}} {
		r := &roomless{op: opAllocate}
		s := r.begin(t, tt.reserved)
		s.disk.space = func() (int64, error) { return tt.free, nil }
		if err := s.Commit(twoLarge()); tt.refused {
			wantRefused(t, err)
			wantLife(t, s, 1)
		} else {
			must(t, err)
		}
		must(t, s.Commit(agent.Change{Device: &agent.DeviceState{Paused: true}})) // a small one goes on as long as it can
		must(t, s.Close())
	}
}

// A vendor may sign many small documents, too. What the publisher signs goes on as long as it can.
func TestADelegatedDocumentLeavesRoomForItsTransaction(t *testing.T) {
	const size = 40_000
	for _, tt := range []struct {
		role     string
		free     int64
		reserved bool
		refused  bool
	}{{"vendor", commitBytes + size, false, true}, {"vendor", commitBytes + size + 1, false, false}, {"vendor", 0, true, false}, {verifier.Targets, 0, false, false}} {
		s := (&roomless{op: opAllocate}).begin(t, tt.reserved)
		s.disk.space = func() (int64, error) { return tt.free, nil }
		c := agent.Change{Metadata: verifier.Change{Put: []verifier.Document{{Key: verifier.Key{Role: tt.role}, Bytes: make([]byte, size)}},
			Floors: &verifier.Floors{RootVersion: 2}}}
		if err := s.Commit(c); tt.refused {
			wantRefused(t, err)
			wantLife(t, s, 1)
		} else if err != nil {
			t.Errorf("%s, %d bytes free, reserve %t: %v", tt.role, tt.free, tt.reserved, err)
		}
		must(t, s.Commit(agent.Change{Device: &agent.DeviceState{Paused: true}}))
		must(t, s.Close())
	}
}

// The reserve is room for so much, and no more.
func TestDelegatedDocumentsBeyondTheReserve(t *testing.T) {
	s := (&roomless{op: opAllocate}).begin(t, true)
	s.disk.space = func() (int64, error) { return 0, nil }
	var c agent.Change
	for n := range reserveBytes / inlineBytesMax {
		c.Metadata.Put = append(c.Metadata.Put, verifier.Document{Key: verifier.Key{Role: fmt.Sprint("vendor-", n)}, Bytes: make([]byte, inlineBytesMax)})
	}
	wantRefused(t, s.Commit(c))
	if s.reserved() < reserveBytes {
		t.Error("the reserve was not kept")
	}
	wantLife(t, s, 1)
	must(t, s.Close())
}

// The same where the kernel says so, and at the last byte.
func TestALargeDocumentOnAFullDisk(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=16m"); err != nil {
		t.Skipf("no tmpfs can be mounted (run as root, on Linux): %v", err)
	}
	t.Cleanup(func() { syscall.Unmount(dir, syscall.MNT_DETACH) })
	s := openT(t, dir)
	must(t, s.Commit(lifeChange(1)))
	log := filepath.Join(dir, "log")
	fill(t, log)
	c := twoLarge()
	c.Metadata.Put = append(c.Metadata.Put, verifier.Document{Key: verifier.Key{Role: "huge"}, Bytes: make([]byte, 2*reserveBytes)})
	for range 3 {
		wantRefused(t, s.Commit(c))
		if free, err := s.dir.available(); err != nil || !s.dir.has(reserveName) || free > 0 {
			t.Errorf("%d bytes are free, and the reserve is there: %t; %v", free, s.dir.has(reserveName), err)
		}
	}
	wantLife(t, s, 1)
	must(t, s.Commit(lifeChange(3)))
	wantLife(t, s, 3)
	must(t, os.Remove(log))
	must(t, s.Commit(c))
	must(t, s.Close())
	got, err := openT(t, dir).Document(verifier.Key{Role: "huge"})
	must(t, err)
	wantBytes(t, "huge", got, make([]byte, 2*reserveBytes))
}
