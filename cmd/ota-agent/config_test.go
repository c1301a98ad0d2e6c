package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ota-agent/ota-agent/install"
	"github.com/ota-agent/ota-agent/verifier"
)

func writeConfig(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "config.toml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// minimal is the least that a config must say, with numbered lines.
const minimal = `[device]
id = "board-1"
hardware = "board"
[repository]
metadata = "https://updates.example/metadata"
targets = "https://updates.example/targets"
[[component]]
name = "app"
target = "{hardware}/app.tar"
hook = "/usr/lib/ota-agent/hooks/app-symlink"
`

func TestMinimalConfigTakesTheDefaults(t *testing.T) {
	s, err := loadSettings(writeConfig(t, minimal))
	if err != nil {
		t.Fatal(err)
	}
	a := s.agent
	if s.anchor != defaultAnchor || s.state != defaultState || s.socket != defaultSocket || s.bootID != defaultBootID {
		t.Errorf("paths: %q %q %q %q", s.anchor, s.state, s.socket, s.bootID)
	}
	if a.Device.Channel != "stable" || a.Poll != 6*time.Hour || a.BackoffMin != 30*time.Second || a.BackoffMax != 24*time.Hour {
		t.Errorf("agent: %+v", a)
	}
	if c := a.Components[0]; c.Reboot || c.TrialDeadline != 10*time.Minute || c.TrialSettle != 0 || c.HealthEvery != 5*time.Second {
		t.Errorf("component: %+v", c)
	}
	if s.mqtt != nil || len(s.reboot) != 2 || a.NoRTC || a.Limits.StatedBytes != 24<<20 || a.Limits.PlainTargetNames {
		t.Errorf("settings: %+v", s)
	}
}

// What is written for a verb is its time-out; the others keep their defaults.
func TestTimeoutsAreConfigKeys(t *testing.T) {
	for i, one := range install.AllTimeouts() {
		want := one.Min + time.Duration(i)*time.Second
		text := fmt.Sprintf("%s[component.timeouts]\n%s = %q\n", minimal, one.Name, want)
		s, err := loadSettings(writeConfig(t, text))
		if err != nil {
			t.Fatal(err)
		}
		for _, other := range install.AllTimeouts() {
			timeouts := s.hooks["app"].Timeouts
			if got := *other.Of(&timeouts); other.Name == one.Name && got != want || other.Name != one.Name && got != other.Default {
				t.Errorf("with %s = %v: %s is %v", one.Name, want, other.Name, got)
			}
		}
		for _, wrong := range []time.Duration{one.Min - time.Millisecond, one.Max + time.Millisecond} {
			text := fmt.Sprintf("%s[component.timeouts]\n%s = %q\n", minimal, one.Name, wrong)
			if _, err := loadSettings(writeConfig(t, text)); exitCode(err) != exitConfig {
				t.Errorf("%s = %v: got %v, want exit code %d", one.Name, wrong, err, exitConfig)
			}
		}
	}
}

func TestConfigRefusals(t *testing.T) {
	type change struct{ old, new string } // old is replaced in minimal; "" appends
	for _, c := range []struct {
		name string
		change
		line int
		says string
		hint string
	}{
		{"unknown key", change{`targets = `, `target = `}, 6, `unknown key "repository.target"`, `"targets"`},
		{"unknown key, like nothing", change{`targets = `, `xyzzyxyzzy = `}, 6, `unknown key "repository.xyzzyxyzzy"`, "known here: backoff_max"},
		{"unknown table", change{`[device]`, `[devices]`}, 1, `unknown key "devices"`, `"device"`},
		{"unknown key in a component", change{`hook = `, `hok = `}, 10, `unknown key "component[0].hok"`, `"hook"`},
		{"unknown key in an inline table", change{`name = "app"`, `health = { htp = "x" }`}, 8, `"component[0].health.htp"`, `"http"`},
		{"a key twice", change{`hardware = "board"`, "id = \"other\"\nhardware = \"board\""}, 3, `"device.id" comes twice`, "line 2"},
		{"a table twice", change{"", "[device]\n"}, 11, `"device" comes twice`, "line 1"},
		{"number for text", change{`id = "board-1"`, `id = 1`}, 2, `"device.id" wants a text in quotes, got a whole number`, ""},
		{"text for number", change{`targets = `, "rate_min = \"500\"\ntargets = "}, 6, `"repository.rate_min" wants a whole number, got a text`, ""},
		{"text for bool", change{`name = "app"`, "name = \"app\"\nreboot = \"yes\""}, 9, `wants true or false`, ""},
		{"text for list", change{"", "[reboot]\ncommand = \"reboot\"\n"}, 12, `wants a list, got a text`, ""},
		{"number in a list", change{"", "[reboot]\ncommand = [1]\n"}, 12, `"reboot.command[0]" wants a text`, ""},
		{"text for table", change{`[device]`, "[mqtt]\n[device]\n"}, 1, `"mqtt.broker"`, ""},
		{"table for text", change{`id = "board-1"`, `id.x = "board-1"`}, 2, `"device.id" wants a text`, ""},
		{"one table where many are", change{`[[component]]`, `[component]`}, 7, `"component" wants a list`, "[[component]]"},
		{"many tables where one is", change{`[device]`, `[[device]]`}, 1, `"device" wants a table, got a list`, ""},
		{"not TOML", change{`[device]`, `[device`}, 1, `not TOML`, ""},
		{"not UTF-8", change{`board-1`, "board-\xff"}, 2, `not TOML`, ""},
		{"no device ID", change{`id = "board-1"`, ``}, 1, `"device.id": want 1 to 64`, ""},
		{"a device ID with a slash", change{`board-1`, `board/1`}, 2, `got "board/1"`, ""},
		{"a device ID too long", change{`board-1`, strings.Repeat("x", 65)}, 2, `want 1 to 64`, ""},
		{"a device ID from no file", change{`board-1`, `file:/none/machine-id`}, 2, `/none/machine-id`, ""},
		{"duration without a unit", change{`targets = `, "poll = \"360\"\ntargets = "}, 6, `"6h", got "360"`, ""},
		{"duration too short", change{`targets = `, "poll = \"59s\"\ntargets = "}, 6, `want 1m0s to 720h0m0s, got "59s"`, ""},
		{"duration too long", change{`targets = `, "poll = \"31d\"\ntargets = "}, 6, `got "31d"`, ""},
		{"duration that overflows", change{`targets = `, "poll = \"99999999d\"\ntargets = "}, 6, `want a number with a unit`, ""},
		{"negative duration", change{`targets = `, "poll = \"-6h\"\ntargets = "}, 6, `got "-6h"`, ""},
		{"back-off upside down", change{`targets = `, "backoff_min = \"1h\"\nbackoff_max = \"1m\"\ntargets = "}, 7, `at least backoff_min`, ""},
		{"rate of 0", change{`targets = `, "rate_min = 0\ntargets = "}, 6, `want 1 to`, ""},
		{"a mirror without host", change{`targets = `, "metadata_mirrors = [\"https:///m\"]\ntargets = "}, 6, `"repository.metadata_mirrors": the URL names no host`, ""},
		{"media that is no place", change{`targets = `, "media = [\"/run/media/usb*\"]\ntargets = "}, 6, `* stands for a whole name`, ""},
		{"too many mirrors", change{`[[component]]`, "targets_mirrors = [" + strings.Repeat(`"https://m/",`, 16) + "]\n[[component]]"}, 7, `at most 15 mirrors, got 16`, ""},
		{"a proxy over ftp", change{`targets = `, "proxy = \"ftp://p\"\ntargets = "}, 6, `http:// or https:// or socks5:// or socks5h://`, ""},
		{"a key without its certificate", change{`targets = `, "key = \"/k.pem\"\ntargets = "}, 4, `cert and key go together`, ""},
		{"bandwidth too low", change{`targets = `, "bandwidth_max = 999\ntargets = "}, 6, `0 (no cap) or 1000 to`, ""},
		{"no repository", change{`metadata = "https://updates.example/metadata"`, ``}, 4, `"repository.metadata": want a URL`, ""},
		{"ftp", change{`https://updates.example/metadata`, `ftp://updates.example`}, 5, `https:// or http:// or file://`, ""},
		{"file with two slashes", change{`https://updates.example/metadata`, `file://media/usb`}, 5, `three slashes`, ""},
		{"URL without host", change{`https://updates.example/metadata`, `https:///metadata`}, 5, `names no host`, ""},
		{"relative path", change{`/usr/lib/ota-agent/hooks/`, `hooks/`}, 10, `want an absolute path, got "hooks/app-symlink"`, ""},
		{"socket path too long", change{`[device]`, "socket = \"/" + strings.Repeat("x", 110) + "\"\n[device]"}, 1, `the kernel takes no longer`, ""},
		{"placeholder", change{`{hardware}/`, `{hw}/`}, 9, `known in braces`, ""},
		{"brace", change{`{hardware}/`, `{hardware/`}, 9, `known in braces`, ""},
		{"target with a slash in front", change{`{hardware}/`, `/`}, 9, `without a slash in front`, ""},
		{"no component", change{minimal[strings.Index(minimal, "[[component]]"):], ""}, 0, `want 1 to 32`, ""},
		{"two with one name", change{"", "[[component]]\nname = \"app\"\ntarget = \"b\"\nhook = \"/b\"\n"}, 12, `two components "app"`, ""},
		{"reserved environment", change{`name = "app"`, "name = \"app\"\nenv = { OTA_SLOT = \"A\" }"}, 9, `OTA_SLOT`, ""},
		{"settle after the deadline", change{"", "[component.health]\nsettle = \"10m\"\n"}, 12, `less than deadline`, ""},
		{"a window of no day", change{"", "[gates]\ninstall_windows = [\"01:00-05:00\", \"Someday 01:00-05:00\"]\n"}, 12, `want days such as Mon-Fri or Sat,Sun, got "Someday"`, ""},
		{"a window without an end", change{"", "[gates]\ndownload_windows = [\"01:00\"]\n"}, 12, `"gates.download_windows": want two different times`, ""},
		{"too many windows", change{"", "[gates]\ndownload_windows = [" + strings.Repeat(`"01:00-02:00",`, 17) + "]\n"}, 12, `at most 16 windows, got 17`, ""},
		{"a zone that nobody knows", change{"", "[gates]\nzone = \"Europe/Atlantis\"\n"}, 12, `does not know the time zone "Europe/Atlantis"`, "tzdata"},
		{"a zone outside of its place", change{"", "[gates]\nzone = \"../../etc/shadow\"\n"}, 12, `does not know the time zone`, "tzdata"},
		{"a battery beyond full", change{"", "[gates]\nbattery_min = 101\n"}, 12, `want 0 to 100 percent, got 101`, ""},
		{"a temperature below zero", change{"", "[gates]\ntemperature_max = -1\n"}, 12, `want 0 to 150`, ""},
		{"a deferral of minutes", change{"", "[gates]\ndefer_max = \"5m\"\n"}, 12, `want 1h0m0s to`, ""},
		{"a relative gate hook", change{"", "[gates]\nhook = \"gate\"\n"}, 12, `absolute path`, ""},
		{"a budget of kilobytes", change{`targets = `, "day_bytes_max = 5000\ntargets = "}, 6, `want 1000000 to 1000000000000 bytes a day, or 0`, ""},
		{"targets files of kilobytes", change{`targets = `, "targets_file_max = 65536\ntargets = "}, 6, `want 1048576 to 67108864 bytes, got 65536`, ""},
		{"targets files without end", change{`targets = `, "targets_file_max = 67108865\ntargets = "}, 6, `want 1048576 to 67108864 bytes`, ""},
		{"rtc", change{`hardware = `, "rtc = \"maybe\"\nhardware = "}, 3, `one of auto, none`, ""},
		{"no reboot command", change{"", "[reboot]\ncommand = []\n"}, 12, `got nothing`, ""},
		{"broker without scheme", change{"", "[mqtt]\nbroker = \"broker:1883\"\n"}, 12, `tls://HOST:8883`, ""},
		{"certificate without key", change{"", "[mqtt]\nbroker = \"tls://b\"\ncert = \"/c\"\n"}, 13, `go together`, ""},
		{"wildcard prefix", change{"", "[mqtt]\nbroker = \"tls://b\"\nprefix = \"#\"\n"}, 13, `mqtt.prefix`, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			text := minimal + c.new
			if c.old != "" {
				text = strings.Replace(minimal, c.old, c.new, 1)
			}
			_, err := loadSettings(writeConfig(t, text))
			var wrong *configError
			if !errors.As(err, &wrong) || exitCode(err) != exitConfig {
				t.Fatalf("got %v, want a refusal with exit code %d", err, exitConfig)
			}
			if wrong.line != c.line || !strings.Contains(wrong.what, c.says) || !strings.Contains(wrong.hint, c.hint) {
				t.Errorf("line %d: %s\n  hint: %s\nwant line %d: …%s…\n  hint: …%s…", wrong.line, wrong.what, wrong.hint, c.line, c.says, c.hint)
			}
			if strings.ContainsAny(plain(wrong.what), "\n\x1b") {
				t.Errorf("more than a line: %q", wrong.what)
			}
		})
	}
}

func TestPasswordsInURLsAreNotShown(t *testing.T) {
	secret := strings.Replace(minimal, "https://updates.example/metadata", "https://user:hunter2@updates.example/metadata?sig=hunter3", 1)
	s, err := loadSettings(writeConfig(t, secret))
	if err != nil || s.agent.RepositoryURL != "https://updates.example/metadata" {
		t.Errorf("shown as %q, %v", s.agent.RepositoryURL, err)
	}
	for _, bad := range []string{"htps://user:hunter2@x", "https://user:hunter2@", "file://user:hunter2@x/y"} {
		_, err := loadSettings(writeConfig(t, strings.Replace(minimal, "https://updates.example/metadata", bad, 1)))
		if err == nil || strings.Contains(err.Error(), "hunter") {
			t.Errorf("%v shows a password, or is no error", err)
		}
	}
}

func TestDeviceIDFromAFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "serial")
	if err := os.WriteFile(path, []byte("board-77\x00\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := loadSettings(writeConfig(t, strings.Replace(minimal, "board-1", "file:"+path, 1)))
	if err != nil || s.agent.Device.ID != "board-77" {
		t.Errorf("got %q, %v", s.agent.Device.ID, err)
	}
}

func TestConfigIsBounded(t *testing.T) {
	_, err := loadSettings(writeConfig(t, minimal+strings.Repeat("#", configBytesMax)))
	if exitCode(err) != exitConfig {
		t.Errorf("got %v", err)
	}
}

func TestNearest(t *testing.T) {
	known := []string{"poll", "metadata", "backoff_min", "ca"}
	for word, want := range map[string]string{
		"pol": "poll", "metdata": "metadata", "backof_min": "backoff_min", "backoffmin": "backoff_min",
		"x": "", "": "", "completely": "", strings.Repeat("a", 1000): "",
	} {
		if got := nearest(word, known); got != want {
			t.Errorf("nearest(%.20q) = %q, want %q", word, got, want)
		}
	}
}

// No input makes it panic, and each error names a line of the file.
func FuzzConfig(f *testing.F) {
	f.Add(minimal)
	f.Add("[mqtt]\nbroker = \"tls://x\"\n[component.health]\n[[component]]\nenv.A = \"b\"\n")
	f.Add("[gates]\ninstall_windows = [\"Mon 01:00-02:00\"]\nzone = \"Europe/Berlin\"\n")
	f.Add("a = {b = [1, {c = 1.5}], \"d.e\" = 1979-05-27}\n")
	f.Fuzz(func(t *testing.T, text string) {
		var file configFile
		at, wrong := decode([]byte(text), &file)
		if wrong != nil {
			if wrong.line < 1 || wrong.line > strings.Count(text, "\n")+1 || wrong.what == "" {
				t.Fatalf("line %d: %q", wrong.line, wrong.what)
			}
			return
		}
		c := &checker{file: "config.toml", at: at}
		c.agent(file)
		c.repository(file.Repository)
		c.gates(file.Gates, "/run/agent.sock")
		for i, comp := range file.Component {
			c.hook(i, comp)
		}
		_ = c.first()
	})
}

// What config check shows ends up in tickets: no password or signature of a URL may be in it.
func TestConfigCheckShowsNoSecret(t *testing.T) {
	secret := strings.Replace(minimal, "https://updates.example/metadata", "https://user:hunter2@updates.example/metadata?sig=hunter3", 1)
	secret = strings.Replace(secret, "[[component]]", "[mqtt]\nbroker = \"tls://broker.example:8883\"\nusername = \"u\"\n[[component]]", 1)
	s, err := loadSettings(writeConfig(t, secret))
	if err != nil {
		t.Fatal(err)
	}
	shown := align(s.rows(verifier.RoleInfo{Version: 3}))
	for _, want := range []string{"https://updates.example/metadata", "broker     tls://broker.example:8883", "root version 3"} {
		if !strings.Contains(shown, want) {
			t.Errorf("no %q in\n%s", want, shown)
		}
	}
	if strings.Contains(shown, "hunter") {
		t.Errorf("a secret in\n%s", shown)
	}
}

// What a file says that has no ID yet is no ID: all devices of a fleet would have the same one.
func TestAnIDThatIsNoneIsRefused(t *testing.T) {
	for text, ok := range map[string]bool{
		"uninitialized\n": false, "uninitialized": false, "": false, "\n": false, strings.Repeat("0", 32) + "\n": false,
		"0123456789abcdef0123456789abcdef\n": true, "00000000000000000000000000000001\n": true, "board-1\x00": true,
		"root:$6$hash:19000\n": false,
	} {
		file := filepath.Join(t.TempDir(), "machine-id")
		if err := os.WriteFile(file, []byte(text), 0o444); err != nil {
			t.Fatal(err)
		}
		s, err := loadSettings(writeConfig(t, strings.Replace(minimal, `"board-1"`, fmt.Sprintf("%q", filePrefix+file), 1)))
		if ok != (err == nil) || !ok && exitCode(err) != exitConfig {
			t.Errorf("%q: got %q, %v", text, s.agent.Device.ID, err)
		}
		if err != nil && strings.Contains(err.Error(), "$6$") {
			t.Errorf("the error shows what the file holds: %v", err)
		}
	}
}

// TestGatesWithoutAZoneAreInUTC: whatever zone the machine has: it may be another one in the next slot.
func TestGatesWithoutAZoneAreInUTC(t *testing.T) {
	local := time.Local
	time.Local = time.FixedZone("here", 5*60*60)
	defer func() { time.Local = local }()
	for name, text := range map[string]string{"no gates": minimal, "windows without a zone": minimal + "[gates]\ninstall_windows = [\"01:00-05:00\"]\n"} {
		s, err := loadSettings(writeConfig(t, text))
		if err != nil {
			t.Fatal(err)
		}
		if _, offset := time.Now().In(s.agent.Gates.Zone).Zone(); offset != 0 {
			t.Errorf("%s: the zone is %s, %d s off", name, s.agent.Gates.Zone, offset)
		}
	}
}
