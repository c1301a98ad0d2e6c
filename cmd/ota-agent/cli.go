package main

import (
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/ota-agent/ota-agent/agent/local"
)

// A cli is one run of the program.
type cli struct {
	ui     ui
	config string // path
	begun  bool   // the arguments were good: what fails from here on is no error of usage
}

// execute runs one command and returns the exit code.
func execute(args []string, u ui) int {
	c := &cli{ui: u}
	root := c.rootCommand()
	root.SetArgs(args)
	err := root.Execute()
	if err != nil && !c.begun {
		err = &failure{exitUsage, err, "ota-agent --help shows the commands and their flags"}
	}
	if err != nil {
		return u.fail(err)
	}
	return exitOK
}

func (c *cli) rootCommand() *cobra.Command {
	root := &cobra.Command{
		Use: "ota-agent", Short: "keeps this device up to date, with TUF always on",
		Args:              cobra.NoArgs,
		SilenceErrors:     true,
		SilenceUsage:      true,
		CompletionOptions: cobra.CompletionOptions{DisableDefaultCmd: true},
		PersistentPreRun:  func(*cobra.Command, []string) { c.begun = true },
		RunE: func(cmd *cobra.Command, _ []string) error {
			c.begun = false
			return errors.New("no command was given")
		},
	}
	root.SetOut(c.ui.out)
	root.SetErr(io.Discard) // ui.fail shows errors
	root.PersistentFlags().StringVarP(&c.config, "config", "c", defaultConfig, "config file")
	root.SetHelpCommand(&cobra.Command{Hidden: true, Use: "no-help", RunE: func(*cobra.Command, []string) error { return nil }})
	root.AddCommand(c.runCommand(), c.statusCommand(), c.checkCommand(), c.watchCommand(), c.configCommand(), c.versionCommand())
	root.AddCommand(c.operatorCommands()...)
	return root
}

// client reads the config for the socket's path, and checks no more than that needs.
func (c *cli) client() (*local.Client, settings, error) {
	s, err := loadSettings(c.config)
	if err != nil {
		return nil, s, err
	}
	return local.NewClient(s.socket), s, nil
}

func (c *cli) configCommand() *cobra.Command {
	parent := &cobra.Command{
		Use: "config", Short: "look at the config", Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			c.begun = false
			return errors.New("config needs a command: check")
		},
	}
	parent.AddCommand(&cobra.Command{
		Use: "check", Short: "check the config, the trust anchor and the hooks; change nothing", Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			s, err := loadSettings(c.config)
			if err != nil {
				return err
			}
			if _, err := preflight(s); err != nil {
				return err
			}
			return c.ui.print("%s is in order: %s", s.file, counted(len(s.agent.Components), "component"))
		},
	})
	return parent
}

func counted(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
