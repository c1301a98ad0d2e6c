package sim

import (
	"context"

	"github.com/ota-agent/ota-agent/agent"
	"github.com/ota-agent/ota-agent/verifier"
)

// A crooked hook changes what the hooks say and do. A story makes one for each life, so it keeps no count of its own.
type crooked struct {
	agent.Installer
	status func(agent.Job, agent.Slots, error) (agent.Slots, error)
	do     func(agent.Verb, agent.Job) (bool, error) // true: instead of the hook
}

// verbInstall stands for Install, which is no verb of Do.
const verbInstall agent.Verb = "install"

func (c crooked) Status(ctx context.Context, j agent.Job) (agent.Slots, error) {
	s, err := c.Installer.Status(ctx, j)
	if c.status != nil {
		return c.status(j, s, err)
	}
	return s, err
}

func (c crooked) Install(ctx context.Context, j agent.Job, v verifier.Verified, i agent.Image) error {
	if c.do != nil {
		if instead, err := c.do(verbInstall, j); instead {
			return err
		}
	}
	return c.Installer.Install(ctx, j, v, i)
}

func (c crooked) Do(ctx context.Context, verb agent.Verb, j agent.Job) error {
	if c.do != nil {
		if instead, err := c.do(verb, j); instead {
			return err
		}
	}
	return c.Installer.Do(ctx, verb, j)
}
