package main

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/ota-agent/ota-agent/publish"
)

func (a *app) verifyCommand() *cobra.Command {
	var anchor, repository string
	var asJSON bool
	c := &cobra.Command{
		Use:   "verify",
		Short: "Read the repository as a device does, and check every image",
		Long: `Read the repository's files with the device's own verifier, from a trusted root.json through the whole client
workflow, then check each listed image by length and hash. It needs no key and changes nothing.`,
		Args: noArgs,
		RunE: func(*cobra.Command, []string) error {
			if repository == "" {
				repository = publish.RepositoryDir(a.dir)
			}
			if anchor == "" {
				anchor = filepath.Join(repository, "metadata", "1.root.json")
			}
			return a.verify(repository, anchor, asJSON)
		},
	}
	f := c.Flags()
	f.StringVar(&anchor, "root", "", "the root.json that devices carry (otherwise metadata/1.root.json of the repository)")
	f.StringVar(&repository, "repository", "", "directory that holds metadata/ and targets/ (otherwise DIR/repo)")
	f.BoolVar(&asJSON, "json", false, "print one JSON object")
	return c
}

// anchorBytesMax bounds the trust anchor that is read, in bytes.
const anchorBytesMax = 1 << 20

func (a *app) verify(repository, anchorPath string, asJSON bool) error {
	info, err := os.Stat(anchorPath)
	if errors.Is(err, fs.ErrNotExist) {
		return usagef("trust anchor: %w; give the devices' root.json with --root", err)
	}
	if err != nil {
		return err
	}
	if info.Size() > anchorBytesMax {
		return usagef("trust anchor: %s has %d bytes, expected at most %d", anchorPath, info.Size(), anchorBytesMax)
	}
	anchor, err := os.ReadFile(anchorPath)
	if err != nil {
		return err
	}
	report, err := publish.Verify(repository, anchor, a.now())
	if err != nil {
		return err
	}
	if asJSON {
		return a.printJSON(report)
	}
	v := report.Versions
	a.say("%s verifies: root %d, timestamp %d, snapshot %d, targets %d; %d images, %d bytes",
		repository, v["root"], v["timestamp"], v["snapshot"], v["targets"], report.Images, report.Bytes)
	return nil
}
