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
	// Environ is the agent's environment as "NAME=value". Only the proxy variables are handed on to hooks.
	Environ []string
	// Log takes one debug line per run; nil is silent.
	Log *slog.Logger
}

// ComponentConfig is one component's part.
type ComponentConfig struct {
	// Env is added to the hook's environment. CheckEnv says which names are not taken.
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
	Switch  time.Duration // try, confirm and reject: default 5 min, as a service may be restarted
	Health  time.Duration // the hook's health verb, the HTTP request, each check, and the gate hook: default 1 min
	Grace   time.Duration // default 10 s
}

func (t Timeouts) withDefaults() Timeouts {
	for _, d := range []struct {
		at    *time.Duration
		value time.Duration
	}{
		{&t.Status, 30 * time.Second},
		{&t.Install, 2 * time.Hour},
		{&t.Verify, 30 * time.Minute},
		{&t.Switch, 5 * time.Minute},
		{&t.Health, time.Minute},
		{&t.Grace, 10 * time.Second},
	} {
		if *d.at <= 0 {
			*d.at = d.value
		}
	}
	return t
}

// of is the time that a verb may take.
func (t Timeouts) of(verb agent.Verb) time.Duration {
	switch verb {
	case verbStatus:
		return t.Status
	case verbInstall:
		return t.Install
	case agent.VerbVerify:
		return t.Verify
	case agent.VerbHealth, agent.VerbGate:
		return t.Health
	}
	return t.Switch
}

// A Runner runs hooks. It implements agent.Installer. Runs of one component exclude each other; two components do
// not wait for one another. One RunDir has one Runner.
type Runner struct {
	components map[string]ComponentConfig
	runDir     string
	base       []string
	log        *slog.Logger

	mu    sync.Mutex
	turns map[string]chan struct{}
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
		base:       baseEnviron(c.Environ),
		log:        log,
		turns:      make(map[string]chan struct{}),
	}
}

// component is a component's settings, with the defaults filled in.
func (r *Runner) component(name string) ComponentConfig {
	c := r.components[name]
	c.Timeouts = c.Timeouts.withDefaults()
	return c
}
