package fetch

import (
	"bytes"
	"fmt"
	"mime"
	"net/http"
	"strings"
	"time"

	"github.com/ota-agent/ota-agent/agent"
)

// checkStatus sorts every answer but 200, 206 and 416: absence, or a Problem.
func checkStatus(resp *http.Response, where string, now time.Time) error {
	code := resp.StatusCode
	switch code {
	case http.StatusOK, http.StatusPartialContent, http.StatusRequestedRangeNotSatisfiable:
		return nil
	case http.StatusNotFound, http.StatusForbidden, http.StatusGone:
		return fmt.Errorf("%s: status %d: %w", where, code, agent.ErrAbsent)
	case http.StatusNetworkAuthenticationRequired: // RFC 6585 section 6: what portals ought to say
		return captivePortal(where)
	case http.StatusRequestTimeout, http.StatusTooEarly, http.StatusTooManyRequests:
		return busy(resp, where, now)
	case http.StatusUnauthorized:
		return problem(agent.ReasonHTTP, where, "status 401: wants a user and password, or a client certificate")
	}
	switch {
	case code >= 500:
		return busy(resp, where, now)
	case code >= 400:
		return problem(agent.ReasonHTTP, where, "status %d; the answer will not change by asking again", code)
	}
	return problem(agent.ReasonBadAnswer, where, "status %d where 200 was expected", code)
}

func busy(resp *http.Response, where string, now time.Time) error {
	p := problem(agent.ReasonServerBusy, where, "status %d; tried again later", resp.StatusCode)
	p.RetryAfter = parseRetryAfter(resp.Header, now)
	return p
}

// checkEncoding refuses bodies that a range, a length or a byte cap would mean nothing on.
func checkEncoding(resp *http.Response, where string) error {
	for _, e := range resp.Header.Values("Content-Encoding") {
		if e != "" && !strings.EqualFold(strings.TrimSpace(e), "identity") {
			return problem(agent.ReasonBadAnswer, where, "body encoded as %q, although only the plain file was asked for; turn compression off for this path",
				clip(e, 40))
		}
	}
	return nil
}

func captivePortal(where string) *agent.Problem {
	return problem(agent.ReasonCaptivePortal, where, "a web page came instead of the file: a login page of this network?")
}

// isPage says whether the answer calls itself a web page.
func isPage(h http.Header) bool {
	kind, _, err := mime.ParseMediaType(h.Get("Content-Type"))
	return err == nil && (kind == "text/html" || kind == "application/xhtml+xml")
}

// looksLikePage judges the first bytes of what should be metadata, which begins with a brace. A server that
// merely mislabels its JSON is left alone.
func looksLikePage(h http.Header, b []byte) bool {
	b = bytes.TrimLeft(b, " \t\r\n\xef\xbb\xbf")
	if len(b) == 0 {
		return false
	}
	return b[0] == '<' || isPage(h) && b[0] != '{'
}
