package main

import (
	"path/filepath"
	"time"

	"github.com/ota-agent/ota-agent/agent"
	"github.com/ota-agent/ota-agent/agent/lookout"
)

// gatesTable is what may hold updates back.
type gatesTable struct {
	DownloadWindows []string `toml:"download_windows"`
	InstallWindows  []string `toml:"install_windows"`
	Zone            string   `toml:"zone"`
	DeferMax        string   `toml:"defer_max"`
	Inhibit         string   `toml:"inhibit"`
	Hook            string   `toml:"hook"`
	Metered         string   `toml:"metered"`
	BatteryMin      int64    `toml:"battery_min"`
	TemperatureMax  int64    `toml:"temperature_max"`
	PowerSupply     string   `toml:"power_supply"`
	Thermal         string   `toml:"thermal"`
}

// Bounds of the gates.
const (
	// windowsMax is more than a week's days need.
	windowsMax = 16
	// A budget below dayBytesMin would hold even small images back for good; dayBytesMax is a terabyte.
	dayBytesMin = 1_000_000
	dayBytesMax = 1_000_000_000_000
	// temperatureMaxMax is more than any part stands, in °C.
	temperatureMaxMax = 150
	deferMin          = time.Hour
	deferMax          = 366 * 24 * time.Hour
)

// gates is what the agent decides by, and where a lookout looks. The inhibit directory lies beside the socket, in memory.
func (c *checker) gates(t gatesTable, socket string) (agent.Gates, lookout.Config) {
	g := agent.Gates{
		Zone:        c.zone("gates.zone", t.Zone),
		Download:    c.windows("gates.download_windows", t.DownloadWindows),
		Install:     c.windows("gates.install_windows", t.InstallWindows),
		DeferMax:    c.duration("gates.defer_max", t.DeferMax, 0, deferMin, deferMax),
		Hook:        c.optional("gates.hook", t.Hook, c.path),
		InhibitDir:  c.path("gates.inhibit", orDefault(t.Inhibit, filepath.Join(filepath.Dir(socket), "inhibit"))),
		MeteredFile: c.optional("gates.metered", t.Metered, c.path),
		BatteryMin:  int(c.number("gates.battery_min", t.BatteryMin, 0, 100, "percent")),
	}
	g.TemperatureMax = int(c.number("gates.temperature_max", t.TemperatureMax, 0, temperatureMaxMax, "°C"))
	look := lookout.Config{InhibitDir: g.InhibitDir, MeteredFile: g.MeteredFile}
	if supply := c.path("gates.power_supply", orDefault(t.PowerSupply, "/sys/class/power_supply")); g.BatteryMin > 0 {
		look.PowerSupply = supply
	}
	if thermal := c.path("gates.thermal", orDefault(t.Thermal, "/sys/class/thermal")); g.TemperatureMax > 0 {
		look.Thermal = thermal
	}
	return g, look
}

// zone loads a time zone of the system's.
func (c *checker) zone(key, name string) *time.Location {
	zone, err := time.LoadLocation(name)
	if err != nil {
		c.wrong(key, "the system does not know the time zone %s", quoted(name))
		c.wrongs[len(c.wrongs)-1].hint = "install the system's tzdata (/usr/share/zoneinfo), or name another one, such as \"Europe/Berlin\" or \"UTC\""
		return time.UTC
	}
	return zone
}

func (c *checker) windows(key string, texts []string) []agent.Window {
	if len(texts) > windowsMax {
		c.wrong(key, "want at most %d windows, got %d", windowsMax, len(texts))
	}
	var all []agent.Window
	for _, text := range texts {
		w, err := agent.ParseWindow(text)
		if err != nil {
			c.wrong(key, "%v", err)
		}
		all = append(all, w)
	}
	return all
}

func (c *checker) number(key string, n, min, max int64, unit string) int64 {
	if n < min || n > max {
		c.wrong(key, "want %d to %d %s, got %d", min, max, unit, n)
	}
	return n
}

// dayBytes is a day's byte budget; 0: none.
func (c *checker) dayBytes(n int64) int64 {
	if n == 0 {
		return 0
	}
	return c.number("repository.day_bytes_max", n, dayBytesMin, dayBytesMax, "bytes a day, or 0 for no budget")
}
