package verifier_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/ota-agent/ota-agent/verifier"
)

const goodMap = `{"repositories":{"vendor":["https://vendor.example/"],"fleet":["https://fleet.example/","https://mirror.example/"]},
	"mapping":[{"paths":["boot/*"],"repositories":["vendor","fleet"],"threshold":2,"terminating":true},{"paths":["*/*"],"repositories":["fleet"],"threshold":1}]}`

// parsedMap reads a map that must be good.
func parsedMap(t *testing.T, raw string) verifier.Map {
	t.Helper()
	m, err := verifier.ParseMap([]byte(raw))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestMapFile_IsRead(t *testing.T) {
	// Mappings may come before the repositories, and more members may stand beside them.
	reordered := `{"version":1.5,"mapping":[{"Terminating":0,"comment":null,"terminating":false,"threshold":1,"repositories":["a","a"],"paths":["*"]}],"repositories":{"a":["u"]}}`
	if got, _ := parsedMap(t, reordered).Lookup("x").Next(); !slices.Equal(got, []string{"a"}) {
		t.Errorf("a repository listed twice is asked as %q, want once", got)
	}
	m := parsedMap(t, goodMap)
	if got := m.Repositories(); !slices.Equal(got, []string{"fleet", "vendor"}) {
		t.Errorf("repositories %q", got)
	}
	urls := m.URLs("fleet")
	if !slices.Equal(urls, []string{"https://fleet.example/", "https://mirror.example/"}) {
		t.Errorf("URLs %q", urls)
	}
	urls[0] = "https://evil.example/"
	if m.URLs("fleet")[0] == urls[0] {
		t.Error("a map can be changed from outside")
	}
	if m.URLs("nobody") != nil {
		t.Error("URLs of a repository that the map does not have")
	}
}

func TestMapFile_PathsAreGlobs(t *testing.T) {
	m := parsedMap(t, goodMap)
	for _, test := range []struct {
		path string
		want []string // nil: no mapping
	}{
		{"boot/u.img", []string{"vendor", "fleet"}},
		{"app/x", []string{"fleet"}},
		{"BOOT/u.img", []string{"fleet"}},
		{"boot/a/b", nil}, // no wildcard crosses a slash
		{"boot", nil},
		{"", nil},
	} {
		choice := m.Lookup(test.path)
		got, ok := choice.Next()
		if !slices.Equal(got, test.want) || ok != (test.want != nil) {
			t.Errorf("%q: asks %q, want %q", test.path, got, test.want)
		}
		if _, err := choice.Agreed(); test.want == nil && !errors.Is(err, verifier.ErrNotListed) {
			t.Errorf("%q: got error %v, want class %v", test.path, err, verifier.ErrNotListed)
		}
	}
	if _, ok := (verifier.Map{}).Lookup("x").Next(); ok {
		t.Error("the zero map asks")
	}
}

func TestMapFile_WhatIsNoMapIsRefused(t *testing.T) {
	list := func(n int, element string) string { return strings.TrimSuffix(strings.Repeat(element+",", n), ",") }
	names := func(n int) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, `"r%d":["u"],`, i)
		}
		return strings.TrimSuffix(b.String(), ",")
	}
	whole := func(repositories, mappings string) string {
		return `{"repositories":{` + repositories + `},"mapping":[` + mappings + `]}`
	}
	good := `{"paths":["*"],"repositories":["a","b"],"threshold":2}`
	one := func(mapping string) string { return whole(`"a":["u"],"b":["u"]`, good+","+mapping) }
	name := func(name string) string { return whole(`"a":["u"],"b":["u"],"`+name+`":["u"]`, good) }
	tests := []struct{ raw, place string }{
		{``, "byte"}, {`{`, "byte"}, {`[]`, "byte"}, {`null`, "byte"}, {`{}`, "byte"}, {goodMap + "x", "byte"}, {goodMap[:len(goodMap)-1], "byte"},
		{`{"repositories":{"a":["u"]}}`, "byte"}, {`{"mapping":[` + good + `]}`, ""}, {strings.Replace(goodMap, `"mapping"`, `"Mapping"`, 1), "byte"},
		{strings.Replace(goodMap, `"repositories":{`, `"Repositories":{`, 1), ""},
		{whole(`"a":["u"],"a":["u"]`, good), ""}, {`{"repositories":[],"mapping":[]}`, "repositories"}, {whole(``, ``), "mapping"},
		{whole(`"a":"u","b":["u"]`, good), "repositories.a"}, {whole(`"a":[],"b":["u"]`, good), "repositories.a"}, {whole(`"a":[""],"b":["u"]`, good), "repositories.a[0]"},
		{whole(`"a":["u",1],"b":["u"]`, good), "repositories.a[1]"}, {whole(`"a":["`+strings.Repeat("u", 2049)+`"],"b":["u"]`, good), "repositories.a[0]"},
		{whole(`"a":[`+list(17, `"u"`)+`],"b":["u"]`, good), "repositories.a[16]"}, {whole(names(65), good), "repositories.r64"},
		{name(""), "repositories"}, {name("."), "repositories"}, {name(".."), "repositories"}, {name("a/b"), "repositories"}, {name(`\u0000`), "repositories"}, {name(strings.Repeat("n", 65)), "repositories"},
		{one(`7`), "mapping[1]"}, {one(`{}`), "mapping[1]"}, {one(`null`), "mapping[1]"}, {whole(`"a":["u"],"b":["u"]`, list(129, good)), "mapping[128]"},
		{one(`{"repositories":["a"],"threshold":1}`), "mapping[1]"}, {one(`{"paths":["*"],"threshold":1}`), "mapping[1]"},
		{one(`{"paths":["*"],"repositories":["a"]}`), "mapping[1]"}, {one(`{"paths":["*"],"repositories":["a"],"Threshold":1}`), "mapping[1]"},
		{one(`{"paths":[],"repositories":["a"],"threshold":1}`), "mapping[1].paths"}, {one(`{"paths":["*"],"repositories":[],"threshold":1}`), "mapping[1].repositories"},
		{one(`{"paths":"*","repositories":["a"],"threshold":1}`), "mapping[1].paths"}, {one(`{"paths":[` + list(129, `"*"`) + `],"repositories":["a"],"threshold":1}`), "mapping[1].paths[128]"},
		{one(`{"paths":["*"],"repositories":["a","c"],"threshold":1}`), "mapping[1].repositories[1]"}, // a repository that nobody knows
		{one(`{"paths":["*"],"repositories":["A"],"threshold":1}`), "mapping[1].repositories[0]"},
		{one(`{"paths":["*"],"repositories":[` + list(65, `"a"`) + `],"threshold":1}`), "mapping[1].repositories[64]"},
		{one(`{"paths":["*"],"repositories":["a","b"],"threshold":3}`), "mapping[1]"}, // can never be met
		{one(`{"paths":["*"],"repositories":["a","a"],"threshold":2}`), "mapping[1]"}, // one repository is not two
		{one(`{"paths":["*"],"repositories":["a"],"threshold":0}`), "mapping[1].threshold"}, {one(`{"paths":["*"],"repositories":["a"],"threshold":-1}`), "mapping[1].threshold"},
		{one(`{"paths":["*"],"repositories":["a"],"threshold":1.0}`), "mapping[1].threshold"}, {one(`{"paths":["*"],"repositories":["a"],"threshold":"1"}`), "mapping[1].threshold"},
		{one(`{"paths":["*"],"repositories":["a"],"threshold":1,"terminating":1}`), "mapping[1].terminating"}, {one(`{"paths":["*"],"repositories":["a"],"threshold":1,"terminating":null}`), "mapping[1].terminating"},
	}
	for _, test := range tests {
		m, err := verifier.ParseMap([]byte(test.raw))
		if err == nil {
			t.Errorf("%.200s: is accepted", test.raw)
			continue
		}
		wantRefusal(t, err, "map", verifier.ErrMalformed)
		refusal, _ := errors.AsType[*verifier.MetadataError](err)
		if !strings.Contains(refusal.Want, test.place+", byte") && !strings.Contains(refusal.Want, "at "+test.place) {
			t.Errorf("%.200s: error %v does not name the place %s", test.raw, err, test.place)
		}
		if _, ok := m.Lookup("x").Next(); ok {
			t.Errorf("%.200s: a refused map asks", test.raw)
		}
	}
	_, err := verifier.ParseMap(slices.Concat([]byte(goodMap), make([]byte, verifier.MapBytesMax)))
	wantRefusal(t, err, "map", verifier.ErrLimitExceeded)
}

// FuzzMap reads any bytes as a map. Nothing panics; and whatever is accepted asks no repository that it does not list,
// none twice, and ends within its mappings when nobody lists the path.
func FuzzMap(f *testing.F) {
	f.Add([]byte(goodMap), "boot/u.img")
	f.Add([]byte(`{"repositories":{"a":["u"]},"mapping":[{"paths":["[!a-"],"repositories":["a","a"],"threshold":1}]}`), "[!a-")
	f.Add([]byte(`{"repositories":{"..":["u"]},"mapping":[]}`), "")
	f.Fuzz(func(t *testing.T, raw []byte, path string) {
		m, err := verifier.ParseMap(raw)
		if err != nil {
			if refusal, ok := errors.AsType[*verifier.MetadataError](err); !ok || refusal.Want == "" || len(err.Error()) > 2000 {
				t.Fatalf("error %v does not say what was wanted", err)
			}
			return
		}
		choice := m.Lookup(path)
		asked := map[string]bool{}
		for {
			names, ok := choice.Next()
			if !ok {
				break
			}
			if len(names) == 0 || asked[names[0]] || len(m.URLs(names[0])) == 0 {
				t.Fatalf("asks %q after %v", names, asked)
			}
			asked[names[0]] = true
			_ = choice.Supply(names[0], verifier.Found{}, &verifier.MetadataError{Path: path, Err: verifier.ErrNotListed})
		}
		if _, err := choice.Agreed(); !errors.Is(err, verifier.ErrNotListed) {
			t.Fatalf("nobody lists the path, but the choice ends with %v", err)
		}
	})
}
