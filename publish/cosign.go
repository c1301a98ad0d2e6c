package publish

import (
	"errors"
	"fmt"
	"slices"
	"time"
)

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
