package fetch

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"time"

	"github.com/ota-agent/ota-agent/agent"
)

// A server is one mirror over HTTP or HTTPS.
type server struct {
	base     *url.URL
	wire     *wire
	throttle *throttle
}

func (s *server) String() string { return safeURL(s.base) }
func (s *server) local() bool    { return false }

// An answer is a response whose status and encoding were checked.
type answer struct {
	*http.Response
	trip   *trip
	stream *stream
}

func (a *answer) close() { a.stream.Close() }

// get makes a trip. The caller closes the answer.
func (s *server) get(t *trip, u *url.URL, header http.Header) (*answer, error) {
	c := &s.wire.cfg
	header.Set("User-Agent", c.UserAgent)
	header.Set("Accept-Encoding", "identity")
	resp, err := t.send(u, header)
	if err != nil {
		interrupted := t.interrupted() != nil
		t.end(context.Canceled)
		if interrupted {
			s.wire.CloseIdleConnections() // net/http would go on with the dial for nobody
		}
		return nil, err
	}
	a := &answer{Response: resp, trip: t, stream: newStream(t, resp.Body, s.throttle, c.pace())}
	if checkStatus(resp, t.where(), c.Now()) != nil {
		err = a.refuses(a.drain())
	} else if err = checkEncoding(resp, t.where()); err != nil {
		a.drain()
	}
	if err != nil {
		a.close()
		return nil, err
	}
	return a, nil
}

const (
	drainBytesMax = 4 << 10
	drainTimeout  = 5 * time.Second
)

// drain reads the short body of a refusal, so that the connection can be used again: the next root is absent
// nearly always, and the timestamp comes after it. It returns the body's beginning.
func (a *answer) drain() []byte {
	if a.ContentLength > drainBytesMax {
		return nil
	}
	a.stream.pace = pace{idle: drainTimeout, window: drainTimeout, bytesMin: drainBytesMax}
	b, _ := io.ReadAll(io.LimitReader(a.stream, drainBytesMax+1))
	return b
}

// tidy drops old connections after a failure of the link: the next attempt shall not inherit them.
func (s *server) tidy(err error) {
	if p, ok := errors.AsType[*agent.Problem](err); ok {
		switch p.Reason {
		case agent.ReasonUnreachable, agent.ReasonTLS, agent.ReasonTooSlow, agent.ReasonCut, agent.ReasonCaptivePortal:
			s.wire.CloseIdleConnections()
		}
	}
}

func (s *server) metadata(ctx context.Context, name string, bytesMax int64, hurry bool) ([]byte, error) {
	u, err := metadataURL(s.base, name)
	if err != nil {
		return nil, err
	}
	var b []byte
	err = s.visit(ctx, u, http.Header{}, func(a *answer) (err error) {
		defer a.close()
		if hurry {
			a.stream.pace.goal = bytesMax
			if a.ContentLength >= 0 {
				a.stream.pace.goal = a.ContentLength
			}
		}
		if b, err = a.readMetadata(bytesMax); err == nil {
			s.wire.proof.offers(a.trip.hosts()...)
		}
		return err
	})
	return b, err
}

// pageSniff is how much of a body is looked at to recognise a web page.
const pageSniff = 512

// readMetadata reads at most bytesMax+1 bytes, and none where the header says that there are more. It reads
// into one buffer, as long as the header or else the signed metadata says: a buffer that grows would take
// three times a long file's length on its way.
func (a *answer) readMetadata(bytesMax int64) ([]byte, error) {
	where := a.trip.where()
	if a.StatusCode != http.StatusOK {
		return nil, problem(agent.ReasonBadAnswer, where, "status %d where no range was asked for", a.StatusCode)
	}
	if a.ContentLength > bytesMax {
		if isPage(a.Header) {
			return nil, a.page()
		}
		return nil, problem(agent.ReasonTooLarge, where, "the file has %d bytes, at most %d are allowed", a.ContentLength, bytesMax)
	}
	var first [pageSniff]byte
	sniffed, err := io.ReadFull(a.stream, first[:min(pageSniff, bytesMax+1)])
	if err != nil && err != io.EOF && err != io.ErrUnexpectedEOF {
		return nil, err
	}
	if looksLikePage(a.Header, first[:sniffed]) {
		return nil, a.page()
	}
	room := bytesMax + 1
	if a.ContentLength >= 0 {
		room = a.ContentLength + 1
	}
	if err != nil { // all of it is there
		room = int64(sniffed)
	}
	b := make([]byte, max(room, int64(sniffed)))
	n := copy(b, first[:sniffed])
	if err == nil {
		more, err := io.ReadFull(a.stream, b[n:])
		if n += more; err != nil && err != io.EOF && err != io.ErrUnexpectedEOF {
			return nil, err
		}
	}
	if int64(n) > bytesMax {
		return nil, problem(agent.ReasonTooLarge, where, "the file has more than the %d bytes that are allowed", bytesMax)
	}
	return b[:n:n], nil
}

// crossed says whether a redirect led to another host.
func (a *answer) crossed(host string) bool { return a.Request.URL.Host != host }
