package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/ota-agent/ota-agent/publish"
)

// Exit codes. They are documented in docs/publishing.md and never change their meaning.
const (
	exitOK      = 0
	exitFailed  = 1
	exitUsage   = 2
	exitRefused = 3
	exitKeys    = 4
	exitBusy    = 5
)

const exitHelp = `Exit codes:
  0  done
  1  failed: a file, a disk, a repository that does not verify
  2  wrong usage
  3  refused: the release or the step would harm devices in the field
  4  keys: wrong passphrase, damaged key file, signatures missing
  5  another ota-repo is at work in this directory`

// A usageError is a mistake in the command line.
type usageError struct{ err error }

func (e usageError) Error() string { return e.err.Error() }
func (e usageError) Unwrap() error { return e.err }

func usage(err error) error { return usageError{err} }

func usagef(format string, args ...any) error { return usage(fmt.Errorf(format, args...)) }

func exitCode(err error) int {
	if errors.As(err, new(usageError)) {
		return exitUsage
	}
	// The first class that fits counts: a gap in a rotation wraps the missing signatures that it consists of.
	for _, class := range []struct {
		code int
		errs []error
	}{
		{exitBusy, []error{publish.ErrLocked}},
		{exitRefused, []error{
			publish.ErrIndex, publish.ErrHardware, publish.ErrCycle, publish.ErrRollout, publish.ErrTargetPath, publish.ErrNotListed,
			publish.ErrGap, publish.ErrClock, publish.ErrExpired, publish.ErrTooLong,
		}},
		{exitKeys, []error{publish.ErrPassphrase, publish.ErrKeyFile, publish.ErrThreshold, errNoPassphrase}},
	} {
		for _, e := range class.errs {
			if errors.Is(err, e) {
				return class.code
			}
		}
	}
	return exitFailed
}

// args demands exactly the named arguments.
func args(names ...string) cobra.PositionalArgs {
	return func(_ *cobra.Command, given []string) error {
		if len(given) != len(names) {
			return usagef("expected %d arguments (%s), got %d", len(names), strings.Join(names, " "), len(given))
		}
		return nil
	}
}

func noArgs(_ *cobra.Command, given []string) error {
	if len(given) > 0 {
		return usagef("unknown command or argument %q", given[0])
	}
	return nil
}
