package schematest

import "testing"

func TestSchema(t *testing.T) {
	s, err := ParseSchema([]byte(`{"type":"object","required":["a"],"$defs":{"name":{"type":"string","pattern":"^[a-z]+$","maxLength":3}},
		"properties":{"a":{"type":"integer","minimum":0,"maximum":9},"b":{"type":"array","items":{"$ref":"#/$defs/name"}},
		"c":{"type":"string","format":"date-time"},"d":{"type":"boolean"},"e":{"type":"number"},"f":{"const":1,"type":"integer"}}}`))
	if err != nil {
		t.Fatal(err)
	}
	for document, ok := range map[string]bool{
		`{"a":1}`: true,
		`{"a":9,"b":["x","abc"],"c":"2026-01-02T03:04:05Z","d":false,"e":0.5,"f":1}`: true,
		`{}`: false, `[]`: false, `null`: false, `{"a":1} {}`: false, `{"a":1`: false,
		`{"a":-1}`: false, `{"a":10}`: false, `{"a":1.5}`: false, `{"a":"1"}`: false, `{"a":null}`: false,
		`{"a":1,"b":"x"}`: false, `{"a":1,"b":[1]}`: false, `{"a":1,"b":["X"]}`: false, `{"a":1,"b":["abcd"]}`: false, `{"a":1,"b":null}`: false,
		`{"a":1,"c":"yesterday"}`: false, `{"a":1,"d":0}`: false, `{"a":1,"e":"x"}`: false, `{"a":1,"f":2}`: false,
		`{"a":1,"unknown":1}`: false,
	} {
		if err := s.Validate([]byte(document)); (err == nil) != ok {
			t.Errorf("%s: got %v, want it valid: %t", document, err, ok)
		}
	}
	for _, schema := range []string{`{"type":"object","oneOf":[]}`, `{"properties":{"a":{"enum":[1]}}}`, `{"properties":{"a":1}}`, `{`} {
		if _, err := ParseSchema([]byte(schema)); err == nil {
			t.Errorf("%s: a keyword that is not followed was accepted", schema)
		}
	}
}
