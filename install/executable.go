package install

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/ota-agent/ota-agent/agent"
)

// interpreterBytesMax bounds a script's first line; the kernel itself reads no more than 255 bytes.
const interpreterBytesMax = 255

// Check says whether a hook can be run, for start-up: a *agent.Problem with reason HookMissing names the file and
// what to do. path must be absolute, a regular file, executable for this user, and where it is a script, its
// interpreter must be there.
func Check(path string) error {
	if err := checkExecutable(path); err != nil {
		return problem(agent.ReasonHookMissing, err, "hook %v", err)
	}
	return nil
}

func checkExecutable(path string) error {
	if !filepath.IsAbs(path) {
		return fmt.Errorf("%q: expected an absolute path", path)
	}
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("%s does not exist; install it there, or name the place where it is in the config: %w", path, err)
	case err != nil:
		return fmt.Errorf("%s can't be looked at: %w", path, err)
	case !info.Mode().IsRegular():
		return fmt.Errorf("%s is not a regular file (%v); the config must name the executable itself", path, info.Mode().Type())
	case info.Mode().Perm()&0o111 == 0:
		return fmt.Errorf("%s is not executable (mode %v); run: chmod +x %s", path, info.Mode().Perm(), path)
	}
	if err := unix.Access(path, unix.X_OK); err != nil {
		return fmt.Errorf("%s may not be executed (mode %v) by user %d: check its owner, and that its file system is not mounted noexec: %w",
			path, info.Mode().Perm(), os.Geteuid(), err)
	}
	return checkInterpreter(path)
}

// Find is the path of a program that a command names, as a hook would find it; empty where there is none.
func Find(name string) string {
	path, err := lookPath(name)
	if err != nil && !filepath.IsAbs(name) {
		return ""
	}
	return path
}

// Interpreter is what runs a script, by its first line; empty for what is no script, or can't be read.
func Interpreter(path string) string {
	rest, script, err := firstLine(path)
	if words := strings.Fields(string(rest)); err == nil && script && len(words) > 0 && filepath.IsAbs(words[0]) {
		return words[0]
	}
	return ""
}

// firstLine reads what follows "#!" in the first line of a script.
func firstLine(path string) (rest []byte, script bool, err error) {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0) // a pipe in the place of a hook is not waited for
	if err != nil {
		return nil, false, err
	}
	defer f.Close()
	line, err := bufio.NewReaderSize(io.LimitReader(f, interpreterBytesMax), interpreterBytesMax).ReadBytes('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, false, fmt.Errorf("%s can't be read: %w", path, err)
	}
	rest, script = bytes.CutPrefix(line, []byte("#!"))
	return rest, script, nil
}

// checkInterpreter looks at a script's first line. What is no script is left to the kernel.
func checkInterpreter(path string) error {
	rest, script, err := firstLine(path)
	if errors.Is(err, fs.ErrPermission) {
		return nil // executable, though not readable
	}
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	if !script {
		return nil
	}
	if bytes.HasSuffix(rest, []byte("\r\n")) {
		return fmt.Errorf("%s has DOS line ends, so that its interpreter is not found; convert it: sed -i 's/\\r$//' %s", path, path)
	}
	words := strings.Fields(string(rest))
	if len(words) == 0 {
		return fmt.Errorf("%s: its first line names no interpreter; expected \"#!/bin/sh\"", path)
	}
	if err := unix.Access(words[0], unix.X_OK); err != nil {
		return fmt.Errorf("%s: its interpreter %s can't be executed; install it, or correct the first line: %w", path, quoted(words[0]), err)
	}
	return nil
}

// startProblem says why a program did not start.
func startProblem(what, path string, err error) error {
	if errors.Is(err, syscall.ETXTBSY) {
		return problem(agent.ReasonHookBusy, err, "%s: %s is being written by another process", what, path)
	}
	if broken := checkExecutable(path); broken != nil {
		return problem(agent.ReasonHookMissing, broken, "%s: %v", what, broken)
	}
	if errors.Is(err, syscall.ENOEXEC) {
		return problem(agent.ReasonHookMissing, err,
			"%s: %s is no program for this machine; a script needs a first line like \"#!/bin/sh\"", what, path)
	}
	return problem(agent.ReasonHookFailed, err, "%s: can't be started: %v", what, err)
}
