package main

import "testing"

func TestParseBandwidth(t *testing.T) {
	for text, want := range map[string]int64{
		"200k": 200_000, "1M": 1_000_000, "1500": 1_500, "1": 1, "unlimited": 0, "default": -1,
		"9223372036854775807": 1<<63 - 1, "9223372036854M": 9_223_372_036_854_000_000,
	} {
		got, err := parseBandwidth(text)
		switch {
		case err != nil:
			t.Errorf("%q: %v", text, err)
		case want < 0 && got != nil, want >= 0 && (got == nil || *got != want):
			t.Errorf("%q: got %v, want %d", text, got, want)
		}
	}
	for _, text := range []string{"", "0", "0k", "-1", "-200k", "k", "200K", "200m", "1.5M", "200 k", "200kM", "0x10", "1e6", "Unlimited",
		"9223372036854775808", "9223372036854776k", "10000000000000M"} {
		if got, err := parseBandwidth(text); err == nil {
			t.Errorf("%q is taken for %v", text, got)
		}
	}
}
