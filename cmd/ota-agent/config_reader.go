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

// A reader fills a configFile from TOML, from top to bottom. It uses the library's parser alone: the decoder forgets
// where a value stood, and speaks to programmers of Go types. It is strict: a key that configFile does not have, a
// value of another type and a key that comes twice are errors.
type reader struct {
	parser unstable.Parser
	root   place
	at     lines
}

// A place is where the reader is: what is filled, and its path. Where that is an entry of a map, the entry is put
// into the map when its value is there.
type place struct {
	value reflect.Value
	path  string
	entry reflect.Value // of the map; the zero Value for none
	key   string
}

// decode fills c, which must be zero, and returns its lines.
func decode(text []byte, c *configFile) (lines, *configError) {
	r := &reader{root: place{value: reflect.ValueOf(c).Elem()}, at: lines{}}
	r.parser.Reset(text)
	here := r.root
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
	wrong := &configError{what: "the config is not TOML: " + err.Error(), hint: `texts stand in quotes: key = "value"`}
	var where *unstable.ParserError
	if errors.As(err, &where) {
		wrong.what = "the config is not TOML: " + where.Message
		wrong.line = r.parser.Shape(r.parser.Range(where.Highlight)).Start.Line
	}
	return wrong
}

// header enters [table] or [[table]].
func (r *reader) header(e *unstable.Node) (here place, wrong *configError) {
	here = r.root
	for key := e.Key(); key.Next(); {
		node := key.Node()
		next, wrong := r.enter(here, node)
		if wrong != nil {
			return here, wrong
		}
		opens := key.IsLast() && e.Kind == unstable.ArrayTable
		if here, wrong = r.table(next, node, opens); wrong != nil {
			return here, wrong
		}
		if key.IsLast() {
			if wrong := r.note(here, node); wrong != nil {
				return here, wrong
			}
		}
	}
	return here, nil
}

// table goes from a name in a header into the table that it stands for: with [[name]] (opens) a new one of a list,
// with [name.more] the latest.
func (r *reader) table(next place, key *unstable.Node, opens bool) (place, *configError) {
	list := next.value.Kind() == reflect.Slice && next.value.Type().Elem().Kind() == reflect.Struct
	switch {
	case opens && list:
		next.value.Set(reflect.Append(next.value, reflect.Zero(next.value.Type().Elem())))
	case opens:
		return next, r.wrongKind(key, next, unstable.Array)
	case list && next.value.Len() == 0:
		wrong := r.wrongKind(key, next, unstable.InlineTable)
		wrong.hint = fmt.Sprintf("begin it with [[%s]]", next.path)
		return next, wrong
	}
	if list {
		last := next.value.Len() - 1
		return place{value: next.value.Index(last), path: fmt.Sprintf("%s[%d]", next.path, last)}, nil
	}
	if kindOf(next.value) != unstable.InlineTable {
		return next, r.wrongKind(key, next, unstable.InlineTable)
	}
	return next, nil
}

// keyValue takes "key = value", and whatever the value holds.
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
	if wrong := r.note(here, last); wrong != nil {
		return wrong
	}
	return r.assign(here, last, e.Value())
}

// enter looks a key up in a table.
func (r *reader) enter(here place, key *unstable.Node) (place, *configError) {
	name := string(key.Data)
	path := name
	if here.path != "" {
		path = here.path + "." + name
	}
	switch here.value.Kind() {
	case reflect.Struct:
		field, ok := fieldOf(here.value, name)
		if !ok {
			return here, r.unknown(here, path, name, key)
		}
		if field.Kind() == reflect.Pointer {
			if field.IsNil() {
				field.Set(reflect.New(field.Type().Elem()))
			}
			field = field.Elem()
		}
		return place{value: field, path: path}, nil
	case reflect.Map:
		if here.value.IsNil() {
			here.value.Set(reflect.MakeMap(here.value.Type()))
		}
		return place{value: reflect.New(here.value.Type().Elem()).Elem(), path: path, entry: here.value, key: name}, nil
	}
	return here, r.wrongKind(key, here, unstable.InlineTable)
}

// note keeps the line of a key, which may come once.
func (r *reader) note(here place, key *unstable.Node) *configError {
	line := r.line(key)
	if first, twice := r.at[here.path]; twice {
		return &configError{what: fmt.Sprintf("config key %q comes twice", here.path), line: line,
			hint: fmt.Sprintf("it is already on line %d", first)}
	}
	r.at[here.path] = line
	return nil
}

// assign puts a value where it belongs.
func (r *reader) assign(here place, key, v *unstable.Node) *configError {
	if kindOf(here.value) != v.Kind {
		return r.wrongKind(key, here, v.Kind)
	}
	switch v.Kind {
	case unstable.String:
		here.value.SetString(string(v.Data))
	case unstable.Bool:
		here.value.SetBool(string(v.Data) == "true")
	case unstable.Integer:
		n, err := strconv.ParseInt(string(v.Data), 10, 64)
		if err != nil {
			what := fmt.Sprintf("config key %q wants a whole number such as 500, got %s", here.path, quoted(string(v.Data)))
			return &configError{what: what, line: r.line(key)}
		}
		here.value.SetInt(n)
	case unstable.InlineTable:
		for children := v.Children(); children.Next(); {
			if wrong := r.keyValue(here, children.Node()); wrong != nil {
				return wrong
			}
		}
	case unstable.Array:
		return r.list(here, key, v)
	}
	if here.entry.IsValid() {
		here.entry.SetMapIndex(reflect.ValueOf(here.key), here.value)
	}
	return nil
}

func (r *reader) list(here place, key, v *unstable.Node) *configError {
	here.value.Set(reflect.MakeSlice(here.value.Type(), 0, 0)) // also an empty list was given
	for children := v.Children(); children.Next(); {
		n := here.value.Len()
		here.value.Set(reflect.Append(here.value, reflect.Zero(here.value.Type().Elem())))
		elem := place{value: here.value.Index(n), path: fmt.Sprintf("%s[%d]", here.path, n)}
		if wrong := r.assign(elem, key, children.Node()); wrong != nil {
			return wrong
		}
	}
	return nil
}

func (r *reader) line(key *unstable.Node) int { return r.parser.Shape(key.Raw).Start.Line }

// fieldOf finds the field that a key fills.
func fieldOf(table reflect.Value, key string) (reflect.Value, bool) {
	for i := range table.NumField() {
		if table.Type().Field(i).Tag.Get("toml") == key {
			return table.Field(i), true
		}
	}
	return reflect.Value{}, false
}

// kindOf is the kind of TOML value that fills v.
func kindOf(v reflect.Value) unstable.Kind {
	switch v.Kind() {
	case reflect.Struct, reflect.Map:
		return unstable.InlineTable
	case reflect.Slice:
		return unstable.Array
	case reflect.Bool:
		return unstable.Bool
	case reflect.Int64:
		return unstable.Integer
	}
	return unstable.String
}

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

func (r *reader) wrongKind(key *unstable.Node, here place, got unstable.Kind) *configError {
	return &configError{
		what: fmt.Sprintf("config key %q wants %s, got %s", here.path, kindWords(kindOf(here.value)), kindWords(got)),
		line: r.line(key),
	}
}

func (r *reader) unknown(here place, path, name string, key *unstable.Node) *configError {
	var known []string
	for i := range here.value.NumField() {
		known = append(known, here.value.Type().Field(i).Tag.Get("toml"))
	}
	slices.Sort(known)
	hint := "known here: " + strings.Join(known, ", ")
	if near := nearest(name, known); near != "" {
		hint = fmt.Sprintf("did you mean %q?", near)
	}
	return &configError{what: fmt.Sprintf("the config has an unknown key %q", path), line: r.line(key), hint: hint}
}
