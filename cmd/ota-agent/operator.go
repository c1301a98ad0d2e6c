package main

import (
	"errors"
	"fmt"

	"github.com/ota-agent/ota-agent/agent"
)

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
			return withReason(err)
		}
		return c.ui.print("%s", done)
	}
}

// withReason shows the reason code of a command that was refused.
func withReason(err error) error {
	if p, ok := errors.AsType[*agent.Problem](err); ok {
		return fmt.Errorf("%w (%s)", err, p.Reason)
	}
	return err
}
