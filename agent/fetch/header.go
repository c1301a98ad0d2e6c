package fetch

import (
	"net/http"
	"strconv"
	"strings"
	"time"
)

// A contentRange is a parsed Content-Range header (RFC 9110 14.4), in bytes. First and last are -1 where the
// range was not satisfiable ("*/1234"); total is -1 where the server doesn't know it.
type contentRange struct{ first, last, total int64 }

// parseContentRange is strict: a sloppy one would put bytes into the wrong place.
func parseContentRange(s string) (contentRange, bool) {
	unit, rest, ok := strings.Cut(s, " ")
	if !ok || !strings.EqualFold(unit, "bytes") {
		return contentRange{}, false
	}
	span, whole, ok := strings.Cut(rest, "/")
	if !ok {
		return contentRange{}, false
	}
	r := contentRange{first: -1, last: -1, total: -1}
	if whole != "*" {
		if r.total, ok = parseSize(whole); !ok {
			return contentRange{}, false
		}
	}
	if span == "*" {
		return r, r.total >= 0
	}
	first, last, ok := strings.Cut(span, "-")
	if !ok {
		return contentRange{}, false
	}
	var okFirst, okLast bool
	r.first, okFirst = parseSize(first)
	r.last, okLast = parseSize(last)
	if !okFirst || !okLast || r.last < r.first || r.total >= 0 && r.last >= r.total {
		return contentRange{}, false
	}
	return r, true
}

// parseSize reads 1 to 18 decimal digits, which always fit an int64.
func parseSize(s string) (int64, bool) {
	if s == "" || len(s) > 18 {
		return 0, false
	}
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return 0, false
		}
	}
	n, err := strconv.ParseInt(s, 10, 64)
	return n, err == nil
}

// retryAfterMax caps what a server may ask for; the agent caps it again by its own back-off.
const retryAfterMax = 24 * time.Hour

// parseRetryAfter reads seconds or a date (RFC 9110 10.2.3); 0 where there is nothing to read or the time has
// passed. A date counts from the answer's own Date where it has one: this device's clock may be wrong.
func parseRetryAfter(h http.Header, now time.Time) time.Duration {
	s := strings.TrimSpace(h.Get("Retry-After"))
	if s == "" {
		return 0
	}
	if strings.Trim(s, "0123456789") == "" {
		seconds, ok := parseSize(s)
		if !ok || seconds > int64(retryAfterMax/time.Second) {
			return retryAfterMax
		}
		return time.Duration(seconds) * time.Second
	}
	at, err := http.ParseTime(s)
	if err != nil {
		return 0
	}
	if date, err := http.ParseTime(h.Get("Date")); err == nil {
		now = date
	}
	return min(max(at.Sub(now), 0), retryAfterMax)
}

// lastModifiedAge is how much older than the answer a file must be for its Last-Modified to be a strong
// validator.
const lastModifiedAge = 60 * time.Second

// validatorBytesMax bounds what is kept on the device between two attempts.
const validatorBytesMax = 256

// strongValidator is what may stand in If-Range (RFC 9110 13.1.5), or empty: a strong entity tag; where there
// is no entity tag at all, a Last-Modified that is at least a minute older than the answer. A younger one may
// hide two versions of the file within one second, or two clocks that differ (RFC 9110 8.8.2.2).
func strongValidator(h http.Header) string {
	if tag := h.Get("ETag"); tag != "" {
		if isValidator(tag) && tag[0] == '"' {
			return tag
		}
		return ""
	}
	modified := h.Get("Last-Modified")
	m, err := http.ParseTime(modified)
	if err != nil || !isValidator(modified) {
		return ""
	}
	d, err := http.ParseTime(h.Get("Date"))
	if err != nil || d.Sub(m) < lastModifiedAge {
		return ""
	}
	return modified
}

// isValidator checks what comes from a header or from the device's own disk before it goes into a request. Bytes beyond
// ASCII, which RFC 9110 allows in an entity tag and no server sends, are no validator: they may be no text.
func isValidator(s string) bool {
	if len(s) < 2 || len(s) > validatorBytesMax {
		return false
	}
	if s[0] != '"' {
		_, err := http.ParseTime(s)
		return err == nil
	}
	if s[len(s)-1] != '"' {
		return false
	}
	for i := 1; i < len(s)-1; i++ {
		if c := s[i]; c < 0x21 || c == '"' || c > 0x7e {
			return false
		}
	}
	return true
}
