package verifier

import (
	"time"
)

// A Refresh is one run of the client workflow (TUF 5.3 to 5.6.6). It is not safe for concurrent use.
//
// Its order: the stored chain of roots, the stored timestamp and snapshot, new roots, the timestamp, the
// snapshot if it changed, the targets file if it changed. Stored files come before the repository's, so that an
// unchanged file costs no request and an old one serves as the memory against rollback.
type Refresh struct {
	conversation
	limits Limits
	now    time.Time

	root      *rootRole
	rotations int    // roots accepted from the repository
	bounded   bool   // whether Limits.RootRotations ended the chain
	chain     []Key  // stored roots that the chain hangs on
	passed    int64  // the floor that the chain must pass through: the root version to begin with
	pending   Change // roots below that floor, held back until it is reached
	held      int64  // their bytes
	loaded    bool   // whether the stored timestamp and snapshot were asked for
	floors    Floors // as they are to be
	durable   Floors // as they were last committed
	voided    bool   // whether a rotation made the timestamp floor void
	timestamp *timestampRole
	snapshot  *snapshotRole // the trusted one, or the baseline until there is one
	targets   *targetsRole  // nil when only its receipt was read
	receipt   *receipt      // of the stored targets file
	dropped   *receipt      // of the targets file that was verified here, and gave its room to a delegated role's
	checked   int64         // bytes of delegated roles whose signatures were checked
	checks    int           // signatures of targets roles
	parsed    int           // keys of delegated roles
}

// Begin starts a refresh. anchor is the root.json shipped with the device, trusted by its place; it must meet its
// own threshold, but may be expired. floors are the durable ones. now is fixed for the whole refresh.
// An error is about the anchor, and no request was made.
func Begin(anchor []byte, floors Floors, now time.Time, limits Limits) (*Refresh, error) {
	r := &Refresh{limits: limits.withDefaults(), now: now, floors: floors.clone(), durable: floors.clone()}
	r.passed = floors.RootVersion
	root, refusal := readRoot(anchor, r.limits)
	if refusal == nil {
		_, refusal = root.verify(root.grants[Root], "5.2")
	}
	if refusal == nil {
		refusal = r.passes(root)
	}
	if refusal != nil {
		return nil, refusal
	}
	r.adopt(root)
	r.askStoredRoot()
	return r, nil
}

// Next is the request the refresh waits on; ok is false when it is finished.
func (r *Refresh) Next() (Request, bool) { return r.next() }

// Supply answers the request. The Change is to be committed before the next call, also when err is not nil:
// what was verified before a failure stays accepted, role by role. After an error the refresh is over, and a new
// one goes on from what was committed.
func (r *Refresh) Supply(a Answer) (Change, error) { return r.supply(a) }

// SignedAt is the newest publisher's time in the trusted timestamp (the extra signed field "signed_at"), or
// zero. It can only be as new as the timestamp role's keys say, and is never later than root's expiry: so far, and no
// further, can who stole those keys drive it. It is there also when the refresh failed later.
func (r *Refresh) SignedAt() time.Time {
	if r.timestamp == nil || r.timestamp.by == nil {
		return time.Time{}
	}
	return earliest(r.timestamp.signedAt, r.root.expires)
}

// SignedBy are the keys behind SignedAt, sorted, at most FloorSignersMax: what is made of that time is bound to them.
func (r *Refresh) SignedBy() []KeyHash {
	if r.SignedAt().IsZero() {
		return nil
	}
	return floorSigners(r.timestamp.signedBy)
}

// HoldsTime reports whether a time that these keys signed, in an earlier refresh, still counts: whether they would
// meet the threshold of root's timestamp role (fast-forward recovery). Until the stored files are loaded nothing
// is judged. Ask after each change, before committing it.
func (r *Refresh) HoldsTime(signedBy []KeyHash) bool {
	return !r.loaded || r.root.version < r.passed || r.root.grants[Timestamp].met(signedBy)
}

// RootBoundReached reports whether the chain of new roots was cut at Limits.RootRotations: there may be newer
// roots, which the next refresh goes on to.
func (r *Refresh) RootBoundReached() bool { return r.bounded }

// Floors are the floors as this refresh raised them so far; what Supply returned in Change.Floors last.
func (r *Refresh) Floors() Floors { return r.floors.clone() }

// A RoleInfo says what is trusted of one top-level role.
type RoleInfo struct {
	Role    string
	Version int64
	Expires time.Time
	// Length of the file in bytes.
	Length int64
}

// Trusted lists the top-level roles that are trusted at this point, root first: stored ones until newer ones were
// accepted. After a failed refresh it shows how far that came.
func (r *Refresh) Trusted() []RoleInfo {
	trusted := []RoleInfo{r.root.info()}
	if r.timestamp != nil {
		trusted = append(trusted, r.timestamp.info())
	}
	if r.snapshot != nil {
		trusted = append(trusted, r.snapshot.info())
	}
	switch {
	case r.targets != nil:
		trusted = append(trusted, r.targets.info())
	case r.dropped != nil:
		trusted = append(trusted, r.dropped.info())
	case r.receipt != nil:
		trusted = append(trusted, r.receipt.info())
	}
	return trusted
}

func (d *document) info() RoleInfo {
	return RoleInfo{Role: d.role, Version: d.version, Expires: d.expires, Length: int64(len(d.raw))}
}

// finished reports whether the refresh ended well.
func (r *Refresh) finished() bool { return r.then == nil && r.err == nil }

// raise adds the floors to a change, where they are higher than the durable ones.
func (r *Refresh) raise(c Change) Change {
	if !r.floors.equal(r.durable) {
		floors := r.floors.clone()
		c.Floors = &floors
		r.durable = r.floors.clone()
	}
	return c
}

// storedRequest asks the store for a role's document.
func storedRequest(key Key, bytesMax int64) Request {
	return Request{Source: Stored, Key: key, BytesMax: bytesMax}
}
