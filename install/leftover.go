package install

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ota-agent/ota-agent/agent"
)

const (
	// endWait bounds the wait for killed processes: only one that hangs in the kernel takes that long.
	endWait = 10 * time.Second
	// endPoll is the pause between two looks at them.
	endPoll = 10 * time.Millisecond
	// markName is the variable that marks a hook's processes.
	markName = "OTA_RUN"
)

// A mark identifies the processes of a component's hooks. It is inherited by all children, also past the agent's
// death.
type mark struct {
	session   int // the session that the hook was started in
	component string
	runDir    string
}

func (r *Runner) mark(component string) mark {
	session, err := unix.Getsid(0)
	if err != nil {
		session = 0 // can't happen for the calling process; 0 is nobody's session
	}
	return mark{session, component, r.runDir}
}

func (m mark) variable() string {
	return markName + "=" + strconv.Itoa(m.session) + ":" + m.component + ":" + m.runDir
}

// marks reports whether a process with this environment, in this session, belongs to a hook of m's component,
// started by this agent or by one before it. A process that left the hook's session does not.
func (m mark) marks(environ []byte, session int) bool {
	for entry := range bytes.SplitSeq(environ, []byte{0}) {
		value, ok := bytes.CutPrefix(entry, []byte(markName+"="))
		if !ok {
			continue
		}
		startedIn, rest, ok := strings.Cut(string(value), ":")
		return ok && rest == m.component+":"+m.runDir && startedIn == strconv.Itoa(session)
	}
	return false
}

// endLeftovers kills what is left of the component's earlier hooks and waits until it is gone: an installer that
// outlived its agent must not write while the next one does.
func (r *Runner) endLeftovers(ctx context.Context, component string) error {
	m := r.mark(component)
	deadline := time.Now().Add(endWait)
	for {
		left, err := killMarked(m)
		if err != nil {
			return problem(agent.ReasonHookFailed, err, "can't look for an earlier hook's processes: %v", err)
		}
		if len(left) == 0 {
			return nil
		}
		if time.Now().After(deadline) {
			return problem(agent.ReasonHookBusy, nil,
				"component %s: an earlier hook's processes do not end: %s; a process in state D hangs in a driver",
				component, describe(left))
		}
		if err := pause(ctx, endPoll); err != nil {
			return problem(agent.ReasonHookFailed, err, "stopped while an earlier hook ended: %v", err)
		}
	}
}

// killMarked sends SIGKILL to each process that carries m and returns those it found.
func killMarked(m mark) ([]procEntry, error) {
	ids, err := processIDs()
	if err != nil {
		return nil, err
	}
	var found []procEntry
	for _, pid := range ids {
		if pid == os.Getpid() || !bytes.Contains(readEnviron(pid), []byte(markName+"=")) {
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
