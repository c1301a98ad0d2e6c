package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/ota-agent/ota-agent/publish"
	"github.com/ota-agent/ota-agent/release"
	"github.com/ota-agent/ota-agent/verifier"
)

func (a *app) floorsCommand() *cobra.Command {
	var at repositoryFlags
	var components []string
	c := &cobra.Command{
		Use:   "floors",
		Short: "Print the floors that an image may ship, so that its devices accept nothing older",
		Long: `Print, as JSON, the versions below which a device whose image ships this file accepts nothing: of the timestamp, of the
snapshot and, with --component, the rollback_index of a component's release. They matter to a device that has no state of
its own, since it is new, or was wiped. It needs no key and changes nothing.

  ota-repo floors --component rootfs=board/stable/rootfs.img > floors.json

The image must ship the root.json that is named, since the floors hang on it; in the device's config, floors names the file.`,
		Args: noArgs,
		RunE: func(*cobra.Command, []string) error { return a.floors(at, components) },
	}
	at.add(c)
	c.Flags().StringArrayVar(&components, "component", nil, "NAME=TARGET-PATH: this component's floor is that release's rollback_index (repeatable)")
	return c
}

func (a *app) floors(at repositoryFlags, components []string) error {
	paths := map[string]string{}
	for _, text := range components {
		name, path, ok := strings.Cut(text, "=")
		if _, again := paths[name]; !ok || again || !release.ValidName(name) {
			return usagef("--component %q: expected NAME=TARGET-PATH, each name once, as in rootfs=board/stable/rootfs.img", text)
		}
		paths[name] = path
	}
	repository, anchor, err := at.read(a.dir)
	if err != nil {
		return err
	}
	floors, err := publish.Floors(repository, anchor, a.now(), paths)
	if err != nil {
		return err
	}
	fmt.Fprintf(a.err, "ship it with metadata/%d.root.json as the image's root.json: other anchors are refused beside it\n", floors.RootVersion)
	_, err = a.out.Write(verifier.FormatFloors(floors))
	return err
}
