package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/ota-agent/ota-agent/publish"
)

func (a *app) snapshotCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "snapshot",
		Short: "Publish what is staged, and sign a new snapshot over it",
		Args:  noArgs,
		RunE: func(*cobra.Command, []string) error {
			return a.use(func(r *publish.Repo) error {
				uploads, err := r.Snapshot(a.now())
				if err != nil {
					return err
				}
				a.uploads(uploads)
				a.say("next: ota-repo timestamp (devices see nothing of it before)")
				return nil
			})
		},
	}
}

func (a *app) timestampCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "timestamp",
		Short: "Sign a new timestamp over the newest snapshot: the one file by which devices learn of anything new",
		Args:  noArgs,
		RunE: func(*cobra.Command, []string) error {
			return a.use(func(r *publish.Repo) error {
				uploads, err := r.Timestamp(a.now())
				if err != nil {
					return err
				}
				a.uploads(uploads)
				return nil
			})
		},
	}
}

func (a *app) signCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "sign root|targets",
		Short: "Add a signature by each key at hand to what is staged, or to a renewal of what is published",
		Long: `Add a signature by each key at hand to the staged root or targets. Where nothing is staged, a renewal of what is
published is staged first. Where several people must sign, the publisher's directory (without keys/) goes from one to
the next, or only its file staged/ROLE.json.`,
		Args: args("ROLE"),
		RunE: func(_ *cobra.Command, args []string) error {
			if args[0] != "root" && args[0] != "targets" {
				return usagef("sign %q: expected root or targets; snapshot and timestamp have commands of their own", args[0])
			}
			return a.use(func(r *publish.Repo) error {
				p, err := r.Sign(args[0], a.now())
				if err != nil {
					return err
				}
				a.say("%s", progress(p))
				if p.Complete {
					a.say("next: ota-repo snapshot; ota-repo timestamp")
				} else {
					a.say("next: ota-repo sign %s, where one of the missing keys is", args[0])
				}
				return nil
			})
		},
	}
}

// progress says how far the signing of a staged document is.
func progress(p publish.Progress) string {
	state := "not signed by enough keys yet"
	if p.Complete {
		state = "signed"
	}
	return fmt.Sprintf("staged %s %d: %s; signed by %v, could still sign %v",
		p.Role, p.Version, state, short(p.Signed), short(p.Missing))
}

// short cuts key IDs to what a person compares.
func short(ids []string) []string {
	cut := make([]string, len(ids))
	for i, id := range ids {
		cut[i] = id[:min(len(id), 12)]
	}
	return cut
}

func (a *app) rotateCommand() *cobra.Command {
	var add []string
	c := &cobra.Command{
		Use:   "rotate ROLE",
		Short: "Stage a root in which other keys sign for a top-level role",
		Long: `Stage a root in which other keys sign for a top-level role. Without a gap for any device:

  ota-repo key new targets-2
  ota-repo rotate targets --add keys/targets-2.key
  ota-repo sign root; ota-repo sign targets; ota-repo snapshot; ota-repo timestamp
  ota-repo rotate targets --remove OLD-KEY-ID
  ota-repo sign root; ota-repo snapshot; ota-repo timestamp`,
		Args: args("ROLE"),
	}
	var rotation publish.Rotation
	c.RunE = func(_ *cobra.Command, args []string) error {
		rotation.Role = args[0]
		for _, path := range add {
			k, err := publish.ReadPublicKey(path)
			if err != nil {
				return err
			}
			rotation.Add = append(rotation.Add, k)
		}
		if len(add) == 0 && len(rotation.Remove) == 0 && rotation.Threshold == 0 {
			return usagef("rotate %s: expected at least one of --add, --remove, --threshold", args[0])
		}
		return a.use(func(r *publish.Repo) error {
			if err := r.Rotate(rotation); err != nil {
				return err
			}
			a.say("staged a root with other keys for %s", rotation.Role)
			a.say("next: ota-repo sign root")
			return nil
		})
	}
	f := c.Flags()
	f.StringArrayVar(&add, "add", nil, "key file, or public key as \"key public\" prints it (repeatable)")
	f.StringArrayVar(&rotation.Remove, "remove", nil, "ID of a key, or its first digits (repeatable)")
	f.IntVar(&rotation.Threshold, "threshold", 0, "how many keys must sign (otherwise as before)")
	f.BoolVar(&rotation.AtOnce, "at-once", false, "a key was stolen or lost: accept that devices see an error until all files are uploaded")
	return c
}
