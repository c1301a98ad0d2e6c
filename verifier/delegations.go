package verifier

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"strings"

	"github.com/ota-agent/ota-agent/verifier/strict"
)

// delegations say who else may sign which target paths (TUF 4.5, TAP 15). The zero value delegates nothing.
type delegations struct {
	keys     keyMap
	roles    []delegatedRole // in order of appearance, which is their priority
	succinct *succinctRoles
}

// A delegatedRole is one element of delegations.roles.
type delegatedRole struct {
	grant
	name        string
	terminating bool
	paths       []string // patterns
	prefixes    []string // of the hex SHA-256 of a path, in lower case
	matchedBy   string   // which of the two the role has
}

// readDelegations reads a delegations object and refuses one that can be read in two ways (A18).
func readDelegations(v strict.Value, limits Limits) (delegations, error) {
	var d delegations
	listed := false
	err := v.Object(func(name []byte, v strict.Value) (err error) {
		switch string(name) {
		case "keys":
			d.keys, err = readKeyMap(v, limits)
		case "roles":
			listed = true
			d.roles, err = readDelegatedRoles(v, limits)
		case "succinct_roles":
			d.succinct, err = readSuccinctRoles(v, limits)
		}
		return err
	})
	switch {
	case err != nil:
		return d, err
	case d.keys == nil:
		return d, missing("delegations.keys")
	case listed == (d.succinct != nil):
		return d, v.Refuse("an object with either roles or succinct_roles")
	}
	return d, nil
}

func readDelegatedRoles(v strict.Value, limits Limits) ([]delegatedRole, error) {
	var roles []delegatedRole
	seen := map[string]bool{}
	err := v.Array(func(_ int, v strict.Value) error {
		role, err := readDelegatedRole(v, limits)
		if err != nil {
			return err
		}
		if seen[role.name] {
			return v.Refuse("each role name once, but " + excerpt(role.name) + " comes again")
		}
		seen[role.name] = true
		roles = append(roles, role)
		return nil
	})
	return roles, err
}

func readDelegatedRole(v strict.Value, limits Limits) (delegatedRole, error) {
	var role delegatedRole
	err := v.Object(func(field []byte, v strict.Value) (err error) {
		name := string(field)
		if ok, err := role.readField(name, v, limits); ok {
			return err
		}
		switch name {
		case "name":
			role.name, err = readRoleName(v)
		case "terminating":
			role.terminating, err = v.Bool()
		case "paths":
			role.paths, err = role.readPatterns(name, v)
		case "path_hash_prefixes":
			role.prefixes, err = role.readPatterns(name, v)
		}
		return err
	})
	if err == nil {
		err = role.complete()
	}
	if err == nil && role.name == "" {
		err = v.Refuse("an object with a name")
	}
	for i, prefix := range role.prefixes {
		role.prefixes[i] = strings.ToLower(prefix)
	}
	return role, err
}

// readPatterns reads paths or path_hash_prefixes, of which a role has at most one.
func (r *delegatedRole) readPatterns(name string, v strict.Value) ([]string, error) {
	if r.matchedBy != "" {
		return nil, v.Refuse("either paths or path_hash_prefixes, not both")
	}
	r.matchedBy = name
	var patterns []string
	err := v.Array(func(_ int, v strict.Value) error {
		pattern, err := v.Text()
		patterns = append(patterns, pattern)
		return err
	})
	return patterns, err
}

// readRoleName reads a delegated role's name, which is not one of the four that the specification fixes.
func readRoleName(v strict.Value) (string, error) {
	name, err := v.Text()
	if err != nil || name == "" || isTopLevel(name) {
		return "", v.Refuse("the name of a delegated role")
	}
	return name, boundedName(len(name))
}

func boundedName(length int) error {
	if length > RoleNameBytesMax {
		return refuse(ErrLimitExceeded, "4.5", "role names of at most 1024 bytes", fmt.Sprint(length))
	}
	return nil
}

// matches reports whether the role is trusted with a target path.
func (r *delegatedRole) matches(path, pathHash string) bool {
	for _, pattern := range r.paths {
		if matchPath(pattern, path) {
			return true
		}
	}
	for _, prefix := range r.prefixes {
		if strings.HasPrefix(pathHash, prefix) {
			return true
		}
	}
	return false
}

// succinctRoles are hash bins (TAP 15): 2^bits roles that share their keys, told apart by the first bits of the
// SHA-256 of a path.
type succinctRoles struct {
	grant
	bits   int64
	prefix string
}

func readSuccinctRoles(v strict.Value, limits Limits) (*succinctRoles, error) {
	var s succinctRoles
	named := false
	err := v.Object(func(field []byte, v strict.Value) (err error) {
		name := string(field)
		if ok, err := s.readField(name, v, limits); ok {
			return err
		}
		switch name {
		case "bit_length":
			if s.bits, err = v.Int(); err != nil || s.bits < 1 || s.bits > 32 {
				err = v.Refuse("a bit length from 1 to 32")
			}
		case "name_prefix":
			named = true
			if s.prefix, err = v.Text(); err == nil {
				err = boundedName(len(s.prefix) + binSuffixMax)
			}
		}
		return err
	})
	switch {
	case err != nil:
		return nil, err
	case s.bits == 0:
		return nil, missing("succinct_roles.bit_length")
	case !named:
		return nil, missing("succinct_roles.name_prefix")
	}
	return &s, s.complete()
}

// binSuffixMax is the length of what follows a bin's prefix: a dash and the digits of 32 bits.
const binSuffixMax = 1 + 32/4

// bin is the name of the bin that a path falls into. Bins are numbered in hex, all with the same number of digits.
func (s *succinctRoles) bin(sum [sha256.Size]byte) string {
	number := binary.BigEndian.Uint32(sum[:]) >> (32 - s.bits)
	return fmt.Sprintf("%s-%0*x", s.prefix, (s.bits+3)/4, number)
}

// rolesFor yields the roles that are trusted with a path, in the order to search them.
func (d *delegations) rolesFor(path string) []delegatedRole {
	sum := sha256.Sum256([]byte(path))
	if s := d.succinct; s != nil {
		return []delegatedRole{{grant: s.grant, name: s.bin(sum)}}
	}
	var found []delegatedRole
	pathHash := hex.EncodeToString(sum[:])
	for _, role := range d.roles {
		if role.matches(path, pathHash) {
			found = append(found, role)
		}
	}
	return found
}
