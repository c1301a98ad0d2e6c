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
	var at repositoryFlags
	var asJSON bool
	c := &cobra.Command{
		Use:   "verify",
		Short: "Read the repository as a device does, and check every image",
		Long: `Read the repository's files with the device's own verifier, from a trusted root.json through the whole client
workflow, then check each listed image by length and hash. It needs no key and changes nothing.`,
		Args: noArgs,
		RunE: func(*cobra.Command, []string) error { return a.verify(at, asJSON) },
	}
	at.add(c)
	c.Flags().BoolVar(&asJSON, "json", false, "print one JSON object")
	return c
}

// anchorBytesMax bounds the trust anchor that is read, in bytes.
const anchorBytesMax = 1 << 20

// repositoryFlags name a repository that is read as a device reads it.
type repositoryFlags struct{ anchor, repository string }

func (r *repositoryFlags) add(c *cobra.Command) {
	f := c.Flags()
	f.StringVar(&r.anchor, "root", "", "the root.json that devices carry (otherwise metadata/1.root.json of the repository)")
	f.StringVar(&r.repository, "repository", "", "directory that holds metadata/ and targets/ (otherwise DIR/repo)")
}

// read returns the repository's directory and the anchor's bytes. dir is the publisher's directory.
func (r *repositoryFlags) read(dir string) (repository string, anchor []byte, err error) {
	repository, path := r.repository, r.anchor
	if repository == "" {
		repository = publish.RepositoryDir(dir)
	}
	if path == "" {
		path = filepath.Join(repository, "metadata", "1.root.json")
	}
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil, usagef("trust anchor: %w; give the devices' root.json with --root", err)
	}
	if err != nil {
		return "", nil, err
	}
	if info.Size() > anchorBytesMax {
		return "", nil, usagef("trust anchor: %s has %d bytes, expected at most %d", path, info.Size(), anchorBytesMax)
	}
	anchor, err = os.ReadFile(path)
	return repository, anchor, err
}

func (a *app) verify(at repositoryFlags, asJSON bool) error {
	repository, anchor, err := at.read(a.dir)
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
