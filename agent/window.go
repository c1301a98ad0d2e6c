package agent

import (
	"fmt"
	"strings"
	"time"
)

// A Window is a time of the week, by the clock on the wall: "Mon-Fri 01:00-05:00", "Sat,Sun 22:00-04:00", "03:00-04:30". One
// that ends at or before its beginning ends on the next day; the days are those on which it begins.
type Window struct {
	days     [7]bool // from Sunday
	from, to int     // minutes after midnight; to may be beyond 24:00
}

const (
	dayMinutes  = 24 * 60
	daySeconds  = dayMinutes * 60
	windowBytes = 64 // of a window's text
	// windowDays is how far ahead a window is looked for: each one that has a day begins within a week.
	windowDays = 8
)

var dayNames = [7]string{"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"}

// ParseWindow reads a window: days, if not all of them, and a time from-to. Days are Mon, Tue, … with commas between them or,
// for a range, a dash; times are HH:MM, the end also 24:00.
func ParseWindow(text string) (Window, error) {
	var w Window
	if len(text) > windowBytes {
		return w, fmt.Errorf("a window has at most %d bytes, got %d", windowBytes, len(text))
	}
	words := strings.Fields(text)
	switch len(words) {
	case 1:
		w.days = [7]bool{true, true, true, true, true, true, true}
	case 2:
		if err := w.parseDays(words[0]); err != nil {
			return Window{}, err
		}
		words = words[1:]
	default:
		return w, fmt.Errorf("want a window such as \"Mon-Fri 01:00-05:00\" or \"03:00-04:30\", got %q", text)
	}
	from, to, _ := strings.Cut(words[0], "-")
	var fromOK, toOK bool
	w.from, fromOK = parseMinute(from)
	w.to, toOK = parseMinute(to)
	if !fromOK || !toOK || w.from == dayMinutes || w.from == w.to {
		return Window{}, fmt.Errorf("want two different times such as 01:00-05:00 or 22:00-04:00, got %q", words[0])
	}
	if w.to < w.from {
		w.to += dayMinutes
	}
	return w, nil
}

func (w *Window) parseDays(text string) error {
	for part, rest, more := "", text, true; more; {
		part, rest, more = strings.Cut(rest, ",")
		first, last, ranged := strings.Cut(part, "-")
		if !ranged {
			last = first
		}
		from, to := dayOf(first), dayOf(last)
		if from < 0 || to < 0 {
			return fmt.Errorf("want days such as Mon-Fri or Sat,Sun, got %q", text)
		}
		for w.days[from] = true; from != to; w.days[from] = true {
			from = (from + 1) % 7
		}
	}
	return nil
}

func dayOf(name string) int {
	for i, n := range dayNames {
		if n == name {
			return i
		}
	}
	return -1
}

// parseMinute reads HH:MM, from 00:00 to 24:00.
func parseMinute(s string) (int, bool) {
	if len(s) != 5 || s[2] != ':' {
		return 0, false
	}
	var n [4]int
	for i, at := range [4]int{0, 1, 3, 4} {
		if s[at] < '0' || s[at] > '9' {
			return 0, false
		}
		n[i] = int(s[at] - '0')
	}
	hour, minute := n[0]*10+n[1], n[2]*10+n[3]
	return hour*60 + minute, minute < 60 && hour*60+minute <= dayMinutes
}

// A wall is what the clock on the wall shows, as seconds since a Thursday's midnight, 1970-01-01: time as if there were no
// zones.
type wall int64

// day is the day, and its weekday; second is the second of the day.
func (t wall) day() (midnight wall, weekday int) {
	second := ((int64(t) % daySeconds) + daySeconds) % daySeconds
	midnight = t - wall(second)
	return midnight, int(((int64(midnight)/daySeconds+4)%7 + 7) % 7)
}

// next is when the window is open, at t or next after it, and until when.
func (w Window) next(t wall) (from, to wall) {
	midnight, weekday := t.day()
	for i := -1; i < windowDays; i++ { // one that began yesterday may still be open
		day := midnight + wall(i*daySeconds)
		from, to = day+wall(w.from*60), day+wall(w.to*60)
		if w.days[(weekday+i+7)%7] && t < to {
			return max(from, t), to
		}
	}
	return t, t // no day at all: not from ParseWindow
}

// openIn says how long it is until one of the windows is open in a zone; 0: it is. The clock on the wall jumps where the zone
// changes its offset: each stretch of one offset is looked at by itself, so a time that is skipped never comes, and one
// that comes twice comes twice. ok is false where no window opens within windowDays.
func openIn(windows []Window, zone *time.Location, now time.Time) (wait time.Duration, ok bool) {
	t := now.In(zone)
	for t.Sub(now) < windowDays*24*time.Hour {
		_, end := t.ZoneBounds()
		_, offset := t.Zone()
		first := wall(t.Unix() + int64(offset))
		at, found := wall(0), false
		for _, w := range windows {
			if from, to := w.next(first); from < to && (!found || from < at) {
				at, found = from, true
			}
		}
		opens := t.Add(time.Duration(at-first) * time.Second)
		if found && (end.IsZero() || opens.Before(end)) {
			return max(0, opens.Truncate(time.Second).Sub(now)), true
		}
		if end.IsZero() {
			return 0, false
		}
		t = end
	}
	return 0, false
}

// windowGate closes outside of the windows, and where the clock can't tell: a window is a promise about the time, and one
// that is kept by a wrong clock is none. No windows: open.
func windowGate(what string, windows []Window, zone *time.Location, now time.Time, synchronised bool) *Waiting {
	if len(windows) == 0 {
		return nil
	}
	if zone == nil {
		zone = time.UTC
	}
	if !synchronised {
		return &Waiting{Reason: ReasonClockUnsure,
			Text: "the " + what + " windows need a clock that the kernel calls synchronised (by NTP, for example)"}
	}
	wait, ok := openIn(windows, zone, now)
	switch {
	case !ok:
		return &Waiting{Reason: ReasonWindow, Text: "no " + what + " window opens within a week"}
	case wait == 0:
		return nil
	}
	return &Waiting{Reason: ReasonWindow, Left: SecondsOf(wait),
		Text: "the next " + what + " window opens at " + now.Add(wait).In(zone).Format("Mon 2006-01-02 15:04 MST")}
}
