package sim

import (
	"bytes"
	"slices"

	"github.com/ota-agent/ota-agent/verifier"
)

// check looks at the world after each step. What it finds ends the run.
func (w *World) check() {
	w.checkSlots()
	w.checkTrust()
	for id, b := range w.disk.images.staged {
		if hash(b) != id {
			w.breach("image %s lies under its final name and its hash is %s", id, hash(b))
		}
	}
}

// checkSlots: whatever may boot next is a whole image of the publisher's, and one good slot is always there.
func (w *World) checkSlots() {
	b := w.board
	for _, name := range []string{b.primary, b.try} {
		if name == "" {
			continue
		}
		if !slices.ContainsFunc(w.repo.releases, func(r []byte) bool { return bytes.Equal(r, b.slots[name].image) }) {
			w.breach("slot %s may boot next and holds no release of the publisher", name)
		}
	}
	primary := b.slots[b.primary]
	if !primary.good {
		w.breach("the primary slot %s is not good", b.primary)
	}
	if primary.good && !bytes.HasPrefix(primary.image, []byte(fine)) {
		w.breach("slot %s is primary and good, and holds a bad release: %.20q", b.primary, primary.image)
	}
}

// checkTrust: floors never fall while no key is revoked, and the state never claims more than the floors hold.
func (w *World) checkTrust() {
	now, before := w.disk.floors, w.highest
	for _, x := range []struct {
		what      string
		now, then int64
	}{
		{"root", now.RootVersion, before.RootVersion},
		{"timestamp", now.Timestamp.Version, before.Timestamp.Version},
		{"snapshot", now.Snapshot.Version, before.Snapshot.Version},
		{"rollback_index", now.Index[component].Version, before.Index[component].Version},
	} {
		if x.now < x.then {
			w.breach("the %s floor fell from %d to %d", x.what, x.then, x.now)
		}
	}
	w.highest = now
	if r, ok := w.disk.load().Records[component]; ok && r.Confirmed != nil && r.Confirmed.Info().RollbackIndex != nil {
		if index := *r.Confirmed.Info().RollbackIndex; index > now.Index[component].Version {
			w.breach("index %d is confirmed and its floor is %d", index, now.Index[component].Version)
		}
	}
	if t, ok := w.disk.documents[verifier.Key{Role: verifier.Timestamp}]; ok && len(t) == 0 {
		w.breach("an empty timestamp was stored")
	}
}
