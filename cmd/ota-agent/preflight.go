package main

import (
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/ota-agent/ota-agent/agent/fetch"
	"github.com/ota-agent/ota-agent/agent/files"
	"github.com/ota-agent/ota-agent/install"
	"github.com/ota-agent/ota-agent/verifier"
)

// preflight finds what would stop the agent later, and at the worst moment: a bad trust anchor, a hook that
// can't run, a CA file that can't be read, a file that others may change, a partition that is not mounted. It
// puts what the image ships into s, and changes nothing else.
func preflight(s *settings) (err error) {
	if err := preflightOwners(*s); err != nil {
		return err
	}
	if err := preflightState(*s); err != nil {
		return err
	}
	if s.agent.Anchor, err = readAnchor(*s); err != nil {
		return err
	}
	if s.agent.Minimum, err = readMinimum(*s); err != nil {
		return err
	}
	return preflightHooks(*s)
}

func preflightHooks(s settings) error {
	for i, c := range s.agent.Components {
		if err := install.Check(c.Hook); err != nil {
			return s.wrong(exitHook, componentKey(i, "hook"), err, "")
		}
		if dir := s.hooks[c.Name].ChecksDir; dir != "" {
			if err := install.CheckDir(dir); err != nil {
				return s.wrong(exitHook, componentKey(i, "health.checks"), err, "")
			}
		}
		if c.Reboot && filepath.IsAbs(s.reboot[0]) {
			if err := install.Check(s.reboot[0]); err != nil {
				return s.wrong(exitHook, "reboot.command", fmt.Errorf("reboot command: %w", err), "")
			}
		}
	}
	if hook := s.agent.Gates.Hook; hook != "" {
		if err := install.Check(hook); err != nil {
			return s.wrong(exitHook, "gates.hook", err, "")
		}
	}
	probe := s.fetch
	probe.Now = time.Now // nothing is fetched
	if r, err := fetch.New(probe); err != nil {
		return s.wrong(exitConfig, "repository", err, "")
	} else if err := r.Close(); err != nil {
		return err
	}
	return nil
}

// readMinimum reads the floors beside the anchor, if there are any, and checks that they were made for it.
func readMinimum(s settings) (verifier.Floors, error) {
	if s.floors == "" {
		return verifier.Floors{}, nil
	}
	text, err := files.Read(s.floors, verifier.FloorsBytesMax)
	if err != nil {
		return verifier.Floors{}, s.wrong(exitAnchor, "floors", fmt.Errorf("can't read the floors: %w", err),
			"the device's image must hold them where the config says; without that key there are none")
	}
	floors, err := verifier.ParseFloors(text)
	if err == nil {
		var r *verifier.Refresh
		if r, err = verifier.Begin(s.agent.Anchor, verifier.Floors{}, time.Time{}, s.agent.Limits); err == nil {
			err = r.Demand(floors)
		}
	}
	if err != nil {
		return verifier.Floors{}, s.wrong(exitAnchor, "floors", fmt.Errorf("the floors in %s are no good: %w", s.floors, err),
			"make them again with ota-repo floors, and put the root.json that it names beside them as the anchor")
	}
	return floors, nil
}

// readAnchor reads root.json and checks that it is signed by its own threshold.
func readAnchor(s settings) ([]byte, error) {
	const hint = "the device's image must hold the publisher's root.json, readable for the agent; anchor in the config names it"
	anchor, err := files.Read(s.anchor, verifier.DefaultLimits().RootBytes)
	if err != nil {
		return nil, s.wrong(exitAnchor, "anchor", fmt.Errorf("can't read the trust anchor: %w", err), hint)
	}
	if _, err := verifier.Begin(anchor, verifier.Floors{}, time.Time{}, s.agent.Limits); err != nil {
		why := err
		var refused *verifier.MetadataError
		if errors.As(err, &refused) {
			why = refused
		}
		return nil, s.wrong(exitAnchor, "anchor", fmt.Errorf("the trust anchor %s is no good: %w", s.anchor, why),
			"put the publisher's root.json there again: it is damaged or not a TUF root")
	}
	return anchor, nil
}
