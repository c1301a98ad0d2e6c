package fetch

import (
	"bytes"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strconv"
	"testing"
	"time"
)

// A long metadata file is in memory once, whether the server says its length or not: its length is what
// signed metadata states.
func TestMetadataIsHeldOnce(t *testing.T) {
	const length, slack = 8 << 20, 1 << 20
	file := bytes.Repeat([]byte("0123456789abcdef"), length/16)
	for _, said := range []bool{true, false} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			if said {
				w.Header().Set("Content-Length", strconv.Itoa(length))
			}
			for rest := file; len(rest) > 0; rest = rest[min(len(rest), 32<<10):] {
				_, _ = w.Write(rest[:min(len(rest), 32<<10)])
				w.(http.Flusher).Flush()
			}
		}))
		r, err := New(Config{Metadata: []string{server.URL}, Targets: []string{server.URL}, Now: time.Now, Log: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		got, err := r.Metadata(t.Context(), "1.targets.json", length)
		runtime.ReadMemStats(&after)
		if err != nil || !bytes.Equal(got, file) {
			t.Errorf("length said %v: %d bytes, %v", said, len(got), err)
		}
		if n := int64(after.TotalAlloc - before.TotalAlloc); n > length+slack {
			t.Errorf("length said %v: %d bytes allocated for a file of %d", said, n, length)
		}
		_ = r.Close()
		server.Close()
	}
}
