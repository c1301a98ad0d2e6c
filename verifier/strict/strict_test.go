package strict

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

// envelope puts signed into a document that is sound otherwise.
func envelope(signed string) []byte {
	return []byte(`{"signed":` + signed + `,"signatures":[]}`)
}

// refused checks that raw is refused by every way of parsing, with an *Error at the given offset of raw.
func refused(t *testing.T, raw string, offset int64) *Error {
	t.Helper()
	var e *Error
	if _, err := Parse([]byte(raw)); !errors.As(err, &e) {
		t.Errorf("%q: got %v, want an *Error", raw, err)
		return nil
	}
	if e.Offset != offset {
		t.Errorf("%q: %v; want it at byte %d", raw, e, offset)
	}
	if e.Want == "" || e.Got == "" {
		t.Errorf("%q: the error says too little: %v", raw, e)
	}
	for _, shape := range []string{`{"a":%s}`, `{"b":0,"a":[%s]}`} {
		if _, err := ParseDocument(envelope(fmt.Sprintf(shape, raw))); err == nil {
			t.Errorf("%q: accepted inside of %s", raw, shape)
		}
	}
	return e
}

func TestA4_DuplicateKeysRefused(t *testing.T) {
	for _, c := range []struct {
		raw    string
		offset int64
		where  string
	}{
		{`{"a":1,"a":1}`, 7, ""},
		{`{"a":1,"b":2,"a":1}`, 13, ""},
		{`{"b":1,"a":2,"b":1}`, 13, ""},
		{`{"b":1,"a":2,"c":3,"a":{}}`, 19, ""},
		{`{"a":1,"\u0061":1}`, 7, ""},
		{`{"\u0061":1,"b":0,"a":1}`, 18, ""},
		{`{"é":1,"\u00e9":1}`, 8, ""},
		{`{"😀":1,"\ud83d\ude00":1}`, 10, ""},
		{`{"a/b":1,"a\/b":1}`, 9, ""},
		{`{"":1,"":1}`, 6, ""},
		{`{"\u0000":1,"\u0000":1}`, 12, ""},
		{`{"x":{"y":[{"a":1,"a":2}]}}`, 18, "x.y[0]"},
		{`{"x":{"y":[0,{"b":1,"a":2,"a b":{"k":1,"j":2,"k":3}}]}}`, 45, `x.y[1]["a b"]`},
		{`{"a":{"c":1,"b":2},"a":1}`, 19, ""},
		{`{"b":{"a":1},"a":{"a":1},"c":[{"a":1},{"a":1}],"a":0}`, 47, ""},
	} {
		if e := refused(t, c.raw, c.offset); e != nil && e.Where != c.where {
			t.Errorf("%s: where %q, want %q", c.raw, e.Where, c.where)
		}
	}
	for _, raw := range []string{
		`{"a":1,"A":1}`, `{"a":{"a":{"a":1}}}`, `[{"a":1},{"a":1}]`, `{"b":{"b":1},"a":{"b":1}}`, `{"a":1,"a ":1}`,
		`{"é":1,"e\u0301":1}`,
	} {
		if _, err := Parse([]byte(raw)); err != nil {
			t.Errorf("%s: names that differ were refused: %v", raw, err)
		}
	}
}

func TestA4_DuplicateEnvelopeMembersRefused(t *testing.T) {
	for _, raw := range []string{
		`{"signed":{},"signatures":[],"signed":{}}`,
		`{"signed":{},"signatures":[],"sign\u0065d":{}}`,
		`{"signatures":[],"signed":{},"signatures":[]}`,
		`{"signatures":[{"sig":"00","sig":"00"}],"signed":{}}`,
		`{"signatures":[],"signed":{},"x":{"y":1,"y":1}}`,
	} {
		if _, err := ParseDocument([]byte(raw)); err == nil {
			t.Errorf("%s: accepted", raw)
		}
	}
}

// Many names, in every order, with one duplicate or none: the answer must not depend on the order.
func TestA4_DuplicatesAmongManyKeys(t *testing.T) {
	const count = 2000
	for _, step := range []int{1, count - 1, 7, 997} { // ascending, descending, mixed
		var members []string
		for i := range count {
			members = append(members, fmt.Sprintf(`"%04d":{"b":0,"a":%d}`, i*step%count, i))
		}
		sound := "{" + strings.Join(members, ",") + "}"
		if _, err := Parse([]byte(sound)); err != nil {
			t.Errorf("step %d: %v", step, err)
		}
		for _, at := range []int{0, count / 2, count - 1} {
			double := "{" + strings.Join(members, ",") + "," + members[at] + "}"
			var e *Error
			if _, err := Parse([]byte(double)); !errors.As(err, &e) || e.Offset != int64(len(sound)) {
				t.Errorf("step %d, member %d twice: %v, want it at byte %d", step, at, err, len(sound))
			}
		}
	}
}

func TestA5_NamesAreCaseSensitive(t *testing.T) {
	for _, raw := range []string{`{"Signed":{},"signatures":[]}`, `{"signed":{},"SIGNATURES":[]}`} {
		if _, err := ParseDocument([]byte(raw)); err == nil {
			t.Errorf("%s: accepted", raw)
		}
	}
	d, err := ParseDocument([]byte(`{"Signed":{"v":1},"signatures":[],"signed":{"V":1,"v":2}}`))
	if err != nil {
		t.Fatal(err)
	}
	if v, _ := d.Signed.Lookup("v"); string(v.Raw()) != "2" {
		t.Errorf("v is %s, want 2", v.Raw())
	}
	if _, ok := d.Signed.Lookup("Version"); ok {
		t.Error("found a name that is not there")
	}
}

func TestA6_InvalidUTF8Refused(t *testing.T) {
	for name, bad := range map[string]string{
		"stray continuation": "\x80", "missing continuation": "\xc3", "overlong slash": "\xc0\xaf", "overlong nul": "\xc0\x80",
		"overlong in three": "\xe0\x80\xaf", "surrogate": "\xed\xa0\x80", "beyond Unicode": "\xf4\x90\x80\x80", "no UTF-8": "\xff",
		"cut off": "\xf0\x9f\x98",
	} {
		t.Run(name, func(t *testing.T) {
			for _, before := range []string{"", "1234567", "12345678"} { // at each end of a word of eight bytes
				refused(t, `"`+before+bad+`"`, int64(len(before)+1))
				refused(t, `{"`+before+bad+`":1}`, int64(len(before)+2))
			}
		})
	}
	for _, good := range []string{"\u0080", "\u07ff", "\u0800", "\ud7ff", "\ue000", "\ufffd", "\uffff", "\U00010000", "\U0010ffff", "\x7f"} {
		if v, err := Parse([]byte(`"` + good + `"`)); err != nil {
			t.Errorf("%q: %v", good, err)
		} else if got, _ := v.Text(); got != good {
			t.Errorf("got %q, want %q", got, good)
		}
	}
}

func TestA6_LoneSurrogatesRefused(t *testing.T) {
	for _, bad := range []string{
		`\ud800`, `\udc00`, `\udbff`, `\udfff`, `\ud800x`, `\ud800\n`, `\ud800\ud800`, `\udc00\ud800`, `\ud83d\u0041`, `\uD83D\uD83D\uDE00`,
		`\ud800\u12`, `\ud800\u12g4`,
	} {
		refused(t, `"x`+bad+`"`, 2)
		refused(t, `{"x`+bad+`":0}`, 3)
	}
}

func TestA6_BadStringsRefused(t *testing.T) {
	for raw, offset := range map[string]int64{
		`"`: 1, `"abc`: 4, `"abcdefgh`: 9, `"\`: 2, `"\"`: 3, `"\x"`: 1, `"\U0041"`: 1, `"\u004"`: 1, `"\u004g"`: 1, `"\u"`: 1, `'a'`: 0,
		"\"\x00\"": 1, "\"\n\"": 1, "\"\x1f\"": 1, "\"1234567\t\"": 8, `{"a:1}`: 6, `{a:1}`: 1, `{1:1}`: 1,
	} {
		refused(t, raw, offset)
	}
}

func TestA6_TrailingDataRefused(t *testing.T) {
	for _, trailing := range []string{"x", "{}", ",", "\x00", "\ufeff", "\v", "\f", "\u00a0", "}", "//", "0"} {
		raw := string(envelope("{}")) + " " + trailing
		var e *Error
		if _, err := ParseDocument([]byte(raw)); !errors.As(err, &e) || e.Offset != int64(len(raw)-len(trailing)) {
			t.Errorf("%q: %v", raw, err)
		}
	}
	for _, white := range []string{"\n", " \t\r\n", strings.Repeat(" \n", 1000)} {
		if _, err := ParseDocument(append(envelope("{}"), white...)); err != nil {
			t.Errorf("trailing white space %.8q: %v", white, err)
		}
		if _, err := ParseDocument(append([]byte(white), envelope("{}")...)); err != nil {
			t.Errorf("leading white space %.8q: %v", white, err)
		}
	}
}

func TestA6_ByteOrderMarkRefused(t *testing.T) {
	for _, mark := range []string{"\ufeff", "\xff\xfe", "\xfe\xff"} {
		if _, err := ParseDocument(append([]byte(mark), envelope("{}")...)); err == nil {
			t.Errorf("%q: accepted", mark)
		}
	}
}

func TestA6_DeepNestingRefused(t *testing.T) {
	nest := func(open, end string, depth int) []byte {
		return []byte(strings.Repeat(open, depth) + "0" + strings.Repeat(end, depth))
	}
	for _, shape := range [][2]string{{"[", "]"}, {`{"a":`, "}"}, {`{"b":0,"a":[`, "]}"}} {
		levels := strings.Count(shape[0], "[") + strings.Count(shape[0], "{")
		if _, err := all(t, nest(shape[0], shape[1], DepthMax/levels)); err != nil {
			t.Errorf("%s at the limit: %v", shape[0], err)
		}
		for _, depth := range []int{DepthMax/levels + 1, 100_000} {
			_, err := Parse(nest(shape[0], shape[1], depth))
			if !errors.Is(err, ErrDepth) {
				t.Errorf("%s %d deep: %v", shape[0], depth, err)
			}
		}
	}
	_, err := Parse([]byte(strings.Repeat("[", 1<<20)))
	var e *Error
	if !errors.Is(err, ErrDepth) || !errors.As(err, &e) || e.Offset != DepthMax {
		t.Errorf("got %v", err)
	}
}

func TestA6_BadStructureRefused(t *testing.T) {
	for raw, offset := range map[string]int64{
		"{": 1, "[": 1, "}": 0, "]": 0, "[1": 2, "[1,": 3, "[1,]": 3, "[,1]": 1, "[1 2]": 3, "[1}": 2,
		`{"a"}`: 4, `{"a":}`: 5, `{"a":1`: 6, `{"a":1,`: 7, `{"a":1,}`: 7, `{,"a":1}`: 1, `{"a":1 "b":2}`: 7, `{"a" 1}`: 5, `{"a":1]`: 6,
		`{"a"`: 4, `{"a":`: 5, `{"b":1,"a"`: 10, "[[]": 3, "tru": 0, "True": 0, "nul": 0, "falsE": 0, "truex": 4, "NaN": 0,
		"Infinity": 0, "undefined": 0, "/**/1": 0, "\x00": 0, "[1\x00]": 2,
	} {
		refused(t, raw, offset)
	}
	for _, empty := range []string{"", " ", "\n\t"} {
		if _, err := Parse([]byte(empty)); err == nil {
			t.Errorf("%q: accepted", empty)
		}
	}
}

func TestA6_BadNumbersRefused(t *testing.T) {
	for raw, offset := range map[string]int64{
		"01": 0, "-01": 0, "00": 0, "-": 0, "+1": 0, ".5": 0, "1.": 0, "1.e1": 0, "1e": 0, "1e+": 0, "-a": 0, "0x10": 1, "1_000": 1,
		"1.5.5": 3, "--1": 0, "1e5e5": 3, "-Infinity": 0,
	} {
		refused(t, raw, offset)
	}
	for _, raw := range []string{"0", "-0", "1.5", "-1.5e+10", "0.0", "1E-2", "10", "1e5", strings.Repeat("9", 5000)} {
		if _, err := Parse([]byte(raw)); err != nil {
			t.Errorf("%s: %v", raw, err)
		}
	}
}

func TestDocumentNeedsBothMembers(t *testing.T) {
	for _, c := range []struct{ raw, where string }{
		{`{}`, ""}, {`{"signed":{}}`, ""}, {`{"signatures":[]}`, ""}, {`[]`, ""}, {`null`, ""}, {`"signed"`, ""}, {``, ""},
		{`{"signed":[],"signatures":[]}`, "signed"}, {`{"signed":null,"signatures":[]}`, "signed"},
		{`{"signed":"{}","signatures":[]}`, "signed"}, {`{"signed":1,"signatures":[]}`, "signed"},
		{`{"signed":true,"signatures":[]}`, "signed"}, {`{"signed":{},"signatures":{}}`, "signatures"},
		{`{"signed":{},"signatures":null}`, "signatures"},
		{`{"x":{"signed":{},"signatures":[]}}`, ""},
	} {
		var e *Error
		if d, err := ParseDocument([]byte(c.raw)); !errors.As(err, &e) || e.Where != c.where {
			t.Errorf("%s: %v, %v; want an error at %q", c.raw, d, err, c.where)
		}
	}
}

func TestDocumentIsSplit(t *testing.T) {
	for _, raw := range []string{
		`{"signed":{"a":1},"signatures":[{}]}`, "\n{ \"signatures\" : [{}] ,\r\"signed\"\t:{\"a\":1} , \"x\" :{\"signed\":0}}\n",
		`{"sign\u0065d":{"a":1},"signatures":[{}],"a":0}`,
	} {
		d, err := ParseDocument([]byte(raw))
		if err != nil {
			t.Fatal(err)
		}
		for _, part := range []struct {
			v    Value
			want string
		}{{d.Signed, `{"a":1}`}, {d.Signatures, `[{}]`}} {
			if string(part.v.Raw()) != part.want || raw[part.v.Offset():][:len(part.want)] != part.want {
				t.Errorf("%q: got %q at %d, want %q", raw, part.v.Raw(), part.v.Offset(), part.want)
			}
		}
	}
}

// Signatures that are no signatures are the verifier's to judge (row A15): they do not spoil the parse.
func TestA15_StrangeSignaturesDoNotSpoilTheDocument(t *testing.T) {
	raw := `{"signed":{},"signatures":[null,1,"x",{"keyid":1},{"sig":"zz"},[1.5]]}`
	if _, err := ParseDocument([]byte(raw)); err != nil {
		t.Error(err)
	}
}
