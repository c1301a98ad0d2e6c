package main

import (
	"fmt"

	"github.com/ota-agent/ota-agent/agent/files"
)

// configBytesMax bounds the config file.
const configBytesMax = 64 << 10

// configFile is the config as it is written. Durations are texts with units. docs and packaging/config.example.toml
// show each key.
type configFile struct {
	Anchor     string          `toml:"anchor"`
	Floors     string          `toml:"floors"`
	State      string          `toml:"state"`
	StateMount string          `toml:"state_mount"`
	StateLost  string          `toml:"state_lost"`
	Socket     string          `toml:"socket"`
	Device     deviceTable     `toml:"device"`
	Repository repositoryTable `toml:"repository"`
	Reboot     rebootTable     `toml:"reboot"`
	Gates      gatesTable      `toml:"gates"`
	MQTT       *mqttTable      `toml:"mqtt"`
	Component  []component     `toml:"component"`
}

type deviceTable struct {
	ID       string `toml:"id"`
	Hardware string `toml:"hardware"`
	Group    string `toml:"group"`
	Channel  string `toml:"channel"`
	RTC      string `toml:"rtc"`
}

type repositoryTable struct {
	Metadata        string   `toml:"metadata"`
	Targets         string   `toml:"targets"`
	MetadataMirrors []string `toml:"metadata_mirrors"`
	TargetsMirrors  []string `toml:"targets_mirrors"`
	Media           []string `toml:"media"`
	CA              string   `toml:"ca"`
	Cert            string   `toml:"cert"`
	Key             string   `toml:"key"`
	Proxy           string   `toml:"proxy"`
	Poll            string   `toml:"poll"`
	BackoffMin      string   `toml:"backoff_min"`
	BackoffMax      string   `toml:"backoff_max"`
	RateMin         int64    `toml:"rate_min"`
	BandwidthMax    int64    `toml:"bandwidth_max"`
	DayBytesMax     int64    `toml:"day_bytes_max"`
	TargetsFileMax  int64    `toml:"targets_file_max"`
	HashPrefix      *bool    `toml:"hash_prefix"`
}

type rebootTable struct {
	Command []string `toml:"command"`
	BootID  string   `toml:"boot_id"`
}

type mqttTable struct {
	Broker          string `toml:"broker"`
	Prefix          string `toml:"prefix"`
	ClientID        string `toml:"client_id"`
	Username        string `toml:"username"`
	PasswordFile    string `toml:"password_file"`
	CA              string `toml:"ca"`
	Cert            string `toml:"cert"`
	Key             string `toml:"key"`
	KeepAlive       string `toml:"keep_alive"`
	StartJitter     string `toml:"start_jitter"`
	ReconnectSpread string `toml:"reconnect_spread"`
	WakeSpread      string `toml:"wake_spread"`
	SpreadMax       string `toml:"spread_max"`
}

type component struct {
	Name               string            `toml:"name"`
	Target             string            `toml:"target"`
	Hook               string            `toml:"hook"`
	Reboot             bool              `toml:"reboot"`
	Env                map[string]string `toml:"env"`
	UrgentSkipsWindows bool              `toml:"urgent_skips_windows"`
	Health             healthTable       `toml:"health"`
	Timeouts           timeoutsTable     `toml:"timeouts"`
}

// timeoutsTable has the names of install.AllTimeouts.
type timeoutsTable struct {
	Status  string `toml:"status"`
	Install string `toml:"install"`
	Verify  string `toml:"verify"`
	Try     string `toml:"try"`
	Confirm string `toml:"confirm"`
	Reject  string `toml:"reject"`
	Health  string `toml:"health"`
	Gate    string `toml:"gate"`
	Grace   string `toml:"grace"`
}

type healthTable struct {
	HTTP     string `toml:"http"`
	Checks   string `toml:"checks"`
	Every    string `toml:"every"`
	Settle   string `toml:"settle"`
	Deadline string `toml:"deadline"`
}

// A configError is one thing that is wrong with the config, and where.
type configError struct {
	what string
	file string
	line int // 0: nowhere in particular
	hint string
	err  error // that what tells; nil where there is none
}

func (e *configError) Unwrap() error { return e.err }

func (e *configError) Error() string {
	if e.line == 0 {
		return fmt.Sprintf("%s: %s", e.what, e.file)
	}
	return fmt.Sprintf("%s: %s:%d", e.what, e.file, e.line)
}

// fail makes a failure of it.
func (e *configError) fail() error { return &failure{exitConfig, e, e.hint} }

// readConfig reads and decodes a config file. Its lines go with it, for what is found wrong later.
func readConfig(path string) (configFile, lines, error) {
	var c configFile
	text, err := files.Read(path, configBytesMax)
	if err != nil {
		return c, nil, &failure{exitConfig, fmt.Errorf("can't read the config: %w", err),
			"name the file with --config, and see packaging/config.example.toml"}
	}
	at, wrong := decode(text, &c)
	if wrong != nil {
		wrong.file = path
		return c, nil, wrong.fail()
	}
	return c, at, nil
}
