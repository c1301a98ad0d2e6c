package fetch

import (
	"io"
	"sync"
	"testing"
	"time"

	"github.com/ota-agent/ota-agent/agent"
)

// TestTwoImagesAtOnce: two downloads share the cap, and the link that they share may be the worst that is allowed.
func TestTwoImagesAtOnce(t *testing.T) {
	for name, tt := range map[string]struct {
		cap  int64
		rate int // of each
		want time.Duration
	}{
		"a cap is shared":                                    {10_000, 1_000_000, 200 * time.Second},
		"the lowest cap makes nobody look slow":              {1_000, 1_000_000, 2000 * time.Second},
		"two halves of a link that carries just enough: 300": {0, 300, 3400 * time.Second},
	} {
		run(t, 1_000_000, func(c *Config) { c.BandwidthMax = tt.cap }, []*runner{{rate: steady(tt.rate)}}, func(t *testing.T, s *scene, r *race) {
			begun := time.Now()
			var both sync.WaitGroup
			ends := make([]time.Duration, 2)
			for i := range ends {
				both.Go(func() {
					body, err := s.repo.Image(t.Context(), agent.ImageRequest{Name: hashed, Length: 1_000_000})
					if err != nil {
						t.Error(err)
						return
					}
					defer body.Close()
					if n, err := io.Copy(io.Discard, body); err != nil {
						t.Errorf("%s: %d bytes, %v", name, n, err)
					}
					ends[i] = time.Since(begun)
				})
			}
			both.Wait()
			for _, end := range ends {
				if end < tt.want*9/10 || end > tt.want*11/10 {
					t.Errorf("%s: arrived after %v, want about %v", name, ends, tt.want)
				}
			}
		})
	}
}
