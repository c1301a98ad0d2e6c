package install

import (
	"log/slog"
	"sync"
	"time"

	"github.com/ota-agent/ota-agent/agent"
)

// Config is what the device maker decides about hooks.
type Config struct {
	// Components holds each component's settings by its name. One that is not there gets the zero value:
	// a record may outlive its component's place in the config.
	Components map[string]ComponentConfig
	// RunDir is a directory of this agent alone, best on a tmpfs. It is made with mode 0700 where it is missing.
	RunDir string
	// BootID tells boots apart: what marks the hooks' processes is drawn anew in each.
	BootID string
	// Environ is the agent's environment as "NAME=value". Only the proxy variables are handed on to hooks.
	Environ []string
	// Trusted refuses a program that somebody else could change. It is asked before each run: a check may be
	// new, and a mode may have changed since the start. Nil: whoever made the runner knows its programs.
	Trusted func(path string) error
	// Log takes one debug line per run; nil is silent.
	Log *slog.Logger
}

// ComponentConfig is one component's part.
type ComponentConfig struct {
	// Env is added to the hook's environment where the job brings none (agent.Job.Env). CheckEnv says which
	// names are not taken.
	Env map[string]string
	// HealthHTTP is a URL that must answer with a status of 200 to 299; empty: none.
	HealthHTTP string
	// ChecksDir holds executables that must all exit with 0; empty: none.
	ChecksDir string
	Timeouts  Timeouts
}

// Timeouts bound each verb's run. Zero takes the default. When the time is over the hook's process group gets
// SIGTERM, and after Grace SIGKILL.
type Timeouts struct {
	Status  time.Duration // default 30 s
	Install time.Duration // default 2 h: 4 GiB at 600 KB/s
	Verify  time.Duration // default 30 min
	Try     time.Duration // default 5 min, as a service may be restarted; so are the next two
	Confirm time.Duration
	Reject  time.Duration
	Health  time.Duration // the hook's health verb, the HTTP request and each check: default 1 min
	Gate    time.Duration // the gate hook: default 1 min
	Grace   time.Duration // default 10 s
}

// A Timeout is one of Timeouts, with its name in the config and its bounds.
type Timeout struct {
	Name              string
	Of                func(*Timeouts) *time.Duration
	Default, Min, Max time.Duration
}

// AllTimeouts lists them in the order of an update. The bounds: below Min a busy device can't start a shell
// script in time; above Max nobody waits for the hook any more. TimeoutStopSec of the service must be longer
// than Grace.
func AllTimeouts() []Timeout {
	return []Timeout{
		{"status", func(t *Timeouts) *time.Duration { return &t.Status }, 30 * time.Second, time.Second, 10 * time.Minute},
		{"install", func(t *Timeouts) *time.Duration { return &t.Install }, 2 * time.Hour, time.Second, 24 * time.Hour},
		{"verify", func(t *Timeouts) *time.Duration { return &t.Verify }, 30 * time.Minute, time.Second, 24 * time.Hour},
		{"try", func(t *Timeouts) *time.Duration { return &t.Try }, 5 * time.Minute, time.Second, time.Hour},
		{"confirm", func(t *Timeouts) *time.Duration { return &t.Confirm }, 5 * time.Minute, time.Second, time.Hour},
		{"reject", func(t *Timeouts) *time.Duration { return &t.Reject }, 5 * time.Minute, time.Second, time.Hour},
		{"health", func(t *Timeouts) *time.Duration { return &t.Health }, time.Minute, time.Second, time.Hour},
		{"gate", func(t *Timeouts) *time.Duration { return &t.Gate }, time.Minute, time.Second, time.Hour},
		{"grace", func(t *Timeouts) *time.Duration { return &t.Grace }, 10 * time.Second, time.Second, 5 * time.Minute},
	}
}

func (t Timeouts) withDefaults() Timeouts {
	for _, one := range AllTimeouts() {
		if d := one.Of(&t); *d <= 0 {
			*d = one.Default
		}
	}
	return t
}

// of is the time that a verb may take.
func (t Timeouts) of(verb agent.Verb) time.Duration {
	for _, one := range AllTimeouts() {
		if one.Name == string(verb) {
			return *one.Of(&t)
		}
	}
	return t.Status // no such verb gets here: do refuses it
}

// A Runner runs hooks. It implements agent.Installer. Runs of one component exclude each other; two components do
// not wait for one another. One RunDir has one Runner.
type Runner struct {
	components map[string]ComponentConfig
	runDir     string
	bootID     string
	base       []string
	trusted    func(path string) error
	log        *slog.Logger

	mu      sync.Mutex
	turns   map[string]chan struct{}
	running map[string]*run // by component
	cleared map[string]bool // by component: nothing is left of an earlier agent's hooks
	drawn   []byte          // the secret of the marks; nil: not needed yet
}

var _ agent.Installer = (*Runner)(nil)

// New makes a runner. It touches nothing yet.
func New(c Config) *Runner {
	log := c.Log
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &Runner{
		components: c.Components,
		runDir:     c.RunDir,
		bootID:     c.BootID,
		trusted:    c.Trusted,
		base:       baseEnviron(c.Environ),
		log:        log,
		turns:      make(map[string]chan struct{}),
		running:    make(map[string]*run),
		cleared:    make(map[string]bool),
	}
}

// component is a component's settings, with the defaults filled in.
func (r *Runner) component(name string) ComponentConfig {
	c := r.components[name]
	c.Timeouts = c.Timeouts.withDefaults()
	return c
}
