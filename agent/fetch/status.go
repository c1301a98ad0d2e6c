package fetch

import (
	"bytes"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"path"
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
		return captivePortal(where, code)
	case http.StatusRequestTimeout, http.StatusTooEarly, http.StatusTooManyRequests:
		return busy(resp, where, now)
	case http.StatusProxyAuthRequired:
		return wantsPassword(where)
	case http.StatusPaymentRequired:
		return problem(agent.ReasonPayment, where, "status 402: the network, or the server, wants to be paid first")
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

// captivePortal guesses: it is not for a host that has just served verified metadata in this network.
func captivePortal(where string, code int) *agent.Problem {
	return problem(agent.ReasonCaptivePortal, where, "a web page came instead of the file (status %d): a login page of this network?", code)
}

// wantsPassword tells of status 407, which is a proxy's word and never the repository's.
func wantsPassword(where string) *agent.Problem {
	return problem(agent.ReasonProxy, where, "status 407: the proxy wants a user and password; put them into proxy in [repository]")
}

// page tells of a web page where a file was asked for: of the network, or of the host itself where that has
// shown that it is reached.
func (a *answer) page() *agent.Problem {
	where := a.trip.where()
	if a.trip.wire.proof.holds(a.Request.URL.Host) {
		return problem(agent.ReasonBadAnswer, where, "a web page came instead of the file (status %d), from a host that serves verified metadata: it has another file there",
			a.StatusCode)
	}
	return captivePortal(where, a.StatusCode)
}

// refuses sorts an answer that is no file. A web page, whatever its status, may be the network's, unless its
// host has served verified metadata in this network: then it is asked again soon. The next root's absence is
// left alone: it is absent nearly always, many servers say so by a web page, and the timestamp after it
// settles what that was worth.
func (a *answer) refuses(body []byte) error {
	where, proxy := a.trip.where(), a.trip.through()
	err := checkStatus(a.Response, where, a.trip.wire.cfg.Now())
	p, _ := errors.AsType[*agent.Problem](err)
	switch {
	case err == nil || nextRoot(path.Base(a.trip.home.EscapedPath())) && errors.Is(err, agent.ErrAbsent):
		return err
	case a.StatusCode == http.StatusProxyAuthRequired && proxy != "":
		return wantsPassword("proxy " + proxy)
	case a.StatusCode == http.StatusProxyAuthRequired:
		return problem(agent.ReasonProxy, where, "status 407, which only a proxy sends; none is configured here, so one stands on the way")
	case wantsCertificate(a.StatusCode) && a.trip.blamesUs() != nil:
		ours := a.trip.blamesUs()
		ours.Text = scrub(fmt.Sprintf("%s (status %d)", ours.Text, a.StatusCode))
		return ours
	case a.trip.wire.proof.holds(a.Request.URL.Host):
		return err
	case isPage(a.Header) || a.Header.Get("Content-Type") == "" && beginsPage(body):
		portal := captivePortal(where, a.StatusCode)
		if p != nil {
			portal.RetryAfter = p.RetryAfter
		}
		return portal
	}
	return err
}

// isPage says whether the answer calls itself a web page.
func isPage(h http.Header) bool {
	kind, _, err := mime.ParseMediaType(h.Get("Content-Type"))
	return err == nil && (kind == "text/html" || kind == "application/xhtml+xml")
}

// beginsPage says whether bytes that nobody gave a type begin as a web page does. Object stores refuse in XML.
func beginsPage(b []byte) bool {
	head := strings.ToLower(string(b[:min(len(b), 64)]))
	head = strings.TrimLeft(head, " \t\r\n\xef\xbb\xbf")
	return strings.HasPrefix(head, "<!doctype html") || strings.HasPrefix(head, "<html")
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
