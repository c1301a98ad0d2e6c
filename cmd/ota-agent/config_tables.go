package main

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/ota-agent/ota-agent/agent"
	"github.com/ota-agent/ota-agent/agent/fetch"
	"github.com/ota-agent/ota-agent/agent/local"
	"github.com/ota-agent/ota-agent/install"
	"github.com/ota-agent/ota-agent/mqtt"
	"github.com/ota-agent/ota-agent/verifier"
)

// Bounds of the config.
const (
	// componentsMax keeps the status document far below what its readers accept.
	componentsMax = 32
	// rateMinMax is what fetch accepts, in bytes per second.
	rateMinMax = 1_000_000_000
	// targetsFileMin and targetsFileMax bound the longest targets metadata file, in bytes: a small
	// repository's, and what takes the agent 216 MiB of memory.
	targetsFileMin = 1 << 20
	targetsFileMax = 64 << 20
	// bandwidthFloor is the lowest cap that fetch accepts, in bytes per second.
	bandwidthFloor = 1_000
	// mirrorsMax is how many mirrors fetch accepts beside the first.
	mirrorsMax = 15
	// trialMin and trialMax bound a trial: a release that can't prove itself within a day won't.
	trialMin = 10 * time.Second
	trialMax = 24 * time.Hour
)

func (c *checker) device(t deviceTable) agent.Device {
	return agent.Device{
		ID:       c.name("device.id", c.fromFile("device.id", t.ID)),
		Hardware: c.name("device.hardware", t.Hardware),
		Channel:  c.name("device.channel", orDefault(t.Channel, "stable")),
		Group:    c.optional("device.group", t.Group, c.name),
	}
}

func (c *checker) repository(t repositoryTable) fetch.Config {
	cfg := fetch.Config{
		Metadata:     c.mirrors("repository.metadata", t.Metadata, t.MetadataMirrors),
		Targets:      c.mirrors("repository.targets", t.Targets, t.TargetsMirrors),
		Media:        t.Media,
		CA:           c.optional("repository.ca", t.CA, c.path),
		Cert:         c.optional("repository.cert", t.Cert, c.path),
		Key:          c.optional("repository.key", t.Key, c.path),
		Proxy:        c.optional("repository.proxy", t.Proxy, c.proxy),
		RateMin:      t.RateMin,
		BandwidthMax: t.BandwidthMax,
	}
	if err := fetch.CheckMedia(t.Media); err != nil {
		c.wrong("repository.media", "%v", err)
	}
	if (t.Cert == "") != (t.Key == "") {
		c.missing("repository.cert", "cert and key go together: one of them is missing")
	}
	if t.BandwidthMax != 0 && (t.BandwidthMax < bandwidthFloor || t.BandwidthMax > rateMinMax) {
		c.wrong("repository.bandwidth_max", "want 0 (no cap) or %d to %d bytes per second, got %d", bandwidthFloor, rateMinMax, t.BandwidthMax)
	}
	if c.at["repository.rate_min"] != 0 && (t.RateMin < 1 || t.RateMin > rateMinMax) {
		c.wrong("repository.rate_min", "want 1 to %d bytes per second, got %d", rateMinMax, t.RateMin)
	}
	return cfg
}

// targetsFile is the longest targets file, in bytes.
func (c *checker) targetsFile(n int64) int64 {
	if c.at["repository.targets_file_max"] == 0 {
		return verifier.DefaultLimits().StatedBytes
	}
	return c.number("repository.targets_file_max", n, targetsFileMin, targetsFileMax, "bytes")
}

// mirrors is a base URL and those that are asked when it fails, in this order.
func (c *checker) mirrors(key, first string, more []string) []string {
	urls := []string{c.url(key, first, "https", "http", "file")}
	if len(more) > mirrorsMax {
		c.wrong(key+"_mirrors", "want at most %d mirrors, got %d", mirrorsMax, len(more))
	}
	for _, u := range more {
		urls = append(urls, c.url(key+"_mirrors", u, "https", "http", "file"))
	}
	return urls
}

// proxy is a URL, or "direct" for none whatever the environment says.
func (c *checker) proxy(key, value string) string {
	if value == "direct" {
		return value
	}
	return c.url(key, value, "http", "https", "socks5", "socks5h")
}

func (c *checker) reboot(t rebootTable) (command []string, bootID string) {
	command = t.Command
	if c.at["reboot.command"] == 0 {
		command = []string{"systemctl", "reboot"}
	}
	if len(command) == 0 || command[0] == "" {
		c.wrong("reboot.command", "want a command and its arguments, got nothing")
	}
	return command, c.path("reboot.boot_id", orDefault(t.BootID, defaultBootID))
}

func componentKey(i int, key string) string { return fmt.Sprintf("component[%d].%s", i, key) }

func (c *checker) component(i int, t component) agent.Component {
	key := func(k string) string { return componentKey(i, k) }
	cfg := agent.Component{
		Name:               c.name(key("name"), t.Name),
		Target:             c.target(key("target"), t.Target),
		Hook:               c.path(key("hook"), t.Hook),
		Env:                t.Env,
		Reboot:             t.Reboot,
		UrgentSkipsWindows: t.UrgentSkipsWindows,
		TrialDeadline:      c.duration(key("health.deadline"), t.Health.Deadline, 10*time.Minute, trialMin, trialMax),
		TrialSettle:        c.duration(key("health.settle"), t.Health.Settle, 0, 0, trialMax),
		HealthEvery:        c.duration(key("health.every"), t.Health.Every, 5*time.Second, time.Second, 10*time.Minute),
	}
	if cfg.TrialSettle >= cfg.TrialDeadline {
		c.wrong(key("health.settle"), "want less than deadline (%s), got %s", cfg.TrialDeadline, cfg.TrialSettle)
	}
	return cfg
}

// hook is what the component's hook and health checks need.
func (c *checker) hook(i int, t component) install.ComponentConfig {
	for _, name := range slices.Sorted(maps.Keys(t.Env)) {
		key := componentKey(i, "env."+name)
		if err := install.CheckEnv(name); err != nil {
			c.wrong(key, "%v", err)
		}
		c.text(key, t.Env[name])
	}
	return install.ComponentConfig{
		ChecksDir: c.optional(componentKey(i, "health.checks"), t.Health.Checks, c.path),
		HealthHTTP: c.optional(componentKey(i, "health.http"), t.Health.HTTP, func(key, value string) string {
			return c.url(key, value, "http", "https")
		}),
		Timeouts: c.timeouts(i, t.Timeouts),
	}
}

// timeouts are how long the component's hook may take for each verb.
func (c *checker) timeouts(i int, t timeoutsTable) install.Timeouts {
	written := map[string]string{"status": t.Status, "install": t.Install, "verify": t.Verify, "try": t.Try, "confirm": t.Confirm,
		"reject": t.Reject, "health": t.Health, "gate": t.Gate, "grace": t.Grace}
	var all install.Timeouts
	for _, one := range install.AllTimeouts() {
		*one.Of(&all) = c.duration(componentKey(i, "timeouts."+one.Name), written[one.Name], one.Default, one.Min, one.Max)
	}
	return all
}

func (c *checker) mqtt(t *mqttTable, d agent.Device) *mqtt.Config {
	if t == nil {
		return nil
	}
	cfg := &mqtt.Config{
		Broker: t.Broker, Prefix: orDefault(t.Prefix, "ota"), Device: d,
		ClientID:     c.text("mqtt.client_id", t.ClientID),
		Username:     c.text("mqtt.username", t.Username),
		PasswordFile: c.optional("mqtt.password_file", t.PasswordFile, c.path),
		CA:           c.optional("mqtt.ca", t.CA, c.path),
		Cert:         c.optional("mqtt.cert", t.Cert, c.path),
		Key:          c.optional("mqtt.key", t.Key, c.path),
		KeepAlive:    c.duration("mqtt.keep_alive", t.KeepAlive, time.Minute, 10*time.Second, 18*time.Hour),
		StartJitter:  c.duration("mqtt.start_jitter", t.StartJitter, mqtt.StartJitterDefault, 0, mqtt.StartJitterMax),
		ReconnectSpread: c.duration("mqtt.reconnect_spread", t.ReconnectSpread, mqtt.ReconnectSpreadDefault, mqtt.ReconnectSpreadMin,
			mqtt.ReconnectSpreadMax),
		WakeSpread: c.duration("mqtt.wake_spread", t.WakeSpread, mqtt.WakeSpreadDefault, mqtt.WakeSpreadMin, mqtt.WakeSpreadMax),
	}
	if err := mqtt.ParseBroker(t.Broker); err != nil {
		c.missing("mqtt.broker", "%v", err)
	}
	if err := mqtt.CheckPrefix(cfg.Prefix); err != nil {
		c.wrong("mqtt.prefix", "%v", err)
	}
	if (t.Cert == "") != (t.Key == "") {
		c.missing("mqtt.cert", "cert and key go together: one of them is missing")
	}
	return cfg
}

// spreadMax is what a wake may ask for. The agent itself holds it, but only a broker sends wakes with a spread.
func (c *checker) spreadMax(t *mqttTable) time.Duration {
	if t == nil {
		return 0
	}
	return c.duration("mqtt.spread_max", t.SpreadMax, 24*time.Hour, time.Minute, mqtt.WakeSpreadMax)
}

func (c *checker) socket(key, value string) string {
	if err := local.CheckSocketPath(value); err != nil {
		c.wrong(key, "%v", err)
	}
	return c.path(key, value)
}
