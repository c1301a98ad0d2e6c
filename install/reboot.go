package install

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ota-agent/ota-agent/agent"
)

// rebootWait bounds the reboot command, which asks for the reboot and returns.
const rebootWait = time.Minute

// CheckReboot says whether a reboot command can be run, for start-up: a *agent.Problem with reason HookMissing.
func CheckReboot(command []string) error {
	_, err := rebootPath(command)
	return err
}

func rebootPath(command []string) (string, error) {
	if len(command) == 0 {
		return "", problem(agent.ReasonHookMissing, nil, "no reboot command: set reboot.command in the config")
	}
	path, err := lookPath(command[0])
	if err != nil {
		return "", problem(agent.ReasonHookMissing, err, "reboot command: %v", err)
	}
	return path, nil
}

// Reboot writes everything that is cached to disk, then runs command without a shell. It returns when the machine
// has been asked, before it is down. The end of ctx ends the wait but not the command, which runs in a session of its
// own: the shutdown that it began may well stop the agent first. Errors are *agent.Problem.
func Reboot(ctx context.Context, command []string) error {
	path, err := rebootPath(command)
	if err != nil {
		return err
	}
	what := "reboot command " + quoted(strings.Join(command, " "))
	unix.Sync()
	var out capture
	cmd := exec.Command(path, command[1:]...)
	cmd.Env = baseEnviron(nil)
	cmd.Dir = "/"
	cmd.Stdout, cmd.Stderr = &out, &out
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	cmd.WaitDelay = outputWait
	if err := cmd.Start(); err != nil {
		return startProblem(what, path, err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	timer := time.NewTimer(rebootWait)
	defer timer.Stop()
	select {
	case err := <-ended:
		if err != nil && !errors.Is(err, exec.ErrWaitDelay) {
			return problem(agent.ReasonHookFailed, err, "%s: %v: %s", what, err, out.text())
		}
		return nil
	case <-ctx.Done():
		return problem(agent.ReasonHookFailed, ctx.Err(), "%s: stopped before it ended: %v", what, ctx.Err())
	case <-timer.C:
		return problem(agent.ReasonHookTimeout, nil, "%s: has not ended after %v", what, rebootWait)
	}
}

// lookPath finds a command as a hook would: by hookPath, not by the agent's PATH.
func lookPath(name string) (string, error) {
	if filepath.IsAbs(name) {
		return name, checkExecutable(name)
	}
	if strings.Contains(name, "/") {
		return "", fmt.Errorf("%s: expected an absolute path, or a name without a slash", quoted(name))
	}
	for _, dir := range filepath.SplitList(hookPath) {
		path := filepath.Join(dir, name)
		if unix.Access(path, unix.X_OK) == nil {
			return path, nil
		}
	}
	return "", fmt.Errorf("%s is not in %s; install it, or give its absolute path", quoted(name), hookPath)
}
