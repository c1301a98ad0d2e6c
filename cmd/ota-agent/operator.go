package main

import (
	"github.com/spf13/cobra"

	"github.com/ota-agent/ota-agent/agent"
)

// operatorCommands are what an operator may ask of the running agent.
func (c *cli) operatorCommands() []*cobra.Command {
	retry := c.operatorCommand("retry [COMPONENT]", "try rejected and held releases once more, and end all waits", "asked to try again")
	retry.Args = cobra.MaximumNArgs(1)
	return []*cobra.Command{
		c.operatorCommand("pause", "start no download and no installation until resume", "paused"),
		c.operatorCommand("resume", "end a pause", "resumed"),
		retry,
	}
}

func (c *cli) operatorCommand(use, short, done string) *cobra.Command {
	return &cobra.Command{
		Use: use, Short: short, Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			client, _, err := c.client()
			if err != nil {
				return err
			}
			ctx, stop := interruptible()
			defer stop()
			command := agent.Command{Name: cmd.Name()}
			if len(args) > 0 {
				command.Component = args[0]
			}
			if _, err := client.Command(ctx, command); err != nil {
				return err
			}
			return c.ui.print("%s", done)
		},
	}
}
