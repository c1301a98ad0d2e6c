package strict

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
	"time"
)

// tree rebuilds a Value the way encoding/json with UseNumber would decode it, through the accessors.
func tree(t *testing.T, v Value) any {
	t.Helper()
	fail := func(err error) {
		if err != nil {
			t.Fatalf("%s: %v", v.Raw(), err)
		}
	}
	switch v.Kind() {
	case Null:
		return nil
	case Bool:
		b, err := v.Bool()
		fail(err)
		return b
	case Number:
		return json.Number(v.Raw())
	case String:
		text, err := v.Text()
		fail(err)
		return text
	case Array:
		list := []any{}
		fail(v.Array(func(_ int, element Value) error {
			list = append(list, tree(t, element))
			return nil
		}))
		return list
	case Object:
		members := map[string]any{}
		fail(v.Object(func(name []byte, member Value) error {
			members[string(name)] = tree(t, member)
			if found, ok := v.Lookup(string(name)); !ok || found.Offset() != member.Offset() {
				t.Fatalf("%s: look-up of %q found %q, want %q", v.Raw(), name, found.Raw(), member.Raw())
			}
			return nil
		}))
		return members
	}
	t.Fatalf("%q has no kind", v.Raw())
	return nil
}

// reference decodes with encoding/json, exactly one value.
func reference(raw []byte) (any, error) {
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		return nil, err
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, fmt.Errorf("more than one value: %w", err)
	}
	return v, nil
}

// plainCanonical writes a tree's canonical form the obvious way, to compare with. It knows no shortcut: encoding/json
// sorts the members of a map by their names' bytes.
func plainCanonical(b *bytes.Buffer, tree any) {
	switch v := tree.(type) {
	case string:
		b.WriteString(`"` + strings.NewReplacer(`"`, `\"`, `\`, `\\`).Replace(v) + `"`)
	case json.Number:
		if v == "-0" {
			v = "0"
		}
		b.WriteString(v.String())
	case []any:
		b.WriteByte('[')
		for i, element := range v {
			if i > 0 {
				b.WriteByte(',')
			}
			plainCanonical(b, element)
		}
		b.WriteByte(']')
	case map[string]any:
		names := make([]string, 0, len(v))
		for name := range v {
			names = append(names, name)
		}
		plainSort(names)
		b.WriteByte('{')
		for i, name := range names {
			if i > 0 {
				b.WriteByte(',')
			}
			plainCanonical(b, name)
			b.WriteByte(':')
			plainCanonical(b, v[name])
		}
		b.WriteByte('}')
	default:
		fmt.Fprint(b, map[any]string{nil: "null", true: "true", false: "false"}[v])
	}
}

// plainSort sorts by code point, compared rune by rune.
func plainSort(names []string) {
	less := func(a, b string) bool {
		x, y := []rune(a), []rune(b)
		for i := range min(len(x), len(y)) {
			if x[i] != y[i] {
				return x[i] < y[i]
			}
		}
		return len(x) < len(y)
	}
	for i := range names {
		for j := i; j > 0 && less(names[j], names[j-1]); j-- {
			names[j], names[j-1] = names[j-1], names[j]
		}
	}
}

// checkValue holds for every input: what is accepted, encoding/json accepts too, with the same value; its
// canonical form is the same by every way, is that of the plain implementation, and is its own canonical form.
func checkValue(t *testing.T, raw []byte) bool {
	t.Helper()
	v, err := Parse(raw)
	if err != nil {
		if v.Kind() != Absent {
			t.Fatalf("%q: a value beside the error %v", raw, err)
		}
		return false
	}
	want, err := reference(raw)
	if err != nil {
		t.Fatalf("%q: accepted, but encoding/json says %v", raw, err)
	}
	if got := tree(t, v); !reflect.DeepEqual(got, want) {
		t.Fatalf("%q: read as %v, but encoding/json has %v", raw, got, want)
	}
	form, err := all(t, raw)
	if err != nil {
		return true // a number that is not an integer
	}
	var plain bytes.Buffer
	plainCanonical(&plain, want)
	if !bytes.Equal(form, plain.Bytes()) {
		t.Fatalf("%q: canonical form %q, want %q", raw, form, plain.Bytes())
	}
	if len(form) > len(raw) {
		t.Fatalf("%q: the canonical form %q is longer", raw, form)
	}
	again, err := Parse(form)
	if err != nil {
		if bytes.ContainsFunc(form, func(r rune) bool { return r < ' ' }) {
			return true // raw control characters: canonical, but not JSON
		}
		t.Fatalf("%q: its canonical form %q is refused: %v", raw, form, err)
	}
	if again.form != exact {
		t.Fatalf("%q: its canonical form %q is not taken for one", raw, form)
	}
	return true
}

func FuzzCanonical(f *testing.F) {
	for _, seed := range []string{
		`{"b":1,"a":[true,null,"\u00e9\/"]}`, ` [ -0 , 1.5, 1e9 ] `, `{"a":1,"\u0061":2}`, `"\ud83d\ude00"`, "\"\xff\"", `{"":{"":{"":[[]]}}}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, raw []byte) { checkValue(t, raw) })
}

func FuzzDocument(f *testing.F) {
	for _, seed := range []string{
		`{"signed":{"_type":"root","version":1},"signatures":[{"keyid":"ab","sig":"cd"}]}`,
		`{"signatures":[],"x":1.5,"signed":{"b":"\n","a":{"z":1 ,"y":2}}}`, `{"signed":[],"signatures":{}}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, raw []byte) { checkDocument(t, raw) })
}

// checkDocument holds for every input: an accepted document is an accepted value, and its parts are those that a
// look-up finds; they have the canonical form that they have alone.
func checkDocument(t *testing.T, raw []byte) bool {
	t.Helper()
	d, err := ParseDocument(raw)
	if err != nil {
		return false
	}
	if !checkValue(t, raw) {
		t.Fatalf("%q: a document, but no value", raw)
	}
	v := parse(t, string(raw))
	signed, _ := v.Lookup("signed")
	signatures, _ := v.Lookup("signatures")
	if !bytes.Equal(signed.Raw(), d.Signed.Raw()) || !bytes.Equal(signatures.Raw(), d.Signatures.Raw()) {
		t.Fatalf("%q: split into %q and %q", raw, d.Signed.Raw(), d.Signatures.Raw())
	}
	form, err := d.Signed.Canonical()
	alone, err2 := all(t, d.Signed.Raw())
	if err != nil || err2 != nil || !bytes.Equal(form, alone) {
		t.Fatalf("%q: canonical form %q (%v), alone %q (%v)", raw, form, err, alone, err2)
	}
	return true
}

// Row A7, A6: each truncation of a document is refused, and no change of one byte breaks the invariants.
func TestA7_TruncatedAndFlippedDocumentsNeverPanic(t *testing.T) {
	for _, document := range []string{
		`{"signatures":[{"keyid":"ab","sig":"cd"}],"signed":{"_type":"targets","custom":{"n":[-12,0,null,true,false]},"t":"é\\\"x"}}`,
		`{"signed":{"b":"\ud83d\ude00\u0041\n","a":[1.0e5]},"signatures":[]}`,
		`{ "signed" : {"z" : -0, "y" : [ 1, {"k": "v", "j": {} } ] } , "signatures" : [ ] , "x" : 1.5e-3 }`,
	} {
		raw := []byte(document)
		for i := range raw {
			if checkDocument(t, raw[:i]) {
				t.Errorf("the first %d bytes of %s were accepted", i, raw)
			}
			if i > 0 && checkValue(t, raw[:i]) {
				t.Errorf("the first %d bytes of %s are a value", i, raw)
			}
			for c := range 256 {
				changed := bytes.Clone(raw)
				changed[i] = byte(c)
				checkDocument(t, changed)
				checkValue(t, changed)
			}
		}
	}
}

// randomJSON writes a random value, with white space, escapes and disorder; now and then it is not JSON.
func randomJSON(r *rand.Rand, b *strings.Builder, depth int) {
	pick := func(of ...string) string { return of[r.IntN(len(of))] }
	space := func() { b.WriteString(pick("", "", "", " ", "\n\t")) }
	text := func() {
		b.WriteByte('"')
		for range r.IntN(5) {
			b.WriteString(pick("a", "b", "c", "\u00e9", "\U0001f600", `\"`, `\\`, `\/`, `\n`, `\u0061`, `\u00E9`, `\ud83d\ude00`, "0123456789"))
		}
		b.WriteByte('"')
	}
	space()
	switch n := r.IntN(10); {
	case n < 3 || depth == 0:
		b.WriteString(pick("null", "true", "false", "0", "-0", "-17", "123456789012345678901", "1.5", "2e3", "01", "tru", "-"))
	case n < 5:
		text()
	case n < 7:
		b.WriteByte('[')
		for i := range r.IntN(4) {
			b.WriteString(","[:min(i, 1)])
			randomJSON(r, b, depth-1)
		}
		b.WriteByte(']')
	default:
		b.WriteByte('{')
		for i := range r.IntN(5) {
			b.WriteString(","[:min(i, 1)])
			space()
			text()
			space()
			b.WriteByte(':')
			randomJSON(r, b, depth-1)
		}
		b.WriteByte('}')
	}
	space()
}

func TestAgreesWithEncodingJSON(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	accepted := 0
	const runs = 20_000
	for range runs {
		var b strings.Builder
		randomJSON(r, &b, 5)
		if checkValue(t, []byte(b.String())) {
			accepted++
		} else if json.Valid([]byte(b.String())) && !hasDuplicate(b.String()) {
			t.Fatalf("%s: refused for no reason", b.String())
		}
	}
	if accepted < runs/10 || accepted == runs {
		t.Errorf("%d of %d accepted: the test sees one side only", accepted, runs)
	}
}

// hasDuplicate reports whether sound JSON repeats a name within an object, by encoding/json's tokens.
func hasDuplicate(raw string) bool {
	d := json.NewDecoder(strings.NewReader(raw))
	d.UseNumber()
	type frame struct {
		names  map[string]bool // nil in an array
		isName bool
	}
	stack := []frame{{}}
	for {
		token, err := d.Token()
		if err != nil {
			return false
		}
		top := &stack[len(stack)-1]
		if name, ok := token.(string); ok && top.isName {
			if top.names[name] {
				return true
			}
			top.names[name], top.isName = true, false
			continue
		}
		top.isName = top.names != nil
		switch token {
		case json.Delim('{'):
			stack = append(stack, frame{map[string]bool{}, true})
		case json.Delim('['):
			stack = append(stack, frame{})
		case json.Delim('}'), json.Delim(']'):
			stack = stack[:len(stack)-1]
		}
	}
}
