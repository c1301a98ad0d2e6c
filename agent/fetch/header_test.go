package fetch

import (
	"net/http"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

func TestParseContentRange(t *testing.T) {
	for _, tt := range []struct {
		in   string
		want contentRange
		ok   bool
	}{
		{"bytes 0-0/1", contentRange{0, 0, 1}, true},
		{"bytes 4000-9999/10000", contentRange{4000, 9999, 10000}, true},
		{"BYTES 1-2/*", contentRange{1, 2, -1}, true},
		{"bytes */1234", contentRange{-1, -1, 1234}, true},
		{"bytes 0-999999999999999998/999999999999999999", contentRange{0, 999999999999999998, 999999999999999999}, true},
		{"", contentRange{}, false},
		{"bytes", contentRange{}, false},
		{"bytes */*", contentRange{}, false},
		{"bytes 0-1", contentRange{}, false},
		{"bytes=0-1/2", contentRange{}, false},
		{"bytes  0-1/2", contentRange{}, false},
		{"bytes 0-1/2 ", contentRange{}, false},
		{"bytes 0 - 1/2", contentRange{}, false},
		{"bytes 2-1/5", contentRange{}, false},
		{"bytes 0-5/5", contentRange{}, false},
		{"bytes -1-1/5", contentRange{}, false},
		{"bytes +0-1/5", contentRange{}, false},
		{"bytes 0x0-1/5", contentRange{}, false},
		{"bytes 0-1/5, 3-4/5", contentRange{}, false},
		{"bytes 0-9999999999999999999/99999999999999999999", contentRange{}, false},
		{"items 0-1/5", contentRange{}, false},
	} {
		got, ok := parseContentRange(tt.in)
		if ok != tt.ok || ok && got != tt.want {
			t.Errorf("%q: %+v, %v; want %+v, %v", tt.in, got, ok, tt.want, tt.ok)
		}
	}
}

func FuzzParseContentRange(f *testing.F) {
	for _, s := range []string{"bytes 0-0/1", "bytes */5", "bytes 1-2/*", "bytes 9-1/3", "bytes -/-"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		r, ok := parseContentRange(s)
		if !ok {
			return
		}
		unsatisfied := r.first == -1 && r.last == -1 && r.total >= 0
		satisfied := r.first >= 0 && r.last >= r.first && (r.total == -1 || r.total > r.last)
		if !unsatisfied && !satisfied {
			t.Errorf("%q: %+v makes no sense", s, r)
		}
	})
}

const (
	aDate  = "Wed, 02 Sep 2026 12:00:00 GMT"
	later1 = "Wed, 02 Sep 2026 12:01:00 GMT"
)

func TestParseRetryAfter(t *testing.T) {
	now := time.Date(2026, 9, 2, 11, 59, 30, 0, time.UTC)
	for _, tt := range []struct {
		name, retry, date string
		want              time.Duration
	}{
		{"none", "", aDate, 0},
		{"seconds", "120", "", 2 * time.Minute},
		{"spaces", "  7 ", "", 7 * time.Second},
		{"date by the server's clock", later1, aDate, time.Minute},
		{"date by ours", later1, "", 90 * time.Second},
		{"date with a broken Date", later1, "yesterday", 90 * time.Second},
		{"past", aDate, later1, 0},
		{"far", "Wed, 02 Sep 2099 12:00:00 GMT", aDate, retryAfterMax},
		// rauc-hawkbit-updater#208: an absurd wait looks like a hang.
		{"absurd", "999999999", "", retryAfterMax},
		{"absurder", strings.Repeat("9", 100), "", retryAfterMax},
		{"negative", "-5", "", 0},
		{"words", "soon", aDate, 0},
		{"fraction", "1.5", "", 0},
	} {
		h := http.Header{"Retry-After": {tt.retry}, "Date": {tt.date}}
		if got := parseRetryAfter(h, now); got != tt.want {
			t.Errorf("%s: %v, want %v", tt.name, got, tt.want)
		}
	}
}

func FuzzParseRetryAfter(f *testing.F) {
	f.Add("120", aDate)
	f.Add(later1, aDate)
	f.Add("-1", "")
	f.Add("Mon, 01 Jan 0000 00:00:00 GMT", "Fri, 31 Dec 9999 23:59:59 GMT")
	f.Fuzz(func(t *testing.T, retry, date string) {
		got := parseRetryAfter(http.Header{"Retry-After": {retry}, "Date": {date}}, time.Unix(0, 0))
		if got < 0 || got > retryAfterMax {
			t.Errorf("%q, date %q: %v", retry, date, got)
		}
	})
}

func TestStrongValidator(t *testing.T) {
	for _, tt := range []struct {
		name, tag, modified, date, want string
	}{
		{"strong tag", `"5f-1"`, aDate, aDate, `"5f-1"`},
		{"empty tag", `""`, "", "", `""`},
		{"weak tag, old file", `W/"5f-1"`, aDate, later1, ""},
		{"bare tag", `5f-1`, aDate, later1, ""},
		{"tag with a quote", `"a"b"`, "", "", ""},
		{"tag with a space", `"a b"`, "", "", ""},
		{"tag of 300 bytes", `"` + strings.Repeat("a", 300) + `"`, "", "", ""},
		{"tag of bytes that are no UTF-8", "\"\xff\xfe\"", "", "", ""},
		{"tag beyond ASCII", `"ä"`, "", "", ""},
		{"tag with a control byte", "\"a\x01b\"", "", "", ""},
		{"tag that is longer than what is kept", `"` + strings.Repeat("a", validatorBytesMax-1) + `"`, "", "", ""},
		{"tag as long as what is kept", `"` + strings.Repeat("a", validatorBytesMax-2) + `"`, "", "", `"` + strings.Repeat("a", validatorBytesMax-2) + `"`},
		{"a tag that can't be kept hides the date", "\"\xff\"", aDate, later1, ""},
		{"old file", "", aDate, later1, aDate},
		{"young file", "", aDate, "Wed, 02 Sep 2026 12:00:59 GMT", ""},
		{"file from the future", "", later1, aDate, ""},
		{"no Date", "", aDate, "", ""},
		{"no date at all", "", "yesterday", later1, ""},
		{"nothing", "", "", later1, ""},
	} {
		h := http.Header{}
		for k, v := range map[string]string{"Etag": tt.tag, "Last-Modified": tt.modified, "Date": tt.date} {
			if v != "" {
				h.Set(k, v)
			}
		}
		if got := strongValidator(h); got != tt.want {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
}

// FuzzValidator: what passes can stand in a header line.
func FuzzValidator(f *testing.F) {
	f.Add(`"a"`)
	f.Add("\"a\r\nX: y\"")
	f.Add(aDate)
	f.Fuzz(func(t *testing.T, s string) {
		if isValidator(s) && (strings.ContainsAny(s, "\r\n\x00") || len(s) > validatorBytesMax || !utf8.ValidString(s)) {
			t.Errorf("%q passes", s)
		}
	})
}
