package verifier

import (
	"fmt"

	"github.com/ota-agent/ota-agent/verifier/strict"
)

// beginSnapshot goes on with the stored snapshot if it is the one that the timestamp means, bytes and all, and asks
// the repository otherwise. An expired one is asked for again: its publisher may have renewed it.
func (r *Refresh) beginSnapshot() error {
	want := r.timestamp.snapshot
	if r.snapshot != nil && r.snapshot.version == want.version && want.matches(r.snapshot.raw, "5.5.2") == nil &&
		r.snapshot.expiry(r.now, "5.5.6") == nil {
		return r.beginTargets()
	}
	bytesMax, refusal := want.bytesMax(r.limits.SnapshotBytes, r.limits.StatedSnapshotBytes, "5.5.1")
	if refusal != nil {
		return refusal.of(Snapshot, want.version)
	}
	key := Key{Role: Snapshot}
	name := FileName(Snapshot, r.root.fileVersion(want.version))
	r.ask(Request{Remote, key, name, bytesMax}, r.remoteSnapshot)
	return nil
}

func (r *Refresh) remoteSnapshot(a Answer) (Change, error) {
	raw, err := r.required(a, "5.5.1", r.timestamp.snapshot.version)
	if err != nil {
		return Change{}, err
	}
	next, refusal := r.checkSnapshot(raw)
	if refusal != nil {
		return Change{}, refusal.of(Snapshot, r.timestamp.snapshot.version)
	}
	r.snapshot = next
	r.floors.Snapshot = r.floors.Snapshot.raised(next.version, next.by)
	change := Change{Put: []Document{{Key: Key{Role: Snapshot}, Bytes: raw}}}
	return r.raise(change), r.beginTargets()
}

// checkSnapshot is TUF 5.5.2 to 5.5.6.
func (r *Refresh) checkSnapshot(raw []byte) (*snapshotRole, *MetadataError) {
	want := r.timestamp.snapshot
	if refusal := want.matches(raw, "5.5.2"); refusal != nil {
		return nil, refusal
	}
	next, refusal := readSnapshot(raw, r.limits)
	if refusal != nil {
		return nil, refusal
	}
	if next.by, refusal = next.verify(r.root.grants[Snapshot], "5.5.3"); refusal != nil {
		return nil, refusal
	}
	next.message = message{} // it may be as long as the file, which is kept
	if refusal := sameVersion(next.version, want.version, "5.5.4"); refusal != nil {
		return nil, refusal
	}
	if refusal := r.targetsRollback(next); refusal != nil {
		return nil, refusal
	}
	return next, next.expiry(r.now, "5.5.6")
}

// targetsRollback is TUF 5.5.5: every file that the baseline lists is still listed, and none is older.
func (r *Refresh) targetsRollback(next *snapshotRole) *MetadataError {
	if r.snapshot == nil {
		return nil
	}
	var refusal *MetadataError
	err := r.snapshot.meta.index.Against(next.meta.index, func(name []byte, mine, others strict.Value) error {
		trusted, err := readMeta(mine)
		if err != nil {
			return err // it was read before
		}
		if others.Kind() == strict.Absent {
			refusal = refuse(ErrRollback, "5.5.5", excerpt(string(name))+" at "+versionText(trusted.version), "no entry")
			return refusal
		}
		got, err := readMeta(others)
		if err != nil {
			return err
		}
		if refusal = noRollback(got.version, trusted.version, "5.5.5"); refusal != nil {
			refusal.Want = excerpt(string(name)) + " at " + refusal.Want
			return refusal
		}
		return nil
	})
	if err != nil && refusal == nil {
		refusal = malformed("5.5.5", err)
	}
	return refusal
}

// sameVersion refuses a file that is not the version that was announced.
func sameVersion(got, want int64, section string) *MetadataError {
	if got == want {
		return nil
	}
	return refuse(ErrVersionMismatch, section, fmt.Sprintf("version %d", want), fmt.Sprint(got))
}
