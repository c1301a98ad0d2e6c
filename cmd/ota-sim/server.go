package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// A mirror serves a directory as any static file server would, and counts. How honest it is can be changed while it
// runs (hostile.go); the device is never told.
type mirror struct {
	root   *os.Root
	server *http.Server
	url    string

	mu      sync.Mutex
	conduct conduct
	changed chan struct{} // closed and replaced when the conduct changes
	log     []request
}

// A request is one that the mirror answered, or is still answering.
type request struct {
	Path string
	// Range and IfRange are the headers as they came, or empty.
	Range, IfRange string
	Status         int
	// Bytes of the body handed to the connection so far.
	Bytes int64
}

// From is the first byte that a "bytes=N-" range asked for; 0 without one.
func (r request) From() int64 {
	first, _, _ := strings.Cut(strings.TrimPrefix(r.Range, "bytes="), "-")
	n, err := strconv.ParseInt(first, 10, 64)
	if err != nil {
		return 0
	}
	return n
}

// countImages is how many of the requests were for images.
func countImages(list []request) int {
	n := 0
	for _, q := range list {
		if strings.HasPrefix(q.Path, imagePrefix) {
			n++
		}
	}
	return n
}

func bodyBytes(list []request) int64 {
	var sum int64
	for _, q := range list {
		sum += q.Bytes
	}
	return sum
}

// writeChunk is the most that is counted and paced at once, in bytes.
const writeChunk = 32 << 10

// openMirror starts serving dir on a free port of the loopback interface.
func openMirror(dir string) (*mirror, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, errors.Join(err, root.Close())
	}
	m := &mirror{root: root, url: "http://" + l.Addr().String(), changed: make(chan struct{})}
	m.server = &http.Server{Handler: m, ReadHeaderTimeout: 5 * time.Second}
	go func() { _ = m.server.Serve(l) }()
	return m, nil
}

func (m *mirror) close() error { return errors.Join(m.server.Close(), m.root.Close()) }

// mark is a point in the request log; since lists what came after it.
func (m *mirror) mark() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.log)
}

func (m *mirror) since(mark int) []request {
	m.mu.Lock()
	defer m.mu.Unlock()
	return append([]request(nil), m.log[mark:]...)
}

func (m *mirror) behave(c conduct) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.conduct = c
	close(m.changed)
	m.changed = make(chan struct{})
}

// ServeHTTP answers one request and logs it from its beginning, so that one cut in the middle is in the log too.
func (m *mirror) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	m.mu.Lock()
	index, c, changed := len(m.log), m.conduct, m.changed
	m.log = append(m.log, request{
		Path: r.URL.Path, Range: r.Header.Get("Range"), IfRange: r.Header.Get("If-Range"), Status: http.StatusOK,
	})
	m.mu.Unlock()
	counted := &countedWriter{ResponseWriter: w, ctx: r.Context(), limit: c.limiter(r.URL.Path), hold: c.hold(r.URL.Path), released: changed,
		note: func(note func(*request)) {
			m.mu.Lock()
			defer m.mu.Unlock()
			note(&m.log[index])
		}}
	if trick := c.trick(r.URL.Path); trick != nil {
		trick(counted, r, m)
		return
	}
	m.serveFile(counted, r, nil)
}

// serveFile answers with a file's bytes, ranges included; twist, when not nil, changes what is read.
func (m *mirror) serveFile(w http.ResponseWriter, r *http.Request, twist func(io.ReadSeeker) io.ReadSeeker) {
	f, err := m.root.Open(strings.TrimPrefix(r.URL.Path, "/"))
	if err != nil {
		http.Error(w, "no such file", http.StatusNotFound)
		return
	}
	defer func() { _ = f.Close() }()
	info, err := f.Stat()
	if err != nil || !info.Mode().IsRegular() {
		http.Error(w, "no such file", http.StatusNotFound)
		return
	}
	// A strong validator that changes with the file, as static servers make it.
	tag := sha256.Sum256(fmt.Appendf(nil, "%s %d %d", r.URL.Path, info.Size(), info.ModTime().UnixNano()))
	w.Header().Set("ETag", `"`+hex.EncodeToString(tag[:8])+`"`)
	w.Header().Set("Content-Type", "application/octet-stream")
	var body io.ReadSeeker = f
	if twist != nil {
		body = twist(f)
	}
	http.ServeContent(w, r, "", time.Time{}, body)
}

// A countedWriter counts body bytes as they are handed to the connection, and paces them.
type countedWriter struct {
	http.ResponseWriter
	ctx   context.Context
	limit *rate.Limiter // nil: as fast as it goes
	note  func(func(*request))

	sent     int64
	hold     int64           // nothing goes out beyond this many bytes; 0: no such bound
	released <-chan struct{} // ends what was held
}

func (c *countedWriter) WriteHeader(status int) {
	c.note(func(r *request) { r.Status = status })
	c.ResponseWriter.WriteHeader(status)
}

func (c *countedWriter) Write(p []byte) (int, error) {
	done := 0
	for done < len(p) {
		chunk := p[done:min(done+writeChunk, len(p))]
		if c.hold > 0 && c.sent+int64(len(chunk)) > c.hold {
			select {
			case <-c.released:
			case <-c.ctx.Done():
			}
			panic(http.ErrAbortHandler) // the connection ends
		}
		c.sent += int64(len(chunk))
		if c.limit != nil {
			if err := c.limit.WaitN(c.ctx, len(chunk)); err != nil {
				return done, err
			}
		}
		// Counted first: whoever has received a byte finds it in the log.
		c.note(func(r *request) { r.Bytes += int64(len(chunk)) })
		n, err := c.ResponseWriter.Write(chunk)
		done += n
		c.note(func(r *request) { r.Bytes -= int64(len(chunk) - n) })
		if err != nil {
			return done, err
		}
	}
	return done, nil
}
