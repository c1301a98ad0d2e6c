package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"slices"
)

const usage = `usage:
  conformance --metadata-dir DIR init FILE
  conformance --metadata-dir DIR --metadata-url URL refresh
  conformance --metadata-dir DIR --metadata-url URL --target-name PATH [--target-name PATH]...
      --target-dir TDIR --target-base-url URL download
`

// Options are the command line, as the suite's CLI document gives it.
type options struct {
	verb          string
	metadataDir   string
	metadataURL   string
	targetNames   []string
	targetDir     string
	targetBaseURL string
	file          string // init's argument
}

// parse reads the arguments: options first, then the verb, then what belongs to the verb.
func parse(args []string) (options, error) {
	var o options
	flags := flag.NewFlagSet("conformance", flag.ContinueOnError)
	flags.SetOutput(io.Discard) // run prints the error
	flags.StringVar(&o.metadataDir, "metadata-dir", "", "")
	flags.StringVar(&o.metadataURL, "metadata-url", "", "")
	flags.StringVar(&o.targetDir, "target-dir", "", "")
	flags.StringVar(&o.targetBaseURL, "target-base-url", "", "")
	flags.Func("target-name", "", func(path string) error {
		o.targetNames = append(o.targetNames, path)
		return nil
	})
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	rest := flags.Args()
	if len(rest) == 0 {
		return o, errors.New("no verb; want init, refresh or download behind the options")
	}
	o.verb, rest = rest[0], rest[1:]
	if o.verb == "init" && len(rest) == 1 {
		o.file, rest = rest[0], nil
	}
	if len(rest) > 0 {
		return o, fmt.Errorf("%s: unexpected argument %q; options come before the verb", o.verb, rest[0])
	}
	return o, o.check()
}

// check names the first thing that the verb misses.
func (o options) check() error {
	needs := []need{{"--metadata-dir", o.metadataDir}}
	switch o.verb {
	case "init":
		needs = append(needs, need{"the root's file behind the verb", o.file})
	case "refresh":
		needs = append(needs, need{"--metadata-url", o.metadataURL})
	case "download":
		needs = append(needs, need{"--metadata-url", o.metadataURL}, need{"--target-dir", o.targetDir},
			need{"--target-base-url", o.targetBaseURL})
		if len(o.targetNames) == 0 || slices.Contains(o.targetNames, "") {
			needs = append(needs, need{"--target-name", ""})
		}
	default:
		return fmt.Errorf("verb %q; want init, refresh or download", o.verb)
	}
	for _, n := range needs {
		if n.value == "" {
			return fmt.Errorf("%s: %s is missing", o.verb, n.name)
		}
	}
	return nil
}

// A need is something that a verb can't do without.
type need struct{ name, value string }

// do carries the verb out. What is worth knowing, and no failure, goes to notes.
func (o options) do(ctx context.Context, notes io.Writer) error {
	c, err := open(ctx, o, notes)
	if err != nil {
		return fmt.Errorf("%s: %w", o.verb, err)
	}
	switch o.verb {
	case "init":
		err = c.init(o.file)
	case "refresh":
		_, err = c.refresh(ctx)
	default:
		err = c.download(ctx, o)
	}
	if err := errors.Join(err, c.close()); err != nil {
		return fmt.Errorf("%s: %w", o.verb, err)
	}
	return nil
}
