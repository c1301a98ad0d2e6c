package main

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/ota-agent/ota-agent/agent"
)

// setBandwidth changes the cap of the running agent, and says what it is now.
func (c *cli) setBandwidth(args []string) error {
	rate, err := parseBandwidth(args[0])
	if err != nil {
		return usageError(err)
	}
	client, _, err := c.client()
	if err != nil {
		return err
	}
	ctx, stop := interruptible()
	defer stop()
	s, err := client.Command(ctx, agent.Command{Name: "bandwidth", Bandwidth: rate})
	if err != nil {
		return err
	}
	if s.Repository.Bandwidth == 0 {
		return c.ui.print("downloads are not held back")
	}
	return c.ui.print("downloads take at most %d bytes per second", s.Repository.Bandwidth)
}

// parseBandwidth reads bytes per second: 0 for "unlimited", nil for "default". k and M are decimal, as links are sold.
func parseBandwidth(text string) (*int64, error) {
	switch text {
	case "default":
		return nil, nil
	case "unlimited":
		return new(int64), nil
	}
	digits, unit := text, int64(1)
	if rest, ok := strings.CutSuffix(text, "k"); ok {
		digits, unit = rest, 1_000
	} else if rest, ok := strings.CutSuffix(text, "M"); ok {
		digits, unit = rest, 1_000_000
	}
	n, err := strconv.ParseInt(digits, 10, 64)
	if err != nil || n < 1 || n > math.MaxInt64/unit {
		return nil, fmt.Errorf("want bytes per second such as 200k or 1M, or unlimited, or default; got %q", plain(text))
	}
	n *= unit
	return &n, nil
}
