package mqtt

import (
	"math"
	"strings"
	"testing"
	"time"

	"github.com/ota-agent/ota-agent/agent"
	"github.com/ota-agent/ota-agent/mqtt/schematest"
)

// TestParseWake: what can't be read of a wake costs only the field that it stands in, and a spread that can't
// be read is the usual one.
func TestParseWake(t *testing.T) {
	const usual = 7 * time.Minute
	long := strings.Repeat("n", nonceBytesMax)
	for _, c := range []struct {
		name, payload string
		nonce         string
		spread        time.Duration
	}{
		{"empty", "", "", usual},
		{"anything", "hello", "", usual},
		{"no field", "{}", "", usual},
		{"nonce and spread", `{"nonce":"a1","spread":600}`, "a1", 10 * time.Minute},
		{"nonce alone", `{"nonce":"a1"}`, "a1", usual},
		{"part of a second", `{"spread":0.5}`, "", 500 * time.Millisecond},
		{"now, in so many words", `{"spread":0}`, "", 0},
		{"unknown key", `{"nonce":"a","spread":60,"version":"9.9"}`, "a", time.Minute},
		{"a misspelt key", `{"nonce":"a","spraed":3600}`, "a", usual},
		{"another case", `{"Nonce":"a","Spread":0}`, "", usual},
		{"negative spread", `{"nonce":"a","spread":-1}`, "a", usual},
		{"more than a Duration holds", `{"spread":1e300}`, "", math.MaxInt64},
		{"not a number", `{"nonce":"a","spread":1e999}`, "a", usual},
		{"spread as text", `{"nonce":"a","spread":"3600"}`, "a", usual},
		{"spread as list", `{"nonce":"a","spread":[0]}`, "a", usual},
		{"no spread", `{"nonce":"a","spread":null}`, "a", usual},
		{"nonce as number", `{"nonce":7,"spread":3600}`, "7", time.Hour},
		{"nonce as list", `{"nonce":["a"],"spread":3600}`, "", time.Hour},
		{"an array", `[1,2]`, "", usual},
		{"null", `null`, "", usual},
		{"cut", `{"nonce":"a1","spread":0`, "", usual},
		{"not UTF-8", "{\"spread\":0}\xff", "", usual},
		{"deep", strings.Repeat("[", 1000), "", usual},
		{"longest nonce", `{"nonce":"` + long + `"}`, long, usual},
		{"nonce too long", `{"nonce":"` + long + `n","spread":3600}`, "", time.Hour},
		{"number too long", `{"nonce":1` + strings.Repeat("0", nonceBytesMax) + `,"spread":3600}`, "", time.Hour},
		{"payload too long", `{"nonce":"a","spread":0}` + strings.Repeat(" ", wakeBytesMax), "", usual},
	} {
		t.Run(c.name, func(t *testing.T) {
			want := agent.Wake{Source: "mqtt", Nonce: c.nonce, Spread: c.spread}
			if got := ParseWake([]byte(c.payload), usual); got != want {
				t.Errorf("got %+v, want %+v", got, want)
			}
		})
	}
}

// TestAWakeOfTheSchemaIsReadAsItStands: whoever follows docs/schemas/wake.schema.json gets what the payload says.
func TestAWakeOfTheSchemaIsReadAsItStands(t *testing.T) {
	schema, err := schematest.ReadSchema("../docs", "wake")
	if err != nil {
		t.Fatal(err)
	}
	for payload, want := range map[string]agent.Wake{
		`{}`:                          {Spread: time.Minute},
		`{"nonce":"release-8"}`:       {Nonce: "release-8", Spread: time.Minute},
		`{"spread":0}`:                {},
		`{"nonce":"é","spread":90.5}`: {Nonce: "é", Spread: 90500 * time.Millisecond},
		`{"nonce":"` + strings.Repeat("n", nonceBytesMax) + `","spread":3600}`: {Nonce: strings.Repeat("n", nonceBytesMax), Spread: time.Hour},
	} {
		if err := schema.Validate([]byte(payload)); err != nil {
			t.Errorf("%s: %v", payload, err)
		}
		want.Source = "mqtt"
		if got := ParseWake([]byte(payload), time.Minute); got != want {
			t.Errorf("%s: got %+v, want %+v", payload, got, want)
		}
	}
	for _, payload := range []string{``, `[]`, `{"nonce":7}`, `{"spread":"3600"}`, `{"spread":-1}`, `{"spread":null}`,
		`{"nonce":"` + strings.Repeat("n", nonceBytesMax+1) + `"}`, `{"nonce":"a"`} {
		if schema.Validate([]byte(payload)) == nil {
			t.Errorf("%s is valid by the schema", payload)
		}
	}
}

func FuzzParseWake(f *testing.F) {
	f.Add([]byte(`{"nonce":"a1","spread":600}`))
	f.Add([]byte(`{"nonce":7,"spread":"3600"}`))
	f.Add([]byte(`{"spread":-1e308}`))
	f.Add([]byte(``))
	f.Fuzz(func(t *testing.T, payload []byte) {
		w := ParseWake(payload, time.Minute)
		if w.Source != "mqtt" || len(w.Nonce) > nonceBytesMax || w.Spread < 0 {
			t.Errorf("out of bounds: %+v", w)
		}
		if w.Spread == 0 && !strings.Contains(string(payload), "spread") {
			t.Errorf("%q means now, and does not say so", payload)
		}
	})
}
