package publish

import (
	"errors"
	"fmt"
	"maps"
	"slices"
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
