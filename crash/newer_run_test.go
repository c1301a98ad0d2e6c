//go:build linux && amd64

package crash

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"

	"github.com/ota-agent/ota-agent/agent"
	"github.com/ota-agent/ota-agent/agent/local"
)

// errSeen ends a story in which what was looked for has been seen.
var errSeen = errors.New("it was seen")

// A lookout looks at what a running agent says.
type lookout struct {
	board  *board
	before memory
	until  func(agent.Status) bool // unless nil, ends the story
	given  account
	asked  bool // its history
}

func (l *lookout) see(s agent.Status) error {
	l.given = l.given.and(accountOf(s))
	c := s.Components[0]
	switch newer := l.board.agent != ""; {
	case newer != (s.Agent == newerVersion):
		return fmt.Errorf("it is agent %s that runs", s.Agent)
	case len(s.Recovered) > 0:
		return fmt.Errorf("it took another version's store for damaged: %q", s.Recovered)
	}
	for _, x := range l.before.record.Rejected {
		if c.Release != nil && c.Release.SHA256 == x.ID {
			return fmt.Errorf("release %s was rejected, and is %s again", x.Version, c.Phase)
		}
	}
	if !l.asked {
		l.asked = true
		if err := l.ask(); err != nil {
			return err
		}
	}
	if l.until != nil && l.until(s) {
		return errSeen
	}
	return nil
}

// ask asks the agent for its history, which begins with all that was there before it.
func (l *lookout) ask() error {
	h, err := local.NewClient(l.board.socket()).History(context.Background())
	if err != nil {
		return err
	}
	for n, x := range l.before.events {
		if n >= len(h.Events) || !reflect.DeepEqual(h.Events[n], x) {
			return fmt.Errorf("its history lacks event %d (%s): %+v", x.Seq, x.Kind, h.Events)
		}
	}
	return nil
}

// dieIn runs the board's agent until its record says c.phase, and strikes at its next call.
func (b *board) dieIn(ctx context.Context, c change) (memory, error) {
	before, err := b.remember()
	if err != nil {
		return before, err
	}
	look := &lookout{board: b, before: before}
	s := &story{board: b, traced: true, hooks: c.powerCut, witness: look.see, strikes: b.inPhase(c)}
	if err := s.run(ctx, true); !errors.Is(err, errStruck) {
		return before, fmt.Errorf("it was not in phase %s: %w\n%s", c.phase, err, s.tail())
	}
	if c.powerCut {
		b.unplug()
	}
	left, err := b.takeOver(before, look.given)
	if err == nil && left.record.Phase != c.phase {
		err = fmt.Errorf("it left phase %s behind", left.record.Phase)
	}
	if err != nil {
		err = fmt.Errorf("%w\n%s", err, s.tail())
	}
	return left, err
}

// inPhase says of a call whether it is the one to strike: the first one after the record said c.phase. While a slot is being
// written the power goes when some of the image is there.
func (b *board) inPhase(c change) func(call) bool {
	entered, writes := []byte(" to="+string(c.phase)+" "), 0
	return func(x call) bool {
		log, err := os.ReadFile(b.run("log"))
		if err != nil || !bytes.Contains(log, entered) {
			return false
		}
		if c.phase == agent.Writing && c.powerCut {
			if x.name == "write" && strings.HasPrefix(filepath.Base(x.path), "slot.") {
				writes++
			}
			return writes == 3
		}
		return true
	}
}

// goOn runs the board's agent until the device is at rest with want, or until something else is seen.
func (b *board) goOn(ctx context.Context, boot bool, want published, until func(agent.Status) bool) (memory, error) {
	before, err := b.remember()
	if err != nil {
		return before, err
	}
	look := &lookout{board: b, before: before, until: until}
	s := &story{board: b, want: want, witness: look.see}
	err = s.run(ctx, boot)
	if until != nil && errors.Is(err, errSeen) {
		err = nil
	}
	if err == nil && len(s.exits) > 0 {
		err = fmt.Errorf("it ended by itself: %v", statusTexts(s.exits))
	}
	left := before
	if err == nil {
		left, err = b.takeOver(before, look.given)
	}
	if err != nil {
		err = fmt.Errorf("%w\n%s", err, s.tail())
	}
	return left, err
}

// judge has the hook's health checks run a command line.
func (b *board) judge(health string) error {
	text, err := os.ReadFile(b.config())
	if err != nil {
		return err
	}
	return os.WriteFile(b.config(), bytes.Replace(text, []byte("env = { "), fmt.Appendf(nil, "env = { AB_HEALTH = %q, ", health), 1), 0o644)
}
