// Package lookout reads the device's surroundings for the agent's gates: inhibit files, the power supply, the
// temperature, and whether the link is metered. It judges nothing, and what it can't read it leaves out.
package lookout

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"github.com/ota-agent/ota-agent/agent"
	"github.com/ota-agent/ota-agent/agent/files"
)

// Bounds of what is read.
const (
	// attributeBytesMax is the size of a page: the kernel's attributes are no longer.
	attributeBytesMax = 4096
	// entriesMax bounds the names that are read of a directory.
	entriesMax = 256
	// hiddenMax bounds those of them that do not count: whoever may write there could hide another's file behind them.
	hiddenMax = 4 * entriesMax
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
		_, err := os.Lstat(c.MeteredFile) // where a link leads makes no difference
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

// inhibitors lists the entries of a directory by name. Each one holds updates back, whatever it is: a gate
// fails closed, and the directory may be a group's. Names that begin with a dot are left out: a file can be
// written under one and renamed. A directory that is not there holds nothing back; one that can't be read
// does, since somebody may have spoken.
func inhibitors(path string) []agent.Inhibitor {
	unreadable := func(why string) []agent.Inhibitor {
		return []agent.Inhibitor{{Name: printable(filepath.Base(path)), Text: "it can't be read: " + why}}
	}
	dir, err := files.OpenDirectory(path)
	if errors.Is(err, fs.ErrNotExist) {
		if _, err := os.Lstat(path); err == nil {
			return unreadable("it is a link that leads nowhere")
		}
		return nil
	}
	if err != nil {
		return unreadable(cause(err))
	}
	defer dir.Close()
	var found []agent.Inhibitor
	names, err := visible(dir)
	if err != nil {
		return unreadable(cause(err))
	}
	for _, name := range names[:min(len(names), agent.InhibitorsMax)] { // there may be more, and these suffice
		found = append(found, agent.Inhibitor{Name: printable(name), Text: words(dir, name)})
	}
	return found
}

// errHidden says that a directory holds so many names that do not count that the others were not looked for.
var errHidden = fmt.Errorf("more than %d of its names begin with a dot", hiddenMax)

// visible reads names that do not begin with a dot, sorted, at most about entriesMax of them.
func visible(dir *os.File) ([]string, error) {
	var names []string
	for hidden := 0; len(names) < entriesMax; {
		some, err := dir.Readdirnames(entriesMax)
		for _, name := range some {
			if strings.HasPrefix(name, ".") {
				hidden++
				continue
			}
			names = append(names, name)
		}
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		if hidden > hiddenMax && len(names) == 0 {
			return nil, errHidden
		}
	}
	slices.Sort(names)
	return names, nil
}

// words are the first line of an ordinary file of an inhibit directory. Of anything else there are none: what
// leads elsewhere would show what its owner may not read.
func words(dir *os.File, name string) string {
	text, err := files.ReadPlaced(dir, name, attributeBytesMax)
	if err != nil {
		return ""
	}
	first, _, _ := strings.Cut(strings.TrimSpace(string(text)), "\n")
	return printable(first)
}

// power reads the supplies that run the device: whether one of them brings power from outside, and the charge
// of the emptiest battery, -1 for none.
func power(dir string) (mains bool, battery int) {
	battery = -1
	names := list(dir)
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
	names := list(dir)
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

// list reads the names of a directory, sorted, at most entriesMax. One that can't be read has none: a sensor
// holds nothing back.
func list(path string) []string {
	dir, err := files.OpenDirectory(path)
	if err != nil {
		return nil
	}
	defer dir.Close()
	names, _ := dir.Readdirnames(entriesMax)
	slices.Sort(names)
	return names
}

// attribute is a sensor's small file without white space around it, or "". The kernel's directories are links
// themselves, so links are followed; the text goes into a number, or is compared, and is shown nowhere.
func attribute(path string) string {
	text, err := files.Read(path, attributeBytesMax)
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(text))
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
