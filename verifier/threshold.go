package verifier

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"maps"
	"slices"
	"sort"

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
		g.threshold, err = readThreshold(v)
	default:
		return false, nil
	}
	return true, err
}

func readThreshold(v strict.Value) (int64, error) {
	n, err := v.Int()
	if err != nil || n < 1 {
		return 0, v.Refuse("a threshold of 1 or more")
	}
	return n, nil
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
	var list texts
	if err := list.keyIDs(v, limits); err != nil {
		return nil, err
	}
	ids := make([]string, len(list.all))
	err := v.Array(func(i int, element strict.Value) (err error) {
		ids[i], err = element.Text() // in the order of the file
		return err
	})
	return ids, err
}

// texts checks that no text comes twice in a list, without a copy of any but those with escapes. It may be used again.
type texts struct{ all [][]byte }

// keyIDs checks a list of key IDs.
func (t *texts) keyIDs(v strict.Value, limits Limits) error {
	t.all = t.all[:0]
	err := v.Array(func(i int, element strict.Value) error {
		if i >= limits.Signatures {
			return refuse(ErrLimitExceeded, "4.3", fmt.Sprintf("at most %d key IDs in a role", limits.Signatures), "more")
		}
		if len(element.Raw()) > keyIDRawMax {
			return refuse(ErrLimitExceeded, "4.3", fmt.Sprintf("key IDs of at most %d bytes", KeyIDBytesMax), "more")
		}
		id, err := element.Bytes()
		t.all = append(t.all, id)
		return err
	})
	if err == nil {
		if again, ok := t.twice(); ok {
			err = refuse(ErrMalformed, "4.3", "each key ID once in a role", excerpt(string(again))+" again")
		}
	}
	return err
}

// twice finds a text that is listed twice. It sorts them.
func (t *texts) twice() ([]byte, bool) {
	sort.Sort(t)
	for i := 1; i < len(t.all); i++ {
		if bytes.Equal(t.all[i-1], t.all[i]) {
			return t.all[i], true
		}
	}
	return nil, false
}

func (t *texts) Len() int           { return len(t.all) }
func (t *texts) Less(i, j int) bool { return bytes.Compare(t.all[i], t.all[j]) < 0 }
func (t *texts) Swap(i, j int)      { t.all[i], t.all[j] = t.all[j], t.all[i] }

// checkKeys reads a key map. Its keys stay unread: only those that a role names are parsed.
func checkKeys(v strict.Value, limits Limits) error {
	n := 0
	return v.Object(func([]byte, strict.Value) error {
		if n++; n > limits.Keys {
			return refuse(ErrLimitExceeded, "4.3", fmt.Sprintf("at most %d keys", limits.Keys), "more")
		}
		return nil
	})
}

// A keyRing holds the keys that some grants name, by ID: all of one delegator are parsed in one pass over its
// key map, and keep nothing of its file alive. A key ID without a usable key counts for nothing.
type keyRing map[string]publicKey

func (r keyRing) name(g grant) {
	for _, id := range g.keyIDs {
		r[id] = publicKey{}
	}
}

// read parses the named keys of a key map, and says how many it tried. A longer key than any is as unusable
// as one that can't be parsed.
func (r keyRing) read(keys strict.Value) (tried int) {
	_ = keys.Object(func(name []byte, v strict.Value) error { // it was read as an object before
		if _, named := r[string(name)]; named && len(v.Raw()) <= KeyBytesMax {
			tried++
			if key, ok := parseKey(v); ok {
				r[string(name)] = key
			}
		}
		return nil
	})
	return tried
}

func (r keyRing) signers(g grant) signers {
	s := signers{keys: make(map[string]publicKey, len(g.keyIDs)), threshold: g.threshold}
	for _, id := range g.keyIDs {
		if key := r[id]; key.verify != nil {
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
func (s signers) met(by []KeyHash) bool { return s.voters().met(by) }

// Voters are signers without their keys: all that is needed to judge what was signed before.
type voters struct {
	hashes    map[KeyHash]bool
	threshold int64
}

func (s signers) voters() voters {
	v := voters{hashes: make(map[KeyHash]bool, len(s.keys)), threshold: s.threshold}
	for _, key := range s.keys {
		v.hashes[key.hash] = true
	}
	return v
}

func (v voters) met(by []KeyHash) bool {
	counted := int64(0)
	for hash := range v.hashes {
		if slices.Contains(by, hash) {
			counted++
		}
	}
	return counted >= v.threshold
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
	known, hashed := 0, int64(0)
	for _, sig := range d.signatures {
		key, ok := s.keys[sig.keyID]
		if !ok || len(sig.bytes) == 0 || tried[key.hash] {
			continue
		}
		tried[key.hash] = true
		known++
		if key.whole { // what is beyond the bound counts for nothing
			if hashed += int64(len(d.message.bytes)); hashed > hashedFree+hashedTimes*int64(len(d.message.bytes)) {
				continue
			}
		}
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
		d.checks++
		ok = key.verify(&d.message, sig.bytes)
		if d.checked == nil {
			d.checked = map[attempt]bool{}
		}
		d.checked[a] = ok
	}
	return ok
}
