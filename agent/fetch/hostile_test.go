package fetch

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ota-agent/ota-agent/agent"
)

const head200 = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"

// metadataCap is the cap that the stories below run against; bytes.
const metadataCap = 16 << 10

// slack is what beyond the cap may have crossed the wire: buffers and headers.
const slack = 96 << 10

// metadataStories: for each, the reason, and bounds on the bytes that the client took and the time that passed.
var metadataStories = []struct {
	name    string
	tell    story
	reason  agent.Reason
	bytes   int64 // on the wire
	seconds float64
}{
	{"endless body without a length", func(c net.Conn, _ *http.Request) {
		say(c, head200+"\r\n")
		flood(c, "a")
	}, agent.ReasonTooLarge, metadataCap + slack, 0},
	{"endless chunked body", func(c net.Conn, _ *http.Request) {
		say(c, head200+"Transfer-Encoding: chunked\r\n\r\n")
		flood(c, "400\r\n"+strings.Repeat("a", 1024)+"\r\n")
	}, agent.ReasonTooLarge, metadataCap + slack, 0},
	{"endless body with a length is refused before it is read", func(c net.Conn, _ *http.Request) {
		say(c, head200+"Content-Length: 99999999999\r\n\r\n")
		flood(c, "a")
	}, agent.ReasonTooLarge, slack, 0},
	{"the length promises more than comes", func(c net.Conn, _ *http.Request) {
		say(c, head200+"Content-Length: 100\r\n\r\n{}")
	}, agent.ReasonCut, slack, 0},
	{"chunks end in the middle", func(c net.Conn, _ *http.Request) {
		say(c, head200+"Transfer-Encoding: chunked\r\n\r\n40\r\n{")
	}, agent.ReasonCut, slack, 0},
	{"two lengths", func(c net.Conn, _ *http.Request) {
		say(c, head200+"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{} ")
	}, agent.ReasonBadAnswer, slack, 0},
	{"negative length", func(c net.Conn, _ *http.Request) {
		say(c, head200+"Content-Length: -1\r\n\r\n{}")
	}, agent.ReasonBadAnswer, slack, 0},
	{"not HTTP", func(c net.Conn, _ *http.Request) {
		say(c, "220 mail.example ESMTP\r\n")
	}, agent.ReasonBadAnswer, slack, 0},
	{"closes without a word", func(net.Conn, *http.Request) {}, agent.ReasonUnreachable, slack, 0},
	{"header bomb", func(c net.Conn, _ *http.Request) {
		say(c, "HTTP/1.1 200 OK\r\n")
		flood(c, "X-Filler: "+strings.Repeat("a", 1000)+"\r\n")
	}, agent.ReasonBadAnswer, headerBytesMax + slack, 0},
	{"one endless header line", func(c net.Conn, _ *http.Request) {
		say(c, "HTTP/1.1 200 OK\r\nX-Filler: ")
		flood(c, "aaaaaaaa")
	}, agent.ReasonBadAnswer, headerBytesMax + slack, 0},
	{"informational answers without end", func(c net.Conn, _ *http.Request) {
		flood(c, "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n")
	}, agent.ReasonBadAnswer, headerBytesMax + slack, 0},
	{"compressed although plain was asked for (a bomb)", func(c net.Conn, _ *http.Request) {
		b := bomb()
		say(c, fmt.Sprintf(head200+"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n%s", len(b), b))
	}, agent.ReasonBadAnswer, slack, drainTimeout.Seconds()},
	{"compressed under another name", func(c net.Conn, _ *http.Request) {
		say(c, head200+"Content-Encoding: identity\r\nContent-Encoding: BR\r\nContent-Length: 2\r\n\r\n{}")
	}, agent.ReasonBadAnswer, slack, 0},
	{"a transfer coding that hides the length", func(c net.Conn, _ *http.Request) {
		say(c, head200+"Transfer-Encoding: gzip, chunked\r\n\r\n")
	}, agent.ReasonBadAnswer, slack, 0},
	{"a range nobody asked for", func(c net.Conn, _ *http.Request) {
		say(c, "HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 0-1/2\r\nContent-Length: 2\r\n\r\n{}")
	}, agent.ReasonBadAnswer, slack, 0},
	{"no content", func(c net.Conn, _ *http.Request) {
		say(c, "HTTP/1.1 204 No Content\r\n\r\n")
	}, agent.ReasonBadAnswer, slack, 0},
	{"redirect to nowhere", func(c net.Conn, _ *http.Request) {
		say(c, "HTTP/1.1 302 Found\r\nContent-Length: 0\r\n\r\n")
	}, agent.ReasonBadAnswer, slack, 0},
	{"redirect loop", func(c net.Conn, r *http.Request) {
		say(c, "HTTP/1.1 302 Found\r\nContent-Length: 0\r\nConnection: close\r\nLocation: "+r.URL.Path+"\r\n\r\n")
	}, agent.ReasonBadAnswer, slack, 0},
	{"redirect out of HTTP", func(c net.Conn, _ *http.Request) {
		say(c, "HTTP/1.1 302 Found\r\nContent-Length: 0\r\nLocation: file:///etc/passwd\r\n\r\n")
	}, agent.ReasonBadAnswer, slack, 0},
	{"never answers", func(c net.Conn, _ *http.Request) {
		io.Copy(io.Discard, c)
	}, agent.ReasonUnreachable, slack, 30},
	{"a header byte now and then (slow loris)", func(c net.Conn, _ *http.Request) {
		say(c, "HTTP/1.1 200 OK\r\nX-Filler: ")
		drip(c, "a", time.Second)
	}, agent.ReasonUnreachable, slack, 30},
	{"redirects that take their time", func(c net.Conn, r *http.Request) {
		time.Sleep(29 * time.Second)
		say(c, "HTTP/1.1 302 Found\r\nContent-Length: 0\r\nConnection: close\r\nLocation: /again\r\n\r\n")
	}, agent.ReasonBadAnswer, slack, 6 * 29},
	{"a redirect whose own body stalls", func(c net.Conn, r *http.Request) {
		say(c, "HTTP/1.1 302 Found\r\nContent-Length: 10\r\nLocation: /again\r\n\r\n")
		io.Copy(io.Discard, c)
	}, agent.ReasonUnreachable, slack, 90},
	{"stalls after the header", func(c net.Conn, _ *http.Request) {
		say(c, head200+"Content-Length: 1000\r\n\r\n{")
		io.Copy(io.Discard, c)
	}, agent.ReasonTooSlow, slack, 60},
	// rauc#1517: a stream that dies without a word must not hang.
	{"a body byte now and then (slow retrieval)", func(c net.Conn, _ *http.Request) {
		say(c, head200+"Content-Length: 16000\r\n\r\n{")
		drip(c, "a", time.Second)
	}, agent.ReasonTooSlow, slack, 121},
	{"a body byte now and then, rarely", func(c net.Conn, _ *http.Request) {
		say(c, head200+"Content-Length: 16000\r\n\r\n{")
		drip(c, "a", 59*time.Second)
	}, agent.ReasonTooSlow, slack, 120},
	{"a trailer without end", func(c net.Conn, _ *http.Request) {
		say(c, head200+"Transfer-Encoding: chunked\r\nTrailer: X\r\n\r\n2\r\n{}\r\n0\r\n")
		flood(c, "X: aaaaaaaaaaaaaaaaaaaa\r\n")
	}, agent.ReasonCut, slack, 0},
	{"a trailer that drips", func(c net.Conn, _ *http.Request) {
		say(c, head200+"Transfer-Encoding: chunked\r\nTrailer: X\r\n\r\n2\r\n{}\r\n0\r\nX: ")
		drip(c, "a", time.Second)
	}, agent.ReasonTooSlow, slack, 121},
	{"a chunk's extension without end", func(c net.Conn, _ *http.Request) {
		say(c, head200+"Transfer-Encoding: chunked\r\n\r\n2;x=")
		flood(c, "a")
	}, agent.ReasonCut, slack, 0},
	{"a redirect with an endless page", func(c net.Conn, _ *http.Request) {
		say(c, "HTTP/1.1 302 Found\r\nLocation: /again\r\n\r\n")
		flood(c, "a")
	}, agent.ReasonBadAnswer, 6 * slack, 0},
	{"busy", func(c net.Conn, _ *http.Request) {
		say(c, "HTTP/1.1 503 Service Unavailable\r\nRetry-After: 120\r\nContent-Length: 0\r\n\r\n")
	}, agent.ReasonServerBusy, slack, 0},
	{"a refusal with an endless page", func(c net.Conn, _ *http.Request) {
		say(c, "HTTP/1.1 400 Bad Request\r\n\r\n")
		flood(c, "a")
	}, agent.ReasonHTTP, slack, 0},
	{"a refusal with a page that never ends", func(c net.Conn, _ *http.Request) {
		say(c, "HTTP/1.1 400 Bad Request\r\n\r\n")
		drip(c, "a", time.Second)
	}, agent.ReasonHTTP, slack, 2 * drainTimeout.Seconds()},
	// aqtinstall#518: a login page parsed as metadata.
	{"a login page", func(c net.Conn, _ *http.Request) {
		say(c, "HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\n\r\n<!DOCTYPE html><title>Welcome to the train</title>")
	}, agent.ReasonCaptivePortal, slack, 0},
	{"a login page that names no type", func(c net.Conn, _ *http.Request) {
		say(c, "HTTP/1.1 200 OK\r\n\r\n\xef\xbb\xbf\n <html>")
	}, agent.ReasonCaptivePortal, slack, 0},
	{"a login page larger than the cap", func(c net.Conn, _ *http.Request) {
		say(c, "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 999999\r\n\r\n")
		flood(c, "<p>")
	}, agent.ReasonCaptivePortal, slack, 0},
	{"a portal that says so", func(c net.Conn, _ *http.Request) {
		say(c, "HTTP/1.1 511 Network Authentication Required\r\nContent-Length: 0\r\n\r\n")
	}, agent.ReasonCaptivePortal, slack, 0},
	{"a redirect to a login page", func(c net.Conn, r *http.Request) {
		if r.Host == "repo.example" {
			say(c, "HTTP/1.1 302 Found\r\nContent-Length: 0\r\nLocation: http://portal.example/login?session=secret\r\n\r\n")
			return
		}
		say(c, "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\nPlease log in")
	}, agent.ReasonCaptivePortal, slack, 0},
}

// TestHostileMetadata: whatever a server does, the cost is bounded, the reason is right, and nothing secret shows.
func TestHostileMetadata(t *testing.T) {
	costs := figures{what: "a server that answers for metadata"}
	bomb() // what it costs to make is not the story's
	for _, tt := range metadataStories {
		t.Run(tt.name, func(t *testing.T) {
			play(t, tt.tell, func(t *testing.T, s *scene) {
				m := startMeter()
				b, err := s.repo.Metadata(t.Context(), "timestamp.json", metadataCap)
				seconds := costs.note(t, m, s, err).Seconds()
				if got := reasonOf(err); got != tt.reason {
					t.Errorf("%d bytes, %v; want reason %s", len(b), err, tt.reason)
				}
				synctest.Wait()
				if sent := s.sent.Load(); sent > tt.bytes || seconds > tt.seconds {
					t.Errorf("%d bytes taken in %.0f s, want at most %d in %.0f s", sent, seconds, tt.bytes, tt.seconds)
				}
				if got := s.repo.Counters().BodyBytes; got > metadataCap+pageSniff {
					t.Errorf("%d bytes of body counted, want at most the cap and one buffer", got)
				}
				checkText(t, err)
				t.Log(err)
			})
		})
	}
	costs.log(t)
}

// TestTooLargeIsNotRead: the header alone refuses it.
func TestTooLargeIsNotRead(t *testing.T) {
	tell := func(c net.Conn, _ *http.Request) {
		say(c, fmt.Sprintf(head200+"Content-Length: %d\r\n\r\n", metadataCap+1))
		flood(c, " ")
	}
	play(t, tell, func(t *testing.T, s *scene) {
		_, err := s.repo.Metadata(t.Context(), "timestamp.json", metadataCap)
		if got := s.repo.Counters().BodyBytes; got != 0 || reasonOf(err) != agent.ReasonTooLarge {
			t.Errorf("%d bytes read, %v", got, err)
		}
	})
}

// checkText: one line, bounded, with the host, without a secret.
func checkText(t *testing.T, err error) {
	t.Helper()
	if err == nil {
		return
	}
	text := err.Error()
	if !strings.Contains(text, "repo.example") || strings.ContainsAny(text, "\r\n") || len(text) > textBytesMax+8 {
		t.Errorf("text %q: want one line of at most %d bytes that names the host", text, textBytesMax)
	}
	for ; err != nil; err = errors.Unwrap(err) {
		if strings.Contains(err.Error(), "secret") {
			t.Errorf("a secret in %q", err)
		}
	}
}

// bomb is 10 MiB of nothing, compressed.
var bomb = sync.OnceValue(func() []byte {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	z.Write(make([]byte, 10<<20))
	z.Close()
	return b.Bytes()
})

func flood(c net.Conn, text string) {
	chunk := []byte(strings.Repeat(text, 1+(4<<10)/len(text)))
	for range 100_000 {
		if _, err := c.Write(chunk); err != nil {
			return
		}
	}
}

func drip(c net.Conn, text string, every time.Duration) {
	for range 100_000 {
		if _, err := io.WriteString(c, text); err != nil {
			return
		}
		time.Sleep(every)
	}
}

// TestAbsence: only these are absence.
func TestAbsence(t *testing.T) {
	for code := 200; code < 600; code++ {
		if code == 200 || code == 206 || 300 <= code && code < 400 {
			continue
		}
		err := checkStatus(&http.Response{StatusCode: code, Header: http.Header{}}, "repo.example", time.Now())
		absent := code == 404 || code == 403 || code == 410
		if errors.Is(err, agent.ErrAbsent) != absent {
			t.Errorf("status %d: %v, want absence %v", code, err, absent)
		}
		if code == 416 {
			continue
		}
		if !absent && reasonOf(err) == "" {
			t.Errorf("status %d: %v is no Problem", code, err)
		}
		busy := code == 408 || code == 425 || code == 429 || code >= 500 && code != 511
		if (reasonOf(err) == agent.ReasonServerBusy) != busy {
			t.Errorf("status %d: %v, want busy %v", code, err, busy)
		}
	}
}

// TestAbsentKeepsTheConnection: the next root is absent nearly always; the timestamp shall not need a new
// handshake.
func TestAbsentKeepsTheConnection(t *testing.T) {
	tell := func(c net.Conn, r *http.Request) {
		say(c, "HTTP/1.1 404 Not Found\r\nContent-Length: 9\r\n\r\nnot here\n")
		c.Read(make([]byte, 4096)) // the second request
		say(c, head200+"Content-Length: 2\r\n\r\n{}")
	}
	play(t, tell, func(t *testing.T, s *scene) {
		if _, err := s.repo.Metadata(t.Context(), "2.root.json", metadataCap); !errors.Is(err, agent.ErrAbsent) {
			t.Error(err)
		}
		if b, err := s.repo.Metadata(t.Context(), "timestamp.json", metadataCap); err != nil || string(b) != "{}" {
			t.Errorf("%q, %v", b, err)
		}
		if got := s.dials.Load(); got != 1 {
			t.Errorf("%d connections, want 1", got)
		}
		if got := s.repo.Counters(); got.Requests != 2 || got.BodyBytes != 11 {
			t.Errorf("%+v, want 2 requests and 11 bytes", got)
		}
	})
}
