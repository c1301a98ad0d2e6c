package strict

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"
)

// all returns the canonical form by each of the ways there are to it, which must agree.
func all(t *testing.T, raw []byte) ([]byte, error) {
	t.Helper()
	v, err := Parse(raw)
	if err != nil {
		return nil, err
	}
	got, err := v.Canonical()
	for _, known := range []form{v.form, unsorted} {
		v.form = known
		appended, err2 := v.AppendCanonical([]byte("before"))
		var written bytes.Buffer
		err3 := v.WriteCanonical(&written)
		if (err == nil) != (err2 == nil) || (err == nil) != (err3 == nil) {
			t.Fatalf("%q: the ways disagree: %v, %v, %v", raw, err, err2, err3)
		}
		if err == nil && (string(appended) != "before"+string(got) || written.String() != string(got)) {
			t.Fatalf("%q: canonical %q, appended %q, written %q", raw, got, appended, written.Bytes())
		}
		if err != nil && string(appended) != "before" {
			t.Fatalf("%q: a failed append left %q", raw, appended)
		}
	}
	return got, err
}

// The expected forms are what the reference implementation writes (python3-securesystemslib 0.26,
// encode_canonical) for the same documents.
func TestA3_CanonicalFormAgreesWithReference(t *testing.T) {
	text, err := os.ReadFile("testdata/canonical.json")
	if err != nil {
		t.Fatal(err)
	}
	var vectors []struct{ In, Out string }
	if err := json.Unmarshal(text, &vectors); err != nil {
		t.Fatal(err)
	}
	for _, v := range vectors {
		got, err := all(t, []byte(v.In))
		if err != nil || string(got) != v.Out {
			t.Errorf("%s: got %q, %v; want %q", v.In, got, err, v.Out)
		}
	}
}

func TestA3_NumbersThatAreNoIntegersHaveNoCanonicalForm(t *testing.T) {
	for _, number := range []string{"1.0", "0.5", "1e3", "1E3", "-0.0", "0e0", "1e-7", "-0e1", "12.5E+3"} {
		for _, shape := range []string{"%s", "[%s]", `{"a":{"b":[0,%s]}}`, `{"b":1, "a":%s}`} {
			raw := []byte(fmt.Sprintf(shape, number))
			var e *Error
			if _, err := all(t, raw); !errors.As(err, &e) {
				t.Errorf("%s: %v, want an *Error", raw, err)
			}
		}
		document := []byte(`{"signed":{"a":[{"x":` + number + `}]},"signatures":[]}`)
		var e *Error
		if _, err := ParseDocument(document); !errors.As(err, &e) || e.Where != "signed.a[0].x" {
			t.Errorf("%s: %v, want an *Error at signed.a[0].x", document, err)
		}
		outside := []byte(`{"other":` + number + `,"signatures":[` + number + `],"signed":{}}`)
		if _, err := ParseDocument(outside); err != nil {
			t.Errorf("%s: refused, though it is not signed: %v", outside, err)
		}
	}
	v, err := Parse([]byte(`{"a":[1.5],"b":[1]}`))
	if err != nil {
		t.Fatal(err)
	}
	var e *Error
	if _, err := v.Canonical(); !errors.As(err, &e) || e.Where != "a[0]" || e.Offset != 6 {
		t.Errorf("got %v, want an error at byte 6, a[0]", err)
	}
	b, _ := v.Lookup("b")
	if got, err := b.Canonical(); err != nil || string(got) != "[1]" {
		t.Errorf("a sound part beside it: %q, %v", got, err)
	}
}

func TestA3_CanonicalBytesAreNotCopied(t *testing.T) {
	raw := []byte(` {"x":1, "signed":{"a":[1,"é\\\""],"b":{"c":null}} ,"signatures":[ ]}`)
	d, err := ParseDocument(raw)
	if err != nil {
		t.Fatal(err)
	}
	got, err := d.Signed.Canonical()
	if err != nil || &got[0] != &raw[bytes.Index(raw, []byte(`{"a"`))] {
		t.Errorf("canonical bytes were copied (%v)", err)
	}
	if string(got) != `{"a":[1,"é\\\""],"b":{"c":null}}` {
		t.Errorf("got %q", got)
	}
	a, _ := d.Signed.Lookup("a")
	for _, part := range [][]byte{got, d.Signed.Raw(), a.Raw()} {
		if cap(part) != len(part) {
			t.Errorf("an append to %s would overwrite the document", part)
		}
	}
}

func TestA3_CanonicalIsAFixedPoint(t *testing.T) {
	for _, raw := range []string{
		`{"b":[1,-0,{"z":"\u00e9","y":"\/"}],"a":" \" \\ "}`, `[ ]`, `{"a":{"c":1 ,"b":2}}`,
	} {
		once, err := all(t, []byte(raw))
		if err != nil {
			t.Fatal(err)
		}
		v, err := Parse(once)
		if err != nil || v.form != exact {
			t.Errorf("%q: the form %q is not known as canonical (%v)", raw, once, err)
		}
		twice, err := all(t, once)
		if err != nil || !bytes.Equal(once, twice) {
			t.Errorf("%q: once %q, twice %q, %v", raw, once, twice, err)
		}
	}
}

// Row A2: what a decoder into structs would change on the way back must reach the signed bytes unchanged.
func TestA2_CanonicalFormIsOfTheReceivedDocument(t *testing.T) {
	for _, signed := range []string{
		`{"_type":"root","version":1}`, // no consistent_snapshot
		`{"consistent_snapshot":null}`,
		`{"delegations":{"keys":{},"roles":[{"name":"a"}]}}`, // no terminating
		`{"targets":{"a":{"custom":null,"hashes":{"sha256":"ABCDEF"},"length":0}}}`,
		`{"targets":{"a":{"custom":{"b":[],"empty":{}},"length":9007199254740993}}}`,
	} {
		d, err := ParseDocument([]byte(`{"signatures":[],"signed":` + signed + `}`))
		if err != nil {
			t.Fatal(err)
		}
		if got, err := d.Signed.Canonical(); err != nil || string(got) != signed {
			t.Errorf("got %q, %v; want %q", got, err, signed)
		}
	}
}

// Row A1: unknown fields are signed too.
func TestA1_UnknownFieldsAreKept(t *testing.T) {
	const unknown = `"x-new":{"big":36893488147419103232,"neg":-99999999999999999999,"none":null,"list":[null,[]]}`
	d, err := ParseDocument([]byte(`{"signed":{` + unknown + `,"_type":"root"},"signatures":[],"x":{"y":[1.5]}}`))
	if err != nil {
		t.Fatal(err)
	}
	want := `{"_type":"root","x-new":{"big":36893488147419103232,"list":[null,[]],"neg":-99999999999999999999,"none":null}}`
	if got, err := d.Signed.Canonical(); err != nil || string(got) != want {
		t.Errorf("got %q, %v; want %q", got, err, want)
	}
}

// sizes is a writer that notes what it is given, and fails after some writes if told to.
type sizes struct {
	bytes.Buffer
	largest, writes, failAt int
}

var errFull = errors.New("disk full")

func (s *sizes) Write(p []byte) (int, error) {
	s.writes++
	if s.writes == s.failAt {
		return 0, errFull
	}
	s.largest = max(s.largest, len(p))
	return s.Buffer.Write(p)
}

func TestWriteCanonicalStreamsInChunks(t *testing.T) {
	long := strings.Repeat("long text ", 2*chunkBytes)
	escaped := strings.Repeat(`\n\"`+strings.Repeat("x", chunkBytes+1), 3)
	many := `[` + strings.Repeat(`{"b": 1,"a":[ "text",true ]},`, 5000) + `0]`
	for _, raw := range []string{
		`{"a": "` + long + `","b":1}`, `{"b": "` + long + `","a":1}`, `["` + escaped + `", 1]`, many,
		strings.ReplaceAll(many, `"b": 1,"a"`, `"a":1 ,"b"`),
	} {
		want, err := AppendCanonical(nil, []byte(raw))
		if err != nil {
			t.Fatal(err)
		}
		var got sizes
		if err := WriteCanonical(&got, []byte(raw)); err != nil || !bytes.Equal(got.Bytes(), want) {
			t.Fatalf("%.40s: written and appended forms differ (%v)", raw, err)
		}
		if got.writes < 2 {
			t.Errorf("%.40s: %d bytes came in one write", raw, got.Len())
		}
		for at := 1; at <= got.writes; at++ {
			if err := WriteCanonical(&sizes{failAt: at}, []byte(raw)); !errors.Is(err, errFull) {
				t.Errorf("%.40s: write %d failed, and the error is %v", raw, at, err)
			}
		}
	}
	var got sizes
	if err := WriteCanonical(&got, []byte(many)); err != nil || got.largest > 2*chunkBytes {
		t.Errorf("small tokens were gathered to %d bytes, %v", got.largest, err)
	}
}

// Only the objects around the place that is written take memory.
func TestWriteCanonicalForgetsFinishedObjects(t *testing.T) {
	v := parse(t, `[`+strings.Repeat(`{"b":{"d":1,"c":2},"a":0},`, 1000)+`0]`)
	c := canonical{w: io.Discard}
	if err := c.value(v); err != nil || len(c.names) != 0 || cap(c.names) > 256 {
		t.Errorf("%d members are left, in room for %d (%v)", len(c.names), cap(c.names), err)
	}
}

func TestCanonicalOfBadInput(t *testing.T) {
	for _, raw := range []string{"", "{", `{"a":1}x`, `{"a":1,"a":1}`} {
		var e *Error
		if _, err := Canonical([]byte(raw)); !errors.As(err, &e) {
			t.Errorf("Canonical(%q): %v", raw, err)
		}
		if got, err := AppendCanonical([]byte("b"), []byte(raw)); !errors.As(err, &e) || string(got) != "b" {
			t.Errorf("AppendCanonical(%q): %q, %v", raw, got, err)
		}
		if err := WriteCanonical(io.Discard, []byte(raw)); !errors.As(err, &e) {
			t.Errorf("WriteCanonical(%q): %v", raw, err)
		}
	}
	if got, err := Canonical([]byte(" [1, 2]\n")); err != nil || string(got) != "[1,2]" {
		t.Errorf("got %q, %v", got, err)
	}
}

func TestOrderedDocumentAllocatesNothing(t *testing.T) {
	file := canonicalFile(t, 100)
	allocs := testing.AllocsPerRun(10, func() {
		d, err := ParseDocument(file)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := d.Signed.Canonical(); err != nil {
			t.Fatal(err)
		}
		targets, _ := d.Signed.Lookup("targets")
		length := 0
		err = targets.Object(func(name []byte, _ Value) error {
			length += len(name)
			return nil
		})
		if err != nil || length == 0 {
			t.Fatal(err)
		}
	})
	if allocs != 0 {
		t.Errorf("%v allocations", allocs)
	}
}
