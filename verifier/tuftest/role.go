package tuftest

import (
	"crypto/sha256"
	"encoding/hex"
	"time"
)

// A Grant says who may sign a role.
type Grant struct {
	Keys      []*Key
	Threshold int
}

// A Delegation is a role that another one delegates to.
type Delegation struct {
	Name string
	Grant
	Terminating bool
	// Paths or Prefixes, whichever is not nil.
	Paths    []string
	Prefixes []string
}

// Bins are succinct roles (TAP 15).
type Bins struct {
	Grant
	Bits   int
	Prefix string
}

// A Role is one metadata file to be.
type Role struct {
	Name    string
	Version int64
	Expires time.Time
	// By signs the role; nil: the keys that it was given.
	By []*Key
	// Targets, Delegations and Bins are for targets roles.
	Targets     map[string]any
	Delegations []Delegation
	Bins        *Bins
	// Edit changes what will be signed, at the last moment. Tamper changes the file after that.
	Edit   func(signed Object)
	Tamper func(file []byte) []byte
}

// Target is the entry of a target with this content.
func Target(content []byte, custom any) Object {
	sum := sha256.Sum256(content)
	target := Object{"length": len(content), "hashes": Object{"sha256": hex.EncodeToString(sum[:])}}
	if custom != nil {
		target["custom"] = custom
	}
	return target
}

// Add lists a target.
func (r *Role) Add(path string, content []byte) { r.Targets[path] = Target(content, nil) }

// Delegate adds a delegation.
func (r *Role) Delegate(d Delegation) { r.Delegations = append(r.Delegations, d) }

// signed is what the role will sign of a targets file.
func (r *Role) targetsSigned() Object {
	targets := Object{}
	for path, entry := range r.Targets {
		targets[path] = entry
	}
	signed := Object{"targets": targets}
	if len(r.Delegations) > 0 || r.Bins != nil {
		signed["delegations"] = r.delegations()
	}
	return signed
}

func (r *Role) delegations() Object {
	keys := Object{}
	if r.Bins != nil {
		bins := grantObject(r.Bins.Grant, keys)
		bins["bit_length"], bins["name_prefix"] = r.Bins.Bits, r.Bins.Prefix
		return Object{"keys": keys, "succinct_roles": bins}
	}
	roles := []any{}
	for _, d := range r.Delegations {
		role := grantObject(d.Grant, keys)
		role["name"], role["terminating"] = d.Name, d.Terminating
		if d.Paths != nil {
			role["paths"] = d.Paths
		}
		if d.Prefixes != nil {
			role["path_hash_prefixes"] = d.Prefixes
		}
		roles = append(roles, role)
	}
	return Object{"keys": keys, "roles": roles}
}

// grantObject writes a grant, and adds its keys to keys.
func grantObject(g Grant, keys Object) Object {
	ids := []string{}
	for _, key := range g.Keys {
		ids = append(ids, key.ID)
		keys[key.ID] = key.Entry
	}
	return Object{"keyids": ids, "threshold": g.Threshold}
}

// Sign makes the file that holds signed with these signatures.
func Sign(signed any, by ...*Key) []byte {
	message := Canonical(signed)
	signatures := []any{}
	for _, key := range by {
		signatures = append(signatures, Object{"keyid": key.ID, "sig": hex.EncodeToString(key.Sign(message))})
	}
	return JSON(Object{"signed": signed, "signatures": signatures})
}
