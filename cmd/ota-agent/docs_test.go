package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/ota-agent/ota-agent/agent"
)

// constants lists the values of all constants with a prefix in a Go file.
func constants(t *testing.T, file, prefix string) []string {
	t.Helper()
	parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	var values []string
	ast.Inspect(parsed, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if ok && strings.HasPrefix(spec.Names[0].Name, prefix) && len(spec.Values) == 1 {
			if literal, ok := spec.Values[0].(*ast.BasicLit); ok {
				value := literal.Value
				if text, err := strconv.Unquote(value); err == nil {
					value = text
				}
				values = append(values, value)
			}
		}
		return true
	})
	if len(values) == 0 {
		t.Fatalf("no constants %s… in %s", prefix, file)
	}
	return values
}

// rows lists the first cells of a Markdown file's tables below a heading, each name in it.
func rows(t *testing.T, file, heading string) []string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	_, below, found := strings.Cut(string(text), heading)
	if !found {
		t.Fatalf("%s has no heading %q", file, heading)
	}
	var names []string
	for _, row := range regexp.MustCompile(`(?m)^\| ([^|]+) \|`).FindAllStringSubmatch(below, -1) {
		for _, name := range strings.Fields(row[1]) {
			names = append(names, strings.Trim(name, "`"))
		}
	}
	return names
}

func sameSet(t *testing.T, what string, documented, known []string) {
	t.Helper()
	for _, k := range known {
		if !slices.Contains(documented, k) {
			t.Errorf("%s %q has no row in the documentation", what, k)
		}
	}
	for _, d := range documented {
		if !slices.Contains(known, d) {
			t.Errorf("%s %q is documented and does not exist", what, d)
		}
	}
}

func TestEveryReasonIsDocumented(t *testing.T) {
	documented := rows(t, "../../docs/status.md", "## Problems")
	documented = slices.DeleteFunc(documented, func(s string) bool { return s == "reason" })
	sameSet(t, "reason", documented, constants(t, "../../agent/problem.go", "Reason"))
}

func TestEveryExitCodeIsDocumented(t *testing.T) {
	documented := rows(t, "../../docs/exit-codes.md", "# Exit codes")
	documented = slices.DeleteFunc(documented, func(s string) bool { return s == "code" })
	sameSet(t, "exit code", documented, constants(t, "exit.go", "exit"))
}

func TestEveryConditionIsDocumented(t *testing.T) {
	text, err := os.ReadFile("../../docs/status.md")
	if err != nil {
		t.Fatal(err)
	}
	_, below, _ := strings.Cut(string(text), "### Conditions")
	table, _, _ := strings.Cut(below, "\n## ")
	var documented []string
	for _, row := range regexp.MustCompile("(?m)^\\| `([a-z_]+)` \\|").FindAllStringSubmatch(table, -1) {
		documented = append(documented, row[1])
	}
	sameSet(t, "condition", documented, constants(t, "../../agent/condition.go", "Condition"))
}

func TestEveryStatusFieldIsDocumented(t *testing.T) {
	text, err := os.ReadFile("../../docs/status.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range jsonNames(reflect.TypeFor[agent.Status]()) {
		if !regexp.MustCompile("[`.]" + regexp.QuoteMeta(name) + "`").Match(text) {
			t.Errorf("status field %q is not in docs/status.md", name)
		}
	}
}

func TestEveryEventIsDocumented(t *testing.T) {
	const file = "../../docs/events.md"
	documented := rows(t, file, "## Kinds")
	documented = slices.DeleteFunc(documented, func(s string) bool { return s == "kind" })
	kinds := slices.DeleteFunc(constants(t, "../../agent/event.go", "Event"), func(s string) bool { return s == "1" }) // EventSchema
	sameSet(t, "event", documented, kinds)
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range append(jsonNames(reflect.TypeFor[agent.Event]()), jsonNames(reflect.TypeFor[agent.History]())...) {
		if !regexp.MustCompile("[`.]" + regexp.QuoteMeta(name) + "`").Match(text) {
			t.Errorf("event field %q is not in docs/events.md", name)
		}
	}
}

// jsonNames lists the field names of a document.
func jsonNames(t reflect.Type) []string {
	var names []string
	switch t.Kind() {
	case reflect.Pointer, reflect.Slice:
		return jsonNames(t.Elem())
	case reflect.Struct:
		if t == reflect.TypeFor[time.Time]() {
			return nil
		}
		for i := range t.NumField() {
			name, _, _ := strings.Cut(t.Field(i).Tag.Get("json"), ",")
			if name == "-" || !t.Field(i).IsExported() {
				continue
			}
			nested := jsonNames(t.Field(i).Type)
			if len(nested) == 0 || name != "device" && name != "time" && name != "counters" && name != "repository" && name != "mqtt" {
				names = append(names, name)
			}
			names = append(names, nested...)
		}
	}
	return names
}

// The example shows every key, and is a config that works but for the files that a real device has.
func TestExampleConfigIsValid(t *testing.T) {
	text, err := os.ReadFile("../../packaging/config.example.toml")
	if err != nil {
		t.Fatal(err)
	}
	example := strings.Replace(string(text), "file:/etc/machine-id", "board-1", 1)
	s, err := loadSettings(writeConfig(t, example))
	if err != nil {
		t.Fatal(err)
	}
	if len(s.agent.Components) != 2 || s.mqtt == nil {
		t.Errorf("got %+v", s)
	}
	// What is commented out is valid too, and says what the default is.
	full := regexp.MustCompile(`(?m)^# ([a-z_]+ = )`).ReplaceAllString(example, "$1")
	every, err := loadSettings(writeConfig(t, full))
	if err != nil {
		t.Fatalf("with everything that is commented out: %v", err)
	}
	var c configFile
	at, wrong := decode([]byte(full), &c)
	if wrong != nil {
		t.Fatal(wrong)
	}
	for _, path := range configPaths(reflect.TypeFor[configFile](), "") {
		if at[path] == 0 {
			t.Errorf("the example does not show %s", path)
		}
	}
	for name, pair := range map[string][2]any{
		"poll":        {s.agent.Poll, every.agent.Poll},
		"day_bytes":   {s.agent.DayBytesMax, every.agent.DayBytesMax},
		"zone":        {s.agent.Gates.Zone, every.agent.Gates.Zone},
		"inhibit":     {s.agent.Gates.InhibitDir, every.agent.Gates.InhibitDir},
		"battery":     {s.agent.Gates.BatteryMin, every.agent.Gates.BatteryMin},
		"temperature": {s.agent.Gates.TemperatureMax, every.agent.Gates.TemperatureMax},
		"backoff_min": {s.agent.BackoffMin, every.agent.BackoffMin},
		"backoff_max": {s.agent.BackoffMax, every.agent.BackoffMax},
		"rtc":         {s.agent.NoRTC, every.agent.NoRTC},
		"hash_prefix": {s.agent.Limits, every.agent.Limits},
		"channel":     {s.agent.Device.Channel, every.agent.Device.Channel},
		"command":     {s.reboot, every.reboot},
		"boot_id":     {s.bootID, every.bootID},
		"keep_alive":  {s.mqtt.KeepAlive, every.mqtt.KeepAlive},
		"prefix":      {s.mqtt.Prefix, every.mqtt.Prefix},
		"jitter":      {s.mqtt.StartJitter, every.mqtt.StartJitter},
		"reconnect":   {s.mqtt.ReconnectSpread, every.mqtt.ReconnectSpread},
		"wake_spread": {s.mqtt.WakeSpread, every.mqtt.WakeSpread},
		"spread_max":  {s.agent.SpreadMax, every.agent.SpreadMax},
		"component":   {s.agent.Components, every.agent.Components},
		"timeouts":    {s.hooks["rootfs"].Timeouts, every.hooks["rootfs"].Timeouts},
	} {
		if !reflect.DeepEqual(pair[0], pair[1]) {
			t.Errorf("the example shows %v as the default of %s; it is %v", pair[1], name, pair[0])
		}
	}
}

// configPaths lists the keys of the config, those of the first component for all.
func configPaths(t reflect.Type, path string) []string {
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t.Kind() == reflect.Slice && t.Elem().Kind() == reflect.Struct {
		t, path = t.Elem(), path+"[0]"
	}
	if t.Kind() != reflect.Struct {
		if path == "component[0].env" {
			return nil // shown with the second component
		}
		return []string{path}
	}
	var paths []string
	for i := range t.NumField() {
		key := t.Field(i).Tag.Get("toml")
		if path != "" {
			key = path + "." + key
		}
		paths = append(paths, configPaths(t.Field(i).Type, key)...)
	}
	return paths
}
