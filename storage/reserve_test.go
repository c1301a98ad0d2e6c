package storage

import (
	"os"
	"path/filepath"
	"reflect"
	"syscall"
	"testing"

	"github.com/ota-agent/ota-agent/agent"
)

// The disk is full when the database or the floors file must be made again: the reserve is there for that day.
func TestRecoveryGivesUpTheReserve(t *testing.T) {
	for _, lost := range []string{databaseName, floorsName} {
		for _, full := range []op{opCreate, opWrite, opCommit, opSync} {
			t.Run(lost+", "+string(full), func(t *testing.T) {
				dir := fastDir(t)
				s := openT(t, dir)
				must(t, s.Commit(lifeChange(3)))
				must(t, s.Close())
				must(t, os.WriteFile(filepath.Join(dir, lost), []byte("x"), 0o600))
				reserve := true
				s, err := open(dir, Options{}, &disk{hook: func(s step, do func() error) error {
					switch {
					case s.name == reserveName:
						reserve = reserve && s.op != opRemove
					case s.op == full && reserve:
						return &os.PathError{Op: string(s.op), Path: s.name, Err: syscall.ENOSPC}
					}
					return do()
				}})
				must(t, err)
				if st := loadT(t, s); len(st.Recovered) != 1 || st.Floors.RootVersion != 3 {
					t.Errorf("state: %+v", st)
				}
				must(t, s.Close())
			})
		}
	}
}

// The same where bbolt and the kernel say so themselves.
func TestRecoveryOnAFullDisk(t *testing.T) {
	for _, lost := range []string{databaseName, floorsName} {
		t.Run(lost, func(t *testing.T) {
			dir := t.TempDir()
			if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=16m"); err != nil {
				t.Skipf("no tmpfs can be mounted (run as root, on Linux): %v", err)
			}
			t.Cleanup(func() { syscall.Unmount(dir, syscall.MNT_DETACH) })
			s := openT(t, dir)
			must(t, s.Commit(lifeChange(3)))
			must(t, s.Close())
			must(t, os.WriteFile(filepath.Join(dir, lost), []byte("x"), 0o600))
			fill(t, filepath.Join(dir, "log"))
			s = openT(t, dir)
			if s.dir.has(reserveName) || len(loadT(t, s).Recovered) != 1 {
				t.Error("the reserve was kept, or nothing was recovered")
			}
			must(t, s.Close())
		})
	}
}

// fill leaves no block free.
func fill(t *testing.T, path string) {
	t.Helper()
	f, err := os.Create(path)
	must(t, err)
	defer f.Close()
	for _, n := range []int{1 << 16, pageSize} {
		for err = nil; err == nil; {
			_, err = f.Write(make([]byte, n))
		}
	}
}

// The reserve is a comfort: a store that is whole opens and commits where there can't be one.
func TestNoRoomForAReserve(t *testing.T) {
	for _, says := range []error{syscall.ENOSPC, syscall.EDQUOT, syscall.EACCES} {
		dir := fastDir(t)
		s := openT(t, dir)
		must(t, s.Commit(lifeChange(3)))
		must(t, s.dir.remove(reserveName))
		must(t, s.Close())
		s, err := open(dir, Options{}, &disk{hook: func(s step, do func() error) error {
			if s.name == reserveName {
				return &os.PathError{Op: string(s.op), Path: s.name, Err: says}
			}
			return do()
		}})
		must(t, err)
		must(t, s.Commit(lifeChange(4)))
		must(t, s.Close())
	}
}

// A reserve that has its name and no blocks is none: the process that made it died first, or the file system can't reserve. The
// next start tries once more, and the room that a vendor's document must leave is asked for elsewhere.
func TestReserveWithoutBlocks(t *testing.T) {
	for name, c := range map[string]struct {
		mode     mode
		says     error
		reserved bool // after the next start
	}{"killed": {diesBefore, nil, true}, "it can't be done": {failsWithout, errNoAllocate, false}} {
		t.Run(name, func(t *testing.T) {
			dir := fastDir(t)
			refused := false
			hook := func(step step, do func() error) error {
				if step.name != reserveName || step.op != opAllocate || c.says == nil && refused {
					return do()
				}
				if refused = true; c.mode == diesBefore {
					panic(errCrash)
				}
				return c.says
			}
			if err := attempt(func() error {
				s, err := open(dir, Options{}, &disk{hook: hook})
				if err == nil {
					err = s.Close()
				}
				return err
			}); (c.mode == diesBefore) != (err == errCrash) || !refused {
				t.Fatal(err)
			}
			s, err := open(dir, Options{}, &disk{hook: hook})
			must(t, err)
			t.Cleanup(func() { s.Close() })
			if n := s.reserved(); (n >= reserveBytes) != c.reserved || n > 0 != c.reserved {
				t.Errorf("%d bytes are reserved", n)
			}
			must(t, s.Commit(lifeChange(1)))
			s.disk.space = func() (int64, error) { return commitBytes - 1, nil }
			if err := s.Commit(twoLarge()); c.reserved {
				must(t, err)
			} else {
				wantRefused(t, err)
				wantLife(t, s, 1)
			}
			must(t, s.Close())
			before := snapshot(t, dir)
			s, err = open(dir, Options{}, &disk{hook: hook})
			must(t, err)
			if s.Counters() != (agent.Counters{}) || !reflect.DeepEqual(snapshot(t, dir), before) {
				t.Errorf("a start that finds all in order wrote: %+v", s.Counters())
			}
			must(t, s.Close())
		})
	}
}
