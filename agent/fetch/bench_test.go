package fetch

import (
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/ota-agent/ota-agent/agent"
)

// BenchmarkImage downloads over loopback: "plain" is net/http alone, the ratio of the two is what the bounds cost.
func BenchmarkImage(b *testing.B) {
	const size = 64 << 20
	chunk := make([]byte, 256<<10)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "67108864")
		for range size / len(chunk) {
			if _, err := w.Write(chunk); err != nil {
				return
			}
		}
	}))
	defer s.Close()
	buf := make([]byte, 128<<10)
	b.Run("plain", func(b *testing.B) {
		b.SetBytes(size)
		for b.Loop() {
			resp, err := http.Get(s.URL)
			if err != nil {
				b.Fatal(err)
			}
			drainInto(b, resp.Body, buf, size)
		}
		http.DefaultClient.CloseIdleConnections()
	})
	b.Run("fetch", func(b *testing.B) {
		r, err := New(Config{Metadata: []string{s.URL}, Targets: []string{s.URL}, Now: time.Now, Proxy: "direct"})
		if err != nil {
			b.Fatal(err)
		}
		defer r.Close()
		b.SetBytes(size)
		b.ReportAllocs()
		for b.Loop() {
			body, err := r.Image(b.Context(), agent.ImageRequest{Name: "app.img", Length: size})
			if err != nil {
				b.Fatal(err)
			}
			drainInto(b, body, buf, size)
		}
	})
}

func drainInto(b *testing.B, r io.ReadCloser, buf []byte, want int64) {
	b.Helper()
	defer r.Close()
	got := int64(0)
	for {
		n, err := r.Read(buf)
		got += int64(n)
		if err == io.EOF {
			break
		}
		if err != nil {
			b.Fatal(err)
		}
	}
	if got != want {
		b.Fatalf("%d bytes, want %d", got, want)
	}
}
