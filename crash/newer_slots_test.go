//go:build linux && amd64

package crash

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ota-agent/ota-agent/agent"
	"github.com/ota-agent/ota-agent/storage"
	"github.com/ota-agent/ota-agent/verifier"
)

// refuseWithin is what an agent may take to refuse to start, on a busy machine.
const refuseWithin = 20 * time.Second

// Each release brings an agent of its own: the older one with the odd releases, the newer one with the even ones. So each
// update is ordered by the one and put on trial, confirmed or rejected by the other, and the older one makes the database.
func TestNewerAgentInOneSlotAndOlderInTheOther(t *testing.T) {
	newer, err := newerBinary()
	must(t, err)
	l := newLab(t)
	d := &device{agents: map[string]string{"2": newer, "4": newer, "6": newer}}
	d.board = newBoard(t, l, l.publish(t, imageBytes))
	must(t, d.board.boot())
	must(t, d.follow(t.Context(), l.releases[0], nil))
	for n := 2; n <= 6; n++ {
		r := l.publish(t, imageBytes)
		if n == 4 { // the newer agent finds its own release sick, and the older one remembers that
			must(t, d.board.judge("exit 1"))
			must(t, d.follow(t.Context(), published{}, func(s agent.Status) bool {
				w := s.Components[0].Waiting
				return s.Agent != newerVersion && w != nil && w.Reason == agent.ReasonRejected
			}))
			must(t, d.board.configure())
			continue
		}
		must(t, d.follow(t.Context(), r, nil))
		must(t, d.board.checkRest(r, d.left.floors))
	}
	if d.left.soaks == "" || len(d.left.record.Rejected) != 1 || d.left.record.Rejected[0].ID != l.releases[3].sha256 {
		t.Errorf("it remembers %+v", d.left)
	}
	t.Logf("5 updates, one of them rejected: %d boots, %d changes of agents, %d events", d.board.boots, d.changes, len(d.left.events))
}

// A device is a board whose agent is the one of the release that is booted.
type device struct {
	board   *board
	agents  map[string]string // by version; the lab's where there is none
	left    memory            // by the agent that ran last
	changes int
}

// follow runs the device, from boot to boot, until it is at rest with want or something else is seen.
func (d *device) follow(ctx context.Context, want published, until func(agent.Status) bool) error {
	b := d.board
	ctx, cancel := context.WithTimeout(ctx, restWithin)
	defer cancel()
	for range startsMax {
		booted, err := os.ReadFile(b.flash("ab", "booted"))
		if err != nil {
			return err
		}
		r, err := b.holds(strings.TrimSpace(string(booted)))
		if err != nil {
			return err
		}
		if b.agent != d.agents[r.version] {
			b.agent = d.agents[r.version]
			d.changes++
		}
		look := &lookout{board: b, before: d.left, until: until}
		s := &story{board: b, want: want, witness: look.see}
		rest, err := s.runAgent(ctx)
		done := rest || errors.Is(err, errSeen)
		if err != nil && !done {
			return err
		}
		if d.left, err = b.takeOver(d.left, look.given); err != nil || done {
			return errors.Join(err, ctx.Err())
		}
		if !b.rebootAsked() {
			return fmt.Errorf("it ended by itself: %v\n%s", statusTexts(s.exits), s.tail())
		}
		if err := b.boot(); err != nil {
			return err
		}
	}
	return fmt.Errorf("the agent was started %d times and is not at rest", startsMax)
}

// A newer agent has written what the older one can't read, and says so in the schema. The older one refuses, in words and
// with its exit code, and changes no byte; the newer one then goes on.
func TestOlderAgentRefusesWhatNeedsANewerReader(t *testing.T) {
	closed, err := closedBinary()
	must(t, err)
	l := newLab(t)
	b := newBoard(t, l, l.publish(t, imageBytes))
	must(t, (&story{board: b, want: l.releases[0]}).run(t.Context(), true)) // by the older agent
	b.unplug()
	two := l.publish(t, imageBytes)
	b.agent = closed
	s := &story{board: b, want: two, traced: true, strikes: b.inPhase(change{phase: agent.Switched})}
	if err := s.run(t.Context(), true); !errors.Is(err, errStruck) {
		t.Fatalf("it was not in phase switched: %v\n%s", err, s.tail())
	}
	before := stateOf(t, b)
	for _, command := range []string{"run", "status", "history"} {
		wantRefusal(t, b, command)
	}
	after := stateOf(t, b)
	for _, name := range slices.Concat(slices.Collect(maps.Keys(before)), slices.Collect(maps.Keys(after))) {
		if before[name] != after[name] {
			t.Errorf("the older agent changed %s", name)
		}
	}
	_, err = storage.OpenReadOnly(b.state, storage.Options{})
	if p, ok := errors.AsType[*agent.Problem](err); !ok || p.Reason != agent.ReasonStore {
		t.Errorf("its store opens with %v", err)
	}
	s = &story{board: b, want: two}
	must(t, s.run(t.Context(), false))
	b.unplug()
	must(t, b.checkSlots())
	if r, err := b.holds("B"); err != nil || r.version != two.version || s.last.Recovered != nil {
		t.Errorf("slot B holds %s (%v), recovered: %q", r.version, err, s.last.Recovered)
	}
	if _, err := b.checkStore(verifier.Floors{}); err == nil {
		t.Error("the older agent could read it after all")
	}
}

// wantRefusal: the older agent says that it can't read the database, and why.
func wantRefusal(t *testing.T, b *board, command string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), refuseWithin) // one that does not refuse would run on
	defer cancel()
	cmd := exec.CommandContext(ctx, b.lab.agent, command, "--config", b.config())
	out, err := cmd.CombinedOutput()
	if code := cmd.ProcessState.ExitCode(); code != exitStore {
		t.Errorf("%s: exit code %d (%v), want %d\n%s", command, code, err, exitStore, out)
	}
	for _, part := range []string{"a newer agent wrote it", "schema 2, readable from schema 2 on", "nothing was changed", "run that newer agent"} {
		if !bytes.Contains(out, []byte(part)) {
			t.Errorf("%s does not say %q: %s", command, part, out)
		}
	}
	t.Logf("%s: exit %d: %s", command, exitStore, bytes.TrimSpace(out))
}

// stateOf is all that lies in the state directory: content, mode and time of change.
func stateOf(t *testing.T, b *board) map[string]string {
	t.Helper()
	all := map[string]string{}
	must(t, filepath.WalkDir(b.state, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil || d.IsDir() {
			all[path] = fmt.Sprint(info.Mode(), info.ModTime())
			return err
		}
		content, err := os.ReadFile(path)
		all[path] = fmt.Sprint(info.Mode(), info.ModTime()) + string(content)
		return err
	}))
	return all
}
