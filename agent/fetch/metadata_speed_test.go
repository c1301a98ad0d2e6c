package fetch

import (
	"testing"
	"time"
)

// TestMetadataDrip: a large metadata file is not waited for at a mirror that drips while another one may be
// faster. Where all are slow, the fastest brings it.
func TestMetadataDrip(t *testing.T) {
	const size, m = 3_000_000, time.Minute
	metadata := func(hosts ...string) func(*Config) {
		return func(c *Config) {
			c.Metadata, c.Targets = nil, nil
			for _, h := range hosts {
				c.Metadata = append(c.Metadata, "http://"+h+".example")
			}
			c.Targets = c.Metadata
		}
	}
	for _, tt := range []struct {
		name    string
		runners []*runner
		asked   string
		most    time.Duration
	}{
		{"an honest one beside it", []*runner{{rate: steady(700)}, {rate: steady(100_000)}}, "ab", 2 * m},
		{"it drips once it was fast for a minute", []*runner{{rate: func(d time.Duration) int {
			if d < m {
				return 20_000
			}
			return 700
		}}, {rate: steady(100_000)}}, "ab", 10 * m},
		{"alone", []*runner{{rate: steady(2000)}}, "a", 26 * m},
		{"all are slow: the fastest", []*runner{{rate: steady(700)}, {rate: steady(2000)}, {rate: steady(1500)}}, "abcb", 30 * m},
		{"all are slow, and the fastest is the first", []*runner{{rate: steady(2000)}, {rate: steady(700)}}, "aba", 30 * m},
		{"the other one is dead", []*runner{{rate: steady(2000)}, {dead: true}}, "aba", 30 * m},
		{"fast enough", []*runner{{rate: steady(7000)}, {rate: steady(100_000)}}, "a", 8 * m},
	} {
		hosts := []string{"a", "b", "c"}[:len(tt.runners)]
		run(t, size, metadata(hosts...), tt.runners, func(t *testing.T, s *scene, r *race) {
			begun := time.Now()
			ask := func() string {
				b, err := s.repo.Metadata(t.Context(), "2.targets.json", size)
				if err != nil || len(b) != size {
					t.Errorf("%s: %d bytes, %v", tt.name, len(b), err)
				}
				got := ""
				for _, h := range r.hosts() {
					got += h[:1]
				}
				return got
			}
			if got := ask(); got != tt.asked || time.Since(begun) > tt.most {
				t.Errorf("%s: asked %s in %v, want %s within %v", tt.name, got, time.Since(begun), tt.asked, tt.most)
			}
			// The next file does not pay for it again.
			if got := ask(); got != tt.asked[len(tt.asked)-1:] && !tt.runners[len(tt.runners)-1].dead {
				t.Errorf("%s: then asked %s, want only %s", tt.name, got, tt.asked[len(tt.asked)-1:])
			}
		})
	}
}

// TestMetadataDripIsNoFailure: a slow mirror does not rest, and after an hour it is measured anew.
func TestMetadataDripIsNoFailure(t *testing.T) {
	run(t, 3_000_000, func(c *Config) { c.Metadata = []string{"http://a.example", "http://b.example"} },
		[]*runner{{rate: steady(700)}, {rate: steady(100_000)}}, func(t *testing.T, s *scene, r *race) {
			for _, want := range []string{"ab", "b", "ab"} {
				if _, err := s.repo.Metadata(t.Context(), "2.targets.json", 3_000_000); err != nil {
					t.Error(err)
				}
				if got := r.hosts(); len(got) != len(want) || got[0][:1] != want[:1] {
					t.Errorf("asked %v, want %s", got, want)
				}
				if m := s.repo.metadata.list[0]; m.failures > 0 || !m.until.IsZero() {
					t.Errorf("%d failures, rests until %v", m.failures, m.until)
				}
				time.Sleep(measuredFor / 2)
			}
		})
}
