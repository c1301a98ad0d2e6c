package main

import (
	"bytes"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ota-agent/ota-agent/agent"
	"github.com/ota-agent/ota-agent/install"
)

// What the standard library writes into its own log goes the same way, and its words, which are a server's,
// make no new kind of line.
func TestTheLibrarysLogIsLimited(t *testing.T) {
	r := &reading{}
	d := openLog(r, false)
	defer log.SetOutput(os.Stderr)
	for i := range 100 {
		log.Printf("Unsolicited response received on idle HTTP channel starting with %q", fmt.Sprint(i))
	}
	d.close()
	got := r.lines()
	if len(got) != 2 || !strings.Contains(got[0], "a library says") || !strings.Contains(got[1], repeatedName+"=98") {
		t.Errorf("got %q", got)
	}
	log.Print("after the end") // is not written, and does not fail
}

// A reader takes lines, when it is let.
type reading struct {
	mu     sync.Mutex
	text   bytes.Buffer
	hang   chan struct{} // not nil: a write waits until it is closed
	broken bool
}

func (r *reading) Write(p []byte) (int, error) {
	r.mu.Lock()
	hang, broken := r.hang, r.broken
	r.mu.Unlock()
	if hang != nil {
		<-hang
	}
	if broken {
		return 0, errors.New("nobody reads")
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.text.Write(p)
}

func (r *reading) lines() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return strings.Split(strings.TrimSuffix(r.text.String(), "\n"), "\n")
}

func (r *reading) set(hang chan struct{}, broken bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.hang, r.broken = hang, broken
}

// A reader that hangs costs lines, and what it lost is told when it reads again.
func TestLogQueueDropsAndCounts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &reading{hang: make(chan struct{})}
		q := newLogQueue(r)
		const written = logLinesMax + 501
		for i := range written {
			fmt.Fprintf(q, "line %d\n", i)
		}
		synctest.Wait()
		begun := time.Now()
		q.drain(logDrain)
		if took := time.Since(begun); took != logDrain {
			t.Errorf("the end waited %v for a reader that hangs, want %v", took, logDrain)
		}
		close(r.hang)
		synctest.Wait()
		got := r.lines()
		kept, lost := 0, 0
		for _, line := range got {
			if _, n, ok := strings.Cut(line, "lines="); ok {
				some := 0
				fmt.Sscan(n, &some)
				lost += some
			} else {
				kept++
			}
		}
		if kept+lost != written || kept < logLinesMax {
			t.Errorf("of %d lines %d were written and %d are said to be lost", written, kept, lost)
		}
	})
}

// A long line is cut, and many long ones are bounded by their bytes.
func TestLogQueueIsBoundedInBytes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &reading{hang: make(chan struct{})}
		q := newLogQueue(r)
		for range 2 * logBytesMax / logLineMax {
			fmt.Fprintln(q, strings.Repeat("é", logLineMax))
		}
		q.mu.Lock()
		waiting := q.bytes
		q.mu.Unlock()
		if waiting > logBytesMax {
			t.Errorf("%d bytes wait, want at most %d", waiting, logBytesMax)
		}
		close(r.hang)
		q.drain(time.Minute)
		for _, line := range r.lines() {
			if len(line) > logLineMax+len("…") {
				t.Errorf("a line has %d bytes, want at most %d", len(line), logLineMax)
			}
		}
	})
}

// A reader that is gone and comes back is told how many lines it missed.
func TestLogQueueGoesOnAfterAnError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &reading{broken: true}
		q := newLogQueue(r)
		fmt.Fprintln(q, "one")
		fmt.Fprintln(q, "two")
		synctest.Wait()
		r.set(nil, false)
		fmt.Fprintln(q, "three")
		q.drain(time.Minute)
		got := r.lines()
		if len(got) != 2 || !strings.HasSuffix(got[0], " lines=2") || got[1] != "three" {
			t.Errorf("got %q", got)
		}
	})
}

// limited is a log behind a limit, and its reader.
func limited() (*slog.Logger, *logLimit, *reading) {
	r := &reading{}
	limit := newLogLimit(slog.NewTextHandler(r, &slog.HandlerOptions{Level: slog.LevelDebug}))
	return slog.New(limit), limit, r
}

// A flood of wakes is a line a minute, with a count: all of it is accounted for.
func TestAFloodIsALineAMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, limit, r := limited()
		const perMinute, minutes = 960, 10
		for range perMinute * minutes {
			log.Info("woken", "source", "mqtt")
			time.Sleep(time.Minute / perMinute)
		}
		synctest.Wait()
		limit.flush()
		got := r.lines()
		if len(got) > minutes+2 {
			t.Errorf("%d lines in %d minutes", len(got), minutes)
		}
		told := 0
		for _, line := range got {
			_, n, _ := strings.Cut(line, repeatedName+"=")
			more := 0
			fmt.Sscan(n, &more)
			told += 1 + more
		}
		if told != perMinute*minutes {
			t.Errorf("%d wakes are told, want %d", told, perMinute*minutes)
		}
	})
}

// The limit forgets what has become quiet, and its next line goes out at once.
func TestALimitEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, limit, r := limited()
		for range 3 {
			log.Info("woken", "source", "mqtt")
			time.Sleep(logEvery + time.Second)
			limit.mu.Lock()
			n := len(limit.messages)
			limit.mu.Unlock()
			if n != 0 {
				t.Errorf("%d messages are remembered after a minute of silence", n)
			}
		}
		if got := r.lines(); len(got) != 3 || strings.Contains(r.text.String(), repeatedName) {
			t.Errorf("got %q", got)
		}
	})
}

// Lines about different things do not hold each other back; texts, times and counts make no difference.
func TestWhatCountsAsTheSame(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, limit, r := limited()
		log.Warn("failed", "component", "a", "reason", agent.ReasonCut, "err", "at byte 1")
		log.Warn("failed", "component", "a", "reason", agent.ReasonCut, "err", "at byte 2")
		log.Warn("failed", "component", "a", "reason", agent.ReasonCut, "err", "at byte 3")
		log.Warn("failed", "component", "a", "reason", agent.ReasonTLS, "err", "x")
		log.With("component", "b").Warn("failed", "reason", agent.ReasonCut, "err", "x")
		log.Warn("refused")
		if got := r.lines(); len(got) != 4 {
			t.Errorf("%d lines at once, want 4: %q", len(got), got)
		}
		limit.flush()
		if got := r.lines(); len(got) != 5 || !strings.Contains(got[4], `err="at byte 3" repeated=1`) {
			t.Errorf("got %q, want the last line of the first kind with repeated=1", got)
		}
	})
}

// Each change of an update is told, however many there are, and so is what somebody asked to see.
func TestTransitionsAreNeverHeldBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, limit, r := limited()
		const n = 200
		for range n {
			log.Info(agent.LogStep, "component", "a", "from", "switched", "to", "rejecting", "reason", "unhealthy")
			log.Debug(install.LogRun, "run", "status")
			log.Debug("local API", "err", "a guest's nonsense")
		}
		if got := r.lines(); len(got) != 2*n+1 {
			t.Errorf("%d lines of %d", len(got), 2*n+1)
		}
		limit.flush()
	})
}

// Whoever can choose a stable attribute, or a message, gets no more lines and no more memory by it.
func TestTheLimitIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, limit, r := limited()
		for i := range 10_000 {
			log.Info("woken", "source", fmt.Sprint("guest ", i))
			log.Info(fmt.Sprint("message ", i))
		}
		if got, most := len(r.lines()), logKeysMax+1+logMessagesMax+1; got > most {
			t.Errorf("%d lines, want at most %d", got, most)
		}
		for message, of := range limit.messages {
			if len(of) > logKeysMax+1 {
				t.Errorf("%d kinds of %q are kept", len(of), message)
			}
		}
		if n := len(limit.messages); n > logMessagesMax+1 {
			t.Errorf("%d messages are kept", n)
		}
		limit.flush()
	})
}
