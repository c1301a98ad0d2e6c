package verifier

import (
	"bytes"
	"fmt"
	"testing"
	"time"
)

// FuzzMetadata reads any bytes as each role. Nothing panics, not even when what was read is used unverified; and what
// is accepted says the same when its canonical form is read back.
func FuzzMetadata(f *testing.F) {
	const header = `"spec_version":"1.0.0","version":1,"expires":"2030-01-01T00:00:00Z"`
	const role = `{"keyids":["a","b"],"threshold":1}`
	const key = `{"keytype":"ed25519","scheme":"ed25519","keyval":{"public":"d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"}}`
	for _, signed := range []string{
		`{"_type":"root",` + header + `,"keys":{"a":` + key + `},"roles":{"root":` + role + `,"timestamp":` + role + `,"snapshot":` + role + `,"targets":` + role + `}}`,
		`{"_type":"timestamp",` + header + `,"meta":{"snapshot.json":{"version":1,"length":2,"hashes":{"sha256":"00"}}},"signed_at":"2030-01-01T00:00:00Z"}`,
		`{"_type":"snapshot",` + header + `,"meta":{"targets.json":{"version":1},"d.json":{"version":7}}}`,
		`{"_type":"targets",` + header + `,"targets":{"a/b":{"length":1,"hashes":{"sha512":""},"custom":null}},"delegations":{"keys":{"a":` + key + `},"roles":[` +
			`{"name":"d","paths":["a/*"],"terminating":true,"keyids":["a"],"threshold":1},{"name":"e","path_hash_prefixes":["0"],"keyids":["a"],"threshold":2}]}}`,
		`{"_type":"targets",` + header + `,"targets":{},"delegations":{"keys":{},"succinct_roles":{"keyids":["a"],"threshold":1,"bit_length":9,"name_prefix":"bin"}}}`,
	} {
		f.Add([]byte(`{"signatures":[{"keyid":"a","sig":"00"},{"keyid":"b","sig":""}],"signed":` + signed + `}`))
	}
	limits := DefaultLimits()
	f.Fuzz(func(t *testing.T, raw []byte) {
		for kind, read := range map[string]func([]byte) *document{
			Root: func(raw []byte) *document {
				r, refusal := readRoot(raw, limits)
				if refusal != nil {
					return nil
				}
				use(r.document, r.grants[Root])
				return r.document
			},
			Timestamp: func(raw []byte) *document {
				r, refusal := readTimestamp(raw, limits)
				if refusal != nil {
					return nil
				}
				_ = r.snapshot.matches(raw, "")
				return r.document
			},
			Snapshot: func(raw []byte) *document {
				r, refusal := readSnapshot(raw, limits)
				if refusal != nil {
					return nil
				}
				m, ok := r.meta.get("targets.json")
				if !ok {
					t.Fatal("a snapshot without targets.json was read")
				}
				_, _ = m.bytesMax(1, 2, "")
				return r.document
			},
			Targets: func(raw []byte) *document {
				r, refusal := readTargets("d", raw, limits)
				if refusal != nil {
					return nil
				}
				roles, err := r.delegations.rolesFor(newPathMatch("a/b"), 3, limits)
				if err != nil {
					t.Fatalf("roles that were read are refused: %v", err)
				}
				for _, role := range roles {
					ring := keyRing{}
					ring.name(role.grant)
					ring.read(r.delegations.keys)
					use(r.document, ring.signers(role.grant))
				}
				lookUp(r)
				return r.document
			},
		} {
			d := read(raw)
			if d == nil {
				continue
			}
			if refusal := d.canonical(); refusal != nil {
				t.Fatalf("%s: read, but without a canonical form: %v", kind, refusal)
			}
			if bytes.ContainsFunc(d.message.bytes, func(r rune) bool { return r < ' ' }) {
				continue // control characters stand raw in the canonical form, which then is not JSON
			}
			again := read(fmt.Appendf(nil, `{"signatures":[],"signed":%s}`, d.message.bytes))
			if again == nil || again.canonical() != nil || !bytes.Equal(again.message.bytes, d.message.bytes) || again.version != d.version || !again.expires.Equal(d.expires) {
				t.Errorf("%s: the canonical form %s reads as another document", kind, d.message.bytes)
			}
		}
	})
}

// use does with an unverified document what is done with one that is being verified.
func use(d *document, s signers) {
	by, _ := d.verify(s, "")
	_ = s.met(by)
	_ = d.expiry(time.Unix(0, 0), "")
}

func lookUp(r *targetsRole) {
	s := &Search{refresh: &Refresh{root: &rootRole{consistent: true}}, path: "a/b"}
	if entry, ok := r.targets.Lookup(s.path); ok {
		_, _ = s.read(entry)
	}
}

// FuzzReceipt reads any bytes as a receipt. What is accepted is written back to the same receipt.
func FuzzReceipt(f *testing.F) {
	r := &receipt{version: 1, expires: time.Unix(0, 0).UTC(), length: 2, sha256: make([]byte, 32), sha512: make([]byte, 64), signers: []KeyHash{{1}, {2}}, grant: make([]byte, 32)}
	f.Add(r.encode())
	f.Add([]byte(`{"version":1}`))
	r.grant = nil
	f.Add(r.encode())
	f.Fuzz(func(t *testing.T, raw []byte) {
		r, err := readReceipt(raw)
		if err != nil {
			return
		}
		again, err := readReceipt(r.encode())
		if err != nil || !bytes.Equal(again.encode(), r.encode()) {
			t.Errorf("%s reads back as %s: %v", raw, r.encode(), err)
		}
		_ = r.standsFor(meta{version: 1, length: -1}, signers{threshold: 1}, time.Unix(0, 0))
	})
}
