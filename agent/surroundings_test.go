package agent

import (
	"strings"
	"testing"
	"time"
)

func reasonOf(w *Waiting) Reason {
	if w == nil {
		return ""
	}
	return w.Reason
}

// TestGatesOfTheSurroundings: each verdict is a function of what was seen. What could not be read holds nothing back.
func TestGatesOfTheSurroundings(t *testing.T) {
	mission := []Inhibitor{{Name: "mission", Text: "on patrol"}, {Name: "b"}}
	for name, c := range map[string]struct {
		closed *Waiting
		want   Reason
	}{
		"no inhibitor":                    {inhibitGate(nil, "/i"), ""},
		"two inhibitors":                  {inhibitGate(mission, "/i"), ReasonInhibited},
		"mains":                           {batteryGate(Surroundings{Mains: true, Battery: 1}, 50), ""},
		"a battery that is full enough":   {batteryGate(Surroundings{Battery: 50}, 50), ""},
		"a battery that is too empty":     {batteryGate(Surroundings{Battery: 49}, 50), ReasonBattery},
		"an empty battery":                {batteryGate(Surroundings{Battery: 0}, 1), ReasonBattery},
		"no battery that can be read":     {batteryGate(Surroundings{Battery: -1}, 50), ""},
		"cool enough":                     {temperatureGate(Surroundings{Thermometer: true, Temperature: 70}, 70), ""},
		"too hot":                         {temperatureGate(Surroundings{Thermometer: true, Temperature: 71}, 70), ReasonTemperature},
		"no thermometer that can be read": {temperatureGate(Surroundings{Temperature: 71}, 70), ""},
		"not metered":                     {meteredGate(false, "/m"), ""},
		"metered":                         {meteredGate(true, "/m"), ReasonMetered},
		"paused":                          {pauseGate(true), ReasonPaused},
		"not paused":                      {pauseGate(false), ""},
	} {
		if got := reasonOf(c.closed); got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
	if w := inhibitGate(mission, "/i"); w.Text != "held back by mission (on patrol), b in /i" {
		t.Errorf("an inhibitor says %q", w.Text)
	}
	// A figure that moves is no news: it is not in the text.
	if a, b := batteryGate(Surroundings{Battery: 49}, 50), batteryGate(Surroundings{Battery: 48}, 50); a.Text != b.Text {
		t.Errorf("the text moves with the charge: %q, %q", a.Text, b.Text)
	}
	for _, s := range []Surroundings{{Battery: -1}, {Battery: 7}, {Mains: true, Battery: -1}, {Mains: true, Battery: 7}} {
		if words := powerWords(s); words == "" || (s.Battery == 7) != strings.Contains(words, "7 %") {
			t.Errorf("%+v is shown as %q", s, words)
		}
	}
}

func TestHookGate(t *testing.T) {
	const up = time.Hour
	for name, c := range map[string]struct {
		answer *Problem
		later  time.Duration // after the answer
		asked  bool
		want   Reason
		left   Seconds
		due    bool
	}{
		"never asked":                          {nil, 0, false, ReasonLooking, 0, true},
		"yes":                                  {nil, 0, true, "", 0, false},
		"yes, a while ago":                     {nil, hookFresh - 1, true, "", 0, false},
		"yes, too long ago":                    {nil, hookFresh, true, ReasonLooking, 0, true},
		"no":                                   {&Problem{}, 0, true, ReasonGateHook, 300, false},
		"no, a while ago":                      {&Problem{}, time.Minute, true, ReasonGateHook, 240, false},
		"no, and it is to be asked again":      {&Problem{}, 5 * time.Minute, true, ReasonGateHook, 0, true},
		"no, for ten minutes":                  {&Problem{RetryAfter: 10 * time.Minute}, time.Minute, true, ReasonGateHook, 540, false},
		"no, for a second: it is not pestered": {&Problem{RetryAfter: time.Second}, time.Second, true, ReasonGateHook, 9, false},
		"no, for a year: not believed":         {&Problem{RetryAfter: 365 * 24 * time.Hour}, 0, true, ReasonGateHook, 24 * 3600, false},
	} {
		var o opinion
		if c.asked {
			o = opinionOf(c.answer, up)
		}
		w := hookGate(o, up+c.later)
		if reasonOf(w) != c.want || w != nil && w.Left != c.left || o.due(up+c.later) != c.due {
			t.Errorf("%s: %+v, due: %t; want %q with %d s left, due: %t", name, w, o.due(up+c.later), c.want, c.left, c.due)
		}
	}
}

// TestDeferralCountsUptime, over boots, and writes as seldom as the time floor.
func TestDeferralCountsUptime(t *testing.T) {
	var d Deferral
	if d.age("boot-1", time.Hour) != 0 {
		t.Error("nothing is held back, and that for some time")
	}
	d = d.begin("boot-1", time.Hour)
	if again := d.begin("boot-2", 2*time.Hour); again != d {
		t.Error("it began again")
	}
	if got := d.age("boot-1", 90*time.Minute); got != 30*time.Minute {
		t.Errorf("%s after half an hour", got)
	}
	if got := d.age("boot-1", time.Minute); got != 0 {
		t.Errorf("%s after an uptime that went back", got)
	}
	const boots, hours = 30, 8
	writes := 0
	d = Deferral{}.begin("0", 0)
	for boot := range boots {
		for up := time.Duration(0); up < hours*time.Hour; up += 10 * time.Minute {
			if next, ok := d.accrue(string(rune('0'+boot)), up); ok {
				d, writes = next, writes+1
			}
		}
	}
	all := boots * hours * time.Hour
	if got := d.Accrued; got < all/2 || got > all {
		t.Errorf("%s of %s of uptime are durable", got, all)
	}
	if writes > 6*boots {
		t.Errorf("%d writes in %d boots", writes, boots)
	}
}
