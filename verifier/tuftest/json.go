package tuftest

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
)

// An Object is a JSON object to be signed.
type Object = map[string]any

// Raw is JSON that is written as it stands, in its canonical form too: for what no encoder would write.
type Raw string

// Canonical is the OLPC canonical form of a value made of Object, map[string]string, []any, []string, string, int,
// int64, bool, nil and Raw. It panics on anything else, which is a mistake in the test.
func Canonical(v any) []byte { return encode(nil, v, canonicalText) }

// JSON is a compact encoding of the same values. It differs from the canonical form in the escapes of strings.
func JSON(v any) []byte { return encode(nil, v, jsonText) }

// A text appends a string in quotes.
type text func(out []byte, s string) []byte

func encode(out []byte, v any, text text) []byte {
	switch v := v.(type) {
	case Object:
		return members(out, v, text)
	case map[string]string:
		return members(out, v, text)
	case []any:
		return elements(out, v, text)
	case []string:
		return elements(out, v, text)
	case string:
		return text(out, v)
	case int:
		return strconv.AppendInt(out, int64(v), 10)
	case int64:
		return strconv.AppendInt(out, v, 10)
	case bool:
		return strconv.AppendBool(out, v)
	case nil:
		return append(out, "null"...)
	case Raw:
		return append(out, v...)
	}
	panic(fmt.Sprintf("tuftest: no encoding for %T", v))
}

func members[V any](out []byte, object map[string]V, text text) []byte {
	separator := byte('{')
	for _, name := range slices.Sorted(maps.Keys(object)) {
		out = text(append(out, separator), name)
		out = encode(append(out, ':'), object[name], text)
		separator = ','
	}
	if len(object) == 0 {
		out = append(out, '{')
	}
	return append(out, '}')
}

func elements[V any](out []byte, list []V, text text) []byte {
	out = append(out, '[')
	for i, v := range list {
		if i > 0 {
			out = append(out, ',')
		}
		out = encode(out, v, text)
	}
	return append(out, ']')
}

func canonicalText(out []byte, s string) []byte {
	out = append(out, '"')
	for i := range len(s) {
		if s[i] == '"' || s[i] == '\\' {
			out = append(out, '\\')
		}
		out = append(out, s[i])
	}
	return append(out, '"')
}

func jsonText(out []byte, s string) []byte {
	out = append(out, '"')
	for i := range len(s) {
		switch c := s[i]; {
		case c == '"' || c == '\\':
			out = append(out, '\\', c)
		case c < ' ':
			out = fmt.Appendf(out, `\u%04x`, c)
		default:
			out = append(out, c)
		}
	}
	return append(out, '"')
}
