//go:build linux && amd64

package crash

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/ota-agent/ota-agent/agent"
)

// exitStore is the exit code of an agent whose store failed (docs/exit-codes.md).
const exitStore = 8

// Each call that can fail does so once: with a failing medium, or a full disk. The device must say so and come to
// rest all the same.
func TestEachCallOfAnUpdateFails(t *testing.T) {
	c := newUpdate(t, false)
	c.run(t, c.failures(), c.strikeFailing)
	t.Logf("failures were reported: %v", c.ways)
}

// The same for the first start, in which the store is made.
func TestEachCallOfTheFirstStartFails(t *testing.T) {
	l := newLab(t)
	one := l.publish(t, imageBytes)
	c := newCampaign(t, newBoard(t, l, one), one, false)
	c.run(t, c.failures(), c.strikeFailing)
	t.Logf("failures were reported: %v", c.ways)
}

// failures are all points at which a call fails. sync(2) can't.
func (c *campaign) failures() (points []point) {
	for n, x := range c.calls {
		if x.name == "sync" {
			continue
		}
		for _, errno := range []unix.Errno{unix.EIO, unix.ENOSPC} {
			points = append(points, point{fault: fault{at: n + 1, how: fails, with: errno}})
		}
	}
	return points
}

func (c *campaign) strikeFailing(ctx context.Context, p point) error {
	b, err := c.base.clone(filepath.Join(c.dir, strconv.Itoa(p.at)+unix.ErrnoName(p.with)))
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(b.dir) }()
	defer b.unplug()
	var wrong error
	s := &story{board: b, want: c.want, traced: true, faults: []fault{p.fault}, moment: func() { wrong = errors.Join(wrong, b.checkSlots()) }}
	err = s.run(ctx, true)
	b.unplug()
	if err == nil && s.struck == 0 {
		return errUnreached
	}
	err = errors.Join(err, wrong)
	if err == nil && s.sweepFailed() {
		err = (&story{board: b, want: c.want}).run(ctx, false) // the next start sweeps again
		b.unplug()
	}
	if err == nil {
		err = b.checkRest(c.want, c.floors)
	}
	if err == nil {
		var way string
		way, err = s.reported()
		c.count(p.with, way)
	}
	if err != nil {
		return fmt.Errorf("%w\n%s", err, s.tail())
	}
	return nil
}

// How a failure was reported.
const (
	inStatus = "in status"
	byExit   = "by the store's exit code"
	passed   = "passed over"
)

// reported says how the failure was reported: under its reason code in status; or, since the outcome of a commit that
// failed is unknown, by the store's exit code with the cause in the log, and a new start; or it may pass.
func (s *story) reported() (string, error) {
	reason := agent.ReasonStore
	if s.faults[0].with == unix.ENOSPC {
		reason = agent.ReasonDiskFull
	}
	for _, ws := range s.exits {
		if !ws.Exited() || ws.ExitStatus() != exitStore {
			return "", fmt.Errorf("the agent ended with %v, want exit %d", statusTexts(s.exits), exitStore)
		}
	}
	switch {
	case len(s.exits) == 1 && strings.Contains(s.output, s.faults[0].with.Error()):
		return byExit, nil
	case len(s.exits) == 0 && s.reasons[reason]:
		return inStatus, nil
	case len(s.exits) == 0 && s.mayPass():
		return passed, nil
	}
	return "", fmt.Errorf("%v: ended %v, reasons in status %v: want reason %s or one exit %d with the cause",
		s.calls[s.faults[0].at-1], statusTexts(s.exits), s.reasons, reason, exitStore)
}

// mayPass tells of failures that nothing depends on.
func (s *story) mayPass() bool {
	f := s.faults[0]
	struck, after := s.calls[f.at-1], s.calls[f.at:]
	reserve := filepath.Join(s.board.state, "reserve")
	switch {
	case s.sweepFailed():
		return true
	case struck.path == reserve:
		return true // a store without a reserve is one all the same
	case struck.name == "sync":
		return true // nobody hears of it; in this run it came one call earlier or later
	case f.with == unix.ENOSPC:
		// The reserve was given up for it, and what failed was done again.
		return slices.ContainsFunc(after, func(c call) bool { return c.name == "unlinkat" && c.path == reserve })
	}
	return false
}

// sweepFailed: old images could not be removed, which stands in the log alone.
func (s *story) sweepFailed() bool { return strings.Contains(s.output, "could not remove old images") }
