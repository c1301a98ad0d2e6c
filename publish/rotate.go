package publish

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"
)

// A Rotation changes which keys sign for a top-level role.
type Rotation struct {
	Role string
	// Add gives the role keys; one that it has is an error.
	Add []Key
	// Remove takes keys from it, by ID or by a beginning of it that is unique.
	Remove []string
	// Threshold is how many must sign from now on; 0: as before.
	Threshold int
	// AtOnce admits a root under which the published files are not valid: for a key that was stolen or lost. Devices
	// that look between the uploads see an error and try again.
	AtOnce bool
}

// ErrGap: devices would see a root under which what is published is not valid.
var ErrGap = errors.New("what is published is not valid under the new keys")

// Rotate stages a root with other keys. Without AtOnce it demands that the published files are valid under it too:
// first the new key joins and everything is signed by both, then the old one leaves, and no device sees a gap.
func (r *Repo) Rotate(c Rotation) error {
	if !isTopRole(c.Role) {
		return fmt.Errorf("role %q: expected one of %s", c.Role, topRoles())
	}
	d, _, err := r.stagedRoot()
	if err != nil {
		return err
	}
	if err := d.Signed.rotate(c); err != nil {
		return fmt.Errorf("rotate %s: %w", c.Role, err)
	}
	if !c.AtOnce {
		if err := r.checkGap(d.Signed); err != nil {
			return fmt.Errorf("rotate %s: %w", c.Role, err)
		}
	}
	return r.stageRoot(d)
}

// stagedRoot is the staged root, or a copy of the published one.
func (r *Repo) stagedRoot() (d document[rootSigned], staged bool, err error) {
	d, staged, err = readStaged[rootSigned](r, roleRoot, r.root.Signed.Version)
	if err != nil || staged {
		return d, staged, err
	}
	d = r.root
	d.Signed.Keys, d.Signed.Roles = maps.Clone(d.Signed.Keys), maps.Clone(d.Signed.Roles)
	return d, false, nil
}

// stageRoot stages an edited root. Root versions have no gaps: devices fetch them one by one (TUF 5.3.3).
func (r *Repo) stageRoot(d document[rootSigned]) error {
	d.Signed.Version = r.root.Signed.Version + 1
	d.Signatures = []Signature{}
	return writeStaged(r, roleRoot, d)
}

// rotate edits the root. Keys that no role lists any more leave it.
func (s *rootSigned) rotate(c Rotation) error {
	keys := s.Roles[c.Role]
	keys.KeyIDs = slices.Clone(keys.KeyIDs)
	for _, k := range c.Add {
		id, err := k.ID()
		if err != nil {
			return err
		}
		if slices.Contains(keys.KeyIDs, id) {
			return fmt.Errorf("key %s signs for it already", shortIDs([]string{id}))
		}
		s.Keys[id] = k
		keys.KeyIDs = append(keys.KeyIDs, id)
	}
	for _, prefix := range c.Remove {
		id, err := findID(keys.KeyIDs, prefix)
		if err != nil {
			return err
		}
		keys.KeyIDs = slices.DeleteFunc(keys.KeyIDs, func(k string) bool { return k == id })
	}
	if c.Threshold != 0 {
		keys.Threshold = c.Threshold
	}
	if keys.Threshold < 1 || keys.Threshold > len(keys.KeyIDs) || len(keys.KeyIDs) > roleKeysMax {
		return fmt.Errorf("%d keys and threshold %d: expected 1 to %d keys and a threshold of at most that many",
			len(keys.KeyIDs), keys.Threshold, roleKeysMax)
	}
	s.Roles[c.Role] = keys
	maps.DeleteFunc(s.Keys, func(id string, _ Key) bool { return !s.lists(id) })
	return nil
}

func (s *rootSigned) lists(id string) bool {
	for _, keys := range s.Roles {
		if slices.Contains(keys.KeyIDs, id) {
			return true
		}
	}
	return false
}

// keyPrefixMin is the shortest beginning of a key ID that names a key.
const keyPrefixMin = 4

func findID(ids []string, prefix string) (string, error) {
	var found []string
	for _, id := range ids {
		if len(prefix) >= keyPrefixMin && len(prefix) <= len(id) && id[:len(prefix)] == prefix {
			found = append(found, id)
		}
	}
	if len(found) != 1 {
		return "", fmt.Errorf("key %q: expected the ID, or at least its first %d digits, of one of %s",
			prefix, keyPrefixMin, shortIDs(ids))
	}
	return found[0], nil
}

// checkGap demands that what is published stays valid under the root.
func (r *Repo) checkGap(root rootSigned) error {
	timestamp, err := r.readTimestamp()
	if err != nil {
		return err
	}
	for _, err := range []error{
		checkSigned(r.targets, root.signing(roleTargets)),
		checkSigned(r.snapshot, root.signing(roleSnapshot)),
		checkSigned(timestamp, root.signing(roleTimestamp)),
	} {
		if err != nil {
			return fmt.Errorf("%w (%w): first only add the new keys and run \"ota-repo snapshot\" and \"ota-repo timestamp\", "+
				"so that both sign, then take the old ones away; or give --at-once if a key was stolen or lost", ErrGap, err)
		}
	}
	return nil
}

// Progress is how far the signing of a staged document is.
type Progress struct {
	Role    string `json:"role"`
	Version int64  `json:"version"`
	// Signed says by which keys it is signed, Missing which could sign yet. For a root both the last root's keys and
	// its own count.
	Signed  []string `json:"signed"`
	Missing []string `json:"missing"`
	// Complete: the thresholds are met, and Snapshot will publish it.
	Complete bool `json:"complete"`
}

// Sign adds a signature by each key at hand to the staged root or targets; where nothing is staged it stages a renewal
// of what is published. Thresholds are met one signature at a time, on one machine after the other: what travels is
// the file DIR/staged/ROLE.json.
func (r *Repo) Sign(role string, now time.Time) (Progress, error) {
	if err := r.checkClock(now); err != nil {
		return Progress{}, err
	}
	switch role {
	case roleRoot:
		return r.signRoot(now)
	case roleTargets:
		return r.signTargets(now)
	}
	return Progress{}, fmt.Errorf("sign %s: expected root or targets; the commands snapshot and timestamp sign the other roles", role)
}

func (r *Repo) signRoot(now time.Time) (Progress, error) {
	d, staged, err := r.stagedRoot()
	if err != nil {
		return Progress{}, err
	}
	if !staged {
		d.Signed.Version, d.Signatures = r.root.Signed.Version+1, nil
	}
	if len(d.Signatures) == 0 {
		d.Signed.Expires = r.expires(roleRoot, now)
	}
	return signStaged(r, roleRoot, d, r.root.Signed.signing(roleRoot), d.Signed.signing(roleRoot))
}

func (r *Repo) signTargets(now time.Time) (Progress, error) {
	d, staged, err := r.stagedTargets()
	if err != nil {
		return Progress{}, err
	}
	if !staged {
		highest, err := r.highest(roleTargets)
		if err != nil {
			return Progress{}, err
		}
		d.Signed.Version, d.Signatures = highest+1, nil
	}
	if len(d.Signatures) == 0 {
		d.Signed.Expires = r.expires(roleTargets, now)
	}
	root, _, err := r.stagedRoot()
	if err != nil {
		return Progress{}, err
	}
	return signStaged(r, roleTargets, d, root.Signed.signing(roleTargets))
}

// signStaged adds what signatures it can and keeps the document staged.
func signStaged[T any](r *Repo, role string, d document[T], signings ...signing) (Progress, error) {
	message, err := canonical(d.Signed)
	if err != nil {
		return Progress{}, err
	}
	if d.Signatures, err = r.keys.gather(message, d.Signatures, signings...); err != nil {
		return Progress{}, err
	}
	if len(d.Signatures) == 0 {
		return Progress{}, errors.Join(
			fmt.Errorf("sign %s: %w: none of its keys is at hand; give the directory they lie in with --keys", role, ErrThreshold),
			r.keys.damaged)
	}
	if err := writeStaged(r, role, d); err != nil {
		return Progress{}, err
	}
	return progress(role, headOf(&d.Signed).version, message, d.Signatures, signings...), nil
}

func progress(role string, version int64, message []byte, signatures []Signature, signings ...signing) Progress {
	p := Progress{Role: role, Version: version, Complete: true, Signed: []string{}, Missing: []string{}}
	for _, s := range signings {
		valid := s.valid(message, signatures)
		p.Complete = p.Complete && len(valid) >= s.threshold
		for _, id := range s.keyIDs {
			list := &p.Missing
			if slices.Contains(valid, id) {
				list = &p.Signed
			}
			if !slices.Contains(*list, id) {
				*list = append(*list, id)
			}
		}
	}
	return p
}
