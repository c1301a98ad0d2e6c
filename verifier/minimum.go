package verifier

import (
	"encoding/hex"
	"fmt"
)

// Demand raises the floors of a refresh that has just begun to the ones that an image ships beside its anchor, so that a
// device that has lost its state, or never had one, can't be shown what was current before its image was made. Call it
// right after Begin. They must have been made for this very anchor, and hold under it; the error says what does not fit.
//
// They count while no later root than the anchor was trusted. Who trusts a later one has seen a repository that was younger
// than the image, and floors of its own remain of that; and a root that revokes the keys behind a demanded floor makes
// it void for good. Demanded floors become durable with whatever the refresh accepts. Those of components are the
// caller's to judge, as all of Index is: see Search.Holds.
func (r *Refresh) Demand(minimum Floors) error {
	if minimum.RootVersion != r.root.version {
		return refuse(ErrVersionMismatch, "5.2", "floors that were made for it",
			fmt.Sprintf("floors that were made for version %d", minimum.RootVersion)).of(Root, r.root.version)
	}
	if want, got := minimum.RootSHA256, r.root.sum(); want != got {
		return refuse(ErrHashMismatch, "5.2", "the root that the floors were made for, sha256 "+hex.EncodeToString(want[:]),
			hex.EncodeToString(got[:])).of(Root, r.root.version)
	}
	for role, f := range map[string]Floor{Timestamp: minimum.Timestamp, Snapshot: minimum.Snapshot} {
		if !r.root.holds(role, f) {
			return refuse(ErrUnsigned, "5.2", "a floor that a threshold of root's keys has signed",
				countText(len(f.Signers), "other key", "other keys")).of(role, f.Version)
		}
	}
	if r.root.version < r.passed {
		return nil
	}
	r.floors.Timestamp = r.floors.Timestamp.raised(minimum.Timestamp.Version, minimum.Timestamp.Signers)
	r.floors.Snapshot = r.floors.Snapshot.raised(minimum.Snapshot.Version, minimum.Snapshot.Signers)
	return nil
}
