package main

import (
	"net/url"
	"path/filepath"
	"time"

	"github.com/ota-agent/ota-agent/agent"
	"github.com/ota-agent/ota-agent/agent/fetch"
	"github.com/ota-agent/ota-agent/agent/lookout"
	"github.com/ota-agent/ota-agent/install"
	"github.com/ota-agent/ota-agent/mqtt"
)

// Where things are unless a flag or the config says otherwise.
const (
	defaultConfig = "/etc/ota-agent/config.toml"
	defaultAnchor = "/usr/share/ota-agent/root.json"
	defaultState  = "/var/lib/ota-agent"
	defaultSocket = "/run/ota-agent/agent.sock"
	defaultBootID = "/proc/sys/kernel/random/boot_id"
)

// settings are a config that was checked, in the forms in which the packages take it.
type settings struct {
	agent   agent.Config // preflight adds what the image ships
	fetch   fetch.Config // without clock and log
	hooks   map[string]install.ComponentConfig
	mqtt    *mqtt.Config // without clock and randomness; nil: no broker
	lookout lookout.Config

	anchor, floors, state, socket string // floors may be empty
	stateMount                    string // empty: nothing need be there
	identity                      string // the file that holds the device's ID; may be empty
	bootID                        string
	reboot                        []string
	// at and file name the line of what is found wrong later.
	at   lines
	file string
}

// hookDir is where hooks get their files: beside the socket, which lies in memory.
func (s settings) hookDir() string { return filepath.Join(filepath.Dir(s.socket), "hooks") }

// wrong is a failure that names a key's line.
func (s settings) wrong(code int, key string, err error, hint string) error {
	return &failure{code, &configError{what: err.Error(), file: s.file, line: s.at[key], err: err}, hint}
}

// loadSettings reads and checks the config at path.
func loadSettings(path string) (settings, error) {
	file, at, err := readConfig(path)
	if err != nil {
		return settings{}, err
	}
	c := &checker{file: path, at: at}
	s := settings{at: at, file: path,
		anchor:     c.path("anchor", orDefault(file.Anchor, defaultAnchor)),
		floors:     c.optional("floors", file.Floors, c.path),
		state:      c.path("state", orDefault(file.State, defaultState)),
		stateMount: c.optional("state_mount", file.StateMount, c.path),
		socket:     c.socket("socket", orDefault(file.Socket, defaultSocket)),
	}
	s.identity = identityFile(file.Device.ID)
	s.agent = c.agent(file)
	s.agent.ProveWithoutState = c.choice("state_lost", orDefault(file.StateLost, "hold"), "hold", "go_on") == "go_on"
	s.agent.Gates, s.lookout = c.gates(file.Gates, s.socket)
	s.fetch = c.repository(file.Repository)
	s.reboot, s.bootID = c.reboot(file.Reboot)
	s.hooks = map[string]install.ComponentConfig{}
	for i, comp := range file.Component {
		s.hooks[comp.Name] = c.hook(i, comp)
	}
	s.mqtt = c.mqtt(file.MQTT, s.agent.Device)
	return s, c.first()
}

// agent is the part of the config that decides about updates.
func (c *checker) agent(file configFile) agent.Config {
	r := file.Repository
	cfg := agent.Config{
		Device:        c.device(file.Device),
		NoRTC:         c.choice("device.rtc", orDefault(file.Device.RTC, "auto"), "auto", "none") == "none",
		Poll:          c.duration("repository.poll", r.Poll, 6*time.Hour, time.Minute, 30*24*time.Hour),
		BackoffMin:    c.duration("repository.backoff_min", r.BackoffMin, 30*time.Second, time.Second, 24*time.Hour),
		BackoffMax:    c.duration("repository.backoff_max", r.BackoffMax, 24*time.Hour, time.Second, 7*24*time.Hour),
		DayBytesMax:   c.dayBytes(r.DayBytesMax),
		RepositoryURL: shownURL(r.Metadata),
		BandwidthMax:  r.BandwidthMax,
		SpreadMax:     c.spreadMax(file.MQTT),
	}
	if cfg.BackoffMax < cfg.BackoffMin {
		c.wrong("repository.backoff_max", "want at least backoff_min (%s), got %s", cfg.BackoffMin, cfg.BackoffMax)
	}
	cfg.Limits.StatedBytes = c.targetsFile(r.TargetsFileMax)
	cfg.Limits.PlainTargetNames = r.HashPrefix != nil && !*r.HashPrefix
	cfg.Version, cfg.BuildTime = buildInfo()
	if n := len(file.Component); n == 0 || n > componentsMax {
		c.missing("component", "want 1 to %d [[component]] tables, got %d", componentsMax, n)
	}
	seen := map[string]bool{}
	for i, comp := range file.Component {
		cfg.Components = append(cfg.Components, c.component(i, comp))
		if seen[comp.Name] {
			c.wrong(componentKey(i, "name"), "there are two components %q", comp.Name)
		}
		seen[comp.Name] = true
	}
	return cfg
}

// shownURL is a URL without what may be secret in it.
func shownURL(raw string) string {
	u, err := url.Parse(raw)
	if err != nil {
		return ""
	}
	u.User, u.RawQuery, u.Fragment = nil, "", ""
	return u.String()
}

func orDefault(s, fallback string) string {
	if s == "" {
		return fallback
	}
	return s
}
