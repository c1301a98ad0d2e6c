package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"
)

// A process is a program that runs on the board, with everything that it started.
type process struct {
	cmd  *exec.Cmd
	done chan struct{} // closed when it has ended and its output is read
	err  error         // how it ended; read after done
}

const (
	// drainTime is how long a process that has ended may leave its output open through a child.
	drainTime = 500 * time.Millisecond
	// killTime bounds the rounds of killSession: each ends what the last one saw being started. A busy machine may take a
	// while to let a process die.
	killTime = 20 * time.Second
)

// start runs cmd in a session of its own and hands each line that it prints to line. It closes cmd.ExtraFiles.
func start(cmd *exec.Cmd, line func(string)) (*process, error) {
	out := &lines{each: line}
	cmd.Stdout, cmd.Stderr = out, out
	cmd.WaitDelay = drainTime
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	err := cmd.Start()
	for _, f := range cmd.ExtraFiles {
		err = errors.Join(err, f.Close()) // the process has its own
	}
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", cmd.Path, err)
	}
	p := &process{cmd: cmd, done: make(chan struct{})}
	go func() {
		p.err = cmd.Wait()
		out.flush()
		close(p.done)
	}()
	return p, nil
}

func (p *process) pid() int { return p.cmd.Process.Pid }

// cut ends the process and all that it started without a chance to do anything more: what a power cut does.
func (p *process) cut() error {
	// The group first and at once, then whatever moved to a group of its own.
	_ = syscall.Kill(-p.pid(), syscall.SIGKILL)
	if err := killSession(p.pid()); err != nil {
		return err
	}
	<-p.done
	return nil
}

// stop asks the process to end and cuts it when it has not done so within grace. It reports whether it went by
// itself.
func (p *process) stop(grace time.Duration) (willing bool, err error) {
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.done:
		willing = true
	case <-time.After(grace):
	}
	return willing, p.cut()
}

// killSession ends every process of a session, until none is left.
func killSession(session int) error {
	for deadline := time.Now().Add(killTime); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		pids := sessionMembers(session)
		if len(pids) == 0 {
			return nil
		}
		for _, pid := range pids {
			if err := syscall.Kill(pid, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
				return fmt.Errorf("kill process %d: %w", pid, err)
			}
		}
	}
	return fmt.Errorf("session %d still has processes after %s of SIGKILL", session, killTime)
}

// lines cuts what is written to it into lines. A line longer than lineBytesMax is cut there.
type lines struct {
	each func(string)

	mu   sync.Mutex
	rest []byte
}

const lineBytesMax = 4096

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.rest = append(l.rest, p...)
	for {
		i, skip := bytes.IndexByte(l.rest, '\n'), 1
		if i < 0 && len(l.rest) < lineBytesMax {
			return len(p), nil
		}
		if i < 0 {
			i, skip = lineBytesMax, 0
		}
		l.each(string(l.rest[:i]))
		l.rest = l.rest[i+skip:]
	}
}

func (l *lines) flush() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.rest) > 0 {
		l.each(string(l.rest))
		l.rest = nil
	}
}

// A tail is a log file and its last lines.
type tail struct {
	file io.WriteCloser

	mu   sync.Mutex
	last []string
}

const tailLines = 25

func openTail(path string) (*tail, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return nil, err
	}
	return &tail{file: f}, nil
}

func (t *tail) add(line string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	_, _ = fmt.Fprintln(t.file, line)
	t.last = append(t.last, line)
	t.last = t.last[max(0, len(t.last)-tailLines):]
}

func (t *tail) lines() []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return append([]string(nil), t.last...)
}
