package install

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"

	"github.com/ota-agent/ota-agent/agent"
)

// The verbs that have a method of their own.
const (
	verbStatus  agent.Verb = "status"
	verbInstall agent.Verb = "install"
)

// A result is what came of a run that ended by itself, with exit code 0.
type result struct {
	stdout *capture
}

// Status asks the hook for its slots.
func (r *Runner) Status(ctx context.Context, j agent.Job) (agent.Slots, error) {
	done, err := r.turn(ctx, j.Component)
	if err != nil {
		return agent.Slots{}, err
	}
	defer done()
	report, err := r.status(ctx, j)
	return report.slots, err
}

// status is Status for a caller that has the turn.
func (r *Runner) status(ctx context.Context, j agent.Job) (report, error) {
	j.Slot = "" // status is about all slots
	out, err := r.hook(ctx, verbStatus, j)
	if err != nil {
		return report{}, err
	}
	answer, err := out.answer()
	if err != nil {
		return report{}, problem(agent.ReasonHookFailed, err, "%s: %v", describeHook(verbStatus, j), err)
	}
	parsed, err := parseReport(answer)
	if err != nil {
		return report{}, problem(agent.ReasonHookFailed, err, "%s printed a malformed answer: %v", describeHook(verbStatus, j), err)
	}
	return parsed, nil
}

// Do runs a verb other than status and install.
func (r *Runner) Do(ctx context.Context, verb agent.Verb, j agent.Job) error {
	err := r.do(ctx, verb, j)
	if verb == agent.VerbHealth {
		return verdict(err)
	}
	return err
}

func (r *Runner) do(ctx context.Context, verb agent.Verb, j agent.Job) error {
	done, err := r.turn(ctx, j.Component)
	if err != nil {
		return err
	}
	defer done()
	switch verb {
	case agent.VerbVerify:
		return r.verify(ctx, j)
	case agent.VerbHealth:
		return r.health(ctx, j)
	case agent.VerbGate:
		return r.gate(ctx, j)
	case agent.VerbTry, agent.VerbConfirm, agent.VerbReject:
		_, err := r.hook(ctx, verb, j)
		return err
	}
	return problem(agent.ReasonHookFailed, nil, "verb %q: expected verify, try, confirm, reject, health or gate", verb)
}

// turn waits until no other run of the component is under way. The caller calls done when its own run is over.
func (r *Runner) turn(ctx context.Context, component string) (done func(), err error) {
	r.mu.Lock()
	turn := r.turns[component]
	if turn == nil {
		turn = make(chan struct{}, 1)
		r.turns[component] = turn
	}
	r.mu.Unlock()
	select {
	case turn <- struct{}{}:
		return func() { <-turn }, nil
	case <-ctx.Done():
		return nil, problem(agent.ReasonHookFailed, ctx.Err(),
			"component %s: stopped while an earlier hook ran: %v", component, ctx.Err())
	}
}

// hook runs a verb that needs no input.
func (r *Runner) hook(ctx context.Context, verb agent.Verb, j agent.Job, extra ...string) (result, error) {
	p, cleanup, err := r.startHook(ctx, verb, j, nil, extra...)
	if err != nil {
		return result{}, err
	}
	defer cleanup()
	o := p.wait(ctx)
	r.logRun(describeHook(verb, j), p, o)
	return result{&p.stdout}, o.problem(describeHook(verb, j), p)
}

// startHook starts a verb once nothing is left of the hook before it. The caller waits for the process, then calls
// cleanup.
func (r *Runner) startHook(ctx context.Context, verb agent.Verb, j agent.Job, stdin *os.File, extra ...string) (
	p *process, cleanup func(), err error,
) {
	if err := r.checkTrusted(describeHook(verb, j), j.Hook); err != nil {
		return nil, nil, err
	}
	m, err := r.mark(j.Component)
	if err != nil {
		return nil, nil, err
	}
	if err := r.endLeftovers(ctx, m); err != nil {
		return nil, nil, err
	}
	custom, err := r.writeCustom(j)
	if err != nil {
		return nil, nil, problem(agent.ReasonHookFailed, err,
			"%s: can't write the custom JSON for it: %v", describeHook(verb, j), err)
	}
	ended := func() {}
	cleanup = func() {
		ended()
		if custom != "" {
			os.Remove(custom) // on failure the next run's name is the same one
		}
	}
	timeouts := r.component(j.Component).Timeouts
	c := command{
		path: j.Hook, args: []string{string(verb)}, env: r.environ(j, m, custom, extra...),
		stdin: stdin, timeout: timeouts.of(verb), grace: timeouts.Grace,
	}
	if verb != verbStatus && verb != agent.VerbHealth || j.Slot != "" {
		c.args = append(c.args, j.Slot)
	}
	p, err = start(c)
	if err != nil {
		cleanup()
		return nil, nil, startProblem(describeHook(verb, j), j.Hook, err)
	}
	ended = r.follow(j.Component, verb, p)
	return p, cleanup, nil
}

// checkTrusted refuses a program, and a script's interpreter, that somebody else could change.
func (r *Runner) checkTrusted(what, path string) error {
	if r.trusted == nil {
		return nil
	}
	for _, program := range []string{path, Interpreter(path)} {
		if program == "" {
			continue
		}
		if err := r.trusted(program); err != nil {
			return problem(agent.ReasonHookMissing, err, "%s is not run: %v", what, err)
		}
	}
	return nil
}

// verify compares what the hook says a slot holds with what it must hold.
func (r *Runner) verify(ctx context.Context, j agent.Job) error {
	out, err := r.hook(ctx, agent.VerbVerify, j)
	if err != nil {
		return err
	}
	what := describeHook(agent.VerbVerify, j)
	answer, err := out.answer()
	if err != nil {
		return problem(agent.ReasonHookFailed, err, "%s: %v", what, err)
	}
	if err := checkHashes(answer, j.Release.Target); err != nil {
		reason := agent.ReasonHookFailed
		if errors.Is(err, errOtherHash) {
			reason = agent.ReasonHashMismatch // the slot must be written again
		}
		return problem(reason, err, "%s: %v", what, err)
	}
	return nil
}

// answer is everything the hook printed, if it is of a size to be an answer.
func (r result) answer() ([]byte, error) {
	if r.stdout.size > answerBytesMax {
		return nil, fmt.Errorf("printed %d bytes, expected at most %d", r.stdout.size, answerBytesMax)
	}
	return r.stdout.head, nil
}

// problem is nil for exit code 0; otherwise its text begins with the program's own last line, says what
// happened, and then what the program said before.
func (o outcome) problem(what string, p *process) error {
	code := -1
	if o.state != nil && o.stopped == nil {
		code = o.state.ExitCode() // -1 after a signal
	}
	reason, cause := agent.ReasonHookFailed, o.stopped
	switch {
	case code == 0:
		return nil
	case code == exitBusy:
		reason = agent.ReasonHookBusy
	case code == exitRefused:
		reason = agent.ReasonHookRefused
	case errors.Is(o.stopped, errTimeout):
		reason = agent.ReasonHookTimeout
	case code < 0 && cause == nil, code > shellSignal && code <= shellSignal+signalMax:
		cause = errKilled
	}
	last, before := p.stderr.words()
	if last == "" {
		last, before = p.stdout.words()
	}
	switch {
	case last == "":
		return problem(reason, cause, "%s %s: it said nothing", what, o.ending())
	case before == "":
		return problem(reason, cause, "%s (%s %s)", last, what, o.ending())
	}
	return problem(reason, cause, "%s (%s %s; before that it said: %s)", last, what, o.ending(), before)
}

// LogRun is the log's message for a hook's run, at level debug. Runs are as many as the agent orders; nobody
// else can repeat them.
const LogRun = "hook"

func (r *Runner) logRun(what string, p *process, o outcome) {
	r.log.Debug(LogRun, slog.String("run", what), slog.String("ending", o.ending()),
		slog.Duration("took", o.elapsed), slog.String("stdout", p.stdout.text()), slog.String("stderr", p.stderr.text()))
}

// describeHook names a run in texts: "component rootfs: ab-file install B".
func describeHook(verb agent.Verb, j agent.Job) string {
	return strings.TrimRight(fmt.Sprintf("component %s: %s %s %s", j.Component, filepath.Base(j.Hook), verb, j.Slot), " ")
}
