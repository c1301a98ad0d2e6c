package strict

import (
	"fmt"
	"testing"
)

func TestIndexFindsWhatLookupFinds(t *testing.T) {
	for _, raw := range []string{
		`{}`, `{"":1}`, `{"a":1,"b":2,"c":3}`, `{"c":3,"a":1,"b":2}`, `{ "b" : [1, "}"], "a" : {"a":1} , "ab":2}`,
		`{"\u0062":1,"a":2,"\ud83d\ude00":3,"` + "\u00e9" + `":4,"\\":5,"\"":6}`,
	} {
		v := parse(t, raw)
		x, err := v.Index()
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		_ = v.Object(func(name []byte, member Value) error {
			n++
			got, ok := x.Lookup(string(name))
			if !ok || got.Offset() != member.Offset() || string(got.Raw()) != string(member.Raw()) {
				t.Errorf("%s: %q is %s, want %s", raw, name, got.Raw(), member.Raw())
			}
			return nil
		})
		if x.Len() != n {
			t.Errorf("%s: %d members, want %d", raw, x.Len(), n)
		}
		for _, name := range []string{"x", "aa", `\u0062`, "\U0001F601", "\x00"} {
			if _, ok := x.Lookup(name); ok {
				t.Errorf("%s: %q was found", raw, name)
			}
		}
	}
	if _, err := parse(t, `[]`).Index(); err == nil {
		t.Error("an array was taken for an object")
	}
}

func TestIndexAgainstAnother(t *testing.T) {
	mine, _ := parse(t, `{"c":1,"\u0061":2,"d":3,"b":4}`).Index()
	others, _ := parse(t, `{"a":20,"aa":0,"d":30,"c":10}`).Index()
	got := ""
	err := mine.Against(others, func(name []byte, m, o Value) error {
		got += fmt.Sprintf("%s %s %s;", name, m.Raw(), o.Raw())
		return nil
	})
	if want := "a 2 20;b 4 ;c 1 10;d 3 30;"; err != nil || got != want {
		t.Errorf("%s, want %s (%v)", got, want, err)
	}
	if err := (Index{}).Against(mine, func([]byte, Value, Value) error { return fmt.Errorf("called") }); err != nil {
		t.Error(err)
	}
}
