package main

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ota-agent/ota-agent/agent"
	"github.com/ota-agent/ota-agent/mqtt/schematest"
)

var update = flag.Bool("update-schemas", false, "write docs/schemas anew from the types of the documents")

// TestSchemasFollowTheTypes: the schemas of what the agent publishes are made from its types, so a new field
// can't be forgotten.
func TestSchemasFollowTheTypes(t *testing.T) {
	for name, c := range map[string]struct {
		of    reflect.Type
		about string
	}{
		"status": {reflect.TypeFor[agent.Status](), "What PREFIX/device/ID/status holds, retained, and what ota-agent status --json prints. docs/status.md says what each field means."},
		"event":  {reflect.TypeFor[agent.Event](), "What comes on PREFIX/device/ID/event. docs/events.md says what each field means."},
	} {
		s := schemas{t: t, defs: map[string]any{}}
		root := s.object(c.of)
		root["$schema"], root["title"] = "https://json-schema.org/draft/2020-12/schema", name
		root["description"] = c.about + " Fields are only ever added: ignore those that you don't know. This file is made by: go test ./cmd/ota-agent -run Schemas -update-schemas"
		root["$defs"] = s.defs
		var text bytes.Buffer
		out := json.NewEncoder(&text)
		out.SetEscapeHTML(false)
		out.SetIndent("", "  ")
		if err := out.Encode(root); err != nil {
			t.Fatal(err)
		}
		path := "../../docs/schemas/" + name + ".schema.json"
		if *update {
			if err := os.WriteFile(path, text.Bytes(), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		have, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(have, text.Bytes()) {
			t.Errorf("%s does not follow the types: go test ./cmd/ota-agent -run Schemas -update-schemas", path)
		}
		if _, err := schematest.ParseSchema(have); err != nil {
			t.Error(err)
		}
	}
}

// schemas collects the definitions of nested types.
type schemas struct {
	t    *testing.T
	defs map[string]any
}

// codes lists the known values of a type of codes, from the file that names them. More may come, so they are
// only examples.
var codes = map[reflect.Type]struct{ file, prefix string }{
	reflect.TypeFor[agent.Reason]():        {"problem.go", "Reason"},
	reflect.TypeFor[agent.EventKind]():     {"event.go", "Event"},
	reflect.TypeFor[agent.BrokerState]():   {"broker.go", "Broker"},
	reflect.TypeFor[agent.ConditionCode](): {"condition.go", "Condition"},
}

func (s *schemas) of(t reflect.Type) map[string]any {
	code, coded := codes[t]
	switch {
	case t == reflect.TypeFor[time.Time]():
		return map[string]any{"type": "string", "format": "date-time"}
	case coded:
		known := slices.DeleteFunc(constants(s.t, "../../agent/"+code.file, code.prefix), func(v string) bool { return v == "1" })
		slices.Sort(known)
		s.defs[t.Name()] = map[string]any{"type": "string", "pattern": "^[a-z0-9_]+$", "examples": known}
		return map[string]any{"$ref": "#/$defs/" + t.Name()}
	case t.Kind() == reflect.Pointer:
		return s.of(t.Elem())
	case t.Kind() == reflect.Struct:
		if _, known := s.defs[t.Name()]; !known {
			s.defs[t.Name()] = nil // it may refer to itself
			s.defs[t.Name()] = s.object(t)
		}
		return map[string]any{"$ref": "#/$defs/" + t.Name()}
	case t.Kind() == reflect.Slice:
		return map[string]any{"type": "array", "items": s.of(t.Elem())}
	case t.Kind() == reflect.String:
		return map[string]any{"type": "string"}
	case t.Kind() == reflect.Bool:
		return map[string]any{"type": "boolean"}
	case t.Kind() == reflect.Int || t.Kind() == reflect.Int64 || t.Kind() == reflect.Uint64:
		return map[string]any{"type": "integer", "minimum": 0}
	}
	s.t.Fatalf("a field of type %s: say here what it is in the schema", t)
	return nil
}

func (s *schemas) object(t reflect.Type) map[string]any {
	properties, required := map[string]any{}, []string{}
	for i := range t.NumField() {
		f := t.Field(i)
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		if name == "-" || !f.IsExported() {
			continue
		}
		properties[name] = s.of(f.Type)
		if options == "" {
			required = append(required, name)
		}
	}
	o := map[string]any{"type": "object", "properties": properties, "additionalProperties": true}
	if len(required) > 0 {
		o["required"] = required
	}
	return o
}
