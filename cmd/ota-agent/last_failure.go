package main

import (
	"encoding/json"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/ota-agent/ota-agent/agent"
	"github.com/ota-agent/ota-agent/agent/files"
)

// A failed commit ends the agent, and the service manager starts it again: then status should still say why. The reason
// lies beside the socket, in memory: the disk may be what failed, and after a reboot it is no news.

const (
	lastFailureName     = "last-failure.json"
	lastFailureBytesMax = 4 << 10
	lastFailureTextMax  = 1 << 9 // bytes; JSON takes up to six for one
)

func (s settings) lastFailure() string { return filepath.Join(filepath.Dir(s.socket), lastFailureName) }

// readLastFailure is why the last run failed; nil where it did not. A file that makes no sense says nothing,
// nor does one that somebody else may have put there: its text is shown in the status.
func readLastFailure(s settings) *agent.Problem {
	text, err := files.ReadOwn(s.lastFailure(), lastFailureBytesMax)
	if err != nil {
		return nil
	}
	var p agent.Problem
	if err := json.Unmarshal(text, &p); err != nil || p.Reason == "" {
		return nil
	}
	return &p
}

// keepLastFailure notes how a run ended. One that found the store locked leaves the note to whoever has it.
func keepLastFailure(s settings, ended error, now time.Time, log *slog.Logger) {
	if exitCode(ended) == exitLocked {
		return
	}
	var err error
	if ended == nil {
		err = os.Remove(s.lastFailure())
	} else {
		err = writeLastFailure(s.lastFailure(), ended, now)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		log.Warn("could not note why the agent ended", "err", err)
	}
}

func writeLastFailure(path string, ended error, now time.Time) error {
	p := agent.Problem{Reason: agent.ReasonInternal, Text: plain(ended.Error()), At: now}
	if problem, ok := errors.AsType[*agent.Problem](ended); ok {
		p.Reason = problem.Reason
	}
	p.Text = p.Text[:min(len(p.Text), lastFailureTextMax)]
	text, err := json.Marshal(p)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return files.WriteOwn(path, text)
}
