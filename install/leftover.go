package install

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/ota-agent/ota-agent/agent"
)

const (
	// endWait bounds the wait for killed processes: only one that hangs in the kernel takes that long.
	endWait = 10 * time.Second
	// endPoll is the pause between two looks at them.
	endPoll = 10 * time.Millisecond
	// looksBefore is how many looks in a row must find nothing of an earlier agent's hooks: between the
	// listing of the processes and the look at one of them it may have started another and ended.
	looksBefore = 2
)

// endLeftovers kills what is left of the component's earlier hooks and waits until it is gone: an installer
// that outlived its agent must not write while the next one does. Once nothing is left of an earlier agent's
// hooks, only the agent's own session is looked at: nothing that begins later can be theirs.
func (r *Runner) endLeftovers(ctx context.Context, m mark) error {
	deadline := time.Now().Add(endWait)
	// dying are those that were killed. The kernel takes a process's environment, and with it the mark, before
	// it closes the process's files: one without a mark may still hold a slot's device open.
	var dying []procEntry
	for empty := 0; ; {
		before := !r.isCleared(m.component)
		left, err := killMarked(m, before)
		if err != nil {
			return problem(agent.ReasonHookFailed, err, "can't look for an earlier hook's processes: %v", err)
		}
		dying = slices.DeleteFunc(dying, func(p procEntry) bool { return p.gone() || slices.ContainsFunc(left, p.same) })
		left = append(left, dying...)
		dying = left
		if len(left) == 0 {
			if empty++; !before || empty == looksBefore {
				r.clear(m.component)
				return nil
			}
			continue
		}
		empty = 0
		if time.Now().After(deadline) {
			return problem(agent.ReasonHookBusy, nil,
				"component %s: an earlier hook's processes do not end: %s; a process in state D hangs in a driver",
				m.component, describe(left))
		}
		if err := pause(ctx, endPoll); err != nil {
			return problem(agent.ReasonHookFailed, err, "stopped while an earlier hook ended: %v", err)
		}
	}
}

func (r *Runner) isCleared(component string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.cleared[component]
}

func (r *Runner) clear(component string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.cleared[component] = true
}

// killMarked sends SIGKILL to each process that carries m and returns those it found. before: also those in
// other sessions, which an earlier agent started.
func killMarked(m mark, before bool) ([]procEntry, error) {
	ids, err := processIDs()
	if err != nil {
		return nil, err
	}
	var found []procEntry
	for _, pid := range ids {
		// The environment may be large, and is its owner's to choose: it is read only where it can matter.
		if p, ok := readStat(pid); pid == os.Getpid() || !ok || p.ended() || !before && p.session != m.session {
			continue
		}
		if !bytes.Contains(readEnviron(pid), []byte(markName+"=")) {
			continue
		}
		if p, ok := killIfMarked(pid, m); ok {
			found = append(found, p)
		}
	}
	return found, nil
}

func killIfMarked(pid int, m mark) (procEntry, bool) {
	// The handle first (a pidfd, where the kernel has them), then the look: if the process ends in between and
	// its ID is given away, the handle still means the one that ended.
	handle, err := os.FindProcess(pid)
	if err != nil {
		return procEntry{}, false
	}
	defer handle.Release()
	environ := readEnviron(pid)
	p, ok := readStat(pid)
	if !ok || p.ended() || !m.marks(environ, p.session) {
		return procEntry{}, false
	}
	if err := handle.Signal(syscall.SIGKILL); err != nil {
		return procEntry{}, false // it ended by itself
	}
	return p, true
}

// groupMembers lists the processes of a group that still run.
func groupMembers(group int) ([]procEntry, error) {
	ids, err := processIDs()
	if err != nil {
		return nil, err
	}
	var members []procEntry
	for _, pid := range ids {
		if p, ok := readStat(pid); ok && p.group == group && !p.ended() {
			members = append(members, p)
		}
	}
	return members, nil
}

func describe(ps []procEntry) string {
	const shown = 4
	var words []string
	for i, p := range ps {
		if i == shown {
			words = append(words, fmt.Sprintf("and %d more", len(ps)-shown))
			break
		}
		words = append(words, p.String())
	}
	return strings.Join(words, ", ")
}

// pause waits for d, or until ctx ends.
func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
