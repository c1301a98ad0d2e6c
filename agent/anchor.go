package agent

import (
	"bytes"
	"context"
	"slices"
	"time"

	"github.com/ota-agent/ota-agent/verifier"
)

// An image ships its own trust anchor, and maybe floors beside it. Where they demand more than what is
// trusted so far, they are used from the first boot on, but adopted only once their image has proved itself:
// a device that goes back must find its trust as it was, or a root that nobody published would lock the older
// image out for ever.

// A keeper makes durable what a refresh accepts.
type keeper struct {
	e       *engine
	worker  *worker
	refresh *verifier.Refresh
	// nothing is kept: it hangs on an anchor, or floors, that are on trial.
	nothing bool
	// anchor, where not nil, is to be kept as well: an older image's chain of roots then leads through it.
	anchor *verifier.Document
	// name is the file that the repository answered last, until its document is accepted.
	name string
}

// keeper decides at the beginning of a refresh, by the root that its anchor holds and the floors that it began with.
func (e *engine) keeper(ctx context.Context, r *verifier.Refresh, began verifier.Floors, onTrial bool) *keeper {
	k := &keeper{e: e, worker: workerOf(ctx), refresh: r}
	anchor := verifier.Document{Key: verifier.Key{Role: verifier.Root, Version: r.Trusted()[0].Version}, Bytes: e.cfg.Anchor}
	if now := r.Floors(); onTrial && (now.RootVersion > began.RootVersion ||
		now.Timestamp.Version > began.Timestamp.Version || now.Snapshot.Version > began.Snapshot.Version) {
		k.nothing = true
		return k
	}
	if onTrial || anchor.Key.Version == 1 { // no image is older than the first root
		return k
	}
	if stored, err := e.p.Store.Document(anchor.Key); err != nil || !bytes.Equal(stored, anchor.Bytes) {
		k.anchor = &anchor
	}
	return k
}

// commit commits what the refresh accepted, or lets it go.
func (k *keeper) commit(c verifier.Change) error {
	if k.nothing {
		k.hold(c)
	}
	if c.Empty() || k.nothing {
		return nil
	}
	if k.anchor != nil {
		c.Put = append(slices.Clip(c.Put), *k.anchor)
	}
	err := k.e.commitMetadata(k.refresh, c, k.worker)
	if err == nil {
		k.anchor = nil
	}
	return err
}

// unproven reports whether what runs may be an image on trial: by its record or, where that was lost, because
// the slot is not the one that boots for good. What is not known yet counts as if it were.
func (e *engine) unproven() bool {
	for _, c := range e.live {
		r := e.book.record(c.name)
		switch r.Phase {
		case Idle:
			lost := c.unseen() || c.slots != nil && c.slots.Booted != c.slots.Primary
			if c.reboots() && r.Confirmed == nil && lost {
				return true
			}
		case Fetching, Staged, Writing:
		default:
			if r.Reboot {
				return true
			}
		}
	}
	return false
}

func (c *live) reboots() bool { return c.component != nil && c.component.Reboot }

// unseen reports whether the hook has not said yet which slot is booted, nor failed to.
func (c *live) unseen() bool { return c.slots == nil && c.blind == nil }

// firstLookMax is for how long after the start a refresh waits for the first status of the hooks: as long as
// the default time-out of status and what it takes to end a hook.
const firstLookMax = time.Minute

// awaitsLook reports whether a refresh would keep nothing for the only reason that a hook has not answered
// yet: a fresh device would fetch all metadata once more right after it. left is for how long it waits at
// most.
func (e *engine) awaitsLook() (left time.Duration, waits bool) {
	left = e.began + firstLookMax - e.p.System.Uptime()
	if left <= 0 {
		return 0, false
	}
	for _, c := range e.live {
		if r := e.book.record(c.name); r.Phase == Idle && r.Confirmed == nil && c.reboots() && c.unseen() {
			return left, true
		}
	}
	return 0, false
}
