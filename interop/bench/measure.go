package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"runtime/pprof"
	"strconv"
	"strings"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata/config"
	"github.com/theupdateframework/go-tuf/v2/metadata/updater"

	"github.com/ota-agent/ota-agent/agent"
	"github.com/ota-agent/ota-agent/storage"
	"github.com/ota-agent/ota-agent/verifier"
	"github.com/ota-agent/ota-agent/verifier/tuftest"
)

// A job is what one child process does: one refresh by one client.
type job struct {
	Client     string
	Repository string // directory
	Store      string // directory; empty but for a warm start
	Find       string // target path; empty: none
	Profile    string // file for a CPU profile; empty: none
}

// A result is what a child process measured of itself.
type result struct {
	Seconds float64
	// Allocated bytes and Mallocs while at work.
	Allocated, Mallocs uint64
	// Peak is the process's highest resident memory, in bytes, from its start to its end.
	Peak int64
	// Refused is why the client refused the repository; empty: it did not.
	Refused string
	// GaveUp says that the process was ended after Seconds, not finished.
	GaveUp bool
}

// measure does the job in this process and writes the result to w.
func measure(text string, w io.Writer) error {
	var j job
	if err := json.Unmarshal([]byte(text), &j); err != nil {
		return err
	}
	if j.Profile != "" {
		f, err := os.Create(j.Profile)
		if err != nil {
			return err
		}
		if err := pprof.StartCPUProfile(f); err != nil {
			return err
		}
		defer pprof.StopCPUProfile()
	}
	var r result
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	start := time.Now()
	if err := j.run(); err != nil {
		r.Refused = err.Error()
	}
	r.Seconds = time.Since(start).Seconds()
	runtime.ReadMemStats(&after)
	r.Allocated, r.Mallocs = after.TotalAlloc-before.TotalAlloc, after.Mallocs-before.Mallocs
	var err error
	if r.Peak, err = peak(); err != nil {
		return err
	}
	return json.NewEncoder(w).Encode(r)
}

// peak reads VmHWM, the kernel's own high-water mark.
func peak() (int64, error) {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(status)) {
		if kb, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			n, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(kb), " kB"), 10, 64)
			return n << 10, err
		}
	}
	return 0, fmt.Errorf("no VmHWM in /proc/self/status")
}

func (j job) run() error {
	anchor, err := os.ReadFile(filepath.Join(j.Repository, anchorName))
	if err != nil {
		return err
	}
	switch j.Client {
	case ours:
		return j.runOurs(anchor)
	case ownStore:
		return j.runDurable(anchor)
	case goTUF:
		return j.runPeer(anchor)
	}
	return nil // a process that does nothing
}

// now is when every refresh happens: the repositories are valid then.
func now() time.Time { return tuftest.Start().Add(time.Minute) }

func (j job) runOurs(anchor []byte) error {
	store := dirStore{j.Store}
	floors, err := store.floors()
	if err != nil {
		return err
	}
	return j.drive(anchor, floors, store.answer, store.commit)
}

// runDurable keeps everything in the agent's own store, opened and closed.
func (j job) runDurable(anchor []byte) error {
	store, err := storage.Open(j.Store, storage.Options{})
	if err != nil {
		return err
	}
	defer store.Close()
	state, err := store.Load()
	if err != nil {
		return err
	}
	read := func(k verifier.Key) verifier.Answer { return storeAnswer(store.Document(k)) }
	commit := func(c verifier.Change) error { return store.Commit(agent.Change{Metadata: c}) }
	return j.drive(anchor, state.Floors, read, commit)
}

// drive is the whole of a client over package verifier.
func (j job) drive(anchor []byte, floors verifier.Floors, stored func(verifier.Key) verifier.Answer,
	commit func(verifier.Change) error,
) error {
	refresh, err := verifier.Begin(anchor, floors, now(), verifier.Limits{})
	if err != nil {
		return err
	}
	ask := func(r verifier.Request) verifier.Answer {
		if r.Source == verifier.Stored {
			return stored(r.Key)
		}
		return answer(j.Repository, r)
	}
	if err := verifier.Drive(refresh, ask, commit); err != nil {
		return err
	}
	if j.Find == "" {
		return nil
	}
	search := refresh.Find(j.Find)
	if err := verifier.Drive(search, ask, commit); err != nil {
		return err
	}
	_, err = search.Found()
	return err
}

// runPeer is the same with go-tuf's client, as its documentation has it.
func (j job) runPeer(anchor []byte) error {
	c, err := config.New(baseURL, anchor)
	if err != nil {
		return err
	}
	c.Fetcher, c.LocalMetadataDir, c.LocalTargetsDir = peerFetcher{j.Repository}, j.Store, j.Store
	u, err := updater.New(c)
	if err != nil {
		return err
	}
	u.UnsafeSetRefTime(now())
	if err := u.Refresh(); err != nil || j.Find == "" {
		return err
	}
	_, err = u.GetTargetInfo(j.Find)
	return err
}
