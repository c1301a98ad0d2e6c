package install

import (
	"errors"
	"fmt"

	"github.com/ota-agent/ota-agent/agent"
	"github.com/ota-agent/ota-agent/verifier"
)

// Exit codes of hooks and checks; the first two are from sysexits.h.
const (
	exitRefused = 65 // EX_DATAERR: this release can't run here, now or later
	exitBusy    = 75 // EX_TEMPFAIL: ask again later

	// A shell exits with shellSignal plus the number of the signal that ended what it ran (POSIX XCU 2.8.2).
	shellSignal = 128
	signalMax   = 64
)

// errKilled says that a hook, or what a shell in it waited for, was ended by a signal.
var errKilled = errors.New("ended by a signal")

// problem builds a Problem; cause may be nil.
func problem(reason agent.Reason, cause error, format string, args ...any) *agent.Problem {
	return &agent.Problem{Reason: reason, Text: fmt.Sprintf(format, args...), Err: cause}
}

// imageProblem names what is wrong with an image's bytes.
func imageProblem(err error, where string) *agent.Problem {
	reason := agent.ReasonStore // it could not be read
	switch {
	case errors.Is(err, verifier.ErrHashMismatch):
		reason = agent.ReasonHashMismatch
	case errors.Is(err, verifier.ErrLengthMismatch):
		reason = agent.ReasonLengthMismatch
	}
	return problem(reason, err, "%s: %v; the image must be downloaded again", where, err)
}
