package install

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// outputWait bounds the wait for a hook's output after its end: a service that it started may have inherited it.
const outputWait = time.Second

// errTimeout says that a hook was stopped because its time was over.
var errTimeout = errors.New("time is over")

// A command is what to run.
type command struct {
	path  string
	args  []string // without the path
	env   []string
	stdin *os.File // nil: /dev/null
	// timeout is when the group gets SIGTERM; grace is how much later it gets SIGKILL.
	timeout, grace time.Duration
}

// A process is a running hook and its process group.
type process struct {
	command command
	cmd     *exec.Cmd
	begun   time.Time
	stdout  capture
	stderr  capture
	// progress takes the standard output, and what it does not keep goes to stdout.
	progress progressReader
	// exited is closed when the leader has ended, before it is reaped: until then its ID is nobody else's.
	exited chan struct{}
	// abort, once closed, kills the group at once.
	abort chan struct{}
}

// An outcome is how a process ended.
type outcome struct {
	state *os.ProcessState // nil where it could not be ended
	// stopped is why it was told to end: errTimeout, the context's error, or nil.
	stopped error
	left    []procEntry // what SIGKILL did not end
	elapsed time.Duration
}

// start starts c as the leader of a process group of its own.
func start(c command) (*process, error) {
	p := &process{command: c, begun: time.Now(), exited: make(chan struct{}), abort: make(chan struct{})}
	p.progress.next = &p.stdout
	p.progress.percent.Store(-1)
	p.cmd = &exec.Cmd{
		Path:        c.path,
		Args:        append([]string{c.path}, c.args...),
		Env:         c.env,
		Dir:         "/",
		Stdout:      &p.progress,
		Stderr:      &p.stderr,
		SysProcAttr: &syscall.SysProcAttr{Setpgid: true},
		WaitDelay:   outputWait,
	}
	if c.stdin != nil {
		p.cmd.Stdin = c.stdin // a nil *os.File in the interface would not be nil
	}
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		defer close(p.exited)
		for {
			err := unix.Waitid(unix.P_PID, p.cmd.Process.Pid, nil, unix.WEXITED|unix.WNOWAIT, nil)
			if !errors.Is(err, unix.EINTR) {
				return
			}
		}
	}()
	return p, nil
}

// wait waits for the process, stops it when its time is over or ctx ends, and ends its whole group.
func (p *process) wait(ctx context.Context) outcome {
	var o outcome
	begun := time.Now()
	o.stopped = p.waitLeader(ctx)
	// The leader's ID still is its own, whether it is a zombie or hangs: this can hit no other group.
	p.signal(syscall.SIGKILL)
	select {
	case <-p.exited:
		// The output is captured as far as it came; an exit status is in the state.
		_ = p.cmd.Wait()
		p.progress.end()
		o.state = p.cmd.ProcessState
		o.left = awaitGroup(p.cmd.Process.Pid)
	case <-time.After(endWait):
		go p.cmd.Wait() // reaps it, should it ever end
		o.left, _ = groupMembers(p.cmd.Process.Pid)
	}
	o.elapsed = time.Since(begun)
	return o
}

// waitLeader returns when the leader has ended or must be killed; the error says why it was told to end.
func (p *process) waitLeader(ctx context.Context) error {
	var stopped error
	timer := time.NewTimer(p.command.timeout)
	defer timer.Stop()
	select {
	case <-p.exited:
		return nil
	case <-p.abort:
		return nil
	case <-ctx.Done():
		stopped = ctx.Err()
	case <-timer.C:
		stopped = errTimeout
	}
	p.signal(syscall.SIGTERM)
	timer.Reset(p.command.grace)
	select {
	case <-p.exited:
	case <-p.abort:
	case <-timer.C:
	}
	return stopped
}

// signal signals the whole group. It must not be called once the leader is reaped.
func (p *process) signal(s syscall.Signal) {
	_ = syscall.Kill(-p.cmd.Process.Pid, s) // ESRCH: all gone
}

// awaitGroup waits until a killed group has no running process left, and returns those that do not end.
func awaitGroup(group int) []procEntry {
	deadline := time.Now().Add(endWait)
	for {
		if err := syscall.Kill(-group, 0); errors.Is(err, syscall.ESRCH) {
			return nil
		}
		// Zombies count for kill, and may stay where PID 1 reaps nothing.
		members, err := groupMembers(group)
		if err == nil && len(members) == 0 || time.Now().After(deadline) {
			return members
		}
		time.Sleep(endPoll)
	}
}

// ending says how a process ended, in words.
func (o outcome) ending() string {
	switch {
	case o.state == nil:
		return "does not end even by SIGKILL: " + describe(o.left)
	case errors.Is(o.stopped, errTimeout):
		return fmt.Sprintf("was stopped after %v: its time is over", o.elapsed.Round(time.Millisecond))
	case o.stopped != nil:
		return "was stopped: " + o.stopped.Error()
	}
	if status, ok := o.state.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		return fmt.Sprintf("was ended by signal %d (%v)", int(status.Signal()), status.Signal())
	}
	return fmt.Sprintf("exited with %d", o.state.ExitCode())
}
