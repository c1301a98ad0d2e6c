package main

import (
	"context"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/ota-agent/ota-agent/agent"
	"github.com/ota-agent/ota-agent/install"
)

const (
	// logEvery is the least time between two lines that say the same.
	logEvery = time.Minute
	// logKeysMax bounds what counts as different lines of one message within logEvery: there are at most 32 components and
	// 16 mirrors. What is beyond it counts as one.
	logKeysMax = 48
	// logMessagesMax bounds the messages that are told apart. The program has fewer; what is beyond counts as one.
	logMessagesMax = 128
	// logKeyBytesMax is how much of an attribute's value counts.
	logKeyBytesMax = 128
	// repeatedName is the attribute that says how many lines one stands for beside itself.
	repeatedName = "repeated"
)

// stableAttributes tell lines of one message apart: they have few values. All others (texts, times, counts,
// ports) may differ in each line, and whoever chooses them could get around the limit.
var stableAttributes = []string{"component", "action", "reason", "source", "mirror", "topic", "path", "uid", "for", "role", "work"}

// unlimited are the messages of which each is told: changes of an update's phase with their verdicts, the
// runs of hooks where somebody asked to see them, and the process's own.
var unlimited = []string{agent.LogStep, agent.LogGoingOn, install.LogRun, logStarted, logStopped}

// The process's own messages.
const (
	logStarted = "started"
	logStopped = "stopped"
)

// A logLimit is a slog.Handler before another one. Of the lines that say the same it lets one a minute pass:
// the first at once, and the last of a minute, with the count of those between, at its end. So a flood of
// wakes, requests or answers costs a line a minute, and says how large it was.
type logLimit struct {
	next   slog.Handler
	prefix string // of the key: the stable attributes that With gave
	*logKeys
}

// logKeys is what all handlers that With made of one have together.
type logKeys struct {
	mu       sync.Mutex
	messages map[string]map[string]*logSeries // by message, by the rest of the key
}

// A logSeries is what was held back of lines that say the same, until its timer ends.
type logSeries struct {
	handler slog.Handler
	last    slog.Record
	held    int
	timer   *time.Timer
}

func newLogLimit(next slog.Handler) *logLimit {
	return &logLimit{next: next, logKeys: &logKeys{messages: make(map[string]map[string]*logSeries)}}
}

func (l *logLimit) Enabled(ctx context.Context, level slog.Level) bool {
	return l.next.Enabled(ctx, level)
}

func (l *logLimit) WithAttrs(attrs []slog.Attr) slog.Handler {
	prefix := l.prefix
	for _, a := range attrs {
		prefix += keyPart(a)
	}
	return &logLimit{next: l.next.WithAttrs(attrs), prefix: prefix, logKeys: l.logKeys}
}

func (l *logLimit) WithGroup(name string) slog.Handler {
	return &logLimit{next: l.next.WithGroup(name), prefix: l.prefix, logKeys: l.logKeys}
}

// Handle lets a record pass, or keeps it as the last of its series.
func (l *logLimit) Handle(ctx context.Context, r slog.Record) error {
	if !slices.Contains(unlimited, r.Message) && l.hold(r) {
		return nil
	}
	if r.Message == logStopped {
		l.flush() // it is the last line
	}
	return l.next.Handle(ctx, r)
}

// hold reports whether a line like r was let pass within logEvery, and keeps r then; otherwise it begins a series.
func (l *logLimit) hold(r slog.Record) bool {
	var key strings.Builder
	key.WriteString(l.prefix)
	r.Attrs(func(a slog.Attr) bool { key.WriteString(keyPart(a)); return true })
	l.mu.Lock()
	defer l.mu.Unlock()
	message, rest := r.Message, key.String()
	if l.messages[message] == nil && len(l.messages) >= logMessagesMax {
		message, rest = "", ""
	}
	of := l.messages[message]
	if of == nil {
		of = make(map[string]*logSeries)
		l.messages[message] = of
	}
	if of[rest] == nil && len(of) >= logKeysMax {
		rest = "…"
	}
	if s := of[rest]; s != nil {
		s.handler, s.last, s.held = l.next, r.Clone(), s.held+1
		return true
	}
	s := &logSeries{}
	s.timer = time.AfterFunc(logEvery, func() { l.end(message, rest) })
	of[rest] = s
	return false
}

// end writes the last line of a series, and begins the next minute with it; a series of which nothing was
// held is forgotten.
func (l *logKeys) end(message, rest string) {
	l.mu.Lock()
	s := l.messages[message][rest]
	if s == nil { // flush was first
		l.mu.Unlock()
		return
	}
	if s.held == 0 {
		delete(l.messages[message], rest)
		if len(l.messages[message]) == 0 {
			delete(l.messages, message)
		}
		l.mu.Unlock()
		return
	}
	handler, last := s.take()
	s.timer.Reset(logEvery)
	l.mu.Unlock()
	_ = handler.Handle(context.Background(), last) // a logQueue never fails
}

// take is the line that stands for all that were held.
func (s *logSeries) take() (slog.Handler, slog.Record) {
	last := s.last
	if s.held > 1 {
		last.AddAttrs(slog.Int(repeatedName, s.held-1))
	}
	s.held = 0
	return s.handler, last
}

// flush writes what is held, and ends all series.
func (l *logKeys) flush() {
	l.mu.Lock()
	var held []*logSeries
	for _, of := range l.messages {
		for _, s := range of {
			s.timer.Stop()
			if s.held > 0 {
				held = append(held, s)
			}
		}
	}
	l.messages = make(map[string]map[string]*logSeries)
	l.mu.Unlock()
	slices.SortFunc(held, func(a, b *logSeries) int { return a.last.Time.Compare(b.last.Time) })
	for _, s := range held {
		handler, last := s.take()
		_ = handler.Handle(context.Background(), last)
	}
}

// keyPart is an attribute's part of a key; empty for one that may be different in each line.
func keyPart(a slog.Attr) string {
	if !slices.Contains(stableAttributes, a.Key) {
		return ""
	}
	value := a.Value.String()
	return a.Key + "=" + value[:min(len(value), logKeyBytesMax)] + "\x00"
}
