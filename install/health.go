package install

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/ota-agent/ota-agent/agent"
	"github.com/ota-agent/ota-agent/install/health"
)

// checksMax bounds a directory of checks.
const checksMax = 64

// health judges the running release: the hook's own verb, each executable of the directory of checks in name order,
// and the HTTP check; the first that fails speaks for all.
func (r *Runner) health(ctx context.Context, j agent.Job) error {
	if _, err := r.hook(ctx, agent.VerbHealth, j); err != nil {
		return err
	}
	c := r.component(j.Component)
	if c.ChecksDir != "" {
		if err := r.runChecks(ctx, c.ChecksDir, j); err != nil {
			return err
		}
	}
	if c.HealthHTTP == "" {
		return nil
	}
	err := health.HTTP{URL: c.HealthHTTP, Timeout: c.Timeouts.Health}.Check(ctx)
	if err == nil {
		return nil
	}
	reason := agent.ReasonUnhealthy
	if errors.Is(err, health.ErrNotYet) {
		reason = agent.ReasonHookBusy
	}
	return problem(reason, err, "component %s: %v", j.Component, err)
}

// verdict sorts the ways a check can fail. Only one that came to an end by itself and said no is a verdict, Unhealthy.
// HookBusy (exit code 75, a service that does not answer yet, a check that was killed or could not be run now) and
// HookTimeout are not: the agent asks again until the trial's deadline.
func verdict(err error) error {
	var p *agent.Problem
	if !errors.As(err, &p) {
		return err
	}
	switch p.Reason {
	case agent.ReasonHookRefused:
		p.Reason = agent.ReasonUnhealthy
	case agent.ReasonHookFailed:
		p.Reason = agent.ReasonUnhealthy
		// A cause means that it did not run, or was stopped. A signal may be the service manager's, on the
		// agent's own way down.
		if p.Err != nil {
			p.Reason = agent.ReasonHookBusy
		}
	}
	return p
}

// runChecks runs the directory's checks. Each is run like a hook, without arguments.
func (r *Runner) runChecks(ctx context.Context, dir string, j agent.Job) error {
	paths, err := listChecks(dir)
	if err != nil {
		return problem(agent.ReasonHookMissing, err, "component %s: %v", j.Component, err)
	}
	for _, path := range paths {
		if err := r.runCheck(ctx, path, j); err != nil {
			return err
		}
	}
	return nil
}

func (r *Runner) runCheck(ctx context.Context, path string, j agent.Job) error {
	what := fmt.Sprintf("component %s: check %s", j.Component, path)
	if err := r.checkTrusted(what, path); err != nil {
		return err
	}
	m, err := r.mark(j.Component)
	if err != nil {
		return err
	}
	if err := r.endLeftovers(ctx, m); err != nil {
		return err
	}
	timeouts := r.component(j.Component).Timeouts
	p, err := start(command{path: path, env: r.environ(j, m, ""), timeout: timeouts.Health, grace: timeouts.Grace})
	if err != nil {
		return startProblem(what, path, err)
	}
	defer r.follow(j.Component, agent.VerbHealth, p)()
	o := p.wait(ctx)
	r.logRun(what, p, o)
	return o.problem(what, p)
}

// CheckDir says whether the checks of a directory can be run, for start-up.
func CheckDir(dir string) error {
	if _, err := listChecks(dir); err != nil {
		return problem(agent.ReasonHookMissing, err, "%v", err)
	}
	return nil
}

// listChecks names the checks of a directory, sorted. Directories and names that begin with "." are left out. A
// file that can't be run is an error: a check that is skipped in silence would let a bad release pass.
func listChecks(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("directory of checks: %w", err)
	}
	var paths []string
	for _, e := range entries {
		if e.IsDir() || strings.HasPrefix(e.Name(), ".") {
			continue
		}
		path := filepath.Join(dir, e.Name())
		if err := checkExecutable(path); err != nil {
			return nil, fmt.Errorf("directory of checks: %w", err)
		}
		paths = append(paths, path)
	}
	if len(paths) > checksMax {
		return nil, fmt.Errorf("directory of checks: %s has %d checks, expected at most %d", dir, len(paths), checksMax)
	}
	return paths, nil
}
