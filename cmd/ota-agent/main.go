// Command ota-agent is the update agent and its CLI: flags, config, wiring and exit codes. It decides nothing about
// updates; that is package agent's.
package main

import "os"

// version and buildTime (RFC 3339) are set by the linker.
var version, buildTime string

func main() {
	os.Exit(execute(os.Args[1:], ui{out: os.Stdout, err: os.Stderr}))
}
