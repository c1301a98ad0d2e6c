package verifier

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"maps"
	"slices"

	"github.com/ota-agent/ota-agent/verifier/strict"
)

// A grant is what a delegator says of one role: which keys may sign, and how many must (TUF 4.3, 4.5).
type grant struct {
	keyIDs    []string
	threshold int64
}

// readField reads keyids or threshold; ok is false for any other name.
func (g *grant) readField(name string, v strict.Value, limits Limits) (ok bool, err error) {
	switch name {
	case "keyids":
		g.keyIDs, err = readKeyIDs(v, limits)
	case "threshold":
		g.threshold, err = v.Int()
		if err != nil || g.threshold < 1 {
			err = v.Refuse("a threshold of 1 or more")
		}
	default:
		return false, nil
	}
	return true, err
}

// complete refuses a grant that lacks a part. A threshold is never 0 once it was read.
func (g *grant) complete() error {
	if g.threshold == 0 {
		return missing("threshold")
	}
	if g.keyIDs == nil {
		return missing("keyids")
	}
	return nil
}

// readKeyIDs reads a list of unique key IDs. They are opaque: a key ID need not be the hash of its key (TAP 12).
func readKeyIDs(v strict.Value, limits Limits) ([]string, error) {
	ids := []string{}
	seen := map[string]bool{}
	err := v.Array(func(i int, element strict.Value) error {
		if i >= limits.Signatures {
			return refuse(ErrLimitExceeded, "4.3", fmt.Sprintf("at most %d key IDs in a role", limits.Signatures), "more")
		}
		id, err := element.Text()
		if err != nil {
			return err
		}
		if seen[id] {
			return refuse(ErrMalformed, "4.3", "each key ID once in a role", excerpt(id)+" again")
		}
		seen[id] = true
		ids = append(ids, id)
		return nil
	})
	return ids, err
}

// A keyMap holds a delegator's keys by ID, unread: only those that a role names are parsed.
type keyMap map[string]strict.Value

func readKeyMap(v strict.Value, limits Limits) (keyMap, error) {
	keys := keyMap{}
	err := v.Object(func(name []byte, key strict.Value) error {
		if len(keys) >= limits.Keys {
			return refuse(ErrLimitExceeded, "4.3", fmt.Sprintf("at most %d keys", limits.Keys), "more")
		}
		keys[string(name)] = key
		return nil
	})
	return keys, err
}

// only copies the entries of some key IDs, so that they outlive the file they came in.
func (m keyMap) only(ids []string) keyMap {
	part := make(keyMap, len(ids))
	for _, id := range ids {
		if v, err := strict.Parse(bytes.Clone(m[id].Raw())); err == nil {
			part[id] = v
		}
	}
	return part
}

// signers parses the keys of one grant. A key ID without a usable key counts for nothing.
func (m keyMap) signers(g grant) signers {
	s := signers{keys: make(map[string]publicKey, len(g.keyIDs)), threshold: g.threshold}
	for _, id := range g.keyIDs {
		if key, ok := parseKey(m[id]); ok {
			s.keys[id] = key
		}
	}
	return s
}

// signers are the usable keys that a delegator lets sign a role, by key ID, and how many different ones must.
type signers struct {
	keys      map[string]publicKey
	threshold int64
}

// met reports whether documents signed by these keys would meet the threshold.
func (s signers) met(by []KeyHash) bool {
	counted := map[KeyHash]bool{}
	for _, key := range s.keys {
		if slices.Contains(by, key.hash) {
			counted[key.hash] = true
		}
	}
	return int64(len(counted)) >= s.threshold
}

// sum identifies who may sign, under which key IDs and schemes, and how many must.
func (s signers) sum() []byte {
	h := sha256.New()
	h.Write(binary.BigEndian.AppendUint64(nil, uint64(s.threshold)))
	for _, id := range slices.Sorted(maps.Keys(s.keys)) {
		key := s.keys[id]
		for _, part := range []string{id, key.scheme, string(key.hash[:])} {
			h.Write(binary.BigEndian.AppendUint64(nil, uint64(len(part))))
			h.Write([]byte(part))
		}
	}
	return h.Sum(nil)
}

// An attempt is one check of one signature with one key.
type attempt struct {
	keyID  string
	key    KeyHash
	scheme string
}

// verify counts the different keys that signed the document, and returns them. Each key is tried once: one key
// under two IDs counts once, and bounds the work (B2, B12).
func (d *document) verify(s signers, section string) ([]KeyHash, *MetadataError) {
	if refusal := d.canonical(); refusal != nil {
		return nil, refusal
	}
	var valid []KeyHash
	tried := map[KeyHash]bool{}
	known := 0
	for _, sig := range d.signatures {
		key, ok := s.keys[sig.keyID]
		if !ok || len(sig.bytes) == 0 || tried[key.hash] {
			continue
		}
		tried[key.hash] = true
		known++
		if d.check(sig, key) {
			valid = append(valid, key.hash)
		}
	}
	if int64(len(valid)) >= s.threshold {
		return valid, nil
	}
	want := fmt.Sprintf("signatures by %d of %d usable keys", s.threshold, len(s.keys))
	got := fmt.Sprintf("%d valid of %d by known keys", len(valid), known)
	return nil, refuse(ErrUnsigned, section, want, got).of(d.role, d.version)
}

// check verifies one signature, and remembers the outcome: a root is held against two sets of keys.
func (d *document) check(sig signature, key publicKey) bool {
	a := attempt{sig.keyID, key.hash, key.scheme}
	ok, done := d.checked[a]
	if !done {
		ok = key.verify(&d.message, sig.bytes)
		if d.checked == nil {
			d.checked = map[attempt]bool{}
		}
		d.checked[a] = ok
	}
	return ok
}
