//go:build linux && amd64

package crash

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"sync"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A fault is what the tracer does at one system call.
type fault struct {
	at   int // the call that it strikes, from 1
	how  how
	with unix.Errno // of fails
}

type how string

const (
	diesBefore how = "dies before"
	diesAfter  how = "dies after"
	fails      how = "fails"
)

func (f fault) String() string {
	if f.how == fails {
		return fmt.Sprintf("call %d fails with %v", f.at, unix.ErrnoName(f.with))
	}
	return fmt.Sprintf("%s call %d", f.how, f.at)
}

// A tracer runs a program and sees each system call of it that changes a disk. All of ptrace happens in one locked
// thread, which is the program's parent. No process may be started in any other way meanwhile: the thread could be its
// parent as well, and take its end away from whoever waits for it.
type tracer struct {
	dirs  []string // only changes below these count
	hooks bool     // follow the processes that the program starts, too
	blind bool     // see nothing: only the program's end is waited for
	root  string   // the program's root directory; empty: the test's own
	// faults strike at different calls; after one that kills none does.
	faults []fault
	// strikes, unless nil, is asked before each call, too, and its first yes kills.
	strikes func(call) bool
	// moment, unless nil, runs before each call, while the thread that makes it stands still.
	moment func()

	pid  int
	done chan struct{} // closed when all that is followed has ended
	// status and err may be read after done.
	status unix.WaitStatus
	err    error

	mu     sync.Mutex
	calls  []call
	struck int // how many of the faults

	// Of the tracing thread.
	threads map[int]*thread
	dying   bool
}

// A thread is one that is followed.
type thread struct {
	inCall int   // index of the call that it is in, plus 1; 0: none that counts
	data   bool  // that call returns how many bytes it wrote
	fault  fault // that strikes this call
}

// start runs argv, with output to out, in a session of its own.
func (t *tracer) start(argv, env []string, out *os.File) error {
	t.threads, t.done = map[int]*thread{}, make(chan struct{})
	started := make(chan error)
	go func() {
		runtime.LockOSThread() // and never let go: the thread ends with the goroutine
		attr := &syscall.ProcAttr{
			Env: env, Files: []uintptr{0, out.Fd(), out.Fd()},
			// The program does not outlive the test, however that ends.
			Sys: &syscall.SysProcAttr{Ptrace: true, Setsid: true, Pdeathsig: syscall.SIGKILL, Chroot: t.root},
		}
		if t.root != "" {
			attr.Dir = "/"
		}
		pid, err := syscall.ForkExec(argv[0], argv, attr)
		t.pid = pid
		if err == nil {
			err = t.begin()
		}
		started <- err
		if err == nil {
			t.err = t.follow()
		}
		close(t.done)
	}()
	return <-started
}

// begin takes over the program at its exec.
func (t *tracer) begin() error {
	var ws unix.WaitStatus
	if _, err := unix.Wait4(t.pid, &ws, unix.WALL, nil); err != nil || !ws.Stopped() {
		return fmt.Errorf("wait for the program's start: status %#x: %w", uint32(ws), err)
	}
	options := unix.PTRACE_O_EXITKILL | unix.PTRACE_O_TRACESYSGOOD | unix.PTRACE_O_TRACECLONE | unix.PTRACE_O_TRACEEXEC
	if t.hooks {
		options |= unix.PTRACE_O_TRACEFORK | unix.PTRACE_O_TRACEVFORK
	}
	if err := unix.PtraceSetOptions(t.pid, options); err != nil {
		return fmt.Errorf("set the tracer's options: %w", err)
	}
	if t.blind {
		return unix.PtraceDetach(t.pid)
	}
	t.threads[t.pid] = &thread{}
	return unix.PtraceSyscall(t.pid, 0)
}

// follow handles stops until nothing is left that could stop.
func (t *tracer) follow() error {
	for {
		var ws unix.WaitStatus
		tid, err := unix.Wait4(-1, &ws, unix.WALL|unix.WNOTHREAD, nil)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case errors.Is(err, unix.ECHILD):
			return nil
		case err != nil:
			return fmt.Errorf("wait for a stop: %w", err)
		}
		if !ws.Stopped() {
			delete(t.threads, tid)
			if tid == t.pid {
				t.status = ws
			}
			continue
		}
		signal, err := t.stopped(tid, ws)
		if err == nil {
			err = unix.PtraceSyscall(tid, signal)
		}
		if err != nil && !errors.Is(err, unix.ESRCH) { // it was killed meanwhile
			return err
		}
	}
}

// stopped handles one stop, and returns the signal to go on with.
func (t *tracer) stopped(tid int, ws unix.WaitStatus) (signal int, err error) {
	th, known := t.threads[tid]
	if !known {
		t.threads[tid] = &thread{}
		if t.dying {
			t.kill()
		}
		return 0, nil // the stop that every new thread begins with
	}
	switch s := ws.StopSignal(); {
	case s == unix.SIGTRAP|0x80:
		return 0, t.syscallStop(tid, th)
	case s == unix.SIGTRAP && ws.TrapCause() > 0:
		if ws.TrapCause() == unix.PTRACE_EVENT_EXEC {
			*th = thread{}
		}
		return 0, nil
	case s == unix.SIGTRAP:
		return 0, nil
	default:
		return int(s), nil
	}
}

// A syscallInfo is what the kernel tells of a stop (struct ptrace_syscall_info).
type syscallInfo struct {
	op    uint8
	_     [3]uint8
	_     uint32
	_, _  uint64
	first uint64 // at an entry the number, at an exit the result
	args  [6]uint64
	_     [2]uint64
}

func (t *tracer) syscallStop(tid int, th *thread) error {
	var info syscallInfo
	_, _, errno := unix.Syscall6(unix.SYS_PTRACE, unix.PTRACE_GET_SYSCALL_INFO, uintptr(tid),
		unsafe.Sizeof(info), uintptr(unsafe.Pointer(&info)), 0, 0)
	if errno != 0 {
		return errno
	}
	switch info.op {
	case unix.PTRACE_SYSCALL_INFO_ENTRY:
		return t.entry(tid, th, info)
	case unix.PTRACE_SYSCALL_INFO_EXIT:
		return t.exit(tid, th, int64(info.first))
	}
	return nil
}

func (t *tracer) entry(tid int, th *thread, info syscallInfo) error {
	*th = thread{}
	c, k, counts := decode(tid, info.first, info.args, t.dirs)
	if !counts || t.dying {
		return nil
	}
	_, err := os.Stat(fmt.Sprintf("/proc/%d/task/%d", t.pid, tid))
	c.agent = err == nil
	if t.moment != nil {
		t.moment()
	}
	t.mu.Lock()
	t.calls = append(t.calls, c)
	*th = thread{inCall: len(t.calls), data: k.data, fault: t.due(len(t.calls))}
	t.mu.Unlock()
	switch th.fault.how {
	case diesBefore:
		t.kill()
		return skip(tid)
	case fails:
		return skip(tid)
	}
	return nil
}

// due is the fault that strikes call n. It needs t.mu.
func (t *tracer) due(n int) fault {
	for _, f := range t.faults {
		if f.at == n {
			t.struck++
			return f
		}
	}
	if t.strikes != nil && t.strikes(t.calls[n-1]) {
		t.struck++
		return fault{at: n, how: diesBefore}
	}
	return fault{}
}

func (t *tracer) exit(tid int, th *thread, result int64) error {
	if th.inCall == 0 {
		return nil
	}
	n, f := th.inCall, th.fault
	if f.how == fails {
		result = -int64(f.with)
		if err := answer(tid, result); err != nil {
			return err
		}
	}
	t.mu.Lock()
	switch {
	case result < 0:
		t.calls[n-1].errno = unix.Errno(-result)
	case th.data:
		t.calls[n-1].bytes = result
	}
	t.mu.Unlock()
	*th = thread{}
	if f.how == diesAfter {
		t.kill()
	}
	return nil
}

// kill ends all that is followed; who stands still in front of a system call does not make it any more.
func (t *tracer) kill() {
	t.dying = true
	for tid := range t.threads {
		_ = unix.Kill(tid, unix.SIGKILL) // any thread stands for its process
	}
}

// seen returns the calls so far, and how many of the faults have struck.
func (t *tracer) seen() ([]call, int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return append([]call(nil), t.calls...), t.struck
}

// skip makes a thread that stands in front of a system call not make it.
func skip(tid int) error {
	var regs unix.PtraceRegs
	if err := unix.PtraceGetRegs(tid, &regs); err != nil {
		return err
	}
	regs.Orig_rax = ^uint64(0)
	return unix.PtraceSetRegs(tid, &regs)
}

// answer sets what the system call returns that a thread stands behind.
func answer(tid int, result int64) error {
	var regs unix.PtraceRegs
	if err := unix.PtraceGetRegs(tid, &regs); err != nil {
		return err
	}
	regs.Rax = uint64(result)
	return unix.PtraceSetRegs(tid, &regs)
}
