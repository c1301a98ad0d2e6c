package mqtt

import (
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/ota-agent/ota-agent/agent"
)

func TestParseBroker(t *testing.T) {
	for _, c := range []struct {
		url, address string
		tls          bool
	}{
		{"tls://broker.example", "broker.example:8883", true},
		{"tls://broker.example:443", "broker.example:443", true},
		{"mqtts://broker.example/", "broker.example:8883", true},
		{"tcp://127.0.0.1:1884", "127.0.0.1:1884", false},
		{"mqtt://[::1]", "[::1]:1883", false},
		{"broker.example:1883", "", false},
		{"tcp://", "", false},
		{"ws://broker.example", "", false},
		{"tls://broker.example/path", "", false},
		{"tls://broker.example?x=1", "", false},
		{"tls://user:hunter2@broker.example", "", false},
		{"tls://user:hunter2@broker.example:99999999:1", "", false},
		{"", "", false},
	} {
		b, err := parseBroker(c.url)
		if (err == nil) != (c.address != "") || b.address != c.address || b.tls != c.tls {
			t.Errorf("%q: got %+v, %v", c.url, b, err)
		}
		if err != nil && strings.Contains(err.Error(), "hunter2") {
			t.Errorf("the error shows a password: %v", err)
		}
	}
}

func TestNewChecksItsConfig(t *testing.T) {
	good := Config{Broker: "tls://broker.example", Device: agent.Device{ID: "board-1", Group: "beta"},
		Now: time.Now, Random: func() float64 { return 0 }}
	for _, c := range []struct {
		name   string
		change func(*Config)
		ok     bool
	}{
		{"good", func(*Config) {}, true},
		{"no group", func(c *Config) { c.Device.Group = "" }, true},
		{"levels in the prefix", func(c *Config) { c.Prefix = "acme/ota" }, true},
		{"wildcard in the prefix", func(c *Config) { c.Prefix = "ota/#" }, false},
		{"slash at the end", func(c *Config) { c.Prefix = "ota/" }, false},
		{"the broker's own topics", func(c *Config) { c.Prefix = "$SYS" }, false},
		{"prefix too long", func(c *Config) { c.Prefix = strings.Repeat("a", prefixBytesMax+1) }, false},
		{"no device ID", func(c *Config) { c.Device.ID = "" }, false},
		{"wildcard as device ID", func(c *Config) { c.Device.ID = "+" }, false},
		{"wildcard as group", func(c *Config) { c.Device.Group = "#" }, false},
		{"client ID too long", func(c *Config) { c.ClientID = strings.Repeat("a", clientIDBytesMax+1) }, false},
		{"keep-alive too short", func(c *Config) { c.KeepAlive = time.Second }, false},
		{"keep-alive over 16 bits", func(c *Config) { c.KeepAlive = 19 * time.Hour }, false},
		{"certificate without key", func(c *Config) { c.Cert = "cert.pem" }, false},
		{"no clock", func(c *Config) { c.Now = nil }, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			cfg := good
			c.change(&cfg)
			if _, err := New(cfg, nil, slog.New(slog.DiscardHandler)); (err == nil) != c.ok {
				t.Errorf("got %v, want it accepted: %t", err, c.ok)
			}
		})
	}
}
