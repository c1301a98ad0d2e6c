package fetch

import (
	"errors"
	"fmt"
	"log/slog"
	"time"
)

// Config says where the repository is and how patient to be with it. Zero fields take the defaults named here.
type Config struct {
	// Metadata and Targets are base URLs (http, https or file), the preferred one first; 1 to 16 each. Their
	// percent-escapes and query strings are kept. User and password in them are sent to that host only.
	Metadata, Targets []string
	// Media are patterns of directories such as /run/media/*/*/ota, at most 4, in which * stands for any name, twice at
	// most. Where such a directory holds metadata/ and targets/, it is one more mirror while it is there: for images
	// before the configured ones, for metadata after them, since a stick may be older than the network.
	Media []string
	// Aide starts a process that runs ServeMedia, which looks at media and file:// directories in this one's
	// place: it may hang there, and then is left behind. Nil: that is done in this process.
	Aide func() (Aide, error)
	// CA is a PEM file with the only authorities to believe; empty: the system's.
	CA string
	// Cert and Key are PEM files for mutual TLS, both or neither. They are shown to the configured hosts
	// only. CA, Cert and Key are read again when they change.
	Cert, Key string
	// Proxy is a URL (http, https, socks5, socks5h), or "direct" for none, or empty: HTTPS_PROXY, HTTP_PROXY
	// and NO_PROXY decide.
	Proxy string
	// Now is the effective time, by which certificates are judged. Required.
	Now func() time.Time
	// NowIsFloor reports that nobody knows the time but that Now has passed: a certificate is not refused
	// then for beginning later. Nil: it is known.
	NowIsFloor func() bool

	// DialTimeout bounds name resolution and connecting, all addresses of a name together; 1 s to 2 min, default 30 s.
	DialTimeout time.Duration
	// TLSTimeout bounds the handshake; 1 s to 2 min, default 30 s.
	TLSTimeout time.Duration
	// HeaderTimeout bounds the wait for a whole answer header; 1 s to 5 min, default 30 s.
	HeaderTimeout time.Duration
	// IdleTimeout is how long a body may yield nothing; 1 s to 10 min, default 60 s: a link that is down for
	// 20 s costs no new connection.
	IdleTimeout time.Duration
	// RateMin is what the worst link must carry, in bytes per second: a body that stays below it for a whole
	// RateWindow is given up (slow retrieval). 1 to 1 GB/s, default 500 B/s.
	RateMin int64
	// RateWindow is 5 s to 1 h, default 2 min. Only waiting for the network counts.
	RateWindow time.Duration
	// BandwidthMax caps what metadata and images take together, in bytes per second; 0: no cap, else at least
	// 1,000. SetBandwidth changes it later.
	BandwidthMax int64

	// UserAgent is sent with each request; empty: "ota-agent".
	UserAgent string
	// Log hears of mirrors and addresses that failed while another one helped, and of key files that can't be read again.
	// Nil: nobody does.
	Log *slog.Logger
}

// Bounds that are not worth a knob.
const (
	mirrorsMax = 16
	// headerBytesMax bounds an answer's header: object stores and CDNs stay below 8 KiB.
	headerBytesMax = 64 << 10
	redirectsMax   = 5
	rateMinMax     = 1_000_000_000
	bandwidthFloor = 1_000
	// pemBytesMax bounds CA, Cert and Key files: a system's whole bundle has 250 KiB.
	pemBytesMax = 4 << 20
)

// complete returns c with its defaults, or names the field that is out of bounds.
func (c Config) complete() (Config, error) {
	for _, l := range []struct {
		name string
		urls []string
	}{{"metadata", c.Metadata}, {"targets", c.Targets}} {
		if n := len(l.urls); n < 1 || n > mirrorsMax {
			return c, fmt.Errorf("%s: %d URLs, want 1 to %d", l.name, n, mirrorsMax)
		}
	}
	for _, d := range []struct {
		name            string
		v               *time.Duration
		usual, min, max time.Duration
	}{
		{"dial time-out", &c.DialTimeout, 30 * time.Second, time.Second, 2 * time.Minute},
		{"TLS time-out", &c.TLSTimeout, 30 * time.Second, time.Second, 2 * time.Minute},
		{"header time-out", &c.HeaderTimeout, 30 * time.Second, time.Second, 5 * time.Minute},
		{"idle time-out", &c.IdleTimeout, 60 * time.Second, time.Second, 10 * time.Minute},
		{"rate window", &c.RateWindow, 2 * time.Minute, 5 * time.Second, time.Hour},
	} {
		if *d.v == 0 {
			*d.v = d.usual
		}
		if *d.v < d.min || *d.v > d.max {
			return c, fmt.Errorf("%s: %v, want %v to %v", d.name, *d.v, d.min, d.max)
		}
	}
	if c.RateMin == 0 {
		c.RateMin = 500
	}
	if c.RateMin < 1 || c.RateMin > rateMinMax {
		return c, fmt.Errorf("minimum rate: %d bytes/s, want 1 to %d", c.RateMin, int64(rateMinMax))
	}
	if err := checkBandwidth(c.BandwidthMax); err != nil {
		return c, err
	}
	if c.Now == nil {
		return c, errors.New("no clock given")
	}
	if (c.Cert == "") != (c.Key == "") {
		return c, errors.New("cert and key: give both or neither")
	}
	if c.UserAgent == "" {
		c.UserAgent = "ota-agent"
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return c, nil
}

func checkBandwidth(bytesPerSecond int64) error {
	if bytesPerSecond != 0 && bytesPerSecond < bandwidthFloor {
		return fmt.Errorf("bandwidth: %d bytes/s, want 0 (no cap) or at least %d", bytesPerSecond, bandwidthFloor)
	}
	return nil
}

// pace is what each body has to keep to, be it a server's or a medium's.
func (c *Config) pace() pace {
	return pace{idle: c.IdleTimeout, window: c.RateWindow, bytesMin: int64(float64(c.RateMin) * c.RateWindow.Seconds())}
}
