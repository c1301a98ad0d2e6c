package main

import (
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/ota-agent/ota-agent/publish"
)

func (a *app) keyCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "key",
		Short: "Make, show and re-encrypt private keys",
		Args:  noArgs,
		RunE:  func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(a.keyNewCommand(), a.keyPublicCommand(), a.keyPassphraseCommand())
	return c
}

func (a *app) keyNewCommand() *cobra.Command {
	var logN int
	var out string
	c := &cobra.Command{
		Use:   "new NAME",
		Short: "Make a key in keys/NAME.key; no role lists it before \"rotate\"",
		Args:  args("NAME"),
		RunE: func(_ *cobra.Command, args []string) error {
			if out == "" {
				out = filepath.Join(a.dir, "keys")
			}
			path, k, err := publish.MakeKey(out, args[0], a.newPassphrase, kdf(logN))
			if err != nil {
				return err
			}
			id, err := k.ID()
			if err != nil {
				return err
			}
			a.say("made %s, key ID %s", path, id)
			a.say("next: ota-repo rotate ROLE --add %s", path)
			return nil
		},
	}
	c.Flags().StringVar(&out, "out", "", "directory for the key file (otherwise DIR/keys)")
	scryptFlag(c, &logN)
	return c
}

func (a *app) keyPublicCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "public KEY-FILE",
		Short: "Print the public part of a key file: what its holder gives to the publisher",
		Args:  args("KEY-FILE"),
		RunE: func(_ *cobra.Command, args []string) error {
			k, err := publish.ReadPublicKey(args[0])
			if err != nil {
				return err
			}
			b, err := publish.FormatPublicKey(k)
			if err != nil {
				return err
			}
			a.say("%s", b)
			return nil
		},
	}
}

func (a *app) keyPassphraseCommand() *cobra.Command {
	var next string
	var logN int
	c := &cobra.Command{
		Use:   "passphrase KEY-FILE",
		Short: "Encrypt a key file with another passphrase",
		Args:  args("KEY-FILE"),
		RunE: func(_ *cobra.Command, args []string) error {
			after := app{in: a.in, out: a.out, err: a.err, passphraseFile: next, env: noEnvironment}
			if err := publish.ChangePassphrase(args[0], a.passphrase, after.newPassphrase, kdf(logN)); err != nil {
				return err
			}
			a.say("encrypted %s anew; copies of the old file still open with the old passphrase", args[0])
			return nil
		},
	}
	c.Flags().StringVar(&next, "new-passphrase-file", "", "read the new passphrase from this file (otherwise the terminal is asked)")
	scryptFlag(c, &logN)
	return c
}

func noEnvironment(string) (string, bool) { return "", false }

// kdf is the cost of opening a key file; 0 is the default.
func kdf(logN int) publish.KDF {
	if logN == 0 {
		return publish.KDF{}
	}
	return publish.KDF{LogN: logN, R: 8, P: 1}
}

func scryptFlag(c *cobra.Command, logN *int) {
	c.Flags().IntVar(logN, "scrypt-log2n", 0, "cost of opening a key file, 10 to 20 (otherwise 17: 128 MiB, about half a second)")
}
