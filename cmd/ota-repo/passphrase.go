package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/term"
)

// passphraseEnv names the variable that holds the passphrase where no terminal is, in CI.
const passphraseEnv = "OTA_REPO_PASSPHRASE"

const passphraseBytesMax = 4096

// errNoPassphrase: there is nothing to take one from.
var errNoPassphrase = errors.New("no passphrase")

// secrets are what was typed so far: most publishers have one passphrase for several keys.
type secrets struct{ fresh []byte }

// given is the passphrase that was given by file or environment; nil: the terminal is to be asked.
func (a *app) given() ([]byte, error) {
	if a.passphraseFile != "" {
		f, err := os.Open(a.passphraseFile)
		if err != nil {
			return nil, err
		}
		b, err := io.ReadAll(io.LimitReader(f, passphraseBytesMax))
		if err := errors.Join(err, f.Close()); err != nil {
			return nil, err
		}
		line, _, _ := bytes.Cut(b, []byte("\n"))
		return check(bytes.TrimSuffix(line, []byte("\r")), a.passphraseFile)
	}
	if s, ok := a.env(passphraseEnv); ok {
		return check([]byte(s), passphraseEnv)
	}
	return nil, nil
}

// check refuses an empty passphrase: it is a variable that was not set, or an empty file.
func check(passphrase []byte, from string) ([]byte, error) {
	if len(passphrase) == 0 {
		return nil, fmt.Errorf("%w: %s is empty", errNoPassphrase, from)
	}
	return passphrase, nil
}

// passphrase opens a key file.
func (a *app) passphrase(keyPath string) ([]byte, error) {
	if p, err := a.given(); p != nil || err != nil {
		return p, err
	}
	return a.ask("passphrase for " + keyPath)
}

// newPassphrase is for new key files: asked once a run, and confirmed.
func (a *app) newPassphrase(string) ([]byte, error) {
	if p, err := a.given(); p != nil || err != nil {
		return p, err
	}
	if a.secrets.fresh != nil {
		return a.secrets.fresh, nil
	}
	first, err := a.ask("new passphrase for the key files")
	if err != nil {
		return nil, err
	}
	again, err := a.ask("the same again")
	if err != nil {
		return nil, err
	}
	if !bytes.Equal(first, again) {
		return nil, fmt.Errorf("%w: the two differ", errNoPassphrase)
	}
	a.secrets.fresh = first
	return first, nil
}

// ask reads from the terminal without showing what is typed.
func (a *app) ask(what string) ([]byte, error) {
	fd := int(a.in.Fd())
	if !term.IsTerminal(fd) {
		return nil, fmt.Errorf("%w: standard input is no terminal; give --passphrase-file or set %s", errNoPassphrase, passphraseEnv)
	}
	fmt.Fprintf(a.err, "%s: ", what)
	b, err := term.ReadPassword(fd)
	fmt.Fprintln(a.err)
	if err != nil {
		return nil, fmt.Errorf("read the passphrase: %w", err)
	}
	return check(b, "what was typed")
}
