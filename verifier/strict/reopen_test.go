package strict

import (
	"bytes"
	"testing"
)

// reopenedMembers lists what an object holds.
func reopenedMembers(v Value) map[string][]byte {
	all := map[string][]byte{}
	_ = v.Object(func(name []byte, member Value) error {
		all[string(name)] = member.Raw()
		return nil
	})
	return all
}

func TestReopenSigned_ReadsWhatWasParsed(t *testing.T) {
	for _, raw := range []string{
		`{"signatures":[],"signed":{"a":1,"b":{"c":[1,2,"}"]},"d":"\"}\\"}}`,
		` { "signed" : { "b" : { "x" : [ ] } , "a" : -0 } , "signatures" : [ {"sig": "}" } ] } `,
		`{"signatures":[],"signed":{}}`,
	} {
		parsed, err := ParseDocument([]byte(raw))
		if err != nil {
			t.Fatal(err)
		}
		signed, err := ReopenSigned([]byte(raw))
		if err != nil {
			t.Errorf("%s: %v", raw, err)
		}
		sameMembers(t, signed, parsed.Signed)
	}
}

func sameMembers(t *testing.T, reopened, parsed Value) {
	t.Helper()
	got, want := reopenedMembers(reopened), reopenedMembers(parsed)
	if len(got) != len(want) || reopened.Offset() != parsed.Offset() {
		t.Fatalf("reopened at %d with %d members, want %d at %d", reopened.Offset(), len(got), len(want), parsed.Offset())
	}
	for name, raw := range want {
		member, ok := reopened.Lookup(name)
		if !ok || !bytes.Equal(got[name], raw) || !bytes.Equal(member.Raw(), raw) {
			t.Errorf("%q is %s, want %s", name, got[name], raw)
		}
	}
}

// A reopened value makes no canonical form of what is not JSON.
func TestReopenSigned_HasACanonicalFormOnlyOfJSON(t *testing.T) {
	signed, err := ReopenSigned([]byte(`{"signed":{"good":{"b":1, "a":2},"bad":{"a":1,"a":2}}}`))
	if err != nil {
		t.Fatal(err)
	}
	good, _ := signed.Lookup("good")
	if form, err := good.Canonical(); err != nil || string(form) != `{"a":2,"b":1}` {
		t.Errorf("canonical form %s, %v", form, err)
	}
	bad, _ := signed.Lookup("bad")
	if form, err := bad.Canonical(); err == nil {
		t.Errorf("a name twice has the canonical form %s", form)
	}
	if err := bad.WriteCanonical(&bytes.Buffer{}); err == nil {
		t.Error("a name twice has a canonical form")
	}
}

func TestReopenSigned_WithoutASignedObject(t *testing.T) {
	for _, raw := range []string{``, ` `, `[]`, `{`, `{}`, `{"signatures":[]}`, `{"signed":[]}`, `{"signed"`, `{"`, `{"signed":`, `{"x":{"signed":{}}}`} {
		if signed, err := ReopenSigned([]byte(raw)); err == nil {
			t.Errorf("%q: %s", raw, signed.Raw())
		}
	}
}

// FuzzReopen reads bytes that nobody validated by every reader: none panics, and each comes to an end. What
// ParseDocument accepts reads the same either way.
func FuzzReopen(f *testing.F) {
	for _, raw := range []string{
		`{"signatures":[],"signed":{"a":[1,{"b":"\u00e9"}],"c":"0f","d":"2030-01-01T00:00:00Z","e":true,"f":-0,"g":null}}`,
		`{"signed":{"a":[}`, `{"signed":{"a":[,,]`, `{"signed":{"a":"\`, `{"signed":{"a":"b\"`, `{"signed":{"a":"\u12`, `{"signed":{"\uD800":"\q"`,
		`{"signed":{"a":-`, `{"signed":{"a":t`, `{"signed":{"a":"`, `{"signed":{"a"`, `{"signed":{"a":{"`,
	} {
		f.Add([]byte(raw))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		signed, err := ReopenSigned(raw)
		if parsed, perr := ParseDocument(raw); perr == nil {
			if err != nil {
				t.Fatalf("%q: %v", raw, err)
			}
			sameMembers(t, signed, parsed.Signed)
		}
		if err == nil {
			readAll(signed, DepthMax)
		}
	})
}

// readAll uses every reader on a value and, so far down, on what is in it.
func readAll(v Value, depth int) {
	_, _ = v.Text()
	_, _ = v.Int()
	_, _ = v.Bool()
	_, _ = v.Hex()
	_, _ = v.Time()
	_, _ = v.Field("a")
	_, _ = v.Canonical()
	_ = v.WriteCanonical(&bytes.Buffer{})
	_ = v.Refuse("nothing")
	if depth == 0 {
		return
	}
	_ = v.Array(func(_ int, element Value) error {
		readAll(element, depth-1)
		return nil
	})
	_ = v.Object(func(_ []byte, member Value) error {
		readAll(member, depth-1)
		return nil
	})
}
