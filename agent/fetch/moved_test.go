package fetch

import (
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ota-agent/ota-agent/agent"
)

// TestEachStepIsTold: the engine abandons a worker that gets no further for a while. A large file on a slow
// link, and a mirror after another one that does not answer, get on.
func TestEachStepIsTold(t *testing.T) {
	const chunks = 5
	slow := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		for range chunks {
			_, _ = w.Write([]byte("{}"))
			w.(http.Flusher).Flush()
			time.Sleep(20 * time.Millisecond)
		}
	}))
	defer slow.Close()
	gone := httptest.NewServer(http.NotFoundHandler())
	gone.Close()
	for name, tt := range map[string]struct {
		mirrors []string
		least   int64
	}{
		"a slow one":               {[]string{slow.URL}, 1 + chunks},
		"a slow one behind a gone": {[]string{gone.URL, slow.URL}, 2 + chunks},
	} {
		r, err := New(Config{Metadata: tt.mirrors, Targets: tt.mirrors, Now: time.Now})
		if err != nil {
			t.Fatal(err)
		}
		var steps atomic.Int64
		ctx := agent.WithMoved(t.Context(), func() { steps.Add(1) })
		if b, err := r.Metadata(ctx, "timestamp.json", 100); err != nil || len(b) != 2*chunks {
			t.Errorf("%s: %d bytes, %v", name, len(b), err)
		}
		if n := steps.Load(); n < tt.least {
			t.Errorf("%s: %d steps were told of, expected %d", name, n, tt.least)
		}
		r.Close()
	}
}
