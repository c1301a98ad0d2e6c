package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/ota-agent/ota-agent/publish"
)

// An app is one run of the program. What people see goes through it: results to out, the rest to err.
type app struct {
	in       *os.File
	out, err io.Writer
	env      func(string) (string, bool)
	now      func() time.Time

	dir            string
	keyDirs        []string
	passphraseFile string
	secrets        secrets
}

// run is the program from arguments to exit code.
func (a *app) run(ctx context.Context, args []string) int {
	root := a.command()
	root.SetArgs(args)
	root.SetOut(a.out)
	root.SetErr(a.err)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return exitOK
	}
	code := exitCode(err)
	fmt.Fprintf(a.err, "ota-repo: %v\n", err)
	if code == exitUsage {
		fmt.Fprintln(a.err, "ota-repo: see \"ota-repo help\"")
	}
	return code
}

func (a *app) command() *cobra.Command {
	root := &cobra.Command{
		Use:   "ota-repo",
		Short: "Make and sign a repository of releases: plain files for any static server",
		Long: `ota-repo makes and signs a TUF repository: plain files that any static server can
hand out and every device verifies.

The first release, in five lines:

  ota-repo init
  ota-repo add board/stable/rootfs.img rootfs.img --version 1.0 --rollback-index 1
  ota-repo snapshot
  ota-repo timestamp
  ota-repo serve

` + exitHelp,
		SilenceErrors: true, SilenceUsage: true,
		CompletionOptions: cobra.CompletionOptions{HiddenDefaultCmd: true},
		Args:              noArgs,
		RunE:              func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usage(err) })
	f := root.PersistentFlags()
	f.StringVarP(&a.dir, "dir", "C", ".", "the publisher's directory")
	f.StringArrayVar(&a.keyDirs, "keys", nil, "look for key files in this directory too, a USB stick say (repeatable)")
	f.StringVar(&a.passphraseFile, "passphrase-file", "",
		"read the passphrase from this file's first line; otherwise "+passphraseEnv+", or the terminal is asked")
	root.AddCommand(
		a.initCommand(), a.addCommand(), a.removeCommand(), a.snapshotCommand(), a.timestampCommand(),
		a.keyCommand(), a.rotateCommand(), a.signCommand(),
		a.verifyCommand(), a.floorsCommand(), a.statusCommand(), a.serveCommand(), a.versionCommand(),
	)
	return root
}

// open takes the publisher's directory; use calls f with it and gives it back.
func (a *app) use(f func(*publish.Repo) error) (err error) {
	r, err := publish.Open(a.dir, publish.Access{KeyDirs: a.keyDirs, Passphrase: a.passphrase})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	return f(r)
}

// say prints a line for people.
func (a *app) say(format string, args ...any) { fmt.Fprintf(a.out, format+"\n", args...) }

// uploads prints written files in the order in which they are to be uploaded.
func (a *app) uploads(files []string) {
	a.say("upload from %s, in this order:", publish.RepositoryDir(a.dir))
	for _, f := range files {
		a.say("  %s", f)
	}
}

// printJSON prints a value for programs.
func (a *app) printJSON(v any) error {
	e := json.NewEncoder(a.out)
	e.SetIndent("", "  ")
	return e.Encode(v)
}
