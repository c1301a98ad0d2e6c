package main

import (
	"os"

	"github.com/ota-agent/ota-agent/agent/fetch"
	"github.com/ota-agent/ota-agent/install"
)

// aideCommand is what the agent runs itself with, to look at media in a process that may hang.
const aideCommand = "media-aide"

func (c *cli) serveMedia([]string) error { return fetch.ServeMedia(os.Stdin, os.Stdout) }

func startAide() (fetch.Aide, error) {
	a, err := install.StartAide("ota-agent", aideCommand)
	if err != nil {
		return nil, err // not a, which as an interface would not be nil
	}
	return a, nil
}
