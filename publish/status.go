package publish

import (
	"time"
)

// Status is what a publisher wants to know each morning.
type Status struct {
	Dir string `json:"dir"`
	// Roles, offline ones first.
	Roles []RoleStatus `json:"roles"`
	// Staged documents that the next Snapshot publishes.
	Staged []Progress `json:"staged"`
	// Targets is how many target paths are published.
	Targets int `json:"targets"`
	// Behind: the newest snapshot is not in the timestamp yet, so devices don't see it.
	Behind bool `json:"behind"`
}

// RoleStatus is one role's published metadata and its keys.
type RoleStatus struct {
	Role      string      `json:"role"`
	Version   int64       `json:"version"`
	Expires   time.Time   `json:"expires"`
	Expired   bool        `json:"expired"`
	Threshold int         `json:"threshold"`
	Keys      []KeyStatus `json:"keys"`
}

// KeyStatus is a key of a role, and whether it could sign here.
type KeyStatus struct {
	ID string `json:"id"`
	// Here: a key file or signer is at hand. File is empty for a signer.
	Here bool   `json:"here"`
	File string `json:"file,omitempty"`
}

// Status reads what is published and staged.
func (r *Repo) Status(now time.Time) (Status, error) {
	timestamp, err := r.readTimestamp()
	if err != nil {
		return Status{}, err
	}
	s := Status{
		Dir: r.dir, Targets: len(r.targets.Signed.Targets), Staged: []Progress{},
		Behind: timestamp.Signed.Meta[fileName(roleSnapshot, 0)].Version != r.snapshot.Signed.Version,
	}
	for _, h := range []head{
		headOf(&r.root.Signed), headOf(&r.targets.Signed), headOf(&r.snapshot.Signed), headOf(&timestamp.Signed),
	} {
		role, err := r.roleStatus(h, now)
		if err != nil {
			return Status{}, err
		}
		s.Roles = append(s.Roles, role)
	}
	s.Staged, err = r.stagedProgress()
	return s, err
}

func (r *Repo) roleStatus(h head, now time.Time) (RoleStatus, error) {
	expires, err := parseTime(h.expires)
	if err != nil {
		return RoleStatus{}, err
	}
	keys := r.root.Signed.Roles[h.role]
	s := RoleStatus{
		Role: h.role, Version: h.version, Threshold: keys.Threshold,
		Expires: expires, Expired: !now.Before(expires),
	}
	for _, id := range keys.KeyIDs {
		file, here := r.keys.has(id)
		s.Keys = append(s.Keys, KeyStatus{ID: id, Here: here, File: file})
	}
	return s, nil
}

func (r *Repo) stagedProgress() ([]Progress, error) {
	all := []Progress{}
	root, staged, err := r.stagedRoot()
	if err != nil {
		return nil, err
	}
	if staged {
		p, err := progressOf(roleRoot, root, r.root.Signed.signing(roleRoot), root.Signed.signing(roleRoot))
		if err != nil {
			return nil, err
		}
		all = append(all, p)
	}
	targets, staged, err := r.stagedTargets()
	if err != nil {
		return nil, err
	}
	if staged {
		p, err := progressOf(roleTargets, targets, root.Signed.signing(roleTargets))
		if err != nil {
			return nil, err
		}
		all = append(all, p)
	}
	return all, nil
}

func progressOf[T any](role string, d document[T], signings ...signing) (Progress, error) {
	message, err := canonical(d.Signed)
	if err != nil {
		return Progress{}, err
	}
	return progress(role, headOf(&d.Signed).version, message, d.Signatures, signings...), nil
}
