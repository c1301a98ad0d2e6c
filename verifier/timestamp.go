package verifier

import "fmt"

// storedTimestamp takes the timestamp accepted last: the baseline for the next one, expired or not (D6).
func (r *Refresh) storedTimestamp(a Answer) (Change, error) {
	raw, ok, err := r.stored(a)
	if err != nil {
		return Change{}, err
	}
	var change Change
	if ok {
		timestamp, refusal := readTimestamp(raw, r.limits)
		if refusal != nil {
			change.Drop = []Key{r.request.Key} // damaged: the repository has it (C11)
		}
		r.timestamp = timestamp
	}
	bytesMax := max(r.limits.StatedSnapshotBytes, r.limits.SnapshotBytes) // it was accepted under one of the two
	r.ask(storedRequest(Key{Role: Snapshot}, bytesMax), r.storedSnapshot)
	return change, nil
}

// storedSnapshot takes the snapshot accepted last, the memory of what targets and delegated roles there were.
func (r *Refresh) storedSnapshot(a Answer) (Change, error) {
	raw, ok, err := r.stored(a)
	if err != nil {
		return Change{}, err
	}
	var change Change
	if ok {
		snapshot, refusal := readSnapshot(raw, r.limits)
		if refusal != nil {
			change.Drop = []Key{r.request.Key}
		}
		r.snapshot = snapshot
	}
	r.loaded = true
	change.Drop = append(change.Drop, r.judge()...)
	if r.floors.below(r.durable) {
		// Void floors become durable before new ones rise: to a store, a floor that falls while its keys stay the
		// same looks like a mistake.
		change = r.raise(change)
	}
	return change, r.askRoot()
}

// raiseStored makes the floors at least what the stored files say, now that these are verified: a lost floors file
// is made good from the database.
func (r *Refresh) raiseStored() {
	if t := r.timestamp; t != nil {
		r.floors.Timestamp = r.floors.Timestamp.raised(t.version, t.by)
	}
	if s := r.snapshot; s != nil {
		r.floors.Snapshot = r.floors.Snapshot.raised(s.version, s.by)
	}
}

func (r *Refresh) remoteTimestamp(a Answer) (Change, error) {
	raw, err := r.required(a, "5.4.1", 0)
	if err != nil {
		return Change{}, err
	}
	next, refusal := readTimestamp(raw, r.limits)
	if refusal != nil {
		return Change{}, refusal
	}
	if next.by, refusal = next.verify(r.root.grants[Timestamp], "5.4.2"); refusal != nil {
		return Change{}, refusal
	}
	if refusal := r.timestampRollback(next); refusal != nil {
		return Change{}, refusal
	}
	next.signedBy = next.by
	// An equal version keeps the stored file, whatever the new one says (TUF 5.4.3.1). The specification ends
	// the cycle here; going on with what is stored finishes a refresh that was cut off before.
	same := r.timestamp != nil && r.timestamp.version == next.version
	if same {
		next = r.timestamp
	}
	if refusal := r.snapshotRollback(next); refusal != nil {
		return Change{}, refusal
	}
	if refusal := next.expiry(r.now, "5.4.4"); refusal != nil {
		return Change{}, refusal
	}
	if before := r.SignedAt(); before.After(next.signedAt) {
		next.signedAt, next.signedBy = before, r.SignedBy()
	}
	r.timestamp = next
	var change Change
	if !same {
		r.floors.Timestamp = r.floors.Timestamp.raised(next.version, next.by)
		change.Put = []Document{{Key: Key{Role: Timestamp}, Bytes: raw}}
	}
	return r.raise(change), r.beginSnapshot()
}

// timestampRollback is TUF 5.4.3.1, against the stored timestamp and the floor.
func (r *Refresh) timestampRollback(next *timestampRole) *MetadataError {
	trusted := r.floors.Timestamp.Version
	if r.timestamp != nil {
		trusted = max(trusted, r.timestamp.version)
	}
	return noRollback(next.version, trusted, "5.4.3.1").in(next.document)
}

// snapshotRollback is TUF 5.4.3.2: a snapshot version below a trusted one is refused before the snapshot is asked
// for. What the stored timestamp promised counts too, had the snapshot never arrived.
func (r *Refresh) snapshotRollback(next *timestampRole) *MetadataError {
	trusted := r.floors.Snapshot.Version
	if r.timestamp != nil {
		trusted = max(trusted, r.timestamp.snapshot.version)
	}
	if r.snapshot != nil {
		trusted = max(trusted, r.snapshot.version)
	}
	refusal := noRollback(next.snapshot.version, trusted, "5.4.3.2").in(next.document)
	if refusal != nil {
		refusal.Want = "snapshot " + refusal.Want
	}
	return refusal
}

// noRollback refuses a version below the trusted one.
func noRollback(version, trusted int64, section string) *MetadataError {
	if version >= trusted {
		return nil
	}
	return refuse(ErrRollback, section, versionText(trusted), fmt.Sprint(version))
}
