package install

import (
	"errors"
	"testing"
	"time"

	"github.com/ota-agent/ota-agent/agent"
)

func TestParseAskAgain(t *testing.T) {
	for answer, want := range map[string]time.Duration{
		"":                                  0,
		"ask_again=60":                      time.Minute,
		"the user sleeps\nask_again=60\n":   time.Minute,
		" ask_again=60 \r\n":                time.Minute,
		"ask_again=60\nask_again=3600\n":    time.Minute,
		"ask_again=0":                       0,
		"ask_again=":                        0,
		"ask_again=-60":                     0,
		"ask_again=1.5":                     0,
		"ask_again=60s":                     0,
		"ask_again=99999999999999999999999": 0,
		"ask_again=2147483647":              2147483647 * time.Second,
		"do not ask_again=60":               0,
	} {
		if got := parseAskAgain(answer); got != want {
			t.Errorf("%q: %s, want %s", answer, got, want)
		}
	}
}

func FuzzParseAskAgain(f *testing.F) {
	f.Add("the user sleeps\nask_again=60\n")
	f.Fuzz(func(t *testing.T, answer string) {
		if d := parseAskAgain(answer); d < 0 || d > 1<<31*time.Second {
			t.Fatalf("%q gave %s", answer, d)
		}
	})
}

// The gate hook is run like any hook; its answer is its exit code, and its words are shown.
func TestGateHook(t *testing.T) {
	for name, c := range map[string]struct {
		script string
		want   agent.Reason
		again  time.Duration
	}{
		"yes":                      {`exit 0`, "", 0},
		"no":                       {`echo "the user watches a film" >&2; exit 75`, agent.ReasonHookBusy, 0},
		"no, until":                {`echo ask_again=600; exit 75`, agent.ReasonHookBusy, 10 * time.Minute},
		"it fails":                 {`echo ask_again=600; exit 3`, agent.ReasonHookFailed, 0},
		"it is asked for its part": {`[ "$1 $2 $OTA_COMPONENT" = "gate install app" ] || exit 3`, "", 0},
	} {
		t.Run(name, func(t *testing.T) {
			j := job(script(t, c.script), nil)
			j.Slot = "install"
			err := newRunner(t, ComponentConfig{}).Do(t.Context(), agent.VerbGate, j)
			var p *agent.Problem
			switch {
			case c.want == "" && err != nil:
				t.Errorf("%v", err)
			case c.want != "" && (!errors.As(err, &p) || p.Reason != c.want || p.RetryAfter != c.again):
				t.Errorf("%+v, want %s, again in %s", p, c.want, c.again)
			}
		})
	}
}
