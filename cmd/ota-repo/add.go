package main

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/ota-agent/ota-agent/publish"
	"github.com/ota-agent/ota-agent/release"
)

// addFlags are what the command line says of a release.
type addFlags struct {
	info            release.Info
	index           int64
	rolloutStart    string
	rolloutDuration string
	requires        []string
	lowerIndex      bool
	newHardware     bool
}

func (a *app) addCommand() *cobra.Command {
	var f addFlags
	c := &cobra.Command{
		Use:   "add TARGET-PATH IMAGE",
		Short: "Copy an image into the repository and stage it as the release at a target path",
		Args:  args("TARGET-PATH", "IMAGE"),
		RunE: func(c *cobra.Command, args []string) error {
			info, err := f.release(c.Flags().Changed("rollback-index"), a.now())
			if err != nil {
				return usage(err)
			}
			return a.add(publish.Addition{
				Path: args[0], Info: info, LowerIndex: f.lowerIndex, NewHardware: f.newHardware,
			}, args[1])
		},
	}
	p := c.Flags()
	p.StringVar(&f.info.Version, "version", "", "version for people: 1 to 64 printable characters")
	p.Int64Var(&f.index, "rollback-index", 0, "devices never go below the highest one they have confirmed")
	p.StringSliceVar(&f.info.Hardware, "hardware", nil, "hardware names that may install it (otherwise any)")
	p.StringVar(&f.rolloutStart, "rollout-start", "", "YYYY-MM-DDTHH:MM:SSZ when the first devices join (otherwise now, with --rollout-duration)")
	p.StringVar(&f.rolloutDuration, "rollout-duration", "", "time over which devices join: 3d; not shorter than timestamps are good for")
	p.BoolVar(&f.info.Urgent, "urgent", false, "skip the maintenance window where the device's config allows it")
	p.StringSliceVar(&f.requires, "requires", nil, "COMPONENT=INDEX that must be confirmed first")
	p.StringVar(&f.info.Notes, "notes", "", "notes for people, at most 4096 bytes")
	p.BoolVar(&f.lowerIndex, "lower-index", false, "admit a rollback index below an earlier release's; devices that run that one refuse this one")
	p.BoolVar(&f.newHardware, "new-hardware", false, "admit hardware names that init did not list, and list them from now on")
	return c
}

// release puts the flags together.
func (f addFlags) release(hasIndex bool, now time.Time) (release.Info, error) {
	info := f.info
	if hasIndex {
		info.RollbackIndex = &f.index
	}
	for _, text := range f.requires {
		component, index, _ := strings.Cut(text, "=")
		n, err := strconv.ParseInt(index, 10, 64)
		if err != nil {
			return info, fmt.Errorf("--requires %q: expected COMPONENT=INDEX", text)
		}
		info.Requires = append(info.Requires, release.Requirement{Component: component, RollbackIndex: n})
	}
	if f.rolloutDuration == "" {
		if f.rolloutStart != "" {
			return info, errors.New("--rollout-start needs --rollout-duration")
		}
		return info, nil
	}
	duration, err := parseDuration(f.rolloutDuration)
	if err != nil {
		return info, fmt.Errorf("--rollout-duration %q: expected a duration such as 6h or 3d", f.rolloutDuration)
	}
	info.Rollout = &release.Rollout{Start: now.UTC().Truncate(time.Second), Duration: duration}
	if f.rolloutStart != "" {
		if info.Rollout.Start, err = time.Parse("2006-01-02T15:04:05Z", f.rolloutStart); err != nil {
			return info, fmt.Errorf("--rollout-start %q: expected YYYY-MM-DDTHH:MM:SSZ", f.rolloutStart)
		}
	}
	return info, nil
}

func (a *app) add(addition publish.Addition, file string) error {
	return a.use(func(r *publish.Repo) (err error) {
		f, err := os.Open(file)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, f.Close()) }()
		addition.Image = f
		i, err := r.Add(addition)
		if err != nil {
			return err
		}
		a.say("staged %s: %d bytes, sha256 %s", i.Path, i.Length, i.SHA256)
		a.say("next: ota-repo snapshot; ota-repo timestamp")
		return nil
	})
}

func (a *app) removeCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "remove TARGET-PATH",
		Short: "Stage the removal of a target path; devices then keep what they run",
		Args:  args("TARGET-PATH"),
		RunE: func(_ *cobra.Command, args []string) error {
			return a.use(func(r *publish.Repo) error {
				if err := r.Remove(args[0]); err != nil {
					return err
				}
				a.say("staged the removal of %s; its image stays, devices may be fetching it", args[0])
				a.say("next: ota-repo snapshot; ota-repo timestamp")
				return nil
			})
		},
	}
}
