package main

import (
	"bytes"
	"io"
	"net/http"
	"strings"
	"time"

	"golang.org/x/time/rate"
)

// A conduct is how a mirror treats its clients. The zero value is an honest, fast one. Every trick is played at the
// mirror alone: it holds no key, so all that it can do is hand out other bytes.
type conduct struct {
	// ImageRate paces files under /targets/, in bytes per second; 0 is as fast as it goes.
	ImageRate int64
	// HoldAt is how much of a file under /targets/ is handed out, in bytes; then nothing more comes until the conduct
	// changes, and the connection ends. 0: no such stop. So the story can act in the middle of a download, however slow or fast
	// the machine is.
	HoldAt int64
	// Tamper flips one bit (at flipAt) of each file whose path contains it; empty: of none.
	Tamper string
	// Replay answers these paths with old bytes.
	Replay map[string][]byte
	// Endless answers this path with bytes that do not end, without a Content-Length.
	Endless string
}

const (
	imagePrefix = "/targets/"
	// endlessBytesMax is where an endless file ends after all, should a client swallow it: 256 MiB.
	endlessBytesMax = 256 << 20
)

func (c conduct) limiter(path string) *rate.Limiter {
	if c.ImageRate == 0 || !strings.HasPrefix(path, imagePrefix) {
		return nil
	}
	return rate.NewLimiter(rate.Limit(c.ImageRate), writeChunk)
}

// hold is where a file stops; 0 where it doesn't.
func (c conduct) hold(path string) int64 {
	if !strings.HasPrefix(path, imagePrefix) {
		return 0
	}
	return c.HoldAt
}

// trick is what to answer path with in place of the file; nil for an honest answer.
func (c conduct) trick(path string) func(http.ResponseWriter, *http.Request, *mirror) {
	old, replayed := c.Replay[path]
	switch {
	case path == c.Endless:
		return serveEndless
	case replayed:
		return func(w http.ResponseWriter, r *http.Request, _ *mirror) {
			http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(old))
		}
	case c.Tamper != "" && strings.Contains(path, c.Tamper):
		return func(w http.ResponseWriter, r *http.Request, m *mirror) {
			m.serveFile(w, r, func(f io.ReadSeeker) io.ReadSeeker { return &bitFlip{ReadSeeker: f} })
		}
	}
	return nil
}

func serveEndless(w http.ResponseWriter, _ *http.Request, _ *mirror) {
	junk := bytes.Repeat([]byte("all work and no play "), writeChunk/20)
	for sent := 0; sent < endlessBytesMax; sent += len(junk) {
		if _, err := w.Write(junk); err != nil {
			return
		}
	}
}

// flipAt is the byte of a tampered file whose lowest bit is turned over.
const flipAt = 1 << 20

// bitFlip reads a file with one bit turned over, wherever reading begins.
type bitFlip struct {
	io.ReadSeeker
	at int64
}

func (b *bitFlip) Seek(offset int64, whence int) (int64, error) {
	at, err := b.ReadSeeker.Seek(offset, whence)
	b.at = at
	return at, err
}

func (b *bitFlip) Read(p []byte) (int, error) {
	n, err := b.ReadSeeker.Read(p)
	if i := flipAt - b.at; i >= 0 && i < int64(n) {
		p[i] ^= 1
	}
	b.at += int64(n)
	return n, err
}
