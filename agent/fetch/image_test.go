package fetch

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ota-agent/ota-agent/agent"
	"github.com/ota-agent/ota-agent/agent/fetch/fetchtest"
)

const imageBytes = 10_000

// hashed is a name under which the content never changes.
var hashed = fetchtest.Addressed(fetchtest.Bytes(imageBytes), "app.img")

// respond writes an answer; size -1 leaves the length out.
func respond(c net.Conn, status, header string, size int, body []byte) {
	if size >= 0 {
		header += fmt.Sprintf("Content-Length: %d\r\n", size)
	}
	say(c, "HTTP/1.1 "+status+"\r\n"+header+"Connection: close\r\n\r\n")
	c.Write(body)
}

func ranged(from, last, total int) string {
	return fmt.Sprintf("Content-Range: bytes %d-%d/%d\r\n", from, last, total)
}

// wholeUnless answers a plain request with the image, and one with a Range by tell.
func wholeUnless(tell story) story {
	return func(c net.Conn, r *http.Request) {
		if r.Header.Get("Range") != "" {
			tell(c, r)
			return
		}
		respond(c, "200 OK", "ETag: \"v1\"\r\n", imageBytes, fetchtest.Bytes(imageBytes))
	}
}

// TestImageAnswers: each way in which a server may answer a request for the bytes from 4000 on. The contract's
// law holds in all: what is yielded are the image's bytes from body.From on, or there is a Problem.
func TestImageAnswers(t *testing.T) {
	img := fetchtest.Bytes(imageBytes)
	const from, longAgo = 4000, "Sun, 01 Mar 2026 10:00:00 GMT"
	costs := figures{what: "a server that answers for an image"}
	for _, tt := range []struct {
		name      string
		hashed    bool
		validator string
		tell      story
		from      int64 // expected
		asked     int64 // requests expected
		kept      string
		reason    agent.Reason // of opening or reading
	}{
		{name: "the range", validator: `"v1"`, tell: func(c net.Conn, r *http.Request) {
			if r.Header.Get("If-Range") != `"v1"` || r.Header.Get("Range") != "bytes=4000-" || r.Header.Get("Accept-Encoding") != "identity" {
				respond(c, "400 Bad Request", "", 0, nil)
				return
			}
			respond(c, "206 Partial Content", ranged(from, imageBytes-1, imageBytes)+"ETag: \"v1\"\r\n", imageBytes-from, img[from:])
		}, from: from, asked: 1, kept: `"v1"`},
		{name: "the range without the validator again", validator: `"v1"`, tell: func(c net.Conn, r *http.Request) {
			respond(c, "206 Partial Content", ranged(from, imageBytes-1, imageBytes), imageBytes-from, img[from:])
		}, from: from, asked: 1, kept: `"v1"`},
		{name: "no length, total unknown", validator: `"v1"`, tell: func(c net.Conn, r *http.Request) {
			respond(c, "206 Partial Content", fmt.Sprintf("Content-Range: bytes %d-%d/*\r\n", from, imageBytes-1), -1, img[from:])
		}, from: from, asked: 1, kept: `"v1"`},
		{name: "the range by a date", validator: longAgo, tell: func(c net.Conn, r *http.Request) {
			if r.Header.Get("If-Range") != longAgo || r.Header.Get("Range") != "bytes=4000-" {
				respond(c, "200 OK", "ETag: \"v1\"\r\n", imageBytes, img)
				return
			}
			respond(c, "206 Partial Content", ranged(from, imageBytes-1, imageBytes), imageBytes-from, img[from:])
		}, from: from, asked: 1, kept: longAgo},
		{name: "another file by its date: whole", validator: longAgo, tell: func(c net.Conn, r *http.Request) {
			if r.Header.Get("If-Range") != longAgo {
				respond(c, "206 Partial Content", ranged(from, imageBytes-1, imageBytes), imageBytes-from, img[from:])
				return
			}
			respond(c, "200 OK", "ETag: \"v1\"\r\n", imageBytes, img)
		}, asked: 1, kept: `"v1"`},
		{name: "no validator and a name that may change: whole", tell: wholeUnless(nil), asked: 1, kept: `"v1"`},
		{name: "a validator damaged on disk: whole", validator: "\"a\nb\"", tell: wholeUnless(nil), asked: 1, kept: `"v1"`},
		{name: "a weak validator proves nothing: whole", validator: `W/"v1"`, tell: wholeUnless(nil), asked: 1, kept: `"v1"`},
		{name: "no validator and a hashed name: the range", hashed: true, tell: func(c net.Conn, r *http.Request) {
			if r.Header.Get("If-Range") != "" {
				respond(c, "400 Bad Request", "", 0, nil)
				return
			}
			respond(c, "206 Partial Content", ranged(from, imageBytes-1, imageBytes), imageBytes-from, img[from:])
		}, from: from, asked: 1},
		// NervesHub's changelog: a resume at the wrong offset silently corrupts.
		{name: "206 that begins elsewhere: whole", validator: `"v1"`, tell: wholeUnless(func(c net.Conn, _ *http.Request) {
			respond(c, "206 Partial Content", ranged(from-1, imageBytes-1, imageBytes), imageBytes-from+1, img[from-1:])
		}), asked: 2, kept: `"v1"`},
		{name: "206 without Content-Range: whole", validator: `"v1"`, tell: wholeUnless(func(c net.Conn, _ *http.Request) {
			respond(c, "206 Partial Content", "", imageBytes-from, img[from:])
		}), asked: 2, kept: `"v1"`},
		{name: "206 with two Content-Ranges: whole", validator: `"v1"`, tell: wholeUnless(func(c net.Conn, _ *http.Request) {
			respond(c, "206 Partial Content", ranged(from, imageBytes-1, imageBytes)+ranged(0, 1, 2), imageBytes-from, img[from:])
		}), asked: 2, kept: `"v1"`},
		{name: "206 multipart: whole", validator: `"v1"`, tell: wholeUnless(func(c net.Conn, _ *http.Request) {
			respond(c, "206 Partial Content", "Content-Type: multipart/byteranges; boundary=x\r\n", 6, []byte("--x--\n"))
		}), asked: 2, kept: `"v1"`},
		{name: "206 of another file's length", validator: `"v1"`, tell: wholeUnless(func(c net.Conn, _ *http.Request) {
			respond(c, "206 Partial Content", ranged(from, imageBytes-2, imageBytes-1), imageBytes-from-1, img[from:imageBytes-1])
		}), asked: 1, reason: agent.ReasonBadAnswer},
		{name: "206 of a larger file", validator: `"v1"`, tell: wholeUnless(func(c net.Conn, _ *http.Request) {
			respond(c, "206 Partial Content", ranged(from, imageBytes, imageBytes+1), imageBytes-from+1, img[from:])
		}), asked: 1, reason: agent.ReasonTooLarge},
		{name: "206 beyond the image, total unknown", validator: `"v1"`, tell: wholeUnless(func(c net.Conn, _ *http.Request) {
			respond(c, "206 Partial Content", fmt.Sprintf("Content-Range: bytes %d-%d/*\r\n", from, imageBytes), imageBytes-from+1, img[from:])
		}), asked: 1, reason: agent.ReasonBadAnswer},
		{name: "206 whose body is shorter than its range", validator: `"v1"`, tell: wholeUnless(func(c net.Conn, _ *http.Request) {
			respond(c, "206 Partial Content", ranged(from, imageBytes-1, imageBytes), 5, img[from:from+5])
		}), asked: 1, reason: agent.ReasonBadAnswer},
		{name: "206 that gives a part of the rest", validator: `"v1"`, tell: wholeUnless(func(c net.Conn, _ *http.Request) {
			respond(c, "206 Partial Content", ranged(from, from+99, imageBytes), 100, img[from:from+100])
		}), from: from, asked: 1, kept: `"v1"`, reason: agent.ReasonCut},
		{name: "206 with more than it announces", validator: `"v1"`, tell: wholeUnless(func(c net.Conn, _ *http.Request) {
			respond(c, "206 Partial Content", ranged(from, imageBytes-1, imageBytes), -1, append(img[from:imageBytes:imageBytes], 'x'))
		}), from: from, asked: 1, kept: `"v1"`, reason: agent.ReasonTooLarge},
		{name: "206 of a changed file by a server that knows no If-Range: whole", validator: `"v1"`, tell: func(c net.Conn, r *http.Request) {
			if r.Header.Get("Range") != "" {
				respond(c, "206 Partial Content", ranged(from, imageBytes-1, imageBytes)+"ETag: \"v2\"\r\n", imageBytes-from, img[from:])
				return
			}
			respond(c, "200 OK", "ETag: \"v2\"\r\n", imageBytes, img)
		}, asked: 2, kept: `"v2"`},
		{name: "200 in the middle: whole", validator: `"v1"`, tell: func(c net.Conn, _ *http.Request) {
			respond(c, "200 OK", "ETag: \"v2\"\r\n", imageBytes, img)
		}, asked: 1, kept: `"v2"`},
		{name: "200 although the name holds the hash: the range once more, without If-Range", hashed: true, validator: `"v1"`, tell: func(c net.Conn, r *http.Request) {
			if r.Header.Get("If-Range") != "" {
				respond(c, "200 OK", "ETag: \"v2\"\r\n", imageBytes, nil)
				return
			}
			respond(c, "206 Partial Content", ranged(from, imageBytes-1, imageBytes)+"ETag: \"v2\"\r\n", imageBytes-from, img[from:])
		}, from: from, asked: 2, kept: `"v2"`},
		{name: "200 always, hashed name", hashed: true, validator: `"v1"`, tell: func(c net.Conn, _ *http.Request) {
			respond(c, "200 OK", "", imageBytes, img)
		}, asked: 2},
		{name: "416: whole", validator: `"v1"`, tell: wholeUnless(func(c net.Conn, _ *http.Request) {
			respond(c, "416 Range Not Satisfiable", fmt.Sprintf("Content-Range: bytes */%d\r\n", 5), 0, nil)
		}), asked: 2, kept: `"v1"`},
		{name: "416 to everything", validator: `"v1"`, tell: func(c net.Conn, _ *http.Request) {
			respond(c, "416 Range Not Satisfiable", "", 0, nil)
		}, asked: 2, reason: agent.ReasonBadAnswer},
		{name: "206 to everything", validator: `"v1"`, tell: func(c net.Conn, _ *http.Request) {
			respond(c, "206 Partial Content", ranged(0, imageBytes-1, imageBytes), imageBytes, img)
		}, asked: 2, reason: agent.ReasonBadAnswer},
		{name: "a whole file of another length", validator: `"v1"`, tell: func(c net.Conn, _ *http.Request) {
			respond(c, "200 OK", "", imageBytes-1, img[1:])
		}, asked: 1, reason: agent.ReasonBadAnswer},
		{name: "a whole file that is larger", validator: `"v1"`, tell: func(c net.Conn, _ *http.Request) {
			respond(c, "200 OK", "", 1<<30, nil)
			flood(c, "a")
		}, asked: 1, reason: agent.ReasonTooLarge},
		{name: "an endless file", validator: `"v1"`, tell: func(c net.Conn, _ *http.Request) {
			respond(c, "200 OK", "", -1, img)
			flood(c, "a")
		}, asked: 1, reason: agent.ReasonTooLarge},
		{name: "an early end", validator: `"v1"`, tell: func(c net.Conn, _ *http.Request) {
			respond(c, "200 OK", "", imageBytes, img[:5000])
		}, asked: 1, reason: agent.ReasonCut},
		{name: "an early end without a length", validator: `"v1"`, tell: func(c net.Conn, _ *http.Request) {
			respond(c, "200 OK", "", -1, img[:5000])
		}, asked: 1, reason: agent.ReasonCut},
		{name: "all is there, then nothing more happens", validator: `"v1"`, tell: func(c net.Conn, _ *http.Request) {
			respond(c, "200 OK", "", -1, img)
			io.Copy(io.Discard, c)
		}, asked: 1},
		{name: "compressed", validator: `"v1"`, tell: func(c net.Conn, _ *http.Request) {
			respond(c, "206 Partial Content", ranged(from, imageBytes-1, imageBytes)+"Content-Encoding: gzip\r\n", imageBytes-from, img[from:])
		}, asked: 1, reason: agent.ReasonBadAnswer},
		{name: "a login page", validator: `"v1"`, tell: func(c net.Conn, _ *http.Request) {
			respond(c, "200 OK", "Content-Type: text/html\r\n", 6, []byte("<html>"))
		}, asked: 1, reason: agent.ReasonCaptivePortal},
		// rauc-hawkbit-updater#158: a permanent error must not be asked again and again.
		{name: "refused for good", validator: `"v1"`, tell: func(c net.Conn, _ *http.Request) {
			respond(c, "400 Bad Request", "", 0, nil)
		}, asked: 1, reason: agent.ReasonHTTP},
		// rauc#1517: the stream dies in the middle without a word.
		{name: "a stall", validator: `"v1"`, tell: func(c net.Conn, _ *http.Request) {
			respond(c, "206 Partial Content", ranged(from, imageBytes-1, imageBytes), imageBytes-from, img[from:5000])
			io.Copy(io.Discard, c)
		}, from: from, asked: 1, kept: `"v1"`, reason: agent.ReasonTooSlow},
	} {
		t.Run(tt.name, func(t *testing.T) {
			play(t, tt.tell, func(t *testing.T, s *scene) {
				q := agent.ImageRequest{Name: "app.img", From: from, Length: imageBytes, Validator: tt.validator}
				if tt.hashed {
					q.Name = hashed
				}
				m := startMeter()
				body, err := s.repo.Image(t.Context(), q)
				var got []byte
				if err == nil {
					got, err = io.ReadAll(body)
					if passed := costs.note(t, m, s, err); passed > 2*time.Minute {
						t.Errorf("took %v", passed)
					}
					if body.From != tt.from || body.Validator != tt.kept {
						t.Errorf("from %d, validator %q; want %d, %q", body.From, body.Validator, tt.from, tt.kept)
					}
					if !bytes.HasPrefix(img[body.From:], got) {
						t.Errorf("wrong bytes: %d of them from %d", len(got), body.From)
					}
					if err == nil && int64(len(got)) != imageBytes-body.From {
						t.Errorf("%d bytes from %d as if they were all", len(got), body.From)
					}
					body.Close()
				} else {
					costs.note(t, m, s, err)
				}
				if reasonOf(err) != tt.reason || err != nil && tt.reason == "" {
					t.Errorf("%v, want reason %q", err, tt.reason)
				}
				synctest.Wait()
				if asked := s.asked.Load(); asked != tt.asked {
					t.Errorf("%d requests, want %d", asked, tt.asked)
				}
				if sent := s.sent.Load(); sent > tt.asked*(imageBytes+slack) {
					t.Errorf("%d bytes taken", sent)
				}
				checkText(t, err)
			})
		})
	}
	costs.log(t)
}

// TestWornLink is rauc#1517 again, as a story: the link dies every 1,500 bytes, and the image comes all the same
// with no byte fetched twice.
func TestWornLink(t *testing.T) {
	img := fetchtest.Bytes(imageBytes)
	tell := func(c net.Conn, r *http.Request) {
		from := 0
		fmt.Sscanf(r.Header.Get("Range"), "bytes=%d-", &from)
		end := min(from+1500, imageBytes)
		if from == 0 {
			respond(c, "200 OK", "ETag: \"v1\"\r\n", imageBytes, img[:end])
			return
		}
		respond(c, "206 Partial Content", "ETag: \"v1\"\r\n"+ranged(from, imageBytes-1, imageBytes), imageBytes-from, img[from:end])
	}
	play(t, tell, func(t *testing.T, s *scene) {
		q := agent.ImageRequest{Name: "app.img", Length: imageBytes}
		var got []byte
		for attempt := 1; ; attempt++ {
			body, err := s.repo.Image(t.Context(), q)
			if err != nil {
				t.Fatal(err)
			}
			if body.From != q.From {
				t.Fatalf("attempt %d begins at %d, want %d", attempt, body.From, q.From)
			}
			part, err := io.ReadAll(body)
			body.Close()
			got = append(got, part...)
			if err == nil {
				break
			}
			if reasonOf(err) != agent.ReasonCut || attempt > imageBytes/1500 {
				t.Fatalf("attempt %d: %v", attempt, err)
			}
			q.From, q.Validator = int64(len(got)), body.Validator
		}
		if !bytes.Equal(got, img) {
			t.Error("wrong bytes")
		}
		if n := s.repo.Counters().BodyBytes; n != imageBytes {
			t.Errorf("%d bytes fetched for %d", n, imageBytes)
		}
	})
}

// TestNothingMissing: an image that is all there needs no request.
func TestNothingMissing(t *testing.T) {
	play(t, func(net.Conn, *http.Request) {}, func(t *testing.T, s *scene) {
		body, err := s.repo.Image(t.Context(), agent.ImageRequest{Name: "app.img", From: 7, Length: 7, Validator: `"v1"`})
		if err != nil {
			t.Fatal(err)
		}
		if n, err := body.Read(make([]byte, 1)); n != 0 || err != io.EOF || body.From != 7 || body.Validator != `"v1"` {
			t.Errorf("%d bytes, %v, from %d, validator %q", n, err, body.From, body.Validator)
		}
		if s.repo.Counters().Requests != 0 {
			t.Error("asked for nothing")
		}
		for _, q := range []agent.ImageRequest{{Name: "x", From: -1, Length: 5}, {Name: "x", Length: -1}} {
			if _, err := s.repo.Image(t.Context(), q); reasonOf(err) != agent.ReasonMalformed {
				t.Errorf("%+v: %v", q, err)
			}
		}
	})
}

// TestSlowDiskIsNotSlowServer: what the caller takes for itself does not count against the server, nor does the
// bandwidth cap.
func TestSlowDiskIsNotSlowServer(t *testing.T) {
	img := fetchtest.Bytes(imageBytes)
	tell := func(c net.Conn, _ *http.Request) { respond(c, "200 OK", "", imageBytes, img) }
	play(t, tell, func(t *testing.T, s *scene) {
		body, err := s.repo.Image(t.Context(), agent.ImageRequest{Name: "app.img", Length: imageBytes})
		if err != nil {
			t.Fatal(err)
		}
		defer body.Close()
		for {
			_, err := io.ReadFull(body, make([]byte, 1000))
			if errors.Is(err, io.EOF) {
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Hour)
		}
	})
}

// TestWorstLink: just above the minimum rate, with pauses just below the idle time-out, a download goes on.
func TestWorstLink(t *testing.T) {
	img := fetchtest.Bytes(300_000)
	tell := func(c net.Conn, _ *http.Request) {
		respond(c, "200 OK", "", len(img), nil)
		for rest := img; len(rest) > 0; {
			n := min(30_000, len(rest))
			time.Sleep(59 * time.Second)
			if _, err := c.Write(rest[:n]); err != nil {
				return
			}
			rest = rest[n:]
		}
	}
	play(t, tell, func(t *testing.T, s *scene) {
		body, err := s.repo.Image(t.Context(), agent.ImageRequest{Name: "app.img", Length: int64(len(img))})
		if err != nil {
			t.Fatal(err)
		}
		defer body.Close()
		if got, err := io.ReadAll(body); err != nil || !bytes.Equal(got, img) {
			t.Errorf("%d bytes, %v", len(got), err)
		}
	})
}

// TestBandwidth: the cap is kept by metadata and images together, and a change counts for what is under way.
func TestBandwidth(t *testing.T) {
	img := fetchtest.Bytes(200_000)
	tell := func(c net.Conn, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/metadata") {
			respond(c, "200 OK", "", 50_000, bytes.Repeat([]byte(" "), 50_000))
			return
		}
		respond(c, "200 OK", "", len(img), img)
	}
	c := Config{Metadata: []string{"http://repo.example/metadata"}, Targets: []string{"http://repo.example/targets"}, BandwidthMax: 1000}
	playWith(t, c, tell, func(t *testing.T, s *scene) {
		begun := time.Now()
		if _, err := s.repo.Metadata(t.Context(), "targets.json", 50_000); err != nil {
			t.Fatal(err)
		}
		body, err := s.repo.Image(t.Context(), agent.ImageRequest{Name: "app.img", Length: int64(len(img))})
		if err != nil {
			t.Fatal(err)
		}
		defer body.Close()
		if _, err := io.ReadFull(body, make([]byte, 50_000)); err != nil {
			t.Fatal(err)
		}
		if got := time.Since(begun).Seconds(); got < 83 || got > 101 {
			t.Errorf("100,000 bytes at 1,000 bytes/s took %.1f s", got)
		}
		if err := s.repo.SetBandwidth(0); err != nil {
			t.Fatal(err)
		}
		begun = time.Now()
		if _, err := io.Copy(io.Discard, body); err != nil {
			t.Fatal(err)
		}
		if got := time.Since(begun).Seconds(); got > 1 {
			t.Errorf("150,000 bytes without a cap took %.1f s", got)
		}
		if err := s.repo.SetBandwidth(999); err == nil {
			t.Error("a cap below 1,000 bytes/s was taken")
		}
	})
}
