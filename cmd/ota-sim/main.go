// Command ota-sim shows on one machine what ota-agent does: it runs the real agent on a simulated board, against a
// repository, a mirror and a broker of its own. It needs no root, no network and nothing installed but Go.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
)

// Exit codes.
const (
	exitFailed = 1 // something was not seen, or the story could not go on
	exitUsage  = 2
)

func main() {
	// Whatever ends the demo early, the board's processes end with it: also a closed terminal. A closed pipe shows
	// as a failed write; as a signal it could not be told from a client of the mirror that hung up.
	signal.Ignore(syscall.SIGPIPE)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	code := run(ctx)
	stop()
	os.Exit(code)
}

func run(ctx context.Context) int {
	began := false
	root := &cobra.Command{
		Use:           "ota-sim",
		Short:         "Show on one machine how a device updates itself",
		SilenceErrors: true,
		SilenceUsage:  true,
		PersistentPreRun: func(*cobra.Command, []string) {
			began = true // what fails from here on is not the command line's fault
		},
	}
	root.AddCommand(demoCommand(), buttonCommand())
	err := root.ExecuteContext(ctx)
	if err == nil {
		return 0
	}
	_, _ = fmt.Fprintln(os.Stderr, "ota-sim:", err)
	if !began {
		return exitUsage
	}
	return exitFailed
}
