//go:build linux && amd64

package crash

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ota-agent/ota-agent/agent"
	"github.com/ota-agent/ota-agent/crash/writelog"
	"github.com/ota-agent/ota-agent/verifier"
)

const (
	// cutsBudgetUsual is what the cuts of one run of the machine may take.
	cutsBudgetUsual = "4m"
	// subsetsPerFlush are the sets of lost writes that are drawn for each stretch between two flushes.
	subsetsPerFlush = 3
	// wholeBytes at the beginning of an ext4 file system hold its superblock, which must not tear: half of a new one has
	// a wrong checksum, and nothing is mounted. That is ext4's own limit.
	wholeBytes = 4096
)

// A virtual machine goes through its first start and a whole update on an ext4 disk, and each request to that disk is
// logged. Then the power is cut after every write; and before every flush writes are lost, torn and reordered that no
// flush had covered. Each time the disk is mounted and looked at, and the agent runs on from it until it is at rest.
//
// Once the machine's kernel keeps what nobody synced for half a minute, so that it is lost; and once it writes it as soon
// as it can, so that it is there before what should have come first.
func TestPowerGoesAtEachWriteOfTheDisk(t *testing.T) {
	m := newMachine(t)
	one, two := m.publish(t), m.publish(t)
	var roots []string
	for worker := range runtime.NumCPU() + 1 {
		roots = append(roots, filepath.Join(m.dir, fmt.Sprint(worker)))
		m.rootFor(t, roots[worker])
	}
	for _, writes := range []string{writesLate, writesEarly} {
		t.Run("kernel writes "+writes, func(t *testing.T) {
			p := &powerCuts{machine: m, roots: roots, want: two, seed: seed(t)}
			m.format(t, one)
			var err error
			p.before, err = os.ReadFile(m.disk)
			must(t, err)
			begun := time.Now()
			var console string
			p.log, console = m.run(t, writes)
			t.Logf("the machine ran for %v:\n%s", time.Since(begun).Round(time.Second), console)
			must(t, p.readNotes())
			p.run(t)
		})
	}
}

// powerCuts are all the cuts of one run of a machine.
type powerCuts struct {
	machine *machine
	roots   []string // for that many agents at once
	log     *writelog.Log
	before  []byte // the disk when the log began
	want    published
	seed    uint64
	notes   []note
}

// A note is what the agent had let see when so many requests were completed.
type note struct {
	after int
	account
}

// readNotes takes the guest's notes out of the log: they are no writes to the file system.
func (p *powerCuts) readNotes() error {
	var all account
	for n, e := range p.log.Entries {
		if e.Sector*int64(p.log.SectorBytes) < fileSystemBytes {
			continue
		}
		var a account
		if err := json.NewDecoder(bytes.NewReader(e.Data)).Decode(&a); err != nil {
			return fmt.Errorf("the note at request %d: %w", n, err)
		}
		p.log.Entries[n].Flags |= writelog.Mark
		all = all.and(a)
		p.notes = append(p.notes, note{n, all})
	}
	if all.Progress != reached(agent.Idle, "", p.want.version) {
		return fmt.Errorf("the %d notes come to %+v: the update is not over", len(p.notes), all)
	}
	return nil
}

// seen is what the agent had let see before a cut.
func (p *powerCuts) seen(c writelog.Cut) (a account) {
	for _, n := range p.notes {
		if n.after <= c.After {
			a = n.account
		}
	}
	return a
}

// cuts are all cuts: first the ones at which nothing is lost, then those that lose one write, the drawn ones last, and
// each kind in the seed's order.
func (p *powerCuts) cuts() []writelog.Cut {
	cuts := p.log.Cuts(writelog.Plan{
		Random: rand.New(rand.NewPCG(p.seed, 0)), Subsets: subsetsPerFlush, Whole: wholeBytes / int64(p.log.SectorBytes),
	})
	rand.New(rand.NewPCG(p.seed, 1)).Shuffle(len(cuts), func(i, j int) { cuts[i], cuts[j] = cuts[j], cuts[i] })
	order := []writelog.Kind{writelog.Prefix, writelog.Single, writelog.Torn, writelog.Subset}
	slices.SortStableFunc(cuts, func(a, b writelog.Cut) int {
		return cmp.Compare(slices.Index(order, a.Kind), slices.Index(order, b.Kind))
	})
	return cuts
}

func (p *powerCuts) run(t *testing.T) {
	t.Helper()
	cuts, limit, begun := p.cuts(), budget(t, cutsBudgetUsual), time.Now()
	var next atomic.Int64
	var mu sync.Mutex
	var all sync.WaitGroup
	ran := map[writelog.Kind]int{}
	for _, root := range p.roots {
		all.Go(func() {
			for n := int(next.Add(1)) - 1; n < len(cuts) && !t.Failed(); n = int(next.Add(1)) - 1 {
				if limit > 0 && time.Since(begun) > limit {
					return
				}
				if err := p.strike(t.Context(), cuts[n], root); err != nil {
					t.Errorf("seed %d: %v: %v", p.seed, cuts[n], err)
				}
				mu.Lock()
				ran[cuts[n].Kind]++
				mu.Unlock()
			}
		})
	}
	all.Wait()
	p.report(t, cuts, ran, time.Since(begun))
}

func (p *powerCuts) report(t *testing.T, cuts []writelog.Cut, ran map[writelog.Kind]int, took time.Duration) {
	t.Helper()
	writes, flushes := 0, 0
	for _, e := range p.log.Entries {
		if e.Flags&writelog.Flush != 0 {
			flushes++
		}
		if e.Sectors > 0 && e.Flags&writelog.Mark == 0 {
			writes++
		}
	}
	sum, text := 0, ""
	for _, kind := range []writelog.Kind{writelog.Prefix, writelog.Single, writelog.Torn, writelog.Subset} {
		planned := 0
		for _, c := range cuts {
			if c.Kind == kind {
				planned++
			}
		}
		sum += ran[kind]
		text += fmt.Sprintf("; %d of %d %s", ran[kind], planned, kind)
	}
	t.Logf("%d writes, %d flushes and %d notes in the log; %d of %d power cuts ran in %v%s; seed %d",
		writes, flushes, len(p.notes), sum, len(cuts), took.Round(time.Second), text, p.seed)
}

// strike makes the disk of a cut, looks at it, and lets the agent run on.
func (p *powerCuts) strike(ctx context.Context, c writelog.Cut, root string) (err error) {
	inside := labInside()
	inside.releases = p.machine.lab.releases
	b := &board{lab: inside, dir: root, root: root, state: filepath.Join(root, "flash", "state")}
	image := filepath.Join(root, "disk")
	if err := writeSparse(image, p.log.Disk(p.before, c)); err != nil {
		return err
	}
	if err := mountImage(image, b.flash()); err != nil {
		return err
	}
	defer func() {
		b.unplug()
		err = errors.Join(err, unmount(b.flash()), os.Remove(image))
	}()
	var floors verifier.Floors
	floors, err = b.checkStore(verifier.Floors{})
	if err := errors.Join(err, b.checkAccount(p.seen(c)), b.checkSlots(), b.checkImages()); err != nil {
		return fmt.Errorf("right after it: %w", err)
	}
	s := &story{board: b, want: p.want}
	err = s.run(ctx, true)
	b.unplug()
	if err == nil && len(s.exits) > 0 {
		err = fmt.Errorf("the agent ended by itself: %v", statusTexts(s.exits))
	}
	if err == nil {
		err = b.checkRest(p.want, floors)
	}
	if err != nil {
		return fmt.Errorf("afterwards: %w\n%s", err, s.tail())
	}
	return nil
}

// rootFor makes a root directory for agents that run on the machine's disk without the machine.
func (m *machine) rootFor(t *testing.T, dir string) {
	t.Helper()
	for _, name := range []string{"bin", "repo.2"} {
		must(t, os.CopyFS(filepath.Join(dir, name), os.DirFS(filepath.Join(m.root, name))))
	}
	for _, name := range []string{"busybox", "ota-agent", "ab-file"} {
		must(t, os.Link(filepath.Join(m.root, name), filepath.Join(dir, name)))
	}
	for _, name := range []string{"dev", "proc", "run", "flash"} {
		must(t, os.Mkdir(filepath.Join(dir, name), 0o755))
	}
	must(t, os.Symlink("repo.2", filepath.Join(dir, "repo")))
	must(t, unix.Mknod(filepath.Join(dir, "dev", "null"), unix.S_IFCHR|0o666, int(unix.Mkdev(1, 3))))
	proc := filepath.Join(dir, "proc")
	must(t, unix.Mount("/proc", proc, "", unix.MS_BIND, ""))
	t.Cleanup(func() { must(t, unmount(proc)) }) // before the directory is removed
}

// writeSparse writes a file and leaves out what is zero.
func writeSparse(path string, content []byte) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer f.Close()
	const block = 4096
	zeros := strings.Repeat("\x00", block)
	for at := 0; at < len(content); at += block {
		part := content[at:min(at+block, len(content))]
		if string(part) == zeros[:len(part)] {
			continue
		}
		if _, err := f.WriteAt(part, int64(at)); err != nil {
			return err
		}
	}
	return errors.Join(f.Truncate(int64(len(content))), f.Close())
}
