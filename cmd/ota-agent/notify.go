package main

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"

	"github.com/ota-agent/ota-agent/agent"
)

// A loop is the agent's, as the watchdog sees it.
type loop interface {
	// Beat counts the loop's turns.
	Beat() int64
	// Ping makes the loop turn once.
	Ping(ctx context.Context) error
	Status() agent.Status
	Changed() <-chan struct{}
}

const (
	// statusEvery is the least time between two STATUS= lines.
	statusEvery = 2 * time.Second
	// probeEvery is how often the loop is asked where the service manager has no watchdog.
	probeEvery = time.Minute
	// askAgain is the pause before a loop is asked again that answers and says that it can't go on.
	askAgain = time.Second
	// statusWordsMax bounds the words for the service manager, which shows them on one line.
	statusWordsMax = 200
)

// A notifier tells the service manager how the agent does. Where there is none, it tells nobody.
type notifier struct {
	loop     loop
	watchdog time.Duration // 0: none
	send     func(state string) error
	log      *slog.Logger
}

func newNotifier(l loop, log *slog.Logger) (notifier, error) {
	watchdog, err := daemon.SdWatchdogEnabled(false)
	if err != nil {
		return notifier{}, fmt.Errorf("read the service manager's watchdog time: %w", err)
	}
	send := func(state string) error { _, err := daemon.SdNotify(false, state); return err }
	return notifier{loop: l, watchdog: watchdog, send: send, log: log}, nil
}

// run says READY once the loop runs, and then pings the watchdog only when the loop has turned since it was asked: a
// ticker alone would keep a stuck agent alive.
func (n notifier) run(ctx context.Context) {
	every := probeEvery
	if n.watchdog > 0 {
		every = n.watchdog / 3
	}
	if !n.turns(ctx) {
		return
	}
	n.tell(daemon.SdNotifyReady)
	ping := time.NewTicker(every)
	defer ping.Stop()
	for last := ""; ; {
		changed := n.loop.Changed()
		if words := statusWords(n.loop.Status()); words != last {
			n.tell("STATUS=" + words)
			last = words
		}
		if !n.until(ctx, changed, ping.C) {
			return
		}
	}
}

// until waits for a change, but not less than statusEvery, and pings meanwhile. It returns false when ctx ends.
func (n notifier) until(ctx context.Context, changed <-chan struct{}, ping <-chan time.Time) bool {
	calm := time.NewTimer(statusEvery)
	defer calm.Stop()
	var news <-chan struct{}
	for {
		select {
		case <-calm.C:
			news = changed
		case <-news:
			return true
		case <-ping:
			if !n.turns(ctx) {
				return false
			}
			if n.watchdog > 0 {
				n.tell(daemon.SdNotifyWatchdog)
			}
		case <-ctx.Done():
			return false
		}
	}
}

// turns asks the loop and waits until it has turned; false when ctx ends first. A stuck loop keeps it waiting: that
// is what the watchdog is for.
func (n notifier) turns(ctx context.Context) bool {
	before := n.loop.Beat()
	for asked := 0; n.loop.Beat() == before; asked++ {
		if asked > 1 && !pause(ctx, askAgain) { // it answers, and yet it does not go on
			return false
		}
		if err := n.loop.Ping(ctx); err != nil {
			n.log.Debug("the loop was not asked", "err", err)
			return false
		}
	}
	return true
}

// pause waits, and returns false when ctx ends first.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

func (n notifier) tell(state string) {
	if err := n.send(state); err != nil {
		n.log.Warn("could not tell the service manager", "err", err)
	}
}

// statusWords are for `systemctl status`: one line.
func statusWords(s agent.Status) string {
	var parts []string
	for _, c := range s.Components {
		parts = append(parts, c.Name+": "+componentWords(c))
	}
	if p := s.Repository.LastProblem; p != nil {
		parts = append(parts, "repository: "+string(p.Reason))
	}
	words := plain(strings.Join(parts, "; "))
	if len(words) > statusWordsMax {
		words = words[:statusWordsMax]
	}
	return strings.ToValidUTF8(words, "")
}
