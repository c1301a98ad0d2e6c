package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"
)

// demoOptions are the flags of "ota-sim demo".
type demoOptions struct {
	Agent string // path of the ota-agent binary; empty: built from this source tree
	Self  string // path of this program, for the board's button; empty: what is running
	Dir   string // where to work; empty: a temporary directory
	Keep  bool
	Seed  uint64
}

func demoCommand() *cobra.Command {
	var o demoOptions
	c := &cobra.Command{
		Use:   "demo",
		Short: "Tell the story of a device that updates itself, and check every step of it",
		Long: `Tell the story of a device that updates itself, and check every step of it.

Run it inside the source tree: it builds the demo's application, and the agent unless --agent names one.
The exit status is 0 only if everything was seen as expected.`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if !c.Flags().Changed("seed") {
				o.Seed = uint64(time.Now().UnixNano())
			}
			ctx, stop := context.WithCancel(c.Context())
			defer stop()
			return demo(ctx, o, newShow(os.Stdout, stop))
		},
	}
	c.Flags().StringVar(&o.Agent, "agent", "", "the ota-agent binary to show (default: build it)")
	c.Flags().StringVar(&o.Dir, "dir", "", "a directory to work in, which must not exist yet (default: a temporary one)")
	c.Flags().BoolVar(&o.Keep, "keep", false, "keep the directory with flash, logs and repository")
	c.Flags().Uint64Var(&o.Seed, "seed", 0, "what the images' random bytes are made from (default: the time)")
	return c
}

var errNotSeen = errors.New("not everything was seen as expected")

// demo builds what it needs, tells the story, and clears up.
func demo(ctx context.Context, o demoOptions, show *show) (err error) {
	dir, err := workDir(o.Dir)
	if err != nil {
		return err
	}
	show.title("ota-agent: a device updates itself")
	show.say("demo", "seed %d, everything in %s", o.Seed, dir)
	defer func() {
		if err == nil && !o.Keep {
			err = os.RemoveAll(dir)
			return
		}
		show.say("demo", "kept: %s (flash/ is the board's, agent.log the agent's, publisher/ the repository)", dir)
	}()
	b, err := build(ctx, dir, o)
	if err != nil {
		return err
	}
	began := time.Now()
	ctx, cancel := context.WithTimeoutCause(ctx, storyTime, fmt.Errorf("the story took longer than %s", storyTime))
	defer cancel()
	s := &story{show: show, checks: &checks{show: show}}
	err = errors.Join(s.play(ctx, dir, b, o.Seed), s.close())
	return s.sum(err, time.Since(began))
}

// play opens the parts and tells the story.
func (s *story) play(ctx context.Context, dir string, b binaries, seed uint64) error {
	if err := s.open(ctx, dir, b, seed); err != nil {
		return err
	}
	return s.tell(ctx)
}

// sum ends the demo: the table, and why the story broke off, if it did.
func (s *story) sum(err error, took time.Duration) error {
	if err == nil {
		s.checks.begin(wholeStory)
		s.seeWhole()
	}
	s.show.progressEnds(false)
	if list := s.checks.all(); len(list) > 0 {
		s.show.title("Expected and seen")
		s.show.table(list)
	}
	if err != nil {
		s.showTail()
		return err
	}
	n, failed := len(s.checks.all()), s.checks.failed()
	s.show.title(fmt.Sprintf("%d of %d as expected, in %.0f s", n-failed, n, took.Seconds()))
	if failed > 0 {
		return fmt.Errorf("%d of %d: %w", failed, n, errNotSeen)
	}
	return nil
}

// seeWhole checks what must hold for the story as a whole.
func (s *story) seeWhole() {
	crashes, failure := s.board.trouble()
	same(s.checks, "ends of the agent that nobody asked for", 0, crashes)
	same(s.checks, "the board still boots", "yes", yesOr(failure))
}

func yesOr(err error) string {
	if err != nil {
		return err.Error()
	}
	return "yes"
}

// showTail prints the end of the agent's log, for whoever has to find out what went wrong.
func (s *story) showTail() {
	if s.board == nil {
		return
	}
	lines := s.board.log.lines()
	if len(lines) == 0 {
		return
	}
	s.show.title("The end of the agent's log")
	for _, line := range lines {
		s.show.agentLine(logLine(line))
	}
	s.show.print("")
}

func workDir(dir string) (string, error) {
	if dir == "" {
		return os.MkdirTemp("", "ota-demo-")
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return "", err
	}
	return dir, os.Mkdir(dir, 0o755)
}
