package mqtt

import (
	"strings"
	"testing"
	"time"

	"github.com/ota-agent/ota-agent/agent"
)

func TestParseWake(t *testing.T) {
	plain := agent.Wake{Source: "mqtt"}
	long := strings.Repeat("n", nonceBytesMax)
	for _, c := range []struct {
		name, payload string
		want          agent.Wake
	}{
		{"empty", "", plain},
		{"anything", "hello", plain},
		{"nonce and spread", `{"nonce":"a1","spread":600}`, agent.Wake{Source: "mqtt", Nonce: "a1", Spread: 10 * time.Minute}},
		{"part of a second", `{"spread":0.5}`, agent.Wake{Source: "mqtt", Spread: 500 * time.Millisecond}},
		{"unknown key", `{"nonce":"a","version":"9.9"}`, agent.Wake{Source: "mqtt", Nonce: "a"}},
		{"negative spread", `{"spread":-1}`, plain},
		{"more than a Duration holds", `{"spread":1e300}`, agent.Wake{Source: "mqtt", Spread: spreadMax}},
		{"not a number", `{"spread":1e999}`, plain},
		{"spread as text", `{"nonce":"a","spread":"600"}`, plain},
		{"an array", `[1,2]`, plain},
		{"null", `null`, plain},
		{"cut", `{"nonce":"a1"`, plain},
		{"deep", strings.Repeat("[", 1000), plain},
		{"longest nonce", `{"nonce":"` + long + `"}`, agent.Wake{Source: "mqtt", Nonce: long}},
		{"nonce too long", `{"nonce":"` + long + `n"}`, plain},
		{"payload too long", `{"nonce":"a"}` + strings.Repeat(" ", wakeBytesMax), plain},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := ParseWake([]byte(c.payload)); got != c.want {
				t.Errorf("got %+v, want %+v", got, c.want)
			}
		})
	}
}

func FuzzParseWake(f *testing.F) {
	f.Add([]byte(`{"nonce":"a1","spread":600}`))
	f.Add([]byte(`{"spread":-1e308}`))
	f.Add([]byte(``))
	f.Fuzz(func(t *testing.T, payload []byte) {
		w := ParseWake(payload)
		if w.Source != "mqtt" || len(w.Nonce) > nonceBytesMax || w.Spread < 0 || w.Spread > spreadMax {
			t.Errorf("out of bounds: %+v", w)
		}
	})
}
