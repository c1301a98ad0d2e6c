package fetch

import (
	"context"
	"fmt"
	"net/http"
	"strings"

	"github.com/ota-agent/ota-agent/agent"
)

// An ask is one way to ask for an image's bytes. Each answer that won't do leads to a plainer ask, so three
// requests are the most.
type ask struct {
	from    int64  // 0: the whole file, without a range
	ifRange string // the server shall answer with the whole file if it changed
}

// firstAsk is the most that can be asked of bytes that are there already (see the package comment).
func firstAsk(r agent.ImageRequest) ask {
	switch {
	case r.From == 0:
		return ask{}
	case isValidator(r.Validator):
		return ask{from: r.From, ifRange: r.Validator}
	case addressed(r.Name):
		return ask{from: r.From}
	}
	return ask{}
}

func (a ask) header() http.Header {
	h := http.Header{}
	if a.from > 0 {
		h.Set("Range", fmt.Sprintf("bytes=%d-", a.from))
	}
	if a.ifRange != "" {
		h.Set("If-Range", a.ifRange)
	}
	return h
}

func (s *server) image(ctx context.Context, r agent.ImageRequest) (*body, string, int64, error) {
	u, err := imageURL(s.base, r.Name)
	if err != nil {
		return nil, "", 0, err
	}
	for a := firstAsk(r); ; {
		var ans *answer
		var g grant
		err := s.visit(ctx, u, a.header(), func(got *answer) (err error) {
			if g, err = judge(got, u.Host, r, a); err != nil {
				got.close()
			}
			ans = got
			return err
		})
		if err != nil {
			return nil, "", 0, err
		}
		if g.again != nil {
			ans.close()
			a = *g.again
			continue
		}
		b := &body{src: ans.stream, where: ans.trip.where, gauge: &ans.stream.gauge, left: g.bytes, missing: r.Length - g.from - g.bytes,
			exact: ans.ContentLength == g.bytes}
		return b, g.validator(ans.Header, r, a), g.from, nil
	}
}

// A grant is what an answer gives, or the plainer ask to try next.
type grant struct {
	from, bytes int64
	again       *ask
}

// judge reads an answer's header against what was asked. It never lets bytes into the wrong place: whatever is
// not the range asked for is asked for again as a whole, or refused.
func judge(ans *answer, host string, r agent.ImageRequest, a ask) (grant, error) {
	where := ans.trip.where()
	whole := grant{again: &ask{}}
	switch ans.StatusCode {
	case http.StatusOK:
		if err := checkWhole(ans, host, r); err != nil {
			return grant{}, err
		}
		if a.ifRange != "" && addressed(r.Name) {
			// The validator no longer fits (another mirror, files uploaded anew), but the name holds the hash.
			return grant{again: &ask{from: a.from}}, nil
		}
		return grant{bytes: r.Length}, nil
	case http.StatusPartialContent:
		if a.from == 0 {
			return grant{}, problem(agent.ReasonBadAnswer, where, "status 206 where no range was asked for")
		}
		return judgeRange(ans, r, a)
	}
	// 416: our bytes and the server's file don't belong together.
	if a.from == 0 {
		return grant{}, problem(agent.ReasonBadAnswer, where, "status 416 where no range was asked for")
	}
	return whole, nil
}

// checkWhole refuses a whole file that can't be the image before its bytes are read.
func checkWhole(ans *answer, host string, r agent.ImageRequest) error {
	where := ans.trip.where()
	if ans.ContentLength == r.Length {
		return nil
	}
	if isPage(ans.Header) && (ans.crossed(host) || !strings.HasSuffix(strings.TrimSuffix(strings.ToLower(r.Name), "l"), ".htm")) {
		return ans.page()
	}
	if ans.ContentLength >= 0 {
		return otherLength(where, ans.ContentLength, r.Length)
	}
	return nil
}

// otherLength tells of a file that can't be the image.
func otherLength(where string, got, want int64) error {
	reason := agent.ReasonBadAnswer
	if got > want {
		reason = agent.ReasonTooLarge
	}
	return problem(reason, where, "the file has %d bytes, the metadata says %d; the server holds another file", got, want)
}

func judgeRange(ans *answer, r agent.ImageRequest, a ask) (grant, error) {
	where := ans.trip.where()
	whole := grant{again: &ask{}}
	// A multipart answer has no Content-Range of its own (RFC 9110 15.3.7.2).
	cr, ok := parseContentRange(ans.Header.Get("Content-Range"))
	if !ok || len(ans.Header.Values("Content-Range")) != 1 || cr.first != a.from {
		return whole, nil
	}
	if cr.total >= 0 && cr.total != r.Length {
		return grant{}, otherLength(where, cr.total, r.Length)
	}
	bytes := cr.last - cr.first + 1
	if cr.last >= r.Length || ans.ContentLength >= 0 && ans.ContentLength != bytes {
		return grant{}, problem(agent.ReasonBadAnswer, where, "range %d-%d with a body of %d bytes, for a file of %d",
			cr.first, cr.last, ans.ContentLength, r.Length)
	}
	if a.ifRange != "" && !addressed(r.Name) {
		if v := strongValidator(ans.Header); v != "" && v != a.ifRange {
			// A server that knows no If-Range answers with a part of another file.
			return whole, nil
		}
	}
	return grant{from: a.from, bytes: bytes}, nil
}

// validator is the one to keep with the bytes: the answer's own, or the one that If-Range has just proved.
func (g grant) validator(h http.Header, r agent.ImageRequest, a ask) string {
	if v := strongValidator(h); v != "" {
		return v
	}
	if g.from > 0 && a.ifRange != "" {
		return r.Validator
	}
	return ""
}
