package fetch

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"net/url"

	"github.com/ota-agent/ota-agent/agent"
)

// visitsMax is how often a server is asked for one file: at the address that comes first, then at all others
// at once, and again where of those the one that answered first stalls in its body. So a server with one good
// address is reached within two time-outs, however many silent ones there are.
const visitsMax = 4

// visit asks for u and hands the answer to use, which closes it. After a failure of the link the host's other
// addresses are tried: one that accepts and stays silent, or loses large packets, must not hide the others.
func (s *server) visit(ctx context.Context, u *url.URL, header http.Header, use func(*answer) error) error {
	pins := []*pin{nil}
	var tried []netip.AddrPort
	var first error
	for range visitsMax {
		a, failed, err := s.race(ctx, u, header, pins)
		if err == nil {
			if err = use(a); err == nil {
				s.wire.book.prefer(a.trip)
				if len(tried) > 0 {
					s.wire.cfg.Log.Warn("addresses rest", slog.String("mirror", s.String()), slog.Any("addresses", tried), slog.Any("err", first))
				}
				return nil
			}
			failed = append(failed, a.trip)
		}
		s.tidy(err)
		if first == nil {
			first = err
		}
		if !linkFailed(err) || ctx.Err() != nil {
			return err
		}
		target := ""
		for _, t := range failed {
			at, address := t.sentTo()
			if target == "" {
				target = at
			}
			if address.IsValid() {
				tried = append(tried, address)
			}
		}
		if len(tried) == 0 {
			break // nobody took the connection, and all were asked
		}
		if pins = s.wire.others(ctx, target, tried); len(pins) == 0 {
			break
		}
	}
	if p, ok := first.(*agent.Problem); ok && len(tried) > 1 {
		p.Text = scrub(fmt.Sprintf("%s (%d addresses were tried)", p.Text, len(tried)))
	}
	return first
}

// race asks at several addresses at once and takes the answer that comes first. It returns the trips that
// failed, and the first one's error where no answer came.
func (s *server) race(ctx context.Context, u *url.URL, header http.Header, pins []*pin) (*answer, []*trip, error) {
	type outcome struct {
		answer *answer
		trip   *trip
		err    error
	}
	outcomes := make(chan outcome, len(pins))
	trips := make([]*trip, len(pins))
	for i, p := range pins {
		t := newTrip(ctx, s.wire, u, p)
		trips[i] = t
		go func() {
			a, err := s.get(t, u, header.Clone())
			outcomes <- outcome{a, t, err}
		}()
	}
	var failed []*trip
	var first error
	for ended := 1; ended <= len(pins); ended++ {
		o := <-outcomes
		if o.err != nil && linkFailed(o.err) {
			failed = append(failed, o.trip)
			if first == nil {
				first = o.err
			}
			continue
		}
		for _, t := range trips {
			if t != o.trip {
				t.end(errLate)
			}
		}
		for range len(pins) - ended {
			go func() {
				if late := <-outcomes; late.answer != nil {
					late.answer.close()
				}
			}()
		}
		return o.answer, failed, o.err
	}
	return nil, failed, first
}
