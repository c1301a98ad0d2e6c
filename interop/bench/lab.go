package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// attemptsMax is how often a row that misses its budget is measured: something else may have kept the machine
// busy in a way that hit one client more. A client that is really slower misses all of them.
const attemptsMax = 3

// A lab runs child processes.
type lab struct {
	self    string // this program
	dir     string // repositories by name, and a place for plain stores
	disk    string // a place for durable stores
	profile string // directory for profiles; empty: none
}

// A comparison is the outcome of one row.
type comparison struct {
	scenario
	results map[string]result // medians by client
}

// compare measures a row, and once more while it misses its budget.
func (l *lab) compare(ctx context.Context, s scenario) (c comparison, err error) {
	for range attemptsMax {
		if c, err = l.measure(ctx, s); err != nil || c.holds() {
			break
		}
	}
	if err == nil && l.profile != "" {
		err = l.profiles(ctx, s)
	}
	return c, err
}

// measure lets the clients take turns.
func (l *lab) measure(ctx context.Context, s scenario) (comparison, error) {
	c := comparison{s, map[string]result{}}
	clients := []string{ours, goTUF, ownStore}
	stores, err := l.stores(ctx, s, clients)
	if err != nil {
		return c, err
	}
	all := map[string][]result{}
	warmUp := 0
	if s.runs > 1 {
		warmUp = 1
	}
	for i := range s.runs + warmUp {
		for _, client := range clients {
			r, err := l.once(ctx, s, client, stores[client], "")
			if err != nil {
				return c, fmt.Errorf("%s: %w", client, err)
			}
			if i >= warmUp {
				all[client] = append(all[client], r)
			}
		}
	}
	for client, results := range all {
		c.results[client] = medians(results)
		if err := os.RemoveAll(stores[client]); err != nil {
			return c, err
		}
	}
	return c, nil
}

// stores makes a store for each client. For a warm row each client fills its own, which later runs leave as it is.
func (l *lab) stores(ctx context.Context, s scenario, clients []string) (map[string]string, error) {
	stores := map[string]string{}
	for _, client := range clients {
		place := l.dir
		if client == ownStore {
			place = l.disk
		}
		store, err := os.MkdirTemp(place, "store-")
		if err != nil {
			return nil, err
		}
		stores[client] = store
		if !s.warm {
			continue
		}
		r, err := l.child(ctx, job{Client: client, Repository: filepath.Join(l.dir, s.repository), Store: store}, s.timeout)
		if err := errors.Join(err, refused(r)); err != nil {
			return nil, fmt.Errorf("%s: %w", client, err)
		}
	}
	return stores, nil
}

// once is one measurement. A cold one begins with an empty store.
func (l *lab) once(ctx context.Context, s scenario, client, store, profile string) (result, error) {
	if !s.warm {
		if err := errors.Join(os.RemoveAll(store), os.Mkdir(store, 0o700)); err != nil {
			return result{}, err
		}
	}
	j := job{Client: client, Repository: filepath.Join(l.dir, s.repository), Store: store, Profile: profile}
	if s.find {
		j.Find = targetPath(lookedUp)
	}
	r, err := l.child(ctx, j, s.timeout)
	if s.repository != signaturesName {
		err = errors.Join(err, refused(r))
	}
	return r, err
}

func refused(r result) error {
	if r.Refused == "" {
		return nil
	}
	return fmt.Errorf("refused an honest repository: %s", r.Refused)
}

// child runs this program once more, for one job.
func (l *lab) child(ctx context.Context, j job, timeout time.Duration) (result, error) {
	text, err := json.Marshal(j)
	if err != nil {
		return result{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, l.self, "-job", string(text))
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return result{Seconds: timeout.Seconds(), Peak: maxRSS(cmd.ProcessState), GaveUp: true}, nil
	}
	if err != nil {
		return result{}, err
	}
	var r result
	return r, json.Unmarshal(out, &r)
}

// maxRSS is the kernel's account of a process that ended without one of its own.
func maxRSS(p *os.ProcessState) int64 {
	if usage, ok := p.SysUsage().(*syscall.Rusage); ok {
		return int64(usage.Maxrss) << 10
	}
	return 0
}

// idle is what a process takes that links both clients and runs neither.
func (l *lab) idle(ctx context.Context) (result, error) {
	return l.child(ctx, job{Repository: filepath.Join(l.dir, rootsName)}, time.Minute)
}

// profiles runs each client once more, with a CPU profile.
func (l *lab) profiles(ctx context.Context, s scenario) error {
	clients := []string{ours, goTUF}
	stores, err := l.stores(ctx, s, clients)
	if err != nil {
		return err
	}
	for _, client := range clients {
		name := strings.NewReplacer(" ", "-", ",", "", "+", "and").Replace(client + " " + s.name + ".pprof")
		if _, err := l.once(ctx, s, client, stores[client], filepath.Join(l.profile, name)); err != nil {
			return err
		}
	}
	return nil
}

// medians takes the middle of each figure on its own.
func medians(all []result) result {
	return result{
		Seconds:   median(all, func(r result) float64 { return r.Seconds }),
		Allocated: median(all, func(r result) uint64 { return r.Allocated }),
		Mallocs:   median(all, func(r result) uint64 { return r.Mallocs }),
		Peak:      median(all, func(r result) int64 { return r.Peak }),
		Refused:   all[0].Refused,
		GaveUp:    all[0].GaveUp,
	}
}

func median[T int64 | uint64 | float64](all []result, figure func(result) T) T {
	var figures []T
	for _, r := range all {
		figures = append(figures, figure(r))
	}
	slices.Sort(figures)
	return figures[len(figures)/2]
}
