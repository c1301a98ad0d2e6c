// Command bench compares package verifier with go-tuf's client, side by side in one run: time, allocations and peak
// memory, of one process for each measurement. It prints one table, says which budgets hold, and fails when one
// does not.
//
// Each measurement is a fresh process that refreshes once, as a device does after a start, from files in a directory:
// reading them is the same code for both. Neither syncs what it keeps. The two take turns, so that a busy machine
// slows both down, and the table shows medians. The clock runs from reading the trust anchor to the last file written; starting the
// process is not in it, its memory is.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"syscall"
)

func main() {
	runs := flag.Int("runs", 3, "measurements of each client per row, odd; rows that take milliseconds get more")
	targets := flag.Int("targets", 100_000, "leave out rows with more targets")
	profile := flag.String("profile", "", "directory for a CPU profile of one more run of each row and client")
	text := flag.String("job", "", "used by the command itself: what a child process measures")
	flag.Parse()
	if *text != "" {
		exit(measure(*text, os.Stdout))
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	exit(run(ctx, os.Stdout, *runs, *targets, *profile))
}

func exit(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

func run(ctx context.Context, w io.Writer, runs, targetsMax int, profile string) error {
	dir, err := os.MkdirTemp(memory(), "ota-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	l := &lab{dir: dir, profile: profile}
	if l.disk, err = os.MkdirTemp("", "ota-bench-"); err != nil {
		return err
	}
	defer os.RemoveAll(l.disk)
	if l.self, err = os.Executable(); err != nil {
		return err
	}
	rows := scenarios(runs, targetsMax)
	fmt.Fprintf(w, "%d CPUs; repositories and plain stores in %s, durable stores in %s\n",
		runtime.NumCPU(), filepath.Dir(dir), filepath.Dir(l.disk))
	if err := makeRepositories(dir, rows); err != nil {
		return err
	}
	t := table{w: w}
	t.head()
	for _, row := range rows {
		c, err := l.compare(ctx, row)
		if err != nil {
			return fmt.Errorf("%s: %w", row.name, err)
		}
		t.row(c)
	}
	idle, err := l.idle(ctx)
	if err != nil {
		return err
	}
	return t.foot(idle)
}

// memory is a file system without a disk behind it, or empty for the usual place. Renaming a file over another makes
// some file systems flush it: 5 ms that say nothing about either client.
func memory() string {
	const shared = "/dev/shm"
	var s syscall.Statfs_t
	if err := syscall.Statfs(shared, &s); err != nil || s.Bavail*uint64(s.Bsize) < memoryBytesMin {
		return ""
	}
	return shared
}

// memoryBytesMin is room for all repositories and a store of each client.
const memoryBytesMin = 256 << 20
