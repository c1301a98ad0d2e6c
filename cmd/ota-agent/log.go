package main

import (
	"io"
	"log"
	"log/slog"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"os"
)

// logDrain is how long the end of the process waits for a slow reader of the log. One that hangs loses what is left.
const logDrain = time.Second

// A daemonLog is the log of `ota-agent run`: bounded in what it holds, limited in what it repeats, and never in the
// way of the agent, whatever the reader of standard error does.
type daemonLog struct {
	*slog.Logger
	// text takes what is written for people beside the log, in the order of the lines.
	text    *logQueue
	limit   *logLimit
	restore func() // puts standard error back as it was
}

// openLog makes the log over w. All that the process writes to w must go through it: a write to a full pipe never
// returns. That includes what the standard library says on its own (net/http logs an answer that nobody asked for).
func openLog(w io.Writer, verbose bool) *daemonLog {
	level := slog.LevelInfo
	if verbose {
		level = slog.LevelDebug
	}
	own, restore := ownStderr(w)
	queue := newLogQueue(own)
	limit := newLogLimit(slog.NewTextHandler(queue, &slog.HandlerOptions{Level: level}))
	d := &daemonLog{Logger: slog.New(limit), text: queue, limit: limit, restore: restore}
	log.SetFlags(0)
	log.SetOutput(libraryLog{d.Logger})
	return d
}

// close writes what is held back and waits for the reader for logDrain at most.
func (d *daemonLog) close() {
	log.SetOutput(io.Discard)
	d.limit.flush()
	d.text.drain(logDrain)
	d.restore()
}

// A libraryLog takes the lines of the standard library's own logger. Their text comes from a server as a rule.
type libraryLog struct{ log *slog.Logger }

func (l libraryLog) Write(p []byte) (int, error) {
	l.log.Warn("a library says", "text", strings.TrimSpace(string(p)))
	return len(p), nil
}

// survivePipes turns SIGPIPE into an error of the write: a reader of the log that dies must not end the agent. The
// signal is caught rather than ignored, since what is ignored stays ignored in every child, and a hook's
// `dd … | head` counts on it. Go gives children the default back for each signal that it catches.
func survivePipes() {
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)
}
