package fetch

import (
	"errors"
	"net/http"
	"net/url"
	"time"

	"github.com/ota-agent/ota-agent/agent"
)

// Losses are the key files that can't be used.
type losses struct{ ca, cert error }

func (l losses) any() bool { return l.ca != nil || l.cert != nil }

// CheckKeys says what is wrong with the key files that c names, as they are now. It touches no network.
func CheckKeys(c Config) error {
	_, lost := keyFiles{c.CA, c.Cert, c.Key}.config(c.Now)
	return errors.Join(lost.ca, lost.cert)
}

// Credentials says which of this device's own files can't be used or are out of their time; nil: none. What
// works without them goes on.
func (r *Repository) Credentials() *agent.Problem {
	w := r.wire
	w.mu.Lock()
	lost := w.lost
	w.mu.Unlock()
	if lost.any() {
		return because(problem(agent.ReasonCredentials, "", "the connection to the repository: put the file right, it is read again when it changes"),
			errors.Join(lost.ca, lost.cert))
	}
	if text := w.outOfTime(); text != "" {
		return problem(agent.ReasonCredentials, "", "%s; renew it", text)
	}
	return nil
}

// trusts refuses a connection with TLS while there is no CA to believe: the system's authorities don't count instead.
func (w *wire) trusts(u *url.URL) error {
	w.mu.Lock()
	lost := w.noCA
	w.mu.Unlock()
	if lost == nil || u == nil || u.Scheme != "https" {
		return nil
	}
	return because(problem(agent.ReasonCredentials, "", "no server can be believed without this device's own authorities; put the file right"), lost)
}

// outOfTime says of an own certificate that is out of its time that it is so.
func (w *wire) outOfTime() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.tls.Certificates) == 0 || w.tls.Certificates[0].Leaf == nil {
		return ""
	}
	leaf, now := w.tls.Certificates[0].Leaf, w.cfg.Now()
	own := "this device's own certificate " + w.files.cert
	switch {
	case now.After(leaf.NotAfter):
		return own + " has expired: it was valid until " + leaf.NotAfter.UTC().Format(time.RFC3339)
	case now.Before(leaf.NotBefore) && (w.cfg.NowIsFloor == nil || !w.cfg.NowIsFloor()):
		return own + " is not valid before " + leaf.NotBefore.UTC().Format(time.RFC3339)
	}
	return ""
}

// blamesUs says what is wrong with this device's own certificate where a server that is shown it refused; nil
// where nothing is. A server says no more than "bad certificate", or 400 with a web page.
func (t *trip) blamesUs() *agent.Problem {
	t.mu.Lock()
	host, secure := t.asked[len(t.asked)-1], t.secure
	t.mu.Unlock()
	w := t.wire
	if !secure || !w.hosts[host] {
		return nil
	}
	w.mu.Lock()
	lost := w.noCert
	w.mu.Unlock()
	if lost != nil {
		return because(problem(agent.ReasonCredentials, t.where(), "refused, and this device has no certificate to show; put the file right"), lost)
	}
	if text := w.outOfTime(); text != "" {
		return problem(agent.ReasonCredentials, t.where(), "refused: %s, and it is %s here; renew it", text, w.cfg.Now().UTC().Format(time.RFC3339))
	}
	return nil
}

// wantsCertificate says whether a status may mean that the client's certificate was refused: nginx says 400,
// and 495 or 496 to itself.
func wantsCertificate(code int) bool {
	switch code {
	case http.StatusBadRequest, http.StatusUnauthorized, http.StatusForbidden, 495, 496:
		return true
	}
	return false
}
