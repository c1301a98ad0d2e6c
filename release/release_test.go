package release

import (
	"bytes"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/ota-agent/ota-agent/verifier/strict"
)

func index(n int64) *int64 { return &n }

func full() Info {
	return Info{
		Version:       "2.4.1 “Ångström”",
		RollbackIndex: index(41),
		Hardware:      []string{"board-b", "board-a"},
		Rollout:       &Rollout{Start: time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC), Duration: 3 * time.Hour},
		Urgent:        true,
		Requires:      []Requirement{{Component: "boot", RollbackIndex: 3}},
		Notes:         "fixes <everything> & more\n\tsee the list",
	}
}

func TestWhatIsWrittenReadsBackTheSame(t *testing.T) {
	for name, i := range map[string]Info{
		"zero":         {},
		"full":         full(),
		"index zero":   {RollbackIndex: index(0)},
		"largest":      {RollbackIndex: index(IndexMax)},
		"no duration":  {Rollout: &Rollout{Start: time.Date(1, 1, 1, 0, 0, 0, 0, time.UTC)}},
		"longest text": {Version: strings.Repeat("é", VersionRunesMax), Notes: strings.Repeat("n", NotesBytesMax)},
	} {
		t.Run(name, func(t *testing.T) {
			custom, err := i.Custom()
			if err != nil {
				t.Fatal(err)
			}
			back, err := Parse(custom)
			if err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(back, i) {
				t.Errorf("%s\nreads back as %+v, want %+v", custom, back, i)
			}
		})
	}
}

func TestCustomIsCanonical(t *testing.T) {
	i := full()
	i.Notes = "one line"
	custom, err := i.Custom()
	if err != nil {
		t.Fatal(err)
	}
	v, err := strict.Parse(custom)
	if err != nil {
		t.Fatal(err)
	}
	canonical, err := v.Canonical()
	if err != nil || !bytes.Equal(canonical, custom) {
		t.Errorf("custom is\n%s, canonical form\n%s (%v)", custom, canonical, err)
	}
	want := `{"ota":{"hardware":["board-b","board-a"],"notes":"one line","requires":[{"component":"boot","rollback_index":3}],` +
		`"rollback_index":41,"rollout":{"duration":10800,"start":"2026-03-04T05:06:07Z"},"urgent":true,"version":"2.4.1 “Ångström”"}}`
	if string(custom) != want {
		t.Errorf("custom is\n%s, want\n%s", custom, want)
	}
}

func TestValuesWithoutAnOTAObjectAreTheZeroRelease(t *testing.T) {
	for _, custom := range []string{``, `null`, `{}`, `[]`, `7`, `"ota"`, `{"OTA":{"version":7}}`, `{"other":{"ota":1}}`, `{"ota":{}}`,
		`{"ota":{"Version":7,"ROLLBACK_INDEX":"x","colour":[1.5]},"else":1e9}`} {
		i, err := Parse([]byte(custom))
		if err != nil || !reflect.DeepEqual(i, Info{}) {
			t.Errorf("%s: %+v, %v", custom, i, err)
		}
	}
}

func TestMalformedObjectsAreRefused(t *testing.T) {
	names := func(n int) string {
		var b strings.Builder
		for i := range n {
			b.WriteString(`,"h` + strconv.Itoa(i) + `"`)
		}
		return "[" + strings.TrimPrefix(b.String(), ",") + "]"
	}
	components := func(n int) string {
		return "[" + strings.TrimPrefix(strings.Repeat(`,{"component":"c","rollback_index":1}`, n), ",") + "]"
	}
	for _, ota := range []string{
		`null`, `[]`, `"x"`, `1`, `true`,
		`{"version":""}`, `{"version":7}`, `{"version":null}`, `{"version":"a\nb"}`, `{"version":"a\u202eb"}`,
		`{"version":"a\u0000"}`, `{"version":"` + strings.Repeat("x", VersionRunesMax+1) + `"}`,
		`{"version":"1","version":"1"}`, `{"version":"1","ver\u0073ion":"2"}`,
		`{"rollback_index":-1}`, `{"rollback_index":1.0}`, `{"rollback_index":1e3}`, `{"rollback_index":"1"}`,
		`{"rollback_index":9007199254740992}`, `{"rollback_index":null}`, `{"rollback_index":99999999999999999999}`,
		`{"hardware":[]}`, `{"hardware":"a"}`, `{"hardware":[""]}`, `{"hardware":["a b"]}`, `{"hardware":["a","a"]}`,
		`{"hardware":["ä"]}`, `{"hardware":["a/b"]}`, `{"hardware":["` + strings.Repeat("h", NameBytesMax+1) + `"]}`,
		`{"hardware":` + names(HardwareMax+1) + `}`,
		`{"rollout":{}}`, `{"rollout":null}`, `{"rollout":{"start":"2026-01-01T00:00:00Z"}}`, `{"rollout":{"duration":1}}`,
		`{"rollout":{"start":"2026-01-01 00:00:00","duration":1}}`, `{"rollout":{"start":"2026-02-30T00:00:00Z","duration":1}}`,
		`{"rollout":{"start":"2026-01-01T00:00:00Z","duration":-1}}`, `{"rollout":{"start":"2026-01-01T00:00:00Z","duration":1.5}}`,
		`{"rollout":{"start":"2026-01-01T00:00:00Z","duration":31622401}}`,
		`{"rollout":{"start":"2026-01-01T00:00:00Z","duration":9223372036854775807}}`,
		`{"urgent":1}`, `{"urgent":"true"}`, `{"urgent":null}`,
		`{"requires":{}}`, `{"requires":[1]}`, `{"requires":[{"component":"a"}]}`, `{"requires":[{"rollback_index":1}]}`,
		`{"requires":[{"component":"a b","rollback_index":1}]}`, `{"requires":[{"component":"a","rollback_index":-1}]}`,
		`{"requires":` + components(2) + `}`, `{"requires":` + components(RequiresMax+1) + `}`,
		`{"notes":1}`, `{"notes":"a\u001b[2Jb"}`, `{"notes":"` + strings.Repeat("n", NotesBytesMax+1) + `"}`,
	} {
		if i, err := Parse([]byte(`{"ota":` + ota + `}`)); err == nil {
			t.Errorf("%.80s: accepted as %+v", ota, i)
		} else if !reflect.DeepEqual(i, Info{}) {
			t.Errorf("%.80s: refused, and yet %+v", ota, i)
		}
	}
	for _, custom := range []string{`{`, `{"ota":{}} x`, `{"ota":{},"ota":{}}`, "\xff", `{"x":"` + strings.Repeat("x", CustomBytesMax) + `"}`} {
		if _, err := Parse([]byte(custom)); err == nil {
			t.Errorf("%.80q: accepted", custom)
		}
	}
}

func TestWhatCannotBeReadIsNotWritten(t *testing.T) {
	for name, i := range map[string]Info{
		"version":           {Version: "a\nb"},
		"version, UTF-8":    {Version: "a\xff"},
		"notes, UTF-8":      {Notes: "a\xff"},
		"negative index":    {RollbackIndex: index(-1)},
		"index":             {RollbackIndex: index(IndexMax + 1)},
		"hardware":          {Hardware: []string{"a b"}},
		"half a second":     {Rollout: &Rollout{Duration: time.Second / 2}},
		"long rollout":      {Rollout: &Rollout{Duration: RolloutMax + time.Second}},
		"negative rollout":  {Rollout: &Rollout{Duration: -time.Second}},
		"the year 10000":    {Rollout: &Rollout{Start: time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC)}},
		"fraction of start": {Rollout: &Rollout{Start: time.Date(2026, 1, 1, 0, 0, 0, 1, time.UTC)}},
		"requirement":       {Requires: []Requirement{{Component: "", RollbackIndex: 1}}},
	} {
		if custom, err := i.Custom(); err == nil {
			t.Errorf("%s: written as %s", name, custom)
		}
	}
}

func FuzzParse(f *testing.F) {
	custom, err := full().Custom()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(custom)
	for _, s := range []string{`null`, `{"ota":{}}`, `{"ota":{"hardware":["a"],"x":[{}]}}`, `{"ota":{"rollback_index":0}}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, custom []byte) {
		i, err := Parse(custom)
		if err != nil {
			if !reflect.DeepEqual(i, Info{}) {
				t.Fatalf("refused, and yet %+v", i)
			}
			return
		}
		// What was read can be written, and reads back the same.
		again, err := i.Custom()
		if err != nil {
			t.Fatalf("%+v can't be written: %v", i, err)
		}
		back, err := Parse(again)
		if err != nil || !reflect.DeepEqual(back, i) {
			t.Fatalf("%s reads as %+v, written %s reads as %+v (%v)", custom, i, again, back, err)
		}
	})
}
