package main

import (
	"fmt"
	"runtime/debug"
	"time"

	"github.com/spf13/cobra"

	"github.com/ota-agent/ota-agent/publish"
)

func (a *app) statusCommand() *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:   "status",
		Short: "Say what expires when, what is staged, and who must sign",
		Args:  noArgs,
		RunE: func(*cobra.Command, []string) error {
			return a.use(func(r *publish.Repo) error {
				now := a.now()
				s, err := r.Status(now)
				if err != nil {
					return err
				}
				if asJSON {
					return a.printJSON(s)
				}
				a.printStatus(s, now)
				return nil
			})
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print one JSON object")
	return c
}

func (a *app) printStatus(s publish.Status, now time.Time) {
	a.say("%s: %d target paths", s.Dir, s.Targets)
	for _, r := range s.Roles {
		left := "expires in " + days(r.Expires.Sub(now))
		if r.Expired {
			left = "EXPIRED"
		}
		a.say("  %-9s version %d, %s (%s), %d of %d keys must sign",
			r.Role, r.Version, left, r.Expires.Format(time.RFC3339), r.Threshold, len(r.Keys))
		for _, k := range r.Keys {
			where := "not here"
			if k.Here {
				where = k.File
			}
			a.say("    key %.12s  %s", k.ID, where)
		}
	}
	for _, p := range s.Staged {
		a.say("%s", progress(p))
	}
	switch {
	case len(s.Staged) > 0:
		a.say("next: ota-repo snapshot; ota-repo timestamp")
	case s.Behind:
		a.say("the newest snapshot is not in the timestamp yet; next: ota-repo timestamp")
	}
}

// days is a duration in the unit that people plan in.
func days(d time.Duration) string {
	if d < 48*time.Hour {
		return d.Truncate(time.Minute).String()
	}
	return fmt.Sprintf("%d days", d/(24*time.Hour))
}

func (a *app) versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the program's version",
		Args:  noArgs,
		RunE: func(*cobra.Command, []string) error {
			version := "unknown"
			if info, ok := debug.ReadBuildInfo(); ok {
				version = info.Main.Version
			}
			a.say("ota-repo %s", version)
			return nil
		},
	}
}
