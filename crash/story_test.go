//go:build linux && amd64

package crash

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ota-agent/ota-agent/agent"
	"github.com/ota-agent/ota-agent/agent/local"
)

const (
	// lookEvery is the pause between two looks at the agent's status.
	lookEvery = 15 * time.Millisecond
	// restWithin is what a device may take to come to rest, on a busy machine.
	restWithin = 90 * time.Second
	// startsMax bounds the starts of the agent in one story.
	startsMax = 30
)

// errStruck ends a story: the fault has struck and the process is dead.
var errStruck = errors.New("the fault has struck")

// A story is what happens on a board until it is at rest with a release, through reboots and restarts.
type story struct {
	board *board
	want  published
	// faults strike at the story's calls, counted over all its agents. One that kills ends the story.
	faults []fault
	// strikes, unless nil, says of a call whether the process dies before it, which ends the story.
	strikes func(call) bool
	// hooks and moment are the tracer's; traced is false where nothing is to be seen, which is faster.
	traced, hooks bool
	moment        func()
	// witness, unless nil, is shown each status document that the agent gives.
	witness func(agent.Status) error

	calls   []call
	struck  int
	exits   []unix.WaitStatus // of agents that ended by themselves
	reasons map[agent.Reason]bool
	last    agent.Status
	output  string
}

// run boots the board, if told to, and follows it until it is at rest.
func (s *story) run(ctx context.Context, boot bool) error {
	ctx, cancel := context.WithTimeout(ctx, restWithin)
	defer cancel()
	for range startsMax {
		if boot {
			if err := s.board.boot(); err != nil {
				return fmt.Errorf("boot: %w", err)
			}
		}
		rest, err := s.runAgent(ctx)
		if rest || err != nil {
			return err
		}
		boot = s.board.rebootAsked()
	}
	return fmt.Errorf("the agent was started %d times and is not at rest; its last ends: %v", startsMax, s.exits)
}

// runAgent runs one agent until it ends, the board reboots or is at rest.
func (s *story) runAgent(ctx context.Context) (rest bool, err error) {
	out, err := os.Create(s.board.run("log"))
	if err != nil {
		return false, err
	}
	defer out.Close()
	p, err := s.start(out)
	if err != nil {
		return false, fmt.Errorf("start the agent: %w", err)
	}
	s.board.sessions = append(s.board.sessions, p.pid)
	watch, stop := context.WithCancel(ctx)
	go s.poke(watch)
	rest, err = s.follow(ctx, p)
	stop()
	ended := isDone(p)
	if !ended {
		_ = unix.Kill(p.pid, unix.SIGKILL)
	}
	<-p.done
	text, _ := os.ReadFile(out.Name())
	s.output += string(text)
	calls, struck := p.seen()
	s.calls, s.struck = append(s.calls, calls...), s.struck+struck
	if err == nil && s.dead() {
		err = errStruck
	}
	if ended && err == nil {
		s.exits = append(s.exits, p.status)
	}
	return rest, errors.Join(err, p.err)
}

// start runs the agent on the board.
func (s *story) start(out *os.File) (*tracer, error) {
	t := &tracer{blind: !s.traced, dirs: []string{s.board.state}, hooks: s.hooks, moment: s.moment, strikes: s.strikes, root: s.board.root}
	for _, f := range s.faults {
		f.at -= len(s.calls)
		t.faults = append(t.faults, f)
	}
	if s.hooks {
		t.dirs = append(t.dirs, s.board.flash())
	}
	return t, t.start(s.board.daemon(), s.board.environ(), out)
}

// dead tells whether one of the faults has killed.
func (s *story) dead() bool {
	for _, f := range s.faults {
		if f.how != fails && f.at <= len(s.calls) {
			return true
		}
	}
	return s.strikes != nil && s.struck > 0
}

func isDone(p *tracer) bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// follow looks at the agent's status until something is to be done.
func (s *story) follow(ctx context.Context, p *tracer) (rest bool, err error) {
	client := local.NewClient(s.board.socket())
	ticker := time.NewTicker(lookEvery)
	defer ticker.Stop()
	for {
		select {
		case <-p.done:
			return false, nil
		case <-ctx.Done():
			return false, fmt.Errorf("not at rest after %v: %w\nlast status: %+v\n%s", restWithin, ctx.Err(), s.last, s.tail())
		case <-ticker.C:
		}
		if s.board.rebootAsked() {
			return false, nil
		}
		status, err := client.Status(ctx)
		if err != nil {
			continue
		}
		if s.witness != nil {
			if err := s.witness(status); err != nil {
				return false, err
			}
		}
		if !s.look(status) {
			continue
		}
		// What the first refresh of a first start accepted is kept only once it is known what is booted: one check more, and it is.
		if _, err := client.Check(ctx); err == nil {
			return true, nil
		}
	}
}

// look takes in a status document and says whether the device is at rest with the wanted release.
func (s *story) look(status agent.Status) bool {
	s.last = status
	if s.reasons == nil {
		s.reasons = map[agent.Reason]bool{}
	}
	if p := status.Repository.LastProblem; p != nil {
		s.reasons[p.Reason] = true
	}
	c := status.Components[0]
	if c.Problem != nil {
		s.reasons[c.Problem.Reason] = true
	}
	return c.Phase == agent.Idle && c.Release == nil && c.Running.SHA256 == s.want.sha256 &&
		c.Running.Length > 0 && c.Booted == c.Primary
}

// poke asks the agent for a refresh as soon as it answers, rather than wait for its schedule.
func (s *story) poke(ctx context.Context) {
	client := local.NewClient(s.board.socket())
	for ctx.Err() == nil {
		if _, err := client.Check(ctx); err == nil {
			return
		}
		time.Sleep(lookEvery)
	}
}

// tail is the end of what the agents printed.
func (s *story) tail() string {
	lines := strings.Split(s.output, "\n")
	return strings.Join(lines[max(0, len(lines)-40):], "\n")
}
