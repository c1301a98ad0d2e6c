package tuftest

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// An Object is a JSON object to be signed.
type Object = map[string]any

// Raw is JSON that is written as it stands, in its canonical form too: for what no encoder would write.
type Raw string

// Canonical is the OLPC canonical form of a value made of Object, map[string]string, []any, []string, string, int,
// int64, bool, nil and Raw. It panics on anything else, which is a mistake in the test.
func Canonical(v any) []byte { return []byte(encode(v, canonicalText)) }

// JSON is a compact encoding of the same values. It differs from the canonical form in the escapes of strings.
func JSON(v any) []byte { return []byte(encode(v, jsonText)) }

func encode(v any, text func(string) string) string {
	switch v := v.(type) {
	case Object:
		return members(v, text)
	case map[string]string:
		return members(v, text)
	case []any:
		return elements(v, text)
	case []string:
		return elements(v, text)
	case string:
		return text(v)
	case int:
		return strconv.Itoa(v)
	case int64:
		return strconv.FormatInt(v, 10)
	case bool:
		return strconv.FormatBool(v)
	case nil:
		return "null"
	case Raw:
		return string(v)
	}
	panic(fmt.Sprintf("tuftest: no encoding for %T", v))
}

func members[V any](object map[string]V, text func(string) string) string {
	names := make([]string, 0, len(object))
	for name := range object {
		names = append(names, name)
	}
	slices.Sort(names)
	parts := make([]string, 0, len(names))
	for _, name := range names {
		parts = append(parts, text(name)+":"+encode(object[name], text))
	}
	return "{" + strings.Join(parts, ",") + "}"
}

func elements[V any](list []V, text func(string) string) string {
	parts := make([]string, 0, len(list))
	for _, v := range list {
		parts = append(parts, encode(v, text))
	}
	return "[" + strings.Join(parts, ",") + "]"
}

func canonicalText(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s) + `"`
}

func jsonText(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case r < ' ':
			fmt.Fprintf(&b, `\u%04x`, r)
		default:
			b.WriteRune(r)
		}
	}
	b.WriteByte('"')
	return b.String()
}
