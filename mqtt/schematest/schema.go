// Package schematest holds the documents that a device publishes against docs/schemas. No device links it.
package schematest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"
)

// A Schema is a JSON Schema, of the part of draft 2020-12 that docs/schemas uses. It is stricter than the
// draft: a property that the schema does not name is an error, so that a field which is added without its
// place in the schema is noticed. Receivers ignore such fields.
type Schema struct{ root map[string]any }

// ParseSchema reads a schema. A keyword that it does not know is an error.
func ParseSchema(text []byte) (Schema, error) {
	var s Schema
	if err := json.Unmarshal(text, &s.root); err != nil {
		return s, fmt.Errorf("schema: %w", err)
	}
	return s, s.check(s.root, "schema")
}

// keywords are those that Validate follows; those with false only speak to people.
var keywords = map[string]bool{"$schema": false, "$id": false, "title": false, "description": false, "examples": false, "additionalProperties": false,
	"$defs": true, "$ref": true, "type": true, "properties": true, "required": true, "items": true, "pattern": true, "minimum": true, "maximum": true,
	"maxLength": true, "format": true, "const": true}

// ReadSchema reads the schema of a kind of document from docs/schemas, which lies in the directory docs.
func ReadSchema(docs, kind string) (Schema, error) {
	text, err := os.ReadFile(filepath.Join(docs, "schemas", kind+".schema.json"))
	if err != nil {
		return Schema{}, err
	}
	return ParseSchema(text)
}

// Schemas are those of all that a device publishes.
type Schemas struct{ status, event Schema }

// ReadSchemas reads them.
func ReadSchemas(docs string) (s Schemas, err error) {
	if s.status, err = ReadSchema(docs, "status"); err == nil {
		s.event, err = ReadSchema(docs, "event")
	}
	return s, err
}

// Published says what is wrong with a message that a device published, or nil.
func (s Schemas) Published(topic string, payload []byte) error {
	switch name := topic[strings.LastIndexByte(topic, '/')+1:]; name {
	case "status":
		return s.status.Validate(payload)
	case "event":
		return s.event.Validate(payload)
	case "online":
		if text := string(payload); text != "0" && text != "1" {
			return fmt.Errorf("online is %q", text)
		}
		return nil
	default:
		return fmt.Errorf("a device publishes nothing on a topic that ends in %q", name)
	}
}

func (s Schema) check(schema map[string]any, at string) error {
	for keyword, value := range schema {
		if _, known := keywords[keyword]; !known {
			return fmt.Errorf("%s: the keyword %q is not known here", at, keyword)
		}
		var nested map[string]any
		switch keyword {
		case "properties", "$defs":
			nested, _ = value.(map[string]any)
		case "items":
			nested = map[string]any{"items": value}
		}
		for name, one := range nested {
			inner, ok := one.(map[string]any)
			if !ok {
				return fmt.Errorf("%s/%s: %q is no schema", at, keyword, name)
			}
			if err := s.check(inner, at+"/"+name); err != nil {
				return err
			}
		}
	}
	return nil
}

// Validate says what is wrong with a document, or nil.
func (s Schema) Validate(document []byte) error {
	d := json.NewDecoder(bytes.NewReader(document))
	d.UseNumber()
	var value any
	if err := d.Decode(&value); err != nil {
		return err
	}
	if d.More() {
		return fmt.Errorf("there is more than one value")
	}
	return s.validate(s.root, value, "")
}

func (s Schema) validate(schema map[string]any, value any, at string) error {
	if ref, ok := schema["$ref"].(string); ok {
		definitions, _ := s.root["$defs"].(map[string]any)
		target, ok := definitions[strings.TrimPrefix(ref, "#/$defs/")].(map[string]any)
		if !ok {
			return fmt.Errorf("%s: the schema refers to %s, which is not there", at, ref)
		}
		return s.validate(target, value, at)
	}
	if want, ok := schema["const"]; ok && fmt.Sprint(want) != fmt.Sprint(value) {
		return fmt.Errorf("%s: want %v, got %v", at, want, value)
	}
	kind, _ := schema["type"].(string)
	switch v := value.(type) {
	case map[string]any:
		return s.object(schema, kind, v, at)
	case []any:
		items, _ := schema["items"].(map[string]any)
		for i, item := range v {
			if err := s.validate(items, item, fmt.Sprintf("%s[%d]", at, i)); err != nil {
				return err
			}
		}
		return wrongType(at, kind, "array", v)
	case string:
		return text(schema, kind, v, at)
	case json.Number:
		return number(schema, kind, v, at)
	case bool:
		return wrongType(at, kind, "boolean", v)
	}
	return wrongType(at, kind, "null", value)
}

func wrongType(at, want, got string, value any) error {
	if want == got {
		return nil
	}
	return fmt.Errorf("%s: want type %q, got %s: %v", at, want, got, value)
}

func (s Schema) object(schema map[string]any, kind string, value map[string]any, at string) error {
	properties, _ := schema["properties"].(map[string]any)
	required, _ := schema["required"].([]any)
	for _, name := range required {
		if _, there := value[name.(string)]; !there {
			return fmt.Errorf("%s: %q is missing", at, name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(value)) {
		property, known := properties[name].(map[string]any)
		if !known {
			return fmt.Errorf("%s: the schema does not name %q", at, name)
		}
		if err := s.validate(property, value[name], at+"."+name); err != nil {
			return err
		}
	}
	return wrongType(at, kind, "object", value)
}

func text(schema map[string]any, kind, value, at string) error {
	if pattern, ok := schema["pattern"].(string); ok && !regexp.MustCompile(pattern).MatchString(value) {
		return fmt.Errorf("%s: %q does not match %s", at, value, pattern)
	}
	if most, ok := schema["maxLength"].(float64); ok && len([]rune(value)) > int(most) {
		return fmt.Errorf("%s: %d characters, at most %v are allowed", at, len([]rune(value)), most)
	}
	if schema["format"] == "date-time" {
		if _, err := time.Parse(time.RFC3339, value); err != nil {
			return fmt.Errorf("%s: %w", at, err)
		}
	}
	return wrongType(at, kind, "string", value)
}

func number(schema map[string]any, kind string, value json.Number, at string) error {
	f, err := value.Float64()
	if err != nil {
		return fmt.Errorf("%s: %w", at, err)
	}
	if least, ok := schema["minimum"].(float64); ok && f < least {
		return fmt.Errorf("%s: %s is below %v", at, value, least)
	}
	if most, ok := schema["maximum"].(float64); ok && f > most {
		return fmt.Errorf("%s: %s is above %v", at, value, most)
	}
	if _, err := value.Int64(); err == nil && kind == "integer" {
		return nil
	}
	return wrongType(at, kind, "number", value)
}
