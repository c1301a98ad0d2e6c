package install

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/ota-agent/ota-agent/agent"
)

// askAgain begins the line by which a gate hook says when to ask again, in seconds.
const askAgain = "ask_again="

// gate asks the gate hook whether j.Slot, "download" or "install", may go on now. Exit code 0 is yes, 75 is no.
func (r *Runner) gate(ctx context.Context, j agent.Job) error {
	out, err := r.hook(ctx, agent.VerbGate, j)
	var p *agent.Problem
	if errors.As(err, &p) && p.Reason == agent.ReasonHookBusy {
		p.RetryAfter = parseAskAgain(string(out.stdout.head))
	}
	return err
}

// parseAskAgain reads the first line "ask_again=SECONDS" of an answer; 0 where there is none that makes sense. The agent
// bounds it.
func parseAskAgain(answer string) time.Duration {
	for line := range strings.Lines(answer) {
		if text, ok := strings.CutPrefix(strings.TrimSpace(line), askAgain); ok {
			seconds, err := strconv.ParseUint(text, 10, 31)
			if err != nil {
				return 0
			}
			return time.Duration(seconds) * time.Second
		}
	}
	return 0
}
