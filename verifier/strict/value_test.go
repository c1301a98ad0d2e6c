package strict

import (
	"bytes"
	"errors"
	"math"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

func parse(t *testing.T, raw string) Value {
	t.Helper()
	v, err := Parse([]byte(raw))
	if err != nil {
		t.Fatalf("%s: %v", raw, err)
	}
	return v
}

// Row A7: each accessor of each kind of value, absent ones included, gives a value or an *Error.
func TestA7_WrongKindsAreErrorsNotPanics(t *testing.T) {
	raws := map[Kind]string{Null: `null`, Bool: `true`, Number: `1`, String: `"x"`, Array: `[1]`, Object: `{"a":1}`}
	accessors := map[Kind]func(Value) error{
		Bool:   func(v Value) error { _, err := v.Bool(); return err },
		Number: func(v Value) error { _, err := v.Int(); return err },
		String: func(v Value) error { _, err := v.Text(); return err },
		Array:  func(v Value) error { return v.Array(func(int, Value) error { return nil }) },
		Object: func(v Value) error { return v.Object(func([]byte, Value) error { return nil }) },
	}
	for _, kind := range []Kind{Absent, Null, Bool, Number, String, Array, Object} {
		var v Value
		if kind != Absent {
			v = parse(t, raws[kind])
		}
		if v.Kind() != kind || v.IsNull() != (kind == Null) {
			t.Errorf("%s: kind %v", v.Raw(), v.Kind())
		}
		for wanted, access := range accessors {
			var e *Error
			if err := access(v); (err == nil) != (wanted == kind) || err != nil && !errors.As(err, &e) {
				t.Errorf("%v read as %v: %v", kind, wanted, err)
			}
		}
		if _, err := v.Field("a"); (err == nil) != (kind == Object) {
			t.Errorf("%v: field: %v", kind, err)
		}
		if _, ok := v.Lookup("a"); ok != (kind == Object) {
			t.Errorf("%v: found %v", kind, ok)
		}
		for _, read := range []func() error{
			func() error { _, err := v.Hex(); return err }, func() error { _, err := v.Time(); return err },
		} {
			if err := read(); err == nil {
				t.Errorf("%v read as hex or time", kind)
			}
		}
		if form, err := v.Canonical(); err != nil || string(form) != raws[kind] {
			t.Errorf("%v: canonical %q, %v", kind, form, err)
		}
	}
}

func TestObjectYieldsMembersInOrder(t *testing.T) {
	v := parse(t, ` { "b" : [ {"x":"}"} , "]" ] , "a\n\"" :"\\", "é":-1.5 , "" : null,"z":{ }, "t":true}`)
	var got []string
	err := v.Object(func(name []byte, member Value) error {
		got = append(got, string(name), string(member.Raw()))
		return nil
	})
	want := []string{
		"b", `[ {"x":"}"} , "]" ]`, "a\n\"", `"\\"`, "é", "-1.5", "", "null", "z", "{ }", "t", "true",
	}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("got %q, %v", got, err)
	}
}

func TestArrayYieldsElementsInOrder(t *testing.T) {
	for raw, want := range map[string][]string{
		`[]`: nil, `[ ]`: nil, `[1]`: {"1"}, `[ "a,]" , [2,3],{"k":[]} , null ]`: {`"a,]"`, `[2,3]`, `{"k":[]}`, `null`},
	} {
		var got []string
		err := parse(t, raw).Array(func(i int, element Value) error {
			if i != len(got) {
				t.Errorf("%s: index %d, want %d", raw, i, len(got))
			}
			got = append(got, string(element.Raw()))
			return nil
		})
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("%s: got %q, %v", raw, got, err)
		}
	}
}

func TestLookup(t *testing.T) {
	for _, raw := range []string{`{"a":1,"b\"":2,"c":{"d":3}}`, `{"c":{"d":3}, "b\u0022":2,"a":1}`, `{"c":{"d":3},"a":1,"b\"":2}`} {
		v := parse(t, raw)
		for name, want := range map[string]string{"a": "1", `b"`: "2", "c": `{"d":3}`} {
			if got, ok := v.Lookup(name); !ok || string(got.Raw()) != want {
				t.Errorf("%s: %q is %q, %v", raw, name, got.Raw(), ok)
			}
		}
		for _, name := range []string{"", "d", "aa", "b", `b\"`, "zz"} {
			if got, ok := v.Lookup(name); ok || got.Kind() != Absent {
				t.Errorf("%s: found %q", raw, name)
			}
			var e *Error
			if _, err := v.Field(name); !errors.As(err, &e) || e.Want != "a member "+strconv.Quote(name) {
				t.Errorf("%s: field %q: %v", raw, name, err)
			}
		}
	}
}

// Row A10: versions and lengths are integers, exactly.
func TestA10_IntegersAreExact(t *testing.T) {
	for raw, want := range map[string]int64{
		"0": 0, "-0": 0, "-1": -1, "9007199254740993": 9007199254740993, "9223372036854775807": math.MaxInt64, "-9223372036854775808": math.MinInt64,
	} {
		if got, err := parse(t, raw).Int(); err != nil || got != want {
			t.Errorf("%s: got %d, %v", raw, got, err)
		}
	}
	for _, raw := range []string{
		"1.0", "1e0", "1E2", "0.0", "9223372036854775808", "-9223372036854775809", strings.Repeat("9", 400), `"1"`, "true", "null", "[1]",
	} {
		if got, err := parse(t, raw).Int(); err == nil {
			t.Errorf("%.20s: got %d, want an error", raw, got)
		}
	}
}

func TestA11_ExpiresIsExactlyOneFormat(t *testing.T) {
	for raw, want := range map[string]time.Time{
		`"2030-01-02T03:04:05Z"`:      time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC),
		`"2028-02-29T23:59:59Z"`:      time.Date(2028, 2, 29, 23, 59, 59, 0, time.UTC),
		`"0001-01-01T00:00:00Z"`:      {},
		`"9999-12-31T23:59:59Z"`:      time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC),
		`"2030-01-02T03:04:05\u005a"`: time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC),
	} {
		if got, err := parse(t, raw).Time(); err != nil || !got.Equal(want) || got.Location() != time.UTC {
			t.Errorf("%s: got %v, %v", raw, got, err)
		}
	}
	for _, text := range []string{
		"", "2030", "2030-01-02", "2030-01-02T03:04:05", "2030-01-02T03:04:05z", "2030-01-02t03:04:05Z", "2030-01-02 03:04:05Z",
		"2030-01-02T03:04:05.5Z", "2030-01-02T03:04:05+00:00", "2030-01-02T03:04:05ZZ", " 2030-01-02T03:04:05Z", "2030-01-02T03:04Z",
		"2030-02-30T00:00:00Z", "2029-02-29T00:00:00Z", "2030-13-01T00:00:00Z", "2030-00-01T00:00:00Z", "2030-01-00T00:00:00Z",
		"2030-01-32T00:00:00Z", "2030-04-31T00:00:00Z", "2030-01-01T24:00:00Z", "2030-01-01T23:60:00Z", "2030-01-01T23:59:60Z", "30-01-01T00:00:00Z",
		"2030-1-01T00:00:00Z", "2030-01-01T3:04:05Z", "2030-01-01T3:04:05.Z", "2030-01-01T3:04:05,1Z", "+030-01-01T00:00:00Z", "-030-01-01T00:00:00Z",
		"20300-01-01T00:00:0Z", "2030-01-01T00:00:0aZ", "２030-01-01T00:00Z",
	} {
		if got, err := parse(t, strconv.Quote(text)).Time(); err == nil {
			t.Errorf("%q: got %v, want an error", text, got)
		}
	}
	if _, err := parse(t, "1893456000").Time(); err == nil {
		t.Error("a number was read as a time")
	}
}

func TestHexIsComparedByValue(t *testing.T) {
	want := []byte{0x00, 0x9a, 0xbc, 0xde, 0xf0, 0xff}
	for _, text := range []string{"009abcdef0ff", "009ABCDEF0FF", "009aBCdEf0fF", `\u003009abcdef0ff`} {
		if got, err := parse(t, `"`+text+`"`).Hex(); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s: got %x, %v", text, got, err)
		}
	}
	for _, text := range []string{"0", "00f", "0g", "g0", "0x00", " 00", "00 ", "zz", "é", ":0", "@0", "G0", "/0", "`0"} {
		if got, err := parse(t, strconv.Quote(text)).Hex(); err == nil {
			t.Errorf("%q: got %x, want an error", text, got)
		}
	}
	if got, err := parse(t, `""`).Hex(); err != nil || len(got) != 0 {
		t.Errorf("empty: %x, %v", got, err)
	}
}

func TestTextIsUnescaped(t *testing.T) {
	raw := `"\"\\\/\b\f\n\r\t\u0041\u00e9\u20ac\ud83d\ude00 plain é"`
	want := "\"\\/\b\f\n\r\tAé€😀 plain é"
	v := parse(t, raw)
	if got, err := v.Text(); err != nil || got != want {
		t.Errorf("got %q, %v; want %q", got, err, want)
	}
	plain := parse(t, `"plain"`)
	text, err := plain.Bytes()
	if err != nil || &text[0] != &plain.Raw()[1] || cap(text) != len(text) {
		t.Errorf("a string without escapes was copied, or can be appended to (%v)", err)
	}
}

func TestBool(t *testing.T) {
	for raw, want := range map[string]bool{"true": true, "false": false} {
		if got, err := parse(t, raw).Bool(); err != nil || got != want {
			t.Errorf("%s: %v, %v", raw, got, err)
		}
	}
}
