package main

import (
	"context"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ota-agent/ota-agent/agent"
)

// A fakeLoop turns whenever it is asked, until it is stuck.
type fakeLoop struct {
	beat    atomic.Int64
	asked   atomic.Int64
	stuck   atomic.Bool
	lost    atomic.Bool // it answers, and its beat stands still
	mu      sync.Mutex
	status  agent.Status
	changed chan struct{}
}

func (l *fakeLoop) Beat() int64 { return l.beat.Load() }

func (l *fakeLoop) Ping(ctx context.Context) error {
	if l.stuck.Load() {
		<-ctx.Done()
		return ctx.Err()
	}
	l.asked.Add(1)
	if !l.lost.Load() {
		l.beat.Add(1)
	}
	return nil
}

func (l *fakeLoop) Status() agent.Status {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.status
}

func (l *fakeLoop) Changed() <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.changed
}

func (l *fakeLoop) set(s agent.Status) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.status = s
	close(l.changed)
	l.changed = make(chan struct{})
}

// A told is what the service manager heard, and when.
type told struct {
	at   time.Duration
	what string
}

// notified runs a notifier in a bubble while act acts, and returns what was told.
func notified(t *testing.T, l *fakeLoop, watchdog time.Duration, act func()) (all []told) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		l.changed = make(chan struct{})
		begun := time.Now()
		var mu sync.Mutex
		n := notifier{loop: l, watchdog: watchdog, log: slog.New(slog.DiscardHandler), send: func(state string) error {
			mu.Lock()
			defer mu.Unlock()
			all = append(all, told{time.Since(begun), state})
			return nil
		}}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { n.run(ctx); close(done) }()
		act()
		cancel()
		<-done
	})
	return all
}

func pings(all []told) (at []time.Duration) {
	for _, x := range all {
		if x.what == "WATCHDOG=1" {
			at = append(at, x.at)
		}
	}
	return at
}

func TestReadyComesWhenTheLoopTurns(t *testing.T) {
	l := &fakeLoop{}
	l.stuck.Store(true)
	if all := notified(t, l, time.Minute, func() { time.Sleep(time.Hour) }); len(all) != 0 {
		t.Errorf("told %v of a loop that never turned", all)
	}
	l = &fakeLoop{}
	all := notified(t, l, 0, func() { time.Sleep(time.Second) })
	if len(all) == 0 || all[0].what != "READY=1" {
		t.Errorf("told %v, want READY=1 first", all)
	}
}

func TestWatchdogIsFedOnlyWhileTheLoopTurns(t *testing.T) {
	l := &fakeLoop{}
	at := pings(notified(t, l, 3*time.Minute, func() {
		time.Sleep(time.Hour)
		l.stuck.Store(true)
		time.Sleep(time.Hour)
	}))
	for i, last := 0, time.Duration(0); i < len(at); i++ {
		if at[i]-last > 90*time.Second {
			t.Errorf("a pause of %s between two pings", at[i]-last)
		}
		last = at[i]
	}
	if len(at) < 40 || at[len(at)-1] > time.Hour {
		t.Errorf("%d pings, the last after %s, though the loop was stuck from 1h on", len(at), at[len(at)-1])
	}
}

// TestWatchdogStarvesForALoopThatAnswersAndCanNotGoOn, without asking it all the time.
func TestWatchdogStarvesForALoopThatAnswersAndCanNotGoOn(t *testing.T) {
	l := &fakeLoop{}
	at := pings(notified(t, l, 3*time.Minute, func() {
		time.Sleep(time.Hour)
		l.lost.Store(true)
		time.Sleep(time.Hour)
	}))
	if len(at) < 40 || at[len(at)-1] > time.Hour {
		t.Errorf("%d pings, the last after %s, though the loop could not go on from 1h on", len(at), at[len(at)-1])
	}
	if n := l.asked.Load(); n > 2*60*60 {
		t.Errorf("the loop was asked %d times in two hours", n)
	}
}

func TestNoWatchdogNoPing(t *testing.T) {
	if at := pings(notified(t, &fakeLoop{}, 0, func() { time.Sleep(time.Hour) })); len(at) != 0 {
		t.Errorf("%d pings for nobody", len(at))
	}
}

func TestStatusWordsFollowTheStatus(t *testing.T) {
	l := &fakeLoop{}
	fetching := func(done int64) agent.Status {
		return agent.Status{Components: []agent.ComponentStatus{{Name: "app", Phase: agent.Fetching,
			Release: &agent.ReleaseStatus{Version: "2.0"}, Progress: &agent.Progress{Done: done, Total: 100}}}}
	}
	all := notified(t, l, 0, func() {
		for i := range int64(100) {
			time.Sleep(100 * time.Millisecond)
			l.set(fetching(i))
		}
		time.Sleep(time.Minute)
	})
	var words []string
	for _, x := range all {
		if text, ok := strings.CutPrefix(x.what, "STATUS="); ok {
			words = append(words, text)
		}
	}
	if len(words) > 8 || !slices.Contains(words, "app: fetching 2.0 99 %") {
		t.Errorf("%d words in 10 s: %q", len(words), words)
	}
}

func TestStatusWordsAreOneCleanLine(t *testing.T) {
	s := agent.Status{Components: []agent.ComponentStatus{{Name: "app", Phase: agent.Idle,
		Waiting: &agent.Waiting{Text: "evil\nREADY=1\x1b[2J" + strings.Repeat("ä", statusWordsMax)}}}}
	if got := statusWords(s); strings.ContainsAny(got, "\n\x1b") || len(got) > statusWordsMax {
		t.Errorf("%d bytes: %q", len(got), got)
	}
}
