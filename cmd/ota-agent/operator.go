package main

import "github.com/ota-agent/ota-agent/agent"

// operate passes a command of the operator on to the running agent, and says that it is done.
func (c *cli) operate(name, done string) func(args []string) error {
	return func(args []string) error {
		client, _, err := c.client()
		if err != nil {
			return err
		}
		ctx, stop := interruptible()
		defer stop()
		command := agent.Command{Name: name}
		if len(args) > 0 {
			command.Component = args[0]
		}
		if _, err := client.Command(ctx, command); err != nil {
			return err
		}
		return c.ui.print("%s", done)
	}
}
