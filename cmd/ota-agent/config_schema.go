package main

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/pelletier/go-toml/v2/unstable"
)

// lines says in which line a key of the config stands. Paths are as people write them: "repository.poll",
// "component[0].health.every", counting from 0.
type lines map[string]int

// A schema says which keys a config may have and what their values are. It is made from configFile, so the two
// can't differ. The library would refuse unknown keys and wrong types too, but in words for programmers, and it
// forgets where a value stood.
type schema struct {
	kind unstable.Kind
	keys map[string]*schema // of a table
	elem *schema            // of an array, or of a table with free keys
}

func schemaOf(v any) *schema { return schemaOfType(reflect.TypeOf(v)) }

func schemaOfType(t reflect.Type) *schema {
	switch t.Kind() {
	case reflect.Pointer:
		return schemaOfType(t.Elem())
	case reflect.Struct:
		s := &schema{kind: unstable.InlineTable, keys: map[string]*schema{}}
		for i := range t.NumField() {
			s.keys[t.Field(i).Tag.Get("toml")] = schemaOfType(t.Field(i).Type)
		}
		return s
	case reflect.Map:
		return &schema{kind: unstable.InlineTable, elem: schemaOfType(t.Elem())}
	case reflect.Slice:
		return &schema{kind: unstable.Array, elem: schemaOfType(t.Elem())}
	case reflect.Bool:
		return &schema{kind: unstable.Bool}
	case reflect.Int64:
		return &schema{kind: unstable.Integer}
	}
	return &schema{kind: unstable.String}
}

// words for people.
func (s *schema) words() string { return kindWords(s.kind) }

func kindWords(k unstable.Kind) string {
	switch k {
	case unstable.InlineTable:
		return "a table"
	case unstable.Array:
		return "a list"
	case unstable.Bool:
		return "true or false"
	case unstable.Integer:
		return "a whole number"
	case unstable.String:
		return "a text in quotes"
	case unstable.Float:
		return "a number with a point"
	}
	return "a date or time"
}

// A reader walks a config from top to bottom.
type reader struct {
	parser unstable.Parser
	root   *schema
	at     lines
	counts map[string]int // tables of each array so far
}

// A place is where the reader is: what may stand there, and its path.
type place struct {
	schema *schema
	path   string
}

// read checks each key and the type of each value, and notes the lines.
func (s *schema) read(text []byte) (lines, *configError) {
	r := &reader{root: s, at: lines{}, counts: map[string]int{}}
	r.parser.Reset(text)
	here := place{schema: s}
	for r.parser.NextExpression() {
		var wrong *configError
		switch e := r.parser.Expression(); e.Kind {
		case unstable.Table, unstable.ArrayTable:
			here, wrong = r.header(e)
		case unstable.KeyValue:
			wrong = r.keyValue(here, e)
		}
		if wrong != nil {
			return nil, wrong
		}
	}
	if err := r.parser.Error(); err != nil {
		return nil, r.syntax(err)
	}
	return r.at, nil
}

func (r *reader) syntax(err error) *configError {
	wrong := &configError{what: "the config is not TOML: " + err.Error(), hint: "texts stand in quotes: key = \"value\""}
	var where *unstable.ParserError
	if errors.As(err, &where) {
		wrong.what = "the config is not TOML: " + where.Message
		wrong.line = r.parser.Shape(r.parser.Range(where.Highlight)).Start.Line
	}
	return wrong
}

// header enters [table] or [[table]].
func (r *reader) header(e *unstable.Node) (place, *configError) {
	here := place{schema: r.root}
	for key := e.Key(); key.Next(); {
		next, wrong := r.enter(here, key.Node())
		if wrong != nil {
			return here, wrong
		}
		opens := key.IsLast() && e.Kind == unstable.ArrayTable
		if here, wrong = r.table(next, key.Node(), opens); wrong != nil {
			return here, wrong
		}
		r.at[here.path] = r.line(key.Node())
	}
	return here, nil
}

// table goes from a name in a header into the table that it stands for: with [[name]] (opens) the next one of an array,
// with [name.more] the latest.
func (r *reader) table(next place, key *unstable.Node, opens bool) (place, *configError) {
	tables := next.schema.kind == unstable.Array && next.schema.elem.kind == unstable.InlineTable
	switch {
	case opens && !tables:
		return next, r.wrongKind(key, next, unstable.Array)
	case opens:
		r.counts[next.path]++
	case tables && r.counts[next.path] == 0:
		wrong := r.wrongKind(key, next, unstable.InlineTable)
		wrong.hint = fmt.Sprintf("begin it with [[%s]]", next.path)
		return next, wrong
	}
	if tables {
		return place{next.schema.elem, fmt.Sprintf("%s[%d]", next.path, r.counts[next.path]-1)}, nil
	}
	if next.schema.kind != unstable.InlineTable {
		return next, r.wrongKind(key, next, unstable.InlineTable)
	}
	return next, nil
}

// keyValue checks "key = value" and whatever the value holds.
func (r *reader) keyValue(here place, e *unstable.Node) *configError {
	var last *unstable.Node
	for key := e.Key(); key.Next(); {
		last = key.Node()
		next, wrong := r.enter(here, last)
		if wrong != nil {
			return wrong
		}
		here = next
	}
	return r.value(here, last, e.Value())
}

func (r *reader) value(here place, key, v *unstable.Node) *configError {
	if here.schema.kind != v.Kind {
		return r.wrongKind(key, here, v.Kind)
	}
	r.at[here.path] = r.line(key)
	switch v.Kind {
	case unstable.InlineTable:
		for children := v.Children(); children.Next(); {
			if wrong := r.keyValue(here, children.Node()); wrong != nil {
				return wrong
			}
		}
	case unstable.Array:
		i := 0
		for children := v.Children(); children.Next(); i++ {
			elem := place{here.schema.elem, here.path + "[" + strconv.Itoa(i) + "]"}
			if wrong := r.value(elem, key, children.Node()); wrong != nil {
				return wrong
			}
		}
	}
	return nil
}

// enter looks a key up in a table.
func (r *reader) enter(here place, key *unstable.Node) (place, *configError) {
	name := string(key.Data)
	path := name
	if here.path != "" {
		path = here.path + "." + name
	}
	if here.schema.kind != unstable.InlineTable {
		return here, r.wrongKind(key, here, unstable.InlineTable)
	}
	next := here.schema.elem
	if here.schema.keys != nil {
		next = here.schema.keys[name]
	}
	if next == nil {
		return here, r.unknown(here, path, name, key)
	}
	return place{next, path}, nil
}

func (r *reader) unknown(here place, path, name string, key *unstable.Node) *configError {
	known := make([]string, 0, len(here.schema.keys))
	for k := range here.schema.keys {
		known = append(known, k)
	}
	slices.Sort(known)
	hint := "known here: " + strings.Join(known, ", ")
	if near := nearest(name, known); near != "" {
		hint = fmt.Sprintf("did you mean %q?", near)
	}
	return &configError{what: fmt.Sprintf("the config has an unknown key %q", path), line: r.line(key), hint: hint}
}

func (r *reader) wrongKind(key *unstable.Node, here place, got unstable.Kind) *configError {
	return &configError{
		what: fmt.Sprintf("config key %q wants %s, got %s", here.path, here.schema.words(), kindWords(got)),
		line: r.line(key),
	}
}

func (r *reader) line(key *unstable.Node) int { return r.parser.Shape(key.Raw).Start.Line }

// nearest is the known word that a typing error most likely meant, or "".
func nearest(word string, known []string) string {
	best, distance := "", max(2, len(word)/3)+1
	for _, k := range known {
		if d := editDistance(word, k); d < distance {
			best, distance = k, d
		}
	}
	return best
}

// editDistance counts the insertions, deletions and replacements between two words (Levenshtein).
func editDistance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			replaced := diagonal
			if a[i] != b[j] {
				replaced++
			}
			diagonal = row[j+1]
			row[j+1] = min(replaced, row[j]+1, diagonal+1)
		}
	}
	return row[len(b)]
}
