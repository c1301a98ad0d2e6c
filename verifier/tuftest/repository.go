package tuftest

import (
	"crypto/sha256"
	"encoding/hex"
	"time"

	"github.com/ota-agent/ota-agent/verifier"
)

// Start is the time at which each repository's story begins.
func Start() time.Time { return time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC) }

// A Repository serves metadata that it signs on demand, and counts what it is asked for.
type Repository struct {
	// Consistent snapshots, on from the start. It takes effect with the next root.
	Consistent bool
	// MetaHashes lists length and SHA-256 of files in timestamp and snapshot.
	MetaHashes bool
	// Grants of the top-level roles. They take effect with the next root.
	Grants map[string]*Grant
	// RootBy signs the next roots; nil: the root keys of the new root and of the one before.
	RootBy []*Key
	// Roots holds the published root files; the first is the anchor.
	Roots [][]byte
	// Root is the root to be published next; its version is that of the last one published.
	Root, Timestamp, Snapshot *Role
	// Roles holds the targets roles by name, the top-level one among them.
	Roles map[string]*Role
	// Override answers for a file name in place of the repository.
	Override map[string]func() verifier.Answer
	// Requests are the names asked for, in order.
	Requests []string

	files     map[string][]byte // by what was signed and by whom: a file is signed once
	rootGrant Grant             // of the last root published
}

// New is a repository with version 1 of each top-level role, one Ed25519 key each, and no targets. Metadata expires
// after 30 days, root after 300.
func New() *Repository { return NewNamed("") }

// NewNamed is a repository with keys of its own, made from name: somebody else's.
func NewNamed(name string) *Repository {
	r := &Repository{
		Consistent: true,
		Grants:     map[string]*Grant{},
		Root:       &Role{Name: verifier.Root, Expires: Start().AddDate(0, 0, 300)},
		Timestamp:  newRole(verifier.Timestamp),
		Snapshot:   newRole(verifier.Snapshot),
		Roles:      map[string]*Role{verifier.Targets: newRole(verifier.Targets)},
		Override:   map[string]func() verifier.Answer{},
		files:      map[string][]byte{},
	}
	for _, role := range []string{verifier.Root, verifier.Timestamp, verifier.Snapshot, verifier.Targets} {
		r.Grants[role] = &Grant{Keys: []*Key{Ed25519(name + role + "-1")}, Threshold: 1}
	}
	r.PublishRoot()
	return r
}

func newRole(name string) *Role {
	return &Role{Name: name, Version: 1, Expires: Start().AddDate(0, 0, 30), Targets: map[string]any{}}
}

// Targets is the top-level targets role.
func (r *Repository) Targets() *Role { return r.Roles[verifier.Targets] }

// Anchor is the first root.
func (r *Repository) Anchor() []byte { return r.Roots[0] }

// Rotate replaces a role's keys by one new key, from the next root on.
func (r *Repository) Rotate(role, keyName string) {
	r.Grants[role] = &Grant{Keys: []*Key{Ed25519(keyName)}, Threshold: 1}
}

// PublishRoot signs and publishes the next root.
func (r *Repository) PublishRoot() []byte {
	r.Root.Version++
	keys, roles := Object{}, Object{}
	for name, grant := range r.Grants {
		roles[name] = grantObject(*grant, keys)
	}
	signed := Object{"consistent_snapshot": r.Consistent, "keys": keys, "roles": roles}
	by := r.RootBy
	if by == nil {
		by = union(r.rootGrant.Keys, r.Grants[verifier.Root].Keys)
	}
	r.rootGrant = *r.Grants[verifier.Root]
	file := r.file(r.Root, signed, by)
	r.Roots = append(r.Roots, file)
	return file
}

func union(a, b []*Key) []*Key {
	all := append([]*Key{}, a...)
	for _, key := range b {
		known := false
		for _, other := range a {
			known = known || other.ID == key.ID
		}
		if !known {
			all = append(all, key)
		}
	}
	return all
}

// Delegate makes a delegated role, named and granted in the role from.
func (r *Repository) Delegate(from string, d Delegation) *Role {
	if d.Keys == nil {
		d.Grant = Grant{Keys: []*Key{Ed25519(d.Name)}, Threshold: 1}
	}
	r.Roles[from].Delegate(d)
	if r.Roles[d.Name] == nil {
		role := newRole(d.Name)
		role.By = d.Keys
		r.Roles[d.Name] = role
	}
	return r.Roles[d.Name]
}

// Publish makes new versions of the named targets roles, and of snapshot and timestamp.
func (r *Repository) Publish(roles ...string) {
	for _, name := range roles {
		r.Roles[name].Version++
	}
	r.Snapshot.Version++
	r.Timestamp.Version++
}

// file signs what a role says, with the members that all roles have.
func (r *Repository) file(role *Role, signed Object, by []*Key) []byte {
	kind := role.Name
	if r.Roles[role.Name] != nil {
		kind = verifier.Targets
	}
	signed["_type"], signed["spec_version"] = kind, "1.0.34"
	signed["version"], signed["expires"] = role.Version, role.Expires.UTC().Format(time.RFC3339)
	if role.Edit != nil {
		role.Edit(signed)
	}
	ids := string(Canonical(signed))
	for _, key := range by {
		ids += "\n" + key.ID
	}
	file, ok := r.files[ids]
	if !ok {
		file = Sign(signed, by...)
		r.files[ids] = file
	}
	if role.Tamper != nil {
		file = role.Tamper(file)
	}
	return file
}

// signers are those who sign a role.
func (r *Repository) signers(role *Role) []*Key {
	if role.By != nil {
		return role.By
	}
	return r.Grants[role.Name].Keys
}

// RoleFile is the present file of a targets role.
func (r *Repository) RoleFile(name string) []byte {
	role := r.Roles[name]
	return r.file(role, role.targetsSigned(), r.signers(role))
}

// SnapshotFile is the present snapshot.
func (r *Repository) SnapshotFile() []byte {
	meta := Object{}
	for name, role := range r.Roles {
		meta[name+".json"] = r.meta(role.Version, func() []byte { return r.RoleFile(name) })
	}
	return r.file(r.Snapshot, Object{"meta": meta}, r.signers(r.Snapshot))
}

// TimestampFile is the present timestamp.
func (r *Repository) TimestampFile() []byte {
	meta := Object{"snapshot.json": r.meta(r.Snapshot.Version, r.SnapshotFile)}
	return r.file(r.Timestamp, Object{"meta": meta}, r.signers(r.Timestamp))
}

// meta is the entry of a file in timestamp or snapshot.
func (r *Repository) meta(version int64, file func() []byte) Object {
	meta := Object{"version": version}
	if r.MetaHashes {
		raw := file()
		sum := sha256.Sum256(raw)
		meta["length"], meta["hashes"] = len(raw), Object{"sha256": hex.EncodeToString(sum[:])}
	}
	return meta
}

// Answer serves one metadata file by its name.
func (r *Repository) Answer(name string) verifier.Answer {
	r.Requests = append(r.Requests, name)
	if answer := r.Override[name]; answer != nil {
		return answer()
	}
	if file := r.serve(name); file != nil {
		return verifier.Bytes(file)
	}
	return verifier.Absent()
}

// serve finds the file that a static server would have: root by version, others by version only under consistent
// snapshots, and only the present version.
func (r *Repository) serve(name string) []byte {
	for i, root := range r.Roots {
		if name == verifier.FileName(verifier.Root, int64(i+1)) {
			return root
		}
	}
	if name == verifier.FileName(verifier.Timestamp, 0) {
		return r.TimestampFile()
	}
	if name == r.fileName(r.Snapshot) {
		return r.SnapshotFile()
	}
	for role := range r.Roles {
		if name == r.fileName(r.Roles[role]) {
			return r.RoleFile(role)
		}
	}
	return nil
}

func (r *Repository) fileName(role *Role) string {
	if !r.Consistent {
		return verifier.FileName(role.Name, 0)
	}
	return verifier.FileName(role.Name, role.Version)
}

// Asked returns the requests since it was called last.
func (r *Repository) Asked() []string {
	asked := r.Requests
	r.Requests = nil
	return asked
}

// Files are the metadata files as they are now, by name, as a static server has them: every root, and the
// present version of the other roles.
func (r *Repository) Files() map[string][]byte {
	files := map[string][]byte{
		verifier.FileName(verifier.Timestamp, 0): r.TimestampFile(),
		r.fileName(r.Snapshot):                   r.SnapshotFile(),
	}
	for i, root := range r.Roots {
		files[verifier.FileName(verifier.Root, int64(i+1))] = root
	}
	for name, role := range r.Roles {
		files[r.fileName(role)] = r.RoleFile(name)
	}
	return files
}
