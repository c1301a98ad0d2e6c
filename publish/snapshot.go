package publish

import (
	"errors"
	"fmt"
	"os"
	"time"
)

var (
	// ErrExpired: what would be signed over has expired itself.
	ErrExpired = errors.New("expired")
	// ErrClock: the time given is earlier than the last signing.
	ErrClock = errors.New("this machine's clock is behind the last signing")
)

// Snapshot publishes what is staged and signs a new snapshot over it: a staged root first, then staged targets, then
// the snapshot. Without anything staged it renews the snapshot, and the targets too where they would expire before
// it. Devices see none of it (but a new root) until Timestamp. It returns the written files in upload order.
func (r *Repo) Snapshot(now time.Time) (uploads []string, err error) {
	if err := r.checkClock(now); err != nil {
		return nil, err
	}
	path, err := r.publishRoot(now)
	if err != nil {
		return nil, err
	}
	uploads = appendPath(uploads, path)
	if err := r.checkUnexpired(roleRoot, r.root.Signed.Expires, now); err != nil {
		return uploads, err
	}
	images, path, err := r.publishTargets(now)
	if err != nil {
		return uploads, err
	}
	uploads = appendPath(append(images, uploads...), path)
	version, err := r.highest(roleSnapshot)
	if err != nil {
		return uploads, err
	}
	if path, err = r.putSnapshot(version+1, now); err != nil {
		return uploads, err
	}
	return append(uploads, path), r.unstage(roleTargets)
}

func appendPath(paths []string, path string) []string {
	if path == "" {
		return paths
	}
	return append(paths, path)
}

// Timestamp signs a new timestamp over the newest snapshot: the one file by which devices learn that anything is
// new. It returns the written file.
func (r *Repo) Timestamp(now time.Time) (uploads []string, err error) {
	if err := r.checkClock(now); err != nil {
		return nil, err
	}
	for _, d := range []struct{ role, expires string }{
		{roleRoot, r.root.Signed.Expires},
		{roleTargets, r.targets.Signed.Expires},
		{roleSnapshot, r.snapshot.Signed.Expires},
	} {
		if err := r.checkUnexpired(d.role, d.expires, now); err != nil {
			return nil, err
		}
	}
	last, err := r.readTimestamp()
	if err != nil {
		return nil, err
	}
	listed := last.Signed.Meta[fileName(roleSnapshot, 0)].Version
	if listed > r.snapshot.Signed.Version {
		return nil, fmt.Errorf("timestamp %d lists snapshot %d, the newest here is %d: restore what is missing from the server",
			last.Signed.Version, listed, r.snapshot.Signed.Version)
	}
	path, err := r.putTimestamp(last.Signed.Version+1, now)
	if err != nil {
		return nil, err
	}
	return []string{path}, nil
}

// Publish is Snapshot and then Timestamp.
func (r *Repo) Publish(now time.Time) (uploads []string, err error) {
	uploads, err = r.Snapshot(now)
	if err != nil {
		return uploads, err
	}
	last, err := r.Timestamp(now)
	return append(uploads, last...), err
}

// checkClock refuses to sign at a time before the last signing: devices take signed_at as the earliest possible now,
// and would see the publisher's time go backwards.
func (r *Repo) checkClock(now time.Time) error {
	last, err := r.readTimestamp()
	if err != nil {
		return err
	}
	at, err := parseTime(last.Signed.SignedAt)
	if err != nil {
		return fmt.Errorf("timestamp %d: signed_at: %w", last.Signed.Version, err)
	}
	if now.Before(at) {
		return fmt.Errorf("%w: it says %s, timestamp %d was signed at %s: set the clock",
			ErrClock, formatTime(now), last.Signed.Version, formatTime(at))
	}
	return nil
}

func (r *Repo) checkUnexpired(role, expires string, now time.Time) error {
	at, err := parseTime(expires)
	if err != nil {
		return fmt.Errorf("%s: %w", role, err)
	}
	if now.Before(at) {
		return nil
	}
	next := "ota-repo snapshot"
	if role != roleSnapshot {
		next = "ota-repo sign " + role
	}
	return fmt.Errorf("%s: %w at %s: every device would refuse it; renew it with %q", role, ErrExpired, expires, next)
}

// putSnapshot signs and writes a snapshot over the targets that are published. Versions stand beside the hash and
// the length: by the length a device knows that a large file is meant to be large.
func (r *Repo) putSnapshot(version int64, now time.Time) (string, error) {
	b, err := os.ReadFile(r.path(roleTargets, r.targets.Signed.Version))
	if err != nil {
		return "", err
	}
	d := document[snapshotSigned]{Signed: snapshotSigned{
		Type: roleSnapshot, SpecVersion: specVersion, Version: version, Expires: r.expires(roleSnapshot, now),
		Meta: map[string]metaFile{fileName(roleTargets, 0): describe(b, r.targets.Signed.Version)},
	}}
	if err := sign(r.keys, &d, r.root.Signed.signing(roleSnapshot)); err != nil {
		return "", err
	}
	path, err := putVersion(r, roleSnapshot, version, d)
	if err != nil {
		return "", err
	}
	r.snapshot = d
	return path, nil
}

func (r *Repo) putTimestamp(version int64, now time.Time) (string, error) {
	b, err := os.ReadFile(r.path(roleSnapshot, r.snapshot.Signed.Version))
	if err != nil {
		return "", err
	}
	d := document[timestampSigned]{Signed: timestampSigned{
		Type: roleTimestamp, SpecVersion: specVersion, Version: version, Expires: r.expires(roleTimestamp, now),
		Meta:     map[string]metaFile{fileName(roleSnapshot, 0): describe(b, r.snapshot.Signed.Version)},
		SignedAt: formatTime(now),
	}}
	if err := sign(r.keys, &d, r.root.Signed.signing(roleTimestamp)); err != nil {
		return "", err
	}
	b, err = encode(d)
	if err != nil {
		return "", err
	}
	name := fileName(roleTimestamp, 0)
	return upload("metadata", name), r.disk.writeFile(r.path(roleTimestamp, 0), b, publicMode)
}
