package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/ota-agent/ota-agent/agent"
	"github.com/ota-agent/ota-agent/agent/local"
	"github.com/ota-agent/ota-agent/storage"
)

// A command is a word of the command line. A framework is not worth half a megabyte of the agent's binary.
type command struct {
	name, args, short string
	argsMin, argsMax  int
	flags             func(*flag.FlagSet) // nil: only the common ones
	hidden            bool                // no person needs it
	run               func(args []string) error
}

// A cli is one run of the program.
type cli struct {
	ui     ui
	config string // path
	atEnd  func() // called when all is said
	// startMax is how long a command waits for an agent that is starting.
	startMax time.Duration
	// Flags of single commands.
	verbose, asJSON, wait bool
	target                string
}

// execute runs one command and returns the exit code.
func execute(args []string, u ui) int {
	c := &cli{ui: u, config: defaultConfig, atEnd: func() {}, startMax: startMax}
	defer func() { c.atEnd() }()
	if err := c.execute(args); err != nil {
		return c.ui.fail(err)
	}
	return exitOK
}

func (c *cli) commands() []command {
	return []command{
		{name: "run", short: "run the agent, in the foreground", run: c.run, flags: func(f *flag.FlagSet) {
			f.BoolVar(&c.verbose, "verbose", false, "log each hook run and refused detail")
		}},
		{name: "status", short: "show what this device runs and what the agent is doing", run: c.showStatus, flags: func(f *flag.FlagSet) {
			f.BoolVar(&c.asJSON, "json", false, "print the status document as JSON")
		}},
		{name: "history", short: "show what happened on this device, oldest first", run: c.showHistory, flags: func(f *flag.FlagSet) {
			f.BoolVar(&c.asJSON, "json", false, "print the events as JSON")
		}},
		{name: "check", short: "ask the repository now, and say what came of it", run: c.check, flags: func(f *flag.FlagSet) {
			f.BoolVar(&c.wait, "wait", false, "go on until no component has anything left to do, and show what happens")
		}},
		{name: "watch", short: "show what the agent does, until interrupted", run: c.watch},
		{name: "explain", args: " [COMPONENT]", short: "show each gate, what is waited for, and what would change it", argsMax: 1, run: c.explain},
		{name: "pause", short: "start no download and no installation until resume", run: c.operate("pause", "paused")},
		{name: "resume", short: "end a pause", run: c.operate("resume", "resumed")},
		{name: "bandwidth", args: " RATE", short: "cap downloads at RATE (200k, 1M; bytes/s), unlimited or default, until the next start", argsMin: 1, argsMax: 1,
			run: c.setBandwidth},
		{name: "retry", args: " [COMPONENT]", short: "try rejected and held releases once more, and end all waits", argsMax: 1,
			run: c.operate("retry", "asked to try again")},
		{name: "verify", args: " FILE...", short: "check files against the metadata that this device trusts", argsMin: 1, argsMax: filesMax,
			run: c.verify, flags: func(f *flag.FlagSet) {
				f.StringVar(&c.target, "target", "", "target `path` that they must be; without it, that of any component")
			}},
		{name: "export", args: " DIR", short: "write the metadata that this device trusts to an empty directory", argsMin: 1, argsMax: 1, run: c.export},
		{name: "rollback", args: " [COMPONENT]", short: "leave what runs for the release before, which the other slot holds", argsMax: 1,
			run: c.operate("rollback", "asked to roll back; ota-agent watch shows how it goes")},
		{name: "cancel", args: " [COMPONENT]", short: "end an update that is under way, a hung hook too, and put its release aside", argsMax: 1,
			run: c.operate("cancel", "cancelled; ota-agent watch shows how it goes, ota-agent retry takes it up again")},
		{name: "config check", short: "check the config, the trust anchor and the hooks; change nothing", run: c.checkConfig},
		{name: aideCommand, short: "look at media for the agent that started this", run: c.serveMedia, hidden: true},
		{name: "version", short: "show the agent's version", run: c.showVersion},
	}
}

func (c *cli) execute(args []string) error {
	flags := flag.NewFlagSet("ota-agent", flag.ContinueOnError)
	flags.SetOutput(io.Discard) // ui.fail shows errors
	c.common(flags)
	if err := flags.Parse(args); err != nil {
		return c.usage(err, "", flags)
	}
	name, rest := strings.Join(flags.Args()[:min(1, flags.NArg())], ""), flags.Args()[min(1, flags.NArg()):]
	if name == "config" && len(rest) > 0 {
		name, rest = name+" "+rest[0], rest[1:]
	}
	switch name {
	case "":
		return usageError(errors.New("no command was given"))
	case "help":
		return c.help(flags)
	}
	var known []string
	for _, cmd := range c.commands() {
		if cmd.name == name {
			return c.begin(cmd, rest)
		}
		if !cmd.hidden {
			known = append(known, cmd.name)
		}
	}
	unknown := fmt.Errorf("unknown command %q", plain(name))
	if near := nearest(name, known); near != "" {
		return &failure{exitUsage, unknown, fmt.Sprintf("did you mean ota-agent %s?", near)}
	}
	return usageError(unknown)
}

func (c *cli) common(flags *flag.FlagSet) {
	flags.StringVar(&c.config, "config", c.config, "config `file`")
	flags.StringVar(&c.config, "c", c.config, "short for config")
}

// begin runs a command. Its flags and arguments may come in any order.
func (c *cli) begin(cmd command, words []string) error {
	flags := flag.NewFlagSet(cmd.name, flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	c.common(flags)
	if cmd.flags != nil {
		cmd.flags(flags)
	}
	var args []string
	for len(words) > 0 {
		if err := flags.Parse(words); err != nil {
			return c.usage(err, " "+cmd.name+cmd.args, flags)
		}
		if words = flags.Args(); len(words) > 0 {
			args, words = append(args, words[0]), words[1:]
		}
	}
	if len(args) > cmd.argsMax {
		return usageError(fmt.Errorf("%s does not take %q", cmd.name, plain(args[cmd.argsMax])))
	}
	if len(args) < cmd.argsMin {
		return usageError(fmt.Errorf("%s wants%s", cmd.name, cmd.args))
	}
	return cmd.run(args)
}

func usageError(err error) error {
	return &failure{exitUsage, err, "ota-agent --help shows the commands and their flags"}
}

// usage makes an error of usage of what flags could not make sense of; a request for help is none.
func (c *cli) usage(err error, words string, flags *flag.FlagSet) error {
	if !errors.Is(err, flag.ErrHelp) {
		return usageError(err)
	}
	if words == "" {
		return c.help(flags)
	}
	return c.ui.print("usage: ota-agent%s [FLAGS]\n\n%s", words, flagWords(flags))
}

// help shows all commands.
func (c *cli) help(flags *flag.FlagSet) error {
	var b strings.Builder
	b.WriteString("ota-agent keeps this device up to date, with TUF always on.\n\nusage: ota-agent COMMAND [FLAGS]\n\n")
	for _, cmd := range c.commands() {
		if cmd.hidden {
			continue
		}
		fmt.Fprintf(&b, "  %-18s %s\n", cmd.name+cmd.args, cmd.short)
	}
	return c.ui.print("%s\n%s", b.String(), flagWords(flags))
}

func flagWords(flags *flag.FlagSet) string {
	var all []string
	flags.VisitAll(func(f *flag.Flag) {
		value, usage := flag.UnquoteUsage(f)
		if len(f.Name) > 1 {
			all = append(all, fmt.Sprintf("  --%-16s %s", f.Name+" "+value, usage))
		}
	})
	return strings.Join(all, "\n")
}

// client reads the config, which names the socket, and waits for an agent that is starting.
func (c *cli) client() (*local.Client, settings, error) {
	s, err := loadSettings(c.config)
	if err != nil {
		return nil, s, err
	}
	if err := c.awaitStart(s); err != nil {
		return nil, s, err
	}
	return local.NewClient(s.socket), s, nil
}

const (
	// startMax is how long a start may take before a command says that it does: a large database is read, and
	// written once more, on slow flash. An end takes as long as a hook's grace.
	startMax = 30 * time.Second
	// startPoll is the pause between two looks, and startNote is when a person is told what is waited for.
	startPoll = 50 * time.Millisecond
	startNote = 2 * time.Second
)

// awaitStart waits while an agent has its store open and does not answer on its socket: it is starting, or
// ending. Where none has, there is nothing to wait for.
func (c *cli) awaitStart(s settings) error {
	ctx, stop := interruptible()
	defer stop()
	begun, told := time.Now(), false
	for storage.Locked(s.state) && errors.Is(local.Listens(ctx, s.socket), local.ErrNotRunning) {
		waited := time.Since(begun)
		switch {
		case waited > c.startMax:
			return &failure{exitLocked, fmt.Errorf("an agent has %s open and has not answered on %s for %s: it is still starting, or ending, or it hangs",
				s.state, s.socket, durationWords(agent.SecondsOf(c.startMax))),
				"ask again; if that does not help, see what it does: systemctl status ota-agent"}
		case waited > startNote && !told:
			c.ui.note("the agent is starting, or ending; waiting for it")
			told = true
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(startPoll):
		}
	}
	return nil
}

func counted(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
