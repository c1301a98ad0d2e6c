package fetch

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/netip"
	"net/textproto"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/ota-agent/ota-agent/agent"
)

// Why we end a request ourselves.
var (
	errNoAnswer = errors.New("no answer header")
	errStalled  = errors.New("no bytes")
	errLate     = errors.New("another address answered first")
)

// A trip is one GET from its first dial to its last byte, redirects included. It ends by itself: until the
// header is there by head, then by the pace of its body.
type trip struct {
	wire   *wire
	home   *url.URL // of the mirror
	parent context.Context
	ctx    context.Context
	end    context.CancelCauseFunc

	// pin, unless nil, says which address to take; transports are then this trip's own.
	pin        *pin
	transports map[manner]*http.Transport

	head     *time.Timer
	patience time.Duration // until the header of one hop

	// informed counts answers such as 103 before the real one.
	informed int

	mu        sync.Mutex
	hops      []string // each URL asked, without secrets
	handshake error    // of TLS, if one failed
	// target and address are what the last hop was sent to; the address is not valid before there is a connection.
	target  string
	address netip.AddrPort
	got     bool // target's connection is there
	mute    bool // and no byte of an answer came over it
	// near is where the mirror itself was found; direct: without a proxy.
	near   nearness
	direct bool
	// proxy is the host that the last hop went through, or empty; asked are the hosts of all hops.
	proxy string
	asked []string
	// secure: the last hop is asked over TLS.
	secure bool
}

func newTrip(parent context.Context, w *wire, u *url.URL, p *pin) *trip {
	agent.Moved(parent) // a request has bounds of its own
	t := &trip{wire: w, home: u, parent: parent, pin: p, hops: []string{safeURL(u)}}
	t.patience = w.cfg.DialTimeout + w.cfg.TLSTimeout + w.cfg.HeaderTimeout
	ctx, end := context.WithCancelCause(context.WithValue(parent, tripKey{}, t))
	t.end = end
	if p != nil {
		t.transports = map[manner]*http.Transport{}
		context.AfterFunc(ctx, func() { t.wire.leave(t) })
	}
	t.ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GetConn:              t.seeks,
		GotConn:              t.finds,
		GotFirstResponseByte: t.hears,
		Got1xxResponse:       func(code int, _ textproto.MIMEHeader) error { return t.inform(code) },
		TLSHandshakeDone: func(_ tls.ConnectionState, err error) {
			t.mu.Lock()
			defer t.mu.Unlock()
			t.handshake = err
		},
	})
	return t
}

// informationalMax is how many answers may come before the real one; each may have headerBytesMax.
const informationalMax = 8

// inform judges an answer that another one has to follow: 100 and 103 mean nothing, and no other was asked for.
func (t *trip) inform(code int) error {
	if code != http.StatusContinue && code != http.StatusEarlyHints {
		return problem(agent.ReasonBadAnswer, t.where(), "status %d, which nobody asked for", code)
	}
	if t.informed++; t.informed > informationalMax {
		return problem(agent.ReasonBadAnswer, t.where(), "more than %d answers with status %d before the real one", informationalMax, code)
	}
	return nil
}

// send asks for u and waits for the answer's header. The caller ends the trip.
func (t *trip) send(u *url.URL, header http.Header) (*http.Response, error) {
	// net/http's own time-outs cover each step; this one also covers what has none, such as a SOCKS proxy.
	t.head = time.AfterFunc(t.patience, func() { t.end(errNoAnswer) })
	defer t.head.Stop()
	req := (&http.Request{Method: http.MethodGet, URL: u, Header: header, Host: u.Host,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1}).WithContext(t.ctx)
	client := http.Client{Transport: courier{t.wire, t}, CheckRedirect: t.redirect}
	resp, err := client.Do(req)
	if err != nil {
		return nil, t.explainHead(err)
	}
	return resp, nil
}

// redirect follows at most redirectsMax, and never to where the bytes could be read or changed on the way.
func (t *trip) redirect(req *http.Request, via []*http.Request) error {
	last := via[len(via)-1].URL
	t.mu.Lock()
	t.hops = append(t.hops, safeURL(req.URL))
	t.mu.Unlock()
	if len(via) > redirectsMax {
		return problem(agent.ReasonBadAnswer, t.where(), "more than %d redirects", redirectsMax)
	}
	if req.URL.Scheme != "https" && (last.Scheme == "https" || req.URL.Scheme != "http") {
		return problem(agent.ReasonBadAnswer, t.where(), "redirected from %s to %s, which is refused", last.Scheme, req.URL.Scheme)
	}
	// The Referer would hand a signed query string on to another host.
	req.Header.Del("Referer")
	t.head.Reset(t.patience)
	return nil
}

// where names each host on the way; of a long way the first and the last two.
func (t *trip) where() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	hops := t.hops
	if len(hops) > 3 {
		hops = append([]string{hops[0], "…"}, hops[len(hops)-2:]...)
	}
	return strings.Join(hops, " → ")
}

// interrupted is the caller's own cancellation, which is no Problem: nobody failed.
func (t *trip) interrupted() error {
	if err := t.parent.Err(); err != nil {
		return &interruption{where: t.where(), err: err}
	}
	return nil
}

// explainHead says why there was no answer.
func (t *trip) explainHead(err error) error {
	if interrupted := t.interrupted(); interrupted != nil {
		return interrupted
	}
	if p, ok := errors.AsType[*agent.Problem](err); ok {
		return t.located(t.portalBehind(p))
	}
	if errors.Is(context.Cause(t.ctx), errMoved) {
		return t.movedProblem()
	}
	if errors.Is(context.Cause(t.ctx), errLate) {
		return &interruption{where: t.where(), err: errLate}
	}
	if errors.Is(context.Cause(t.ctx), errNoAnswer) {
		return t.blame(problem(agent.ReasonUnreachable, t.where(), "no answer within %v", t.patience))
	}
	t.mu.Lock()
	handshake, mute := t.handshake, t.mute
	t.mu.Unlock()
	switch {
	case isTLS(err) || handshake != nil && !isNetwork(handshake):
		if op, ok := errors.AsType[*net.OpError](err); ok && op.Op == "remote error" {
			if p := t.blamesUs(); p != nil {
				return because(p, err)
			}
		}
		return t.blame(because(problem(agent.ReasonTLS, t.where(), "no trusted connection (check ca, cert and the clock)"), err))
	case isNetwork(err) || mute:
		return t.blame(because(problem(agent.ReasonUnreachable, t.where(), "not reached"), err))
	}
	return because(problem(agent.ReasonBadAnswer, t.where(), "the answer is not HTTP as agreed"), err)
}

// explainBody says why a body ended early.
func (t *trip) explainBody(err error, pace pace) error {
	if interrupted := t.interrupted(); interrupted != nil {
		return interrupted
	}
	if errors.Is(context.Cause(t.ctx), errMoved) {
		return t.movedProblem()
	}
	if errors.Is(context.Cause(t.ctx), errStalled) && pace.tooLong() {
		return tooLong(t.where(), pace)
	}
	if errors.Is(context.Cause(t.ctx), errStalled) {
		return t.blame(problem(agent.ReasonTooSlow, t.where(), "the body stalled: %v without a byte, or fewer than %d bytes in %v",
			pace.idle, pace.bytesMin, pace.window))
	}
	return t.blame(because(problem(agent.ReasonCut, t.where(), "the body ended early"), err))
}

// located puts the hosts in front of a Problem that was made further down, where they are not known.
func (t *trip) located(p *agent.Problem) error {
	where := t.where()
	if strings.HasPrefix(p.Text, where) {
		return p
	}
	return problem(p.Reason, where, "%s", p.Text)
}

func (t *trip) movedProblem() error {
	return problem(agent.ReasonUnreachable, t.where(), "%v while the request was under way; the next one goes out from the new one", errMoved)
}

// An interruption is the caller's context being done.
type interruption struct {
	where string
	err   error
}

func (i *interruption) Error() string { return i.where + ": " + i.err.Error() }
func (i *interruption) Unwrap() error { return i.err }

func isTLS(err error) bool {
	if errors.Is(err, http.ErrSchemeMismatch) {
		return true
	}
	// An alert, which a TLS 1.3 server may also send after the handshake. Its type is private to crypto/tls.
	if op, ok := errors.AsType[*net.OpError](err); ok && (op.Op == "remote error" || op.Op == "local error") {
		return true
	}
	if _, ok := errors.AsType[tls.RecordHeaderError](err); ok {
		return true
	}
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return true
	}
	if _, ok := errors.AsType[x509.UnknownAuthorityError](err); ok {
		return true
	}
	_, ok := errors.AsType[x509.HostnameError](err)
	return ok
}

// isNetwork says whether the cause lies below HTTP: resolving, connecting, a reset, a time-out, an early end.
func isNetwork(err error) bool {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, net.ErrClosed) {
		return true
	}
	// url.Error is a net.Error whatever it wraps.
	var u *url.Error
	for errors.As(err, &u) {
		err = u.Err
	}
	_, ok := errors.AsType[net.Error](err)
	return ok
}
