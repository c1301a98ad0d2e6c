// Package lookout reads the device's surroundings for the agent's gates: inhibit files, the power supply, the
// temperature, and whether the link is metered. It judges nothing, and what it can't read it leaves out.
package lookout

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"github.com/ota-agent/ota-agent/agent"
)

// Bounds of what is read.
const (
	// attributeBytesMax is the size of a page: the kernel's attributes are no longer.
	attributeBytesMax = 4096
	// entriesMax bounds the names that are read of a directory.
	entriesMax = 256
	// A sensor that says less or more, in thousandths of a degree, is broken or not connected.
	milliMin, milliMax = -60_000, 200_000
)

// Config says where to look. An empty path is not looked at.
type Config struct {
	// InhibitDir holds the files that hold updates back.
	InhibitDir string
	// PowerSupply is /sys/class/power_supply.
	PowerSupply string
	// Thermal is /sys/class/thermal.
	Thermal string
	// MeteredFile is there while the link costs money.
	MeteredFile string
}

// Look implements agent.Lookout.
func (c *Config) Look(ctx context.Context) agent.Surroundings {
	s := agent.Surroundings{Battery: -1}
	if c.InhibitDir != "" {
		s.Inhibitors = inhibitors(c.InhibitDir)
	}
	if c.MeteredFile != "" {
		_, err := os.Stat(c.MeteredFile)
		s.Metered = err == nil
	}
	if c.PowerSupply != "" && ctx.Err() == nil {
		s.Mains, s.Battery = power(c.PowerSupply)
	}
	if c.Thermal != "" && ctx.Err() == nil {
		s.Temperature, s.Thermometer = temperature(c.Thermal)
	}
	return s
}

// inhibitors lists the files of a directory by name. Names that begin with a dot are left out: a file can be written under one
// and renamed. A directory that is not there holds nothing back; one that can't be read does, since somebody may
// have spoken.
func inhibitors(dir string) []agent.Inhibitor {
	names, err := list(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return []agent.Inhibitor{{Name: filepath.Base(dir), Text: "it can't be read: " + cause(err)}}
	}
	var found []agent.Inhibitor
	for _, name := range names {
		if strings.HasPrefix(name, ".") {
			continue
		}
		if len(found) == agent.InhibitorsMax {
			break // there are more, and these suffice
		}
		first, _, _ := strings.Cut(attribute(filepath.Join(dir, name)), "\n")
		found = append(found, agent.Inhibitor{Name: printable(name), Text: printable(first)})
	}
	return found
}

// power reads the supplies that run the device: whether one of them brings power from outside, and the charge of the emptiest
// battery, -1 for none.
func power(dir string) (mains bool, battery int) {
	battery = -1
	names, _ := list(dir)
	for _, name := range names {
		supply := filepath.Join(dir, name)
		if attribute(filepath.Join(supply, "scope")) == "Device" {
			continue // a mouse's battery
		}
		switch kind := attribute(filepath.Join(supply, "type")); kind {
		case "":
		case "Battery", "UPS":
			if attribute(filepath.Join(supply, "present")) == "0" {
				continue
			}
			status := attribute(filepath.Join(supply, "status"))
			mains = mains || status == "Charging" || status == "Full" || status == "Not charging"
			charge, err := strconv.Atoi(attribute(filepath.Join(supply, "capacity")))
			if err == nil && charge >= 0 && charge <= 100 && (battery < 0 || charge < battery) {
				battery = charge
			}
		default: // Mains, USB, Wireless
			online := attribute(filepath.Join(supply, "online"))
			mains = mains || online != "" && online != "0"
		}
	}
	return mains, battery
}

// temperature is the highest of all thermal zones, in °C.
func temperature(dir string) (celsius int, ok bool) {
	names, _ := list(dir)
	for _, name := range names {
		if !strings.HasPrefix(name, "thermal_zone") {
			continue
		}
		milli, err := strconv.Atoi(attribute(filepath.Join(dir, name, "temp")))
		if err != nil || milli < milliMin || milli > milliMax {
			continue // a zone that is switched off says so with an error
		}
		if c := milli / 1000; !ok || c > celsius {
			celsius, ok = c, true
		}
	}
	return celsius, ok
}

// list reads the names of a directory, sorted, at most entriesMax.
func list(dir string) ([]string, error) {
	f, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	names, err := f.Readdirnames(entriesMax)
	if errors.Is(err, io.EOF) {
		err = nil
	}
	slices.Sort(names)
	return names, err
}

// attribute is a small file's text without white space around it, or "".
func attribute(path string) string {
	info, err := os.Stat(path)
	if err != nil || !info.Mode().IsRegular() {
		return "" // to open a named pipe would wait for its other end
	}
	f, err := os.Open(path)
	if err != nil {
		return ""
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, attributeBytesMax))
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(b))
}

// printable makes one harmless line of foreign text.
func printable(s string) string {
	s = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, "?"))
	if len(s) > agent.InhibitorBytesMax {
		s = strings.ToValidUTF8(s[:agent.InhibitorBytesMax], "")
	}
	return strings.TrimSpace(s)
}

// cause is an error's last word: its path is known.
func cause(err error) string {
	var p *fs.PathError
	if errors.As(err, &p) {
		return p.Err.Error()
	}
	return err.Error()
}
