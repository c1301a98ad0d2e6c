package main

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/ota-agent/ota-agent/publish"
)

func (a *app) initCommand() *cobra.Command {
	var roles, expiry, hardware []string
	var logN int
	c := &cobra.Command{
		Use:   "init",
		Short: "Make a new repository: keys, and signed, empty metadata",
		Args:  noArgs,
		RunE: func(*cobra.Command, []string) error {
			o := publish.Options{Now: a.now(), Passphrase: a.newPassphrase, Hardware: hardware, KDF: kdf(logN)}
			var err error
			if o.Roles, err = parseRoles(roles); err != nil {
				return usage(err)
			}
			if o.Expiry, err = parseExpiry(expiry); err != nil {
				return usage(err)
			}
			return a.init(o)
		},
	}
	f := c.Flags()
	f.StringArrayVar(&roles, "role", nil, "ROLE=KEYS/THRESHOLD, for instance root=3/2 (repeatable; otherwise 1/1)")
	f.StringArrayVar(&expiry, "expiry", nil,
		"ROLE=DURATION, for instance timestamp=12h or root=730d (repeatable; otherwise root 365d, targets 90d, snapshot 7d, timestamp 1d)")
	f.StringSliceVar(&hardware, "hardware", nil, "the hardware names that releases may be for (otherwise any)")
	scryptFlag(c, &logN)
	return c
}

func (a *app) init(o publish.Options) error {
	uploads, err := publish.Init(a.dir, o)
	if err != nil {
		return err
	}
	a.say("made a repository in %s", a.dir)
	a.uploads(uploads)
	a.say("ship %s/1.root.json with the devices, as their root.json", publish.MetadataDir(a.dir))
	a.say("keep the root keys in %s/keys offline, and a copy of every key file", a.dir)
	a.say("next: ota-repo add TARGET-PATH IMAGE --version 1.0 --rollback-index 1")
	return nil
}

func parseRoles(texts []string) (map[string]publish.RoleOptions, error) {
	roles := map[string]publish.RoleOptions{}
	for _, text := range texts {
		role, numbers, _ := strings.Cut(text, "=")
		keys, threshold, ok := strings.Cut(numbers, "/")
		n, errKeys := strconv.Atoi(keys)
		t, errThreshold := strconv.Atoi(threshold)
		if !ok || errKeys != nil || errThreshold != nil || n < 1 || t < 1 {
			return nil, fmt.Errorf("--role %q: expected ROLE=KEYS/THRESHOLD, for instance root=3/2", text)
		}
		roles[role] = publish.RoleOptions{Keys: n, Threshold: t}
	}
	return roles, nil
}

func parseExpiry(texts []string) (publish.Expiry, error) {
	var e publish.Expiry
	fields := map[string]*time.Duration{
		"root": &e.Root, "targets": &e.Targets, "snapshot": &e.Snapshot, "timestamp": &e.Timestamp,
	}
	for _, text := range texts {
		role, length, _ := strings.Cut(text, "=")
		field, ok := fields[role]
		if !ok {
			return e, fmt.Errorf("--expiry %q: expected root, targets, snapshot or timestamp before the =", text)
		}
		d, err := parseDuration(length)
		if err != nil || d <= 0 {
			return e, fmt.Errorf("--expiry %q: expected a duration such as 12h or 90d", text)
		}
		*field = d
	}
	return e, nil
}

// parseDuration reads Go's durations, and whole days: "90d".
func parseDuration(text string) (time.Duration, error) {
	days, ok := strings.CutSuffix(text, "d")
	if !ok {
		return time.ParseDuration(text)
	}
	const daysMax = 100 * 366
	n, err := strconv.ParseUint(days, 10, 32)
	if err != nil || n > daysMax {
		return 0, fmt.Errorf("%q: expected at most %d days", text, daysMax)
	}
	return time.Duration(n) * 24 * time.Hour, nil
}
