package main

import (
	"context"
	"fmt"
	"time"
)

// start runs a service, if it is installed. b.mu is held.
func (b *board) start(s service, command program) error {
	cmd := command()
	if cmd == nil {
		return nil
	}
	line := func(text string) { b.show.say("app", "%s", text) }
	if s == agentService {
		line = func(text string) {
			b.log.add(text)
			b.show.agentLine(logLine(text))
		}
	}
	p, err := start(cmd, line)
	if err != nil {
		return err
	}
	b.running[s] = p
	if s == agentService {
		go b.watch(p)
	}
	return nil
}

// watch restarts the agent when it ended though nobody asked it to, as a service manager does.
func (b *board) watch(p *process) {
	<-p.done
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.running[agentService] != p {
		return
	}
	b.running[agentService] = nil
	b.crashes++
	if b.crashes > crashesMax {
		b.failure = fmt.Errorf("the agent ended %d times by itself, the last time with: %w", b.crashes, p.err)
		return
	}
	b.show.say("board", "the agent ended by itself (%v); the service manager starts it again", p.err)
	time.Sleep(restartDelay)
	if err := b.start(agentService, b.agent); err != nil {
		b.failure = err
	}
}

// restartApp is what the app's hook asks for once it has switched releases.
func (b *board) restartApp() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if p := b.running[appService]; p != nil {
		b.running[appService] = nil
		if _, err := p.stop(stopGrace); err != nil {
			return err
		}
	}
	return b.start(appService, b.app)
}

// history is every boot so far.
func (b *board) history() []boot {
	b.mu.Lock()
	defer b.mu.Unlock()
	return append([]boot(nil), b.boots...)
}

// pid of a service, or 0 when it does not run.
func (b *board) pid(s service) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	if p := b.running[s]; p != nil {
		return p.pid()
	}
	return 0
}

// trouble is how often the agent ended by itself, and why the board is lost, if it is.
func (b *board) trouble() (crashes int, failure error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.crashes, b.failure
}

// lookEvery is how often onFailure looks.
const lookEvery = 100 * time.Millisecond

// onFailure calls lost when the board is, until ctx ends.
func (b *board) onFailure(ctx context.Context, lost context.CancelCauseFunc) {
	for ctx.Err() == nil {
		if _, err := b.trouble(); err != nil {
			lost(err)
			return
		}
		select {
		case <-ctx.Done():
		case <-time.After(lookEvery):
		}
	}
}
