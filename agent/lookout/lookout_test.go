package lookout

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"syscall"
	"testing"

	"github.com/ota-agent/ota-agent/agent"
)

var _ agent.Lookout = &Config{}

// tree makes files below a directory: path → text. A path that ends in a slash is an empty directory.
func tree(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for path, text := range files {
		full := filepath.Join(dir, path)
		if err := os.MkdirAll(filepath.Dir(full), 0o755); err != nil {
			t.Fatal(err)
		}
		if strings.HasSuffix(path, "/") {
			if err := os.MkdirAll(full, 0o755); err != nil {
				t.Fatal(err)
			}
			continue
		}
		if err := os.WriteFile(full, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestPower(t *testing.T) {
	const none = -1
	for name, c := range map[string]struct {
		files   map[string]string
		mains   bool
		battery int
	}{
		"nothing is known":       {map[string]string{"empty/": ""}, false, none},
		"mains":                  {map[string]string{"AC/type": "Mains\n", "AC/online": "1\n"}, true, none},
		"mains, unplugged":       {map[string]string{"AC/type": "Mains\n", "AC/online": "0\n"}, false, none},
		"USB that negotiates":    {map[string]string{"usb/type": "USB\n", "usb/online": "2\n"}, true, none},
		"mains without a word":   {map[string]string{"AC/type": "Mains\n"}, false, none},
		"a battery":              {map[string]string{"BAT0/type": "Battery\n", "BAT0/capacity": "37\n", "BAT0/status": "Discharging\n"}, false, 37},
		"a battery that charges": {map[string]string{"BAT0/type": "Battery\n", "BAT0/capacity": "37\n", "BAT0/status": "Charging\n"}, true, 37},
		"the emptiest of two": {map[string]string{"BAT0/type": "Battery\n", "BAT0/capacity": "90\n", "BAT1/type": "Battery\n",
			"BAT1/capacity": "12\n"}, false, 12},
		"a place for a battery": {map[string]string{"BAT0/type": "Battery\n", "BAT0/capacity": "0\n", "BAT0/present": "0\n"}, false, none},
		"a mouse": {map[string]string{"hid/type": "Battery\n", "hid/capacity": "5\n", "hid/scope": "Device\n",
			"BAT0/type": "Battery\n", "BAT0/capacity": "50\n"}, false, 50},
		"nonsense": {map[string]string{"BAT0/type": "Battery\n", "BAT0/capacity": "full\n", "BAT1/type": "Battery\n",
			"BAT1/capacity": "101\n", "BAT2/type": "Battery\n", "BAT2/capacity": "-1\n"}, false, none},
		"an endless attribute": {map[string]string{"BAT0/type": "Battery\n", "BAT0/capacity": strings.Repeat("9", 10_000)}, false, none},
		"an empty battery":     {map[string]string{"UPS/type": "UPS", "UPS/capacity": "0"}, false, 0},
	} {
		s := (&Config{PowerSupply: tree(t, c.files)}).Look(t.Context())
		if s.Mains != c.mains || s.Battery != c.battery {
			t.Errorf("%s: mains %t, battery %d; want %t, %d", name, s.Mains, s.Battery, c.mains, c.battery)
		}
	}
}

func TestTemperature(t *testing.T) {
	for name, c := range map[string]struct {
		files map[string]string
		want  int
		ok    bool
	}{
		"none":                  {map[string]string{"cooling_device0/cur_state": "3"}, 0, false},
		"one":                   {map[string]string{"thermal_zone0/temp": "45999\n"}, 45, true},
		"the highest":           {map[string]string{"thermal_zone0/temp": "45000", "thermal_zone1/temp": "71000", "thermal_zone10/temp": "12"}, 71, true},
		"below zero":            {map[string]string{"thermal_zone0/temp": "-20000"}, -20, true},
		"not connected":         {map[string]string{"thermal_zone0/temp": "-274000", "thermal_zone1/temp": "900000"}, 0, false},
		"switched off":          {map[string]string{"thermal_zone0/temp": "", "thermal_zone1/": ""}, 0, false},
		"of something else":     {map[string]string{"hwmon0/temp": "99000"}, 0, false},
		"beside one that won't": {map[string]string{"thermal_zone0/temp": "x", "thermal_zone1/temp": "30000"}, 30, true},
	} {
		s := (&Config{Thermal: tree(t, c.files)}).Look(t.Context())
		if s.Temperature != c.want || s.Thermometer != c.ok {
			t.Errorf("%s: %d, %t; want %d, %t", name, s.Temperature, s.Thermometer, c.want, c.ok)
		}
	}
}

func TestInhibitors(t *testing.T) {
	many := map[string]string{}
	for i := range 40 {
		many[fmt.Sprintf("f%02d", i)] = "x"
	}
	for name, c := range map[string]struct {
		files map[string]string
		want  []agent.Inhibitor
	}{
		"none":         {map[string]string{".new": "not yet"}, nil},
		"a reason":     {map[string]string{"mission": "on patrol\nuntil noon\n"}, []agent.Inhibitor{{Name: "mission", Text: "on patrol"}}},
		"no reason":    {map[string]string{"b": "", "a": "\n"}, []agent.Inhibitor{{Name: "a"}, {Name: "b"}}},
		"a directory":  {map[string]string{"d/": ""}, []agent.Inhibitor{{Name: "d"}}},
		"foreign text": {map[string]string{"x": "\x1b[31mred\xff\tdone\r\n"}, []agent.Inhibitor{{Name: "x", Text: "[31mred? done"}}},
		"long text": {map[string]string{"x": strings.Repeat("ü", 5000)},
			[]agent.Inhibitor{{Name: "x", Text: strings.Repeat("ü", agent.InhibitorBytesMax/2)}}},
	} {
		if s := (&Config{InhibitDir: tree(t, c.files)}).Look(t.Context()); !reflect.DeepEqual(s.Inhibitors, c.want) {
			t.Errorf("%s: %+v, want %+v", name, s.Inhibitors, c.want)
		}
	}
	if s := (&Config{InhibitDir: tree(t, many)}).Look(t.Context()); len(s.Inhibitors) != agent.InhibitorsMax {
		t.Errorf("%d of 40 inhibitors, want %d", len(s.Inhibitors), agent.InhibitorsMax)
	}
}

// A directory that is not there holds nothing back; what is no directory does, since nobody can say what it means.
func TestInhibitDirectory(t *testing.T) {
	dir := tree(t, map[string]string{"file": "x"})
	for path, want := range map[string]int{"": 0, filepath.Join(dir, "none"): 0, filepath.Join(dir, "file"): 1} {
		s := (&Config{InhibitDir: path}).Look(t.Context())
		if len(s.Inhibitors) != want || want == 1 && !strings.Contains(s.Inhibitors[0].Text, "can't be read") {
			t.Errorf("%q: %+v, want %d", path, s.Inhibitors, want)
		}
	}
}

// A named pipe, which would block whoever opens it, is there and says nothing.
func TestPipesDoNotBlock(t *testing.T) {
	dir := tree(t, map[string]string{"thermal_zone0/": ""})
	for _, path := range []string{"inhibitor", "thermal_zone0/temp"} {
		if err := syscall.Mkfifo(filepath.Join(dir, path), 0o600); err != nil {
			t.Skipf("no named pipes here: %v", err)
		}
	}
	s := (&Config{InhibitDir: dir, Thermal: dir, MeteredFile: filepath.Join(dir, "inhibitor")}).Look(t.Context())
	if len(s.Inhibitors) != 2 || s.Thermometer || !s.Metered {
		t.Errorf("%+v", s)
	}
}

func TestMetered(t *testing.T) {
	dir := tree(t, map[string]string{"metered": ""})
	for name, want := range map[string]bool{"metered": true, "none": false} {
		if s := (&Config{MeteredFile: filepath.Join(dir, name)}).Look(t.Context()); s.Metered != want {
			t.Errorf("%s: metered is %t", name, s.Metered)
		}
	}
	if s := (&Config{}).Look(t.Context()); !reflect.DeepEqual(s, agent.Surroundings{Battery: -1}) {
		t.Errorf("nothing was to be looked at, and %+v was seen", s)
	}
}
