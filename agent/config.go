package agent

import "time"

// Config is what the device maker decides. cmd/ota-agent fills it from TOML and validates it there by key and
// line; zero durations take the defaults named here.
type Config struct {
	Device     Device
	Components []Component
	// Anchor is the root.json shipped with the device.
	Anchor []byte
	// BuildTime is when the agent was built: the effective time is never below it. Zero: not known.
	BuildTime time.Time
	// NoRTC is rtc = "none": the system clock counts only while the kernel calls it synchronised.
	NoRTC bool
	// Poll is the time between two scheduled refreshes, 1 min to 30 d; default 6 h. Full jitter applies.
	Poll time.Duration
	// BackoffMin and BackoffMax bound the wait after a failure; default 30 s and 24 h.
	BackoffMin, BackoffMax time.Duration
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
	// Hook is the executable that knows the component's slots.
	Hook   string
	Reboot bool
	// TrialDeadline is the uptime a trial may take to prove itself, 10 s to 24 h; default 10 min.
	TrialDeadline time.Duration
	// TrialSettle is how long health must hold without a break before the release is confirmed; default 0:
	// one good check.
	TrialSettle time.Duration
	// HealthEvery is the pause between two health checks in a trial; default 5 s.
	HealthEvery time.Duration
}
