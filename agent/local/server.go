package local

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/ota-agent/ota-agent/agent"
)

// An Agent is what the API shows and passes commands to.
type Agent interface {
	Status() agent.Status
	History() agent.History
	// Changed is closed when Status next says something new.
	Changed() <-chan struct{}
	// Check refreshes now. Its error is a *agent.Problem where the refresh came to an end that was not good.
	Check(ctx context.Context) error
	Command(ctx context.Context, c agent.Command) error
}

// Serve answers on l, which comes from Listen, until ctx ends, which is no error. It closes l, and returns when all
// calls have ended.
func Serve(ctx context.Context, l net.Listener, a Agent, d Documents, log *slog.Logger) error {
	ctx, cancel := context.WithCancel(ctx)
	var calls sync.WaitGroup
	defer calls.Wait()
	defer cancel()
	context.AfterFunc(ctx, func() { l.Close() })
	h := &handler{agent: a, documents: d, log: log, reading: make(chan struct{}, 1)}
	for {
		c, err := l.Accept()
		switch {
		case ctx.Err() != nil:
			if err == nil {
				c.Close()
			}
			return nil
		case errors.Is(err, net.ErrClosed):
			return fmt.Errorf("local API: %w", err)
		case err != nil:
			log.Warn("local API", "err", err) // out of file descriptors: it passes
			pause(ctx, acceptPause)
			continue
		}
		calls.Go(func() { h.serve(ctx, c) })
	}
}

// acceptPause keeps a failing Accept from using all of a CPU.
const acceptPause = time.Second

func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
