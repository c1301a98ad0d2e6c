//go:build linux && amd64

package crash

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/ota-agent/ota-agent/agent"
	"github.com/ota-agent/ota-agent/verifier"
)

// The agent lives in the slot that it updates. So one agent dies in each phase of an update, and another version of it
// goes on: the older one, which is the shipped binary, with what the newer one left, and the other way round. Then the
// first one starts once more. The device must come to rest with what is offered, and nothing that either of them remembered
// may be lost.
func TestOlderAndNewerAgentTakeOverFromEachOther(t *testing.T) {
	h := newHandover(t)
	h.each(t, "the release on trial is sick", h.one, h.changes(agent.Rejecting))
	h.reject(t)
	three := h.lab.publish(t, imageBytes)
	h.each(t, "a good release", three, h.changes(agent.Fetching, agent.Staged, soaking, agent.Writing, agent.Switched, agent.Trial, proving,
		agent.Confirming))
}

// A handover is a board that begins with the newer agent, and a way to clone it.
type handover struct {
	lab   *lab
	newer string
	base  *board
	dir   string // of the clones
	// one runs. two is sick, and offered until a third one is published.
	one, two published
}

func newHandover(t *testing.T) *handover {
	t.Helper()
	newer, err := newerBinary()
	must(t, err)
	h := &handover{lab: newLab(t), newer: newer, dir: shortDir(t)}
	h.one = h.lab.publish(t, imageBytes)
	h.base = newBoard(t, h.lab, h.one)
	h.base.agent = newer
	must(t, (&story{board: h.base, want: h.one}).run(t.Context(), true))
	h.base.unplug()
	must(t, h.base.checkRest(h.one, verifier.Floors{}))
	h.two = h.lab.publish(t, imageBytes)
	return h
}

// reject has the newer agent reject release 2. The older one then starts and leaves it alone, though it is offered.
func (h *handover) reject(t *testing.T) {
	t.Helper()
	b := h.base
	must(t, b.judge("exit 1"))
	left, err := b.goOn(t.Context(), true, published{}, func(s agent.Status) bool {
		c := s.Components[0]
		return len(c.Rejected) == 1 && c.Rejected[0].ID == h.two.sha256 && c.Phase == agent.Idle && c.Booted == c.Primary
	})
	must(t, errors.Join(err, left.isNewer()))
	b.unplug()
	c, err := b.clone(filepath.Join(h.dir, "remembers"))
	must(t, err)
	t.Cleanup(c.unplug)
	left, err = c.goOn(t.Context(), true, published{}, func(s agent.Status) bool {
		w := s.Components[0].Waiting
		return s.Repository.Checks > 0 && w != nil && w.Reason == agent.ReasonRejected
	})
	must(t, err)
	c.unplug()
	must(t, c.checkRest(h.one, left.floors))
}

// A change of agents: one dies in a phase of an update, and the other one goes on.
type change struct {
	newerFirst bool
	phase      agent.Phase
	powerCut   bool // all processes and memory go too; else only the agent
}

func (c change) String() string {
	who, how := "the older agent", "is killed"
	if c.newerFirst {
		who = "the newer agent"
	}
	if c.powerCut {
		how = "loses its power"
	}
	return fmt.Sprintf("%s %s in phase %s", who, how, c.phase)
}

func (h *handover) changes(phases ...agent.Phase) (all []change) {
	for _, p := range phases {
		for _, cut := range []bool{false, true} {
			all = append(all, change{true, p, cut})
			if p != soaking && p != proving {
				all = append(all, change{false, p, cut})
			}
		}
	}
	return all
}

// each makes all changes, several boards at once. The device must come to rest with want.
func (h *handover) each(t *testing.T, what string, want published, changes []change) {
	t.Helper()
	todo := make(chan change, len(changes))
	for _, c := range changes {
		todo <- c
	}
	close(todo)
	var all sync.WaitGroup
	for range runtime.NumCPU() {
		all.Go(func() {
			for c := range todo {
				if err := h.change(t.Context(), c, want); err != nil {
					t.Errorf("%s: %v: %v", what, c, err)
				}
			}
		})
	}
	all.Wait()
	t.Logf("%s: %d changes of agents", what, len(changes))
}

// change kills the first agent, has the second one go on to the end, and starts the first one again.
func (h *handover) change(ctx context.Context, c change, want published) error {
	b, err := h.base.clone(filepath.Join(h.dir, strings.ReplaceAll(c.String(), " ", "-")))
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(b.dir) }()
	defer b.unplug()
	first, second := "", h.newer
	if c.newerFirst {
		first, second = second, first
	}
	if c.phase == agent.Rejecting {
		if err := b.judge("exit 1"); err != nil {
			return err
		}
	}
	b.agent = first
	left, err := b.dieIn(ctx, c)
	if err != nil {
		return fmt.Errorf("the first agent: %w", err)
	}
	for n, binary := range []string{second, first} {
		b.agent = binary
		if left, err = b.goOn(ctx, n > 0 || c.powerCut, want, nil); err != nil {
			return fmt.Errorf("agent %d after it: %w", n+1, err)
		}
		b.unplug()
		if err := b.checkRest(want, left.floors); err != nil {
			return fmt.Errorf("agent %d after it: %w", n+1, err)
		}
		if c.phase == agent.Rejecting && (len(left.record.Rejected) != 1 || left.record.Rejected[0].ID != h.two.sha256) {
			return fmt.Errorf("agent %d after it does not remember the rejection: %+v", n+1, left.record.Rejected)
		}
	}
	return nil
}
