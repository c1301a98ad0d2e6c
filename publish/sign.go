package publish

import (
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"sort"
)

// ErrThreshold: fewer keys signed than the role needs.
var ErrThreshold = errors.New("not signed by enough keys")

// A signing is a role's keys as its delegator lists them.
type signing struct {
	role      string
	keys      map[string]Key
	keyIDs    []string
	threshold int
}

func (r rootSigned) signing(role string) signing {
	keys := r.Roles[role]
	return signing{role: role, keys: r.Keys, keyIDs: keys.KeyIDs, threshold: keys.Threshold}
}

// valid lists the IDs of the role's keys that signed the message. A key counts once however often it is listed or
// signed (TUF 5.3.4).
func (s signing) valid(message []byte, signatures []Signature) []string {
	var ids []string
	seen := map[string]bool{}
	for _, sig := range signatures {
		key, ok := s.keys[sig.KeyID]
		if !ok || !slices.Contains(s.keyIDs, sig.KeyID) || seen[key.KeyVal.Public] {
			continue
		}
		raw, err := hex.DecodeString(sig.Sig)
		if err != nil || !key.verify(message, raw) {
			continue
		}
		seen[key.KeyVal.Public] = true
		ids = append(ids, sig.KeyID)
	}
	return ids
}

// check fails with ErrThreshold where the role's threshold is not met, naming the keys that have yet to sign.
func (s signing) check(message []byte, signatures []Signature) error {
	valid := s.valid(message, signatures)
	if len(valid) >= s.threshold {
		return nil
	}
	missing := slices.DeleteFunc(slices.Clone(s.keyIDs), func(id string) bool { return slices.Contains(valid, id) })
	return fmt.Errorf("%s: %w: %d of %d; still to sign: %s",
		s.role, ErrThreshold, len(valid), s.threshold, shortIDs(missing))
}

// shortIDs are enough of each key ID to recognise it.
func shortIDs(ids []string) []string {
	short := make([]string, len(ids))
	for i, id := range ids {
		short[i] = id[:min(len(id), 12)]
	}
	return short
}

// gather adds a signature by every key of the given signings that is at hand and has not signed yet. Keys beyond the
// threshold sign too: a key on its way in and one on its way out both work while a rotation is under way.
func (k *keyring) gather(message []byte, signatures []Signature, signings ...signing) ([]Signature, error) {
	for _, s := range signings {
		for _, id := range s.keyIDs {
			if hasSigned(signatures, id) {
				continue
			}
			signer, err := k.signer(id)
			if err != nil {
				return nil, fmt.Errorf("sign %s: %w", s.role, err)
			}
			if signer == nil {
				continue
			}
			sig, err := signer.Sign(message)
			if err != nil {
				return nil, fmt.Errorf("sign %s with key %s: %w", s.role, shortIDs([]string{id}), err)
			}
			signatures = append(signatures, Signature{KeyID: id, Sig: hex.EncodeToString(sig)})
		}
	}
	sort.Slice(signatures, func(i, j int) bool { return signatures[i].KeyID < signatures[j].KeyID })
	return signatures, nil
}

func hasSigned(signatures []Signature, id string) bool {
	return slices.ContainsFunc(signatures, func(s Signature) bool { return s.KeyID == id })
}

// sign gathers signatures over d and demands the threshold of each signing.
func sign[T any](k *keyring, d *document[T], signings ...signing) error {
	message, err := canonical(d.Signed)
	if err != nil {
		return err
	}
	if d.Signatures, err = k.gather(message, d.Signatures, signings...); err != nil {
		return err
	}
	for _, s := range signings {
		if err := s.check(message, d.Signatures); err != nil {
			return errors.Join(err, k.damaged)
		}
	}
	return nil
}

// checkSigned demands the threshold of each signing without adding anything.
func checkSigned[T any](d document[T], signings ...signing) error {
	message, err := canonical(d.Signed)
	if err != nil {
		return err
	}
	for _, s := range signings {
		if err := s.check(message, d.Signatures); err != nil {
			return err
		}
	}
	return nil
}
