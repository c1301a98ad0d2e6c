package install

import (
	"fmt"
	"os"
	"os/exec"
	"syscall"
)

// An Aide is this program once more, in a process that may hang in the kernel for ever and then is left
// behind: package fetch has it look at directories. It is no hook, and has no part in the hook protocol; it
// stands here since this package alone starts processes.
type Aide struct {
	in, out *os.File // our ends of its standard input and output
	cmd     *exec.Cmd
	ended   chan struct{}
}

// StartAide starts the program that runs, as it was when it was started, with one argument and an empty environment.
func StartAide(name, arg string) (*Aide, error) {
	theirIn, in, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("start an aide: %w", err)
	}
	defer theirIn.Close()
	out, theirOut, err := os.Pipe()
	if err != nil {
		in.Close()
		return nil, fmt.Errorf("start an aide: %w", err)
	}
	defer theirOut.Close()
	a := &Aide{in: in, out: out, ended: make(chan struct{}), cmd: &exec.Cmd{
		// The program's own file may have been replaced or removed since.
		Path: "/proc/self/exe", Args: []string{name, arg},
		Env: []string{"GOMAXPROCS=1"}, // it does one thing at a time
		Dir: "/", Stdin: theirIn, Stdout: theirOut,
		// A group of its own: it gets no signal from a terminal.
		SysProcAttr: &syscall.SysProcAttr{Setpgid: true},
	}}
	if err := a.cmd.Start(); err != nil {
		in.Close()
		out.Close()
		return nil, fmt.Errorf("start an aide: %w", err)
	}
	go func() {
		defer close(a.ended)
		_ = a.cmd.Wait() // how it ended says nothing
	}()
	return a, nil
}

// Read reads its output; Close ends it.
func (a *Aide) Read(p []byte) (int, error) { return a.out.Read(p) }

// Write writes to its input; Close ends it.
func (a *Aide) Write(p []byte) (int, error) { return a.in.Write(p) }

// Close kills it, and does not wait.
func (a *Aide) Close() error {
	_ = a.cmd.Process.Kill() // it may have ended
	a.in.Close()             // more than once is no failure
	a.out.Close()
	return nil
}

// Ended is closed when it is gone.
func (a *Aide) Ended() <-chan struct{} { return a.ended }
