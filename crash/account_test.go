//go:build linux && amd64

package crash

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"github.com/ota-agent/ota-agent/agent"
	"github.com/ota-agent/ota-agent/storage"
)

// An account is what the agent has let somebody see, and so must never take back.
type account struct {
	Root, Timestamp, Snapshot int64
	// Progress rises with each phase of each release.
	Progress int
}

// and is what two accounts say together.
func (a account) and(b account) account {
	return account{max(a.Root, b.Root), max(a.Timestamp, b.Timestamp), max(a.Snapshot, b.Snapshot), max(a.Progress, b.Progress)}
}

// checkAccount: the store of a dead agent is where its account says, or further.
func (b *board) checkAccount(given account) error {
	s, err := storage.OpenReadOnly(b.state, storage.Options{})
	if errors.Is(err, agent.ErrAbsent) && given == (account{}) {
		return nil
	}
	if err != nil {
		return err
	}
	defer s.Close()
	st, err := s.Load()
	if err != nil {
		return err
	}
	working, confirmed, r := "", "", st.Records[component]
	if r.Release != nil {
		working = r.Release.Info().Version
	}
	if r.Confirmed != nil {
		confirmed = r.Confirmed.Info().Version
	}
	kept := account{st.Floors.RootVersion, st.Floors.Timestamp.Version, st.Floors.Snapshot.Version, reached(r.Phase, working, confirmed)}
	if kept.and(given) != kept {
		return fmt.Errorf("the disk keeps %+v, but the agent had let see %+v", kept, given)
	}
	return nil
}

// reached counts phases: working is the version of the release in work, or empty, confirmed the one that runs for good.
func reached(phase agent.Phase, working, confirmed string) int {
	order := []agent.Phase{agent.Idle, agent.Fetching, agent.Staged, soaking, agent.Writing, agent.Switched, agent.Trial, proving,
		agent.Confirming}
	number := func(version string) (n int) { _, _ = fmt.Sscan(version, &n); return n }
	if working == "" {
		return number(confirmed) * len(order)
	}
	for n, p := range order {
		if p == phase {
			return (number(working)-1)*len(order) + n
		}
	}
	return 0
}

// accountOf is what a status document lets see.
func accountOf(s agent.Status) account {
	var a account
	for _, r := range s.Repository.Roles {
		switch r.Role {
		case "root":
			a.Root = r.Version
		case "timestamp":
			a.Timestamp = r.Version
		case "snapshot":
			a.Snapshot = r.Version
		}
	}
	c, working, confirmed := s.Components[0], "", ""
	if c.Release != nil {
		working = c.Release.Version
	}
	if c.Running.Length > 0 { // else it is only the slot's word
		confirmed = c.Running.Version
	}
	a.Progress = reached(c.Phase, working, confirmed)
	if a.Progress <= reached(agent.Idle, "", "1") {
		// Before the agent knows what runs, its anchor may be one on trial: what it shows is kept by its next refresh only.
		return account{Progress: a.Progress}
	}
	return a
}

// A witness writes accounts to the disk, behind the file system: so each one stands in the log of writes at the place at
// which it was given.
type witness struct {
	file  *os.File
	page  []byte // aligned, since the page cache is passed by
	count int64
	last  account
}

func (w *witness) note(s agent.Status) error {
	a := accountOf(s)
	if a == w.last {
		return nil
	}
	w.last = a
	if w.file == nil {
		var err error
		if w.file, err = os.OpenFile(guestDisk, os.O_WRONLY|unix.O_DIRECT, 0); err != nil {
			return err
		}
		if w.page, err = unix.Mmap(-1, 0, os.Getpagesize(), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE); err != nil {
			return err
		}
	}
	text, err := json.Marshal(a)
	if err != nil {
		return err
	}
	clear(w.page)
	copy(w.page[:noteBytes], text)
	_, err = w.file.WriteAt(w.page[:noteBytes], fileSystemBytes+w.count*noteBytes%notesBytes)
	w.count++
	fmt.Printf("guest: %s %s\n", text, s.Components[0].Phase)
	return err
}
