package verifier

import (
	"encoding/hex"
	"fmt"
)

// askStoredRoot asks for the next link of the stored chain. The chain hangs on the anchor: a stored root is
// believed only through the roots before it (C10).
func (r *Refresh) askStoredRoot() {
	key := Key{Role: Root, Version: r.root.version + 1}
	r.ask(storedRequest(key, r.limits.RootBytes), r.storedRoot)
}

func (r *Refresh) storedRoot(a Answer) (Change, error) {
	key := r.request.Key
	raw, ok, err := r.stored(a)
	if err != nil {
		return Change{}, err
	}
	var change Change
	if ok {
		next, refusal := r.nextRoot(raw)
		if refusal == nil {
			r.chain = append(r.chain, key)
			r.pending.Drop = append(r.pending.Drop, r.adopt(next)...)
			r.askStoredRoot()
			return r.release(), nil
		}
		change.Drop = []Key{key}
	}
	// Here the stored chain ends, or has a hole, which the repository may fill.
	if r.loaded {
		return change, r.askRoot()
	}
	r.ask(storedRequest(Key{Role: Timestamp}, r.limits.TimestampBytes), r.storedTimestamp)
	return change, nil
}

// askRoot asks the repository for the next root, unless the bound is reached (TUF 5.3.3). Up to the floor's root
// the floor is the bound: what is held back would have to be fetched again.
func (r *Refresh) askRoot() error {
	if r.rotations >= r.limits.RootRotations && r.root.version >= r.passed {
		r.bounded = true
		return r.endRoots()
	}
	version := r.root.version + 1
	key := Key{Role: Root, Version: version}
	r.ask(Request{Remote, key, FileName(Root, version), r.limits.RootBytes}, r.remoteRoot)
	return nil
}

func (r *Refresh) remoteRoot(a Answer) (Change, error) {
	key := r.request.Key
	raw, ok, err := r.received(a, "5.3.3")
	if err != nil {
		return Change{}, err
	}
	if !ok {
		return Change{}, r.endRoots()
	}
	next, refusal := r.nextRoot(raw)
	if refusal != nil {
		return r.startOver(), refusal.of(Root, key.Version)
	}
	r.rotations++
	r.hold(Document{Key: key, Bytes: raw})
	// The root and what it makes worthless go together (C9b).
	r.pending.Drop = append(r.pending.Drop, r.adopt(next)...)
	r.askStoredRoot()
	return r.release(), nil
}

// nextRoot checks a candidate for the version after the trusted root's.
func (r *Refresh) nextRoot(raw []byte) (*rootRole, *MetadataError) {
	next, refusal := readRoot(raw, r.limits)
	if refusal != nil {
		return nil, refusal
	}
	// TUF 5.3.4: both the old root's keys and its own must have signed it.
	if _, refusal := next.verify(r.root.grants[Root], "5.3.4"); refusal != nil {
		refusal.Want += fmt.Sprintf(" of root version %d", r.root.version)
		return nil, refusal
	}
	if _, refusal := next.verify(next.grants[Root], "5.3.4"); refusal != nil {
		refusal.Want += " of its own"
		return nil, refusal
	}
	// TUF 5.3.5: exactly one higher. Its expiry doesn't matter yet (TUF 5.3.6).
	if want := r.root.version + 1; next.version != want {
		return nil, refuse(ErrVersionMismatch, "5.3.5", fmt.Sprintf("version %d", want),
			fmt.Sprint(next.version)).of(Root, next.version)
	}
	return next, r.passes(next)
}

// passes refuses a root that has the version of the highest root ever trusted, and is another one. A chain that
// was forged with the stolen key of an old root ends here (C10).
func (r *Refresh) passes(root *rootRole) *MetadataError {
	if root.version != r.passed {
		return nil
	}
	want, got := r.durable.RootSHA256, root.sum()
	if want == got {
		return nil
	}
	return refuse(ErrHashMismatch, "5.3", "the root trusted before, sha256 "+hex.EncodeToString(want[:]),
		hex.EncodeToString(got[:])).of(Root, root.version)
}

// startOver forgets the stored chain when the repository's next root does not fit it, and the chain has not reached the
// highest root ever trusted: then it may be the chain that is forged. The next refresh starts at the anchor.
func (r *Refresh) startOver() Change {
	if r.root.version >= r.passed {
		return Change{}
	}
	return Change{Drop: r.chain}
}

// adopt makes root the trusted one (TUF 5.3.7) and returns what of the store it makes worthless.
//
// Below the floor's root nothing is judged: floors and stored files are younger than that root, and were judged
// when they were written.
func (r *Refresh) adopt(root *rootRole) []Key {
	r.root = root
	if root.version < r.passed {
		return nil
	}
	r.voided = r.voided || !root.holds(Timestamp, r.floors.Timestamp)
	r.floors.void(root)
	r.floors.RootVersion, r.floors.RootSHA256 = root.version, root.sum()
	return r.judge()
}

// judge is fast-forward recovery (TUF 5.3.11), at each root of the chain: when the stored timestamp or snapshot no
// longer verifies, both are worthless, with what they remember of targets and delegated roles. A root that
// merely adds keys drops nothing.
func (r *Refresh) judge() []Key {
	if r.root.version < r.passed || !r.loaded || (r.timestamp == nil && r.snapshot == nil) {
		return nil
	}
	if r.timestampHolds() && r.snapshotHolds() {
		return nil
	}
	r.timestamp, r.snapshot, r.voided = nil, nil, false
	return []Key{{Role: Timestamp}, {Role: Snapshot}}
}

// timestampHolds judges the stored timestamp. Where that is lost, its floor says who had signed it.
func (r *Refresh) timestampHolds() bool {
	if r.timestamp == nil {
		return !r.voided
	}
	by, refusal := r.timestamp.verify(r.root.grants[Timestamp], "5.3.11")
	r.timestamp.by, r.timestamp.signedBy = by, by
	return refusal == nil
}

func (r *Refresh) snapshotHolds() bool {
	if r.snapshot == nil {
		return true
	}
	by, refusal := r.snapshot.verify(r.root.grants[Snapshot], "5.3.11")
	r.snapshot.by, r.snapshot.message = by, message{}
	return refusal == nil
}

// hold keeps a root until release. When there is too much, what was held is let go: the next refresh asks the
// repository for it again.
func (r *Refresh) hold(root Document) {
	if r.held += int64(len(root.Bytes)); r.held > r.limits.HeldBytes {
		r.pending.Put, r.held = nil, int64(len(root.Bytes))
	}
	r.pending.Put = append(r.pending.Put, root)
}

// release hands out the roots that may be made durable: each at once (TUF 5.3.8), but those below the floor's
// root only together with it, for until then the chain may be forged.
func (r *Refresh) release() Change {
	if r.root.version < r.passed || len(r.pending.Put)+len(r.pending.Drop) == 0 {
		return Change{}
	}
	change := r.pending
	r.pending, r.held = Change{}, 0
	return r.raise(change)
}

// endRoots is the end of the chain: it must not lie below the highest root ever trusted, and must not be
// expired (TUF 5.3.10).
func (r *Refresh) endRoots() error {
	if r.root.version < r.passed {
		got := fmt.Sprintf("a chain that ends at version %d", r.root.version)
		return refuse(ErrRollback, "5.3", versionText(r.passed), got).of(Root, r.root.version)
	}
	if refusal := r.root.expiry(r.now, "5.3.10"); refusal != nil {
		return refusal
	}
	r.raiseStored()
	request := Request{Remote, Key{Role: Timestamp}, FileName(Timestamp, 0), r.limits.TimestampBytes}
	r.ask(request, r.remoteTimestamp)
	return nil
}
