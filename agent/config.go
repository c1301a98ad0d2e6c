package agent

import (
	"time"

	"github.com/ota-agent/ota-agent/verifier"
)

// Config is what the device maker decides. cmd/ota-agent fills it from TOML and validates it there by key and
// line; zero durations take the defaults named here.
type Config struct {
	Device     Device
	Components []Component
	// Anchor is the root.json shipped with the device.
	Anchor []byte
	// Minimum are the floors shipped with it, made for this very anchor (verifier.Refresh.Demand); the zero value: none.
	Minimum verifier.Floors
	// LastFailure is why the process before this one ended, where it failed; nil: it did not, or nobody knows.
	LastFailure *Problem
	// BuildTime is when the agent was built: the effective time is never below it. Zero: not known.
	BuildTime time.Time
	// ProveWithoutState is state_lost = "go_on": a release that boots only for its trial, and finds an empty
	// state, may prove itself and be confirmed all the same.
	ProveWithoutState bool
	// NoRTC is rtc = "none": the system clock counts only while the kernel calls it synchronised.
	NoRTC bool
	// SpreadMax is the longest spread that a wake may ask for; default 24 h.
	SpreadMax time.Duration
	// Poll is the time between two scheduled refreshes, 1 min to 30 d; default 6 h. Full jitter applies.
	Poll time.Duration
	// BackoffMin and BackoffMax bound the wait after a failure; default 30 s and 24 h.
	BackoffMin, BackoffMax time.Duration
	// DayBytesMax is how many bytes images may bring over the network on a day in UTC; 0: no bound. Metadata
	// counts, and is never held back. It needs Ports.Counters.
	DayBytesMax int64
	// Gates may hold updates back.
	Gates Gates
	// FlushBytes is how much of a download a power cut can cost; default 4 MiB: small beside an image, large beside
	// what a flush costs.
	FlushBytes int64
	// BandwidthMax is the cap that the repository began with, in bytes per second; 0: none.
	BandwidthMax int64
	// Limits bound what a refresh may cost; zero fields take the verifier's defaults.
	Limits verifier.Limits
	// Version is the agent's own, for the status document.
	Version string
	// RepositoryURL is for the status document, without user, password and query.
	RepositoryURL string
}

// A Component is one thing that this device runs and keeps up to date.
type Component struct {
	Name string // 1–64 of A–Z a–z 0–9 . _ -
	// Target is the target path with {hardware}, {channel}, {device}, {group}, {component} to fill in.
	Target string
	// Hook is the executable that knows the component's slots, and Env what is added to its environment.
	Hook   string
	Env    map[string]string
	Reboot bool
	// TrialDeadline is the uptime a trial may take to prove itself, 10 s to 24 h; default 10 min.
	TrialDeadline time.Duration
	// TrialSettle is how long health must hold without a break before the release is confirmed; default 0:
	// one good check.
	TrialSettle time.Duration
	// UrgentSkipsWindows lets releases that are marked urgent through closed windows.
	UrgentSkipsWindows bool
	// HealthEvery is the pause between two health checks in a trial; default 5 s.
	HealthEvery time.Duration
}

// Defaults of the config.
const (
	defaultPoll          = 6 * time.Hour
	defaultBackoffMin    = 30 * time.Second
	defaultBackoffMax    = 24 * time.Hour
	defaultTrialDeadline = 10 * time.Minute
	defaultHealthEvery   = 5 * time.Second
	defaultFlushBytes    = 4 << 20
	// defaultSpreadMax: within a day a poll comes anyway, as a rule.
	defaultSpreadMax = 24 * time.Hour
)

// withDefaults fills in what is zero.
func (c Config) withDefaults() Config {
	c.Poll = orElse(c.Poll, defaultPoll)
	c.BackoffMin = orElse(c.BackoffMin, defaultBackoffMin)
	c.BackoffMax = orElse(c.BackoffMax, defaultBackoffMax)
	c.FlushBytes = orElse(c.FlushBytes, defaultFlushBytes)
	c.SpreadMax = orElse(c.SpreadMax, defaultSpreadMax)
	return c
}

func orElse[T ~int64](v, fallback T) T {
	if v > 0 {
		return v
	}
	return fallback
}

// trialDeadline and its like also answer for a component of which neither the config nor its record says
// anything (nil).
func (c *Component) trialDeadline() time.Duration {
	if c == nil {
		return defaultTrialDeadline
	}
	return orElse(c.TrialDeadline, defaultTrialDeadline)
}

func (c *Component) trialSettle() time.Duration {
	if c == nil {
		return 0
	}
	return c.TrialSettle
}

func (c *Component) healthEvery() time.Duration {
	if c == nil {
		return defaultHealthEvery
	}
	return orElse(c.HealthEvery, defaultHealthEvery)
}
