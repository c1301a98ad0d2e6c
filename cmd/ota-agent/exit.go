package main

import (
	"errors"

	"github.com/ota-agent/ota-agent/agent"
	"github.com/ota-agent/ota-agent/agent/local"
	"github.com/ota-agent/ota-agent/verifier"
)

// The exit codes. docs/exit-codes.md says of each what to do; they never change their meaning.
const (
	exitOK          = 0
	exitFailed      = 1
	exitUsage       = 2
	exitConfig      = 3
	exitAnchor      = 4
	exitHook        = 5
	exitRefused     = 6
	exitUnreachable = 7
	exitStore       = 8
	exitLocked      = 9
	exitNotRunning  = 10
	exitStateMount  = 11
	exitOwner       = 12

	// How components stand after a check that was answered.
	exitUnlisted = 20
	exitWaiting  = 21
	exitWorking  = 22
)

// A failure is an error with its exit code, and what to do about it.
type failure struct {
	code int
	err  error
	hint string // may be empty
}

func (f *failure) Error() string { return f.err.Error() }
func (f *failure) Unwrap() error { return f.err }

// exitCode is the code of whatever ended a command.
func exitCode(err error) int {
	var f *failure
	var p *agent.Problem
	var refused *verifier.MetadataError
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &f):
		return f.code
	case errors.As(err, &p):
		return reasonCode(p.Reason)
	case errors.Is(err, local.ErrNotRunning):
		return exitNotRunning
	case errors.As(err, &refused) && !errors.Is(err, local.ErrForbidden):
		return exitRefused
	}
	return exitFailed
}

// reasonCode sorts the reasons that can end a command. The others are states to wait in, or belong to one
// component.
func reasonCode(r agent.Reason) int {
	switch r {
	case agent.ReasonUnsigned, agent.ReasonRollback, agent.ReasonExpired, agent.ReasonClockAhead,
		agent.ReasonHashMismatch, agent.ReasonLengthMismatch, agent.ReasonVersionMismatch, agent.ReasonMalformed,
		agent.ReasonUnsupported, agent.ReasonNotListed, agent.ReasonLimit, agent.ReasonTooLarge:
		return exitRefused
	case agent.ReasonUnreachable, agent.ReasonTLS, agent.ReasonHTTP, agent.ReasonServerBusy, agent.ReasonTooSlow,
		agent.ReasonBadAnswer, agent.ReasonCut, agent.ReasonNoMedium, agent.ReasonCaptivePortal, agent.ReasonHung,
		agent.ReasonProxy, agent.ReasonPayment, agent.ReasonCredentials:
		return exitUnreachable
	case agent.ReasonDiskFull, agent.ReasonReadOnly, agent.ReasonStore:
		return exitStore
	case agent.ReasonLocked:
		return exitLocked
	case agent.ReasonHookMissing:
		return exitHook
	}
	return exitFailed
}
