package sim

import (
	"github.com/ota-agent/ota-agent/agent"
	"github.com/ota-agent/ota-agent/verifier"
)

// A partition holds the state, and what was seen of it.
type partition struct {
	disk    *disk
	highest verifier.Floors
	owed    []agent.Event
}

// mount has the process that starts see the partition with the state or, in a release that does not mount it,
// the directory beneath: empty at first, and itself again later.
func (w *World) mount() {
	b := w.boards[rootfs]
	if beneath := b.behaves(losesState) || b.behaves(forgetful); beneath == w.beneath {
		return
	}
	w.beneath = !w.beneath
	next := w.hidden
	if next == nil {
		next = &partition{disk: newDisk(w)}
		next.disk.state.New = true
		w.note("the state partition is not mounted: the agent finds an empty directory")
	}
	w.hidden = &partition{w.disk, w.highest, w.broker.owed}
	w.disk, w.highest, w.broker.owed = next.disk, next.highest, next.owed
}
