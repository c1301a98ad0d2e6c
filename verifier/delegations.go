package verifier

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"

	"github.com/ota-agent/ota-agent/verifier/strict"
)

// delegations say who else may sign which target paths (TUF 4.5, TAP 15). The zero value delegates nothing.
// Keys and roles were read once, and stay where they lie: whoever may sign for a few paths chooses how many
// there are, and a search needs few of them.
type delegations struct {
	keys     strict.Value
	roles    strict.Value // in order of appearance, which is their priority
	succinct *succinctRoles
}

// A delegatedRole is one element of delegations.roles.
type delegatedRole struct {
	name        []byte // in the file's own bytes
	keyIDs      strict.Value
	threshold   int64
	terminating bool
	patterns    strict.Value // paths or path_hash_prefixes
	matchedBy   string       // which of the two the role has
}

// readDelegations reads a delegations object and refuses one that can be read in two ways (A18). Of one that
// was read before, keys and roles are not gone through again: that may take longer than all else that a
// search does with the file.
func readDelegations(v strict.Value, limits Limits, before bool) (delegations, error) {
	var d delegations
	err := v.Object(func(name []byte, v strict.Value) (err error) {
		switch string(name) {
		case "keys":
			if d.keys = v; !before {
				err = checkKeys(v, limits)
			}
		case "roles":
			if d.roles = v; !before {
				err = checkRoles(v, limits)
			}
		case "succinct_roles":
			d.succinct, err = readSuccinctRoles(v, limits)
		}
		return err
	})
	switch listed := d.roles.Kind() != strict.Absent; {
	case err != nil:
		return d, err
	case d.keys.Kind() == strict.Absent:
		return d, missing("delegations.keys")
	case listed == (d.succinct != nil):
		return d, v.Refuse("an object with either roles or succinct_roles")
	}
	return d, nil
}

// roleBytesMin is the length of the shortest role: {"keyids":[],"name":"a","threshold":1}.
const roleBytesMin = 40

// checkRoles reads all delegated roles, and keeps none.
func checkRoles(v strict.Value, limits Limits) error {
	var names, list texts
	patterns := 0
	names.all = make([][]byte, 0, min(len(v.Raw())/roleBytesMin, DelegatedRolesMax))
	err := v.Array(func(i int, v strict.Value) error {
		if i >= DelegatedRolesMax {
			return refuse(ErrLimitExceeded, "4.5", fmt.Sprintf("at most %d delegated roles in a file", DelegatedRolesMax), "more")
		}
		role, err := readDelegatedRole(v)
		if err == nil {
			err = list.keyIDs(role.keyIDs, limits)
		}
		if err == nil {
			err = checkPatterns(role.patterns, &patterns)
		}
		names.all = append(names.all, role.name)
		return err
	})
	if err == nil {
		if again, ok := names.twice(); ok {
			err = v.Refuse("each role name once, but " + excerpt(string(again)) + " comes again")
		}
	}
	return err
}

// checkPatterns reads a role's patterns, and counts those of the whole file.
func checkPatterns(v strict.Value, count *int) error {
	if v.Kind() == strict.Absent {
		return nil
	}
	return v.Array(func(_ int, v strict.Value) error {
		if *count++; *count > PatternsMax {
			return refuse(ErrLimitExceeded, "4.5", fmt.Sprintf("at most %d path patterns in a file", PatternsMax), "more")
		}
		if v.Kind() != strict.String {
			return v.Refuse("a string")
		}
		if len(v.Raw()) > PatternBytesMax {
			return refuse(ErrLimitExceeded, "4.5", fmt.Sprintf("path patterns of at most %d bytes", PatternBytesMax), "more")
		}
		return nil
	})
}

// readDelegatedRole reads one role, but for its lists.
func readDelegatedRole(v strict.Value) (delegatedRole, error) {
	var role delegatedRole
	err := v.Object(func(field []byte, v strict.Value) (err error) {
		switch string(field) {
		case "name":
			role.name, err = readRoleName(v)
		case "keyids":
			role.keyIDs = v
		case "threshold":
			role.threshold, err = readThreshold(v)
		case "terminating":
			role.terminating, err = v.Bool()
		case "paths":
			err = role.matchBy("paths", v)
		case "path_hash_prefixes":
			err = role.matchBy("path_hash_prefixes", v)
		}
		return err
	})
	switch {
	case err != nil:
	case role.threshold == 0: // never once it was read
		err = missing("threshold")
	case role.keyIDs.Kind() == strict.Absent:
		err = missing("keyids")
	case len(role.name) == 0:
		err = v.Refuse("an object with a name")
	}
	return role, err
}

// matchBy takes paths or path_hash_prefixes, of which a role has at most one.
func (r *delegatedRole) matchBy(name string, v strict.Value) error {
	if r.matchedBy != "" {
		return v.Refuse("either paths or path_hash_prefixes, not both")
	}
	r.matchedBy, r.patterns = name, v
	return nil
}

// grant reads who must sign the role.
func (r *delegatedRole) grant(limits Limits) (grant, error) {
	ids, err := readKeyIDs(r.keyIDs, limits)
	return grant{keyIDs: ids, threshold: r.threshold}, err
}

// readRoleName reads a delegated role's name, which is not one of the four that the specification fixes.
func readRoleName(v strict.Value) ([]byte, error) {
	name, err := v.Bytes()
	if err != nil || len(name) == 0 || len(name) <= len(Timestamp) && isTopLevel(string(name)) {
		return nil, v.Refuse("the name of a delegated role")
	}
	return name, boundedName(len(name))
}

func boundedName(length int) error {
	if length > RoleNameBytesMax {
		return refuse(ErrLimitExceeded, "4.5", fmt.Sprintf("role names of at most %d bytes", RoleNameBytesMax), fmt.Sprint(length))
	}
	return nil
}

// A pathMatch is a target path that delegations are held against, and how much that may still cost.
type pathMatch struct {
	path  string
	sum   [sha256.Size]byte
	hash  string // sum in hex
	steps int    // characters that may still be compared
}

func newPathMatch(path string) *pathMatch {
	m := &pathMatch{path: path, sum: sha256.Sum256([]byte(path)), steps: MatchStepsMax}
	m.hash = hex.EncodeToString(m.sum[:])
	return m
}

// matches reports whether a role is trusted with the path.
func (m *pathMatch) matches(r *delegatedRole) (bool, error) {
	found := errors.New("found")
	err := r.patterns.Array(func(_ int, v strict.Value) error {
		pattern, err := v.Bytes()
		if err != nil {
			return err
		}
		ok := false
		if r.matchedBy == "paths" {
			ok = m.glob(pattern)
		} else {
			m.steps -= len(pattern)
			ok = hasPrefix(m.hash, pattern)
		}
		if ok {
			err = found
		}
		if m.steps < 0 {
			err = refuse(ErrLimitExceeded, "5.6.7", fmt.Sprintf("delegations that can be held against a path in %d steps", MatchStepsMax), "more")
		}
		return err
	})
	if err == found {
		return true, nil
	}
	return false, err
}

// hasPrefix compares the beginning of a hash with hex digits of either case.
func hasPrefix(hash string, prefix []byte) bool {
	if len(prefix) > len(hash) {
		return false
	}
	for i, c := range prefix {
		if 'A' <= c && c <= 'Z' {
			c |= 0x20
		}
		if c != hash[i] {
			return false
		}
	}
	return true
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
			var prefix []byte
			if prefix, err = v.Bytes(); err == nil {
				err = boundedName(len(prefix) + binSuffixMax)
			}
			if err == nil {
				s.prefix = string(prefix)
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

// A delegatee is a role that is trusted with a path.
type delegatee struct {
	grant
	name        string
	terminating bool
}

// rolesFor yields the roles that are trusted with a path, in the order to search them, up to the first that
// is terminating, and one more than most at the most.
func (d *delegations) rolesFor(m *pathMatch, most int, limits Limits) ([]delegatee, error) {
	if s := d.succinct; s != nil {
		return []delegatee{{grant: s.grant, name: s.bin(m.sum)}}, nil
	}
	if d.roles.Kind() == strict.Absent {
		return nil, nil
	}
	enough := errors.New("enough")
	var found []delegatee
	err := d.roles.Array(func(_ int, v strict.Value) error {
		role, err := readDelegatedRole(v)
		if err != nil {
			return err
		}
		if role.patterns.Kind() == strict.Absent {
			return nil
		}
		if ok, err := m.matches(&role); !ok || err != nil {
			return err
		}
		g, err := role.grant(limits)
		found = append(found, delegatee{grant: g, name: string(role.name), terminating: role.terminating})
		if err == nil && (role.terminating || len(found) > most) {
			err = enough
		}
		return err
	})
	if err == enough {
		err = nil
	}
	return found, err
}
