// Command conformance is a TUF client with the command line that the public TUF conformance suite tests clients by
// (github.com/theupdateframework/tuf-conformance):
//
//	conformance --metadata-dir DIR init FILE
//	conformance --metadata-dir DIR --metadata-url URL refresh
//	conformance --metadata-dir DIR --metadata-url URL --target-name PATH [--target-name PATH]...
//	    --target-dir TDIR --target-base-url TURL download
//
// The suite takes the binary that "go build ./verifier/conformance" makes as its --entrypoint, and needs faketime.
//
// It is no product, and nothing else links it. It decides nothing about trust: that is package verifier's, over the
// same store (package storage) and the same way to the repository (package agent/fetch) as the agent's. So what the
// suite finds here, it finds in the agent.
//
// DIR holds the store, the trust anchor (anchor) and, for the suite to look at, each trusted role's file byte for
// byte: root.json, timestamp.json and so on, delegated roles under their percent-encoded names. Those files are
// copies that nobody reads back: one that is changed or removed is put right from the store. Nothing else there
// ends in .json.
//
// TDIR gets verified target files, each under its percent-encoded target path, and nothing else.
//
// The exit status is 0 or 1. What went wrong is one line on standard error.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"
)

func main() { os.Exit(run(context.Background(), os.Args[1:], os.Stderr)) }

// run is the whole command. It returns the exit status, also where something panics: the suite takes any status
// but 0 and 1 for a crash.
func run(ctx context.Context, args []string, stderr io.Writer) (status int) {
	defer func() {
		if p := recover(); p != nil {
			status = say(stderr, fmt.Sprintf("internal error, please report it: %v", p))
		}
	}()
	o, err := parse(args)
	if errors.Is(err, flag.ErrHelp) {
		io.WriteString(stderr, usage)
		return 0
	}
	if err == nil {
		err = o.do(ctx, stderr)
	}
	if err != nil {
		return say(stderr, err.Error())
	}
	return 0
}

// say prints one line and returns the status of a failure.
func say(w io.Writer, text string) int {
	fmt.Fprintln(w, "conformance: "+strings.ReplaceAll(text, "\n", "; "))
	return 1
}
