package agent

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"
)

// zone loads a real time zone: Go brings its own copy of the database where the system has none.
func zone(t testing.TB, name string) *time.Location {
	t.Helper()
	z, err := time.LoadLocation(name)
	if err != nil {
		t.Fatal(err)
	}
	return z
}

func windows(t testing.TB, texts ...string) []Window {
	t.Helper()
	var all []Window
	for _, text := range texts {
		w, err := ParseWindow(text)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, w)
	}
	return all
}

func TestParseWindow(t *testing.T) {
	for text, want := range map[string]string{ // days from Sunday, then the minutes
		"01:00-05:00":            "SMTWTFS 60-300",
		"Mon-Fri 01:00-05:00":    ".MTWTF. 60-300",
		"Sat,Sun 00:00-24:00":    "S.....S 0-1440",
		"Fri-Mon 22:00-04:00":    "SM...FS 1320-1680",
		"Wed 23:59-00:00":        "...W... 1439-1440",
		"Mon-Mon 00:00-00:01":    ".M..... 0-1",
		"  Tue,Thu-Fri  1":       "",
		"":                       "",
		"Mon-Fri":                "",
		"mon 01:00-02:00":        "",
		"Monday 01:00-02:00":     "",
		"Mon- 01:00-02:00":       "",
		"Mon,,Tue 01:00-02:00":   "",
		"01:00":                  "",
		"01:00-":                 "",
		"1:00-2:00":              "",
		"01:00-02:60":            "",
		"01:00-24:01":            "",
		"24:00-25:00":            "",
		"24:00-01:00":            "",
		"01:00-01:00":            "",
		"01:00-02:00-03:00":      "",
		"+1:00-02:00":            "",
		"Mon Tue 01:00-02:00":    "",
		"01:00-02:00 UTC":        "",
		"٠١:٠٠-٠٢:٠٠":            "",
		"Mon" + blanks + "01:00": "",
	} {
		w, err := ParseWindow(text)
		if (err != nil) != (want == "") || err == nil && describeWindow(w) != want {
			t.Errorf("%.40q: %s, %v; want %q", text, describeWindow(w), err, want)
		}
	}
}

var blanks = strings.Repeat(" ", windowBytes)

func describeWindow(w Window) string {
	var days strings.Builder
	for i, on := range w.days {
		if on {
			days.WriteByte("SMTWTFS"[i])
		} else {
			days.WriteByte('.')
		}
	}
	return fmt.Sprintf("%s %d-%d", days.String(), w.from, w.to)
}

// TestWindowsOpen: when windows open, by the calendars of real zones, also where the clock on the wall jumps.
func TestWindowsOpen(t *testing.T) {
	for name, c := range map[string]struct {
		zone, now string
		windows   []string
		wait      string // "0s": open; "never"
	}{
		"inside":                            {"UTC", "2026-11-23 02:00:00", []string{"Mon-Fri 01:00-05:00"}, "0s"}, // a Monday
		"at its beginning":                  {"UTC", "2026-11-23 01:00:00", []string{"Mon-Fri 01:00-05:00"}, "0s"},
		"a second before":                   {"UTC", "2026-11-23 00:59:59", []string{"Mon-Fri 01:00-05:00"}, "1s"},
		"its last second":                   {"UTC", "2026-11-23 04:59:59", []string{"Mon-Fri 01:00-05:00"}, "0s"},
		"at its end":                        {"UTC", "2026-11-23 05:00:00", []string{"Mon-Fri 01:00-05:00"}, "20h0m0s"},
		"from Friday to Monday":             {"UTC", "2026-11-27 05:00:00", []string{"Mon-Fri 01:00-05:00"}, "68h0m0s"},
		"over midnight, before it":          {"UTC", "2026-11-28 23:00:00", []string{"Sat 22:00-04:00"}, "0s"},
		"over midnight, after it":           {"UTC", "2026-11-29 03:59:00", []string{"Sat 22:00-04:00"}, "0s"},
		"over midnight, over":               {"UTC", "2026-11-29 04:00:00", []string{"Sat 22:00-04:00"}, "162h0m0s"},
		"over midnight, not from yesterday": {"UTC", "2026-11-28 03:00:00", []string{"Sat 22:00-04:00"}, "19h0m0s"},
		"from Saturday into Sunday":         {"UTC", "2026-11-22 01:00:00", []string{"Sat 22:00-04:00"}, "0s"},
		"all day, to 24:00":                 {"UTC", "2026-11-29 23:59:59", []string{"Sun 00:00-24:00"}, "0s"},
		"the sooner of two":                 {"UTC", "2026-11-23 12:00:00", []string{"Sun 12:00-13:00", "Tue 00:30-01:00"}, "12h30m0s"},
		"in a zone east of UTC":             {"Asia/Kolkata", "2026-11-22 19:30:00", []string{"Mon 01:00-02:00"}, "0s"},
		"in a zone west of UTC":             {"America/New_York", "2026-11-23 06:00:00", []string{"Mon 01:00-02:00"}, "0s"},
		"in a zone of 45 minutes":           {"Asia/Kathmandu", "2026-11-22 19:15:00", []string{"Mon 01:00-02:00"}, "0s"},
		// Berlin's clocks go from 02:00 to 03:00 on 2026-03-29, at 01:00 UTC.
		"before the skipped hour":               {"Europe/Berlin", "2026-03-29 00:59:59", []string{"Sun 01:30-02:30"}, "0s"},
		"a window into the skipped hour ends":   {"Europe/Berlin", "2026-03-29 01:00:00", []string{"Sun 01:30-02:30"}, "166h30m0s"},
		"a window within it does not come":      {"Europe/Berlin", "2026-03-28 12:00:00", []string{"Sun 02:15-02:45"}, "180h15m0s"},
		"a window within it comes on Monday":    {"Europe/Berlin", "2026-03-29 00:30:00", []string{"02:15-02:45"}, "23h45m0s"},
		"a window out of it begins at its end":  {"Europe/Berlin", "2026-03-29 00:30:00", []string{"Sun 02:30-04:00"}, "30m0s"},
		"a window after it comes an hour early": {"Europe/Berlin", "2026-03-29 00:30:00", []string{"Sun 05:00-06:00"}, "2h30m0s"},
		// They go from 03:00 back to 02:00 on 2026-10-25, at 01:00 UTC.
		"the first of two hours":               {"Europe/Berlin", "2026-10-25 00:20:00", []string{"Sun 02:15-02:45"}, "0s"},
		"between the two":                      {"Europe/Berlin", "2026-10-25 00:45:00", []string{"Sun 02:15-02:45"}, "30m0s"},
		"the second of them":                   {"Europe/Berlin", "2026-10-25 01:20:00", []string{"Sun 02:15-02:45"}, "0s"},
		"after both":                           {"Europe/Berlin", "2026-10-25 01:45:00", []string{"02:15-02:45"}, "23h30m0s"},
		"a window over both is an hour longer": {"Europe/Berlin", "2026-10-25 03:59:59", []string{"Sun 01:00-05:00"}, "0s"},
		// Lord Howe Island's clocks go by half an hour; Apia skipped a whole Friday, 2011-12-30.
		"half an hour":        {"Australia/Lord_Howe", "2026-10-03 15:29:00", []string{"Sun 02:00-02:30"}, "167h31m0s"},
		"a day that was not":  {"Pacific/Apia", "2011-12-30 09:00:00", []string{"Fri 12:00-13:00"}, "157h0m0s"},
		"the day after it":    {"Pacific/Apia", "2011-12-30 09:00:00", []string{"Sat 00:00-01:00"}, "1h0m0s"},
		"no window of a week": {"UTC", "2026-11-23 00:00:00", nil, "never"},
	} {
		now, err := time.Parse(time.DateTime, c.now)
		if err != nil {
			t.Fatal(err)
		}
		wait, ok := openIn(windows(t, c.windows...), zone(t, c.zone), now)
		got := wait.String()
		if !ok {
			got = "never"
		}
		if got != c.wait {
			t.Errorf("%s: %v in %s, at %s UTC: opens in %s, want %s", name, c.windows, c.zone, c.now, got, c.wait)
		}
	}
}

// TestWindowsAgreeWithTheWall compares openIn with a look at the wall in each minute, in random zones and weeks.
func TestWindowsAgreeWithTheWall(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	zones := []string{"UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Pacific/Apia", "America/St_Johns", "Africa/Casablanca", "Asia/Kathmandu"}
	for range 60 {
		name := zones[r.IntN(len(zones))]
		z := zone(t, name)
		var w Window
		w.days[r.IntN(7)], w.days[r.IntN(7)] = true, true
		w.from = r.IntN(dayMinutes)
		w.to = w.from + 1 + r.IntN(dayMinutes-1)
		// A changing of the clocks, and the days around it.
		at := time.Date(2005+r.IntN(30), time.Month(1+r.IntN(12)), 1+r.IntN(28), 0, 0, 0, 0, time.UTC)
		if _, change := at.In(z).ZoneBounds(); !change.IsZero() {
			at = change.UTC()
		}
		at = at.Add(time.Duration(r.IntN(3*dayMinutes)-2*dayMinutes) * time.Minute).Truncate(time.Minute)
		wait, ok := openIn([]Window{w}, z, at)
		if !ok {
			t.Fatalf("%+v in %s never opens after %s", w, name, at)
		}
		for now := at; !now.After(at.Add(wait)); now = now.Add(time.Minute) {
			opens := at.Add(wait)
			if want := !now.Before(opens); onWall(w, now.In(z)) != want && !now.After(opens) {
				t.Fatalf("%+v in %s from %s: opens in %s, and at %s the wall says %t", w, name, at, wait, now.In(z), !want)
			}
		}
	}
}

// onWall is whether a window is open by what the wall shows, and nothing else.
func onWall(w Window, t time.Time) bool {
	minute, day := t.Hour()*60+t.Minute(), int(t.Weekday())
	today := w.days[day] && minute >= w.from && minute < w.to
	yesterday := w.days[(day+6)%7] && minute+dayMinutes >= w.from && minute+dayMinutes < w.to
	return today || yesterday
}

func TestWindowGate(t *testing.T) {
	open, shut := testNow.Add(-time.Hour), testNow.Add(2*time.Hour)
	around := windows(t, "Sun 10:00-13:00") // testNow is a Sunday noon
	for name, c := range map[string]struct {
		windows      []Window
		now          time.Time
		synchronised bool
		want         Reason
		left         Seconds
	}{
		"no windows":                        {nil, testNow, false, "", 0},
		"open":                              {around, open, true, "", 0},
		"shut":                              {around, shut, true, ReasonWindow, 7*24*3600 - 4*3600},
		"open, by a clock that nobody set":  {around, open, false, ReasonClockUnsure, 0},
		"shut, by a clock that nobody set":  {around, shut, false, ReasonClockUnsure, 0},
		"shut, and it is a fraction before": {around, testNow.Add(-2*time.Hour - time.Nanosecond), true, ReasonWindow, 1},
	} {
		w := windowGate("download", c.windows, nil, c.now, c.synchronised)
		var got Waiting
		if w != nil {
			got = *w
		}
		if got.Reason != c.want || got.Left != c.left {
			t.Errorf("%s: %+v, want %q with %d s left", name, got, c.want, c.left)
		}
	}
}

// The text says when a window opens, and does not change while time goes by.
func TestWindowGateSaysWhen(t *testing.T) {
	texts := map[string]bool{}
	for s := range 300 {
		now := testNow.Add(time.Duration(s) * 1111 * time.Millisecond)
		texts[windowGate("installation", windows(t, "Mon 01:00-02:00"), zone(t, "Europe/Berlin"), now, true).Text] = true
	}
	if want := "the next installation window opens at Mon 2026-11-02 01:00 CET"; len(texts) != 1 || !texts[want] {
		t.Errorf("%v, want %q", texts, want)
	}
}

// No text makes it panic, and what it takes opens within a week and a day, in any zone.
func FuzzParseWindow(f *testing.F) {
	for _, s := range []string{"Mon-Fri 01:00-05:00", "Sat,Sun 22:00-04:00", "00:00-24:00", "Fri-Mon 23:59-00:00", "-", ",", "Mon- :-:"} {
		f.Add(s, int64(1774746000))
	}
	berlin := zone(f, "Europe/Berlin")
	f.Fuzz(func(t *testing.T, text string, unix int64) {
		w, err := ParseWindow(text)
		if err != nil {
			return
		}
		if !slices.Contains(w.days[:], true) || w.from < 0 || w.from >= dayMinutes || w.to <= w.from || w.to > w.from+dayMinutes {
			t.Fatalf("%q gave %+v", text, w)
		}
		now := time.Unix(unix%(1<<33), 0)
		if wait, ok := openIn([]Window{w}, berlin, now); wait < 0 || wait > 15*24*time.Hour || !ok && w.to-w.from > 60 {
			t.Fatalf("%q at %s: %s, %t", text, now, wait, ok)
		}
	})
}
