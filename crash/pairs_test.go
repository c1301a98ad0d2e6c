//go:build linux && amd64

package crash

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/ota-agent/ota-agent/verifier"
)

const (
	// soonCalls are the first ones of a recovery, in which half of the second faults strike.
	soonCalls = 12
	// pairsUnreachedMax is how many per cent of the second faults may lie behind the end of their recovery, whose length
	// is not known before.
	pairsUnreachedMax = 10
)

// The agent dies at a call, or a call fails; and while it recovers, at a call of the recovery, the same befalls it again.
func TestFaultInTheRecoveryFromAFault(t *testing.T) {
	c := newUpdate(t, false)
	c.run(t, c.pairs(append(c.deaths(), c.failures()...)), c.strikeTwice)
}

// The power goes at a call of the agent or of a hook, and once more at one in the recovery.
func TestPowerGoesAgainInTheRecovery(t *testing.T) {
	c := newUpdate(t, true)
	c.run(t, c.pairs(c.deaths()), c.strikeTwice)
}

// pairs draws a second fault for each first one.
func (c *campaign) pairs(firsts []point) []point {
	random := rand.New(rand.NewPCG(c.seed, 2))
	for n := range firsts {
		left := max(1, len(c.calls)-firsts[n].at)
		if random.IntN(2) == 0 {
			left = min(left, soonCalls)
		}
		second := point{fault: fault{at: 1 + random.IntN(left)}, powerCut: c.hooks || random.IntN(2) == 0}
		second.how = []how{diesBefore, diesAfter, fails, fails}[random.IntN(4)]
		if c.hooks && second.how == fails {
			second.how = diesBefore
		}
		if second.how == fails {
			second.with = []unix.Errno{unix.EIO, unix.ENOSPC}[random.IntN(2)]
		}
		firsts[n].then = &second
	}
	return firsts
}

// stories are the two faults, each with the run that it strikes: the second one strikes the same run where the first one
// does not kill.
func (p point) stories() [][]fault {
	second := p.then.fault
	if p.how != fails {
		return [][]fault{{p.fault}, {second}}
	}
	second.at += p.at
	return [][]fault{{p.fault, second}}
}

// strikeTwice runs a board through both faults, checks what each death leaves, and lets the device run on to its rest.
func (c *campaign) strikeTwice(ctx context.Context, p point) error {
	dir, err := os.MkdirTemp(c.dir, "pair")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	b, err := c.base.clone(dir)
	if err != nil {
		return err
	}
	defer b.unplug()
	t := &twice{campaign: c, board: b, floors: c.floors, boot: true}
	for _, faults := range append(p.stories(), nil) {
		if err := t.tell(ctx, p, faults); err != nil {
			return fmt.Errorf("%w\n%s", err, strings.Join(t.told, "\n-- then --\n"))
		}
		if t.struck == 0 {
			return errUnreached
		}
		if t.rest {
			break
		}
	}
	if err := b.checkRest(c.want, t.floors); err != nil {
		return fmt.Errorf("at its rest: %w\n%s", err, strings.Join(t.told, "\n-- then --\n"))
	}
	if t.struck < 2 {
		return errUnreached
	}
	return nil
}

// A twice is a board on its way through two faults.
type twice struct {
	*campaign
	board  *board
	floors verifier.Floors
	boot   bool // the board is to be booted first; else the agent is started again
	rest   bool
	struck int
	told   []string
}

// tell runs the board until one of faults kills, or it is at rest.
func (t *twice) tell(ctx context.Context, p point, faults []fault) error {
	s := &story{board: t.board, want: t.want, traced: len(faults) > 0, hooks: t.hooks, faults: faults}
	err := s.run(ctx, t.boot)
	t.told, t.struck = append(t.told, s.tail()), t.struck+s.struck
	if errors.Is(err, errStruck) {
		t.boot = p.powerCut
		if t.struck == 2 {
			t.boot = p.then.powerCut
		}
		if t.boot {
			t.board.unplug()
		}
		t.floors, err = t.board.checkStore(t.floors)
		return errors.Join(err, t.board.checkSlots())
	}
	t.board.unplug()
	t.rest = true
	for _, ws := range s.exits {
		if !ws.Exited() || ws.ExitStatus() != exitStore || len(s.exits) > s.struck {
			return errors.Join(err, fmt.Errorf("the agent ended by itself after %d failures: %v", s.struck, statusTexts(s.exits)))
		}
	}
	if err == nil && s.sweepFailed() {
		err = (&story{board: t.board, want: t.want}).run(ctx, false) // the next start sweeps again
		t.board.unplug()
	}
	return err
}
