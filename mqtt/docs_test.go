package mqtt

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/ota-agent/ota-agent/mqtt/schematest"
)

// TestTheDocumentIsRight: docs/mqtt.md names each topic, and its examples are wakes of the schema.
func TestTheDocumentIsRight(t *testing.T) {
	text, err := os.ReadFile("../docs/mqtt.md")
	if err != nil {
		t.Fatal(err)
	}
	document := string(text)
	cfg, _, err := testConfig("tls://broker.example.com").complete()
	if err != nil {
		t.Fatal(err)
	}
	topics := cfg.wakeTopics()
	for _, name := range []string{"status", "online", "event"} {
		topics = append(topics, cfg.deviceTopic(name))
		if rule := "pattern write ota/device/%u/" + name; !strings.Contains(document, rule) {
			t.Errorf("the rules don't say %q", rule)
		}
	}
	for _, topic := range topics {
		if !strings.Contains(document, "\n| `"+topic+"` |") {
			t.Errorf("there is no row for %s", topic)
		}
	}
	for _, topic := range cfg.wakeTopics() {
		if rule := "pattern read " + strings.Replace(topic, "board-1", "%u", 1) + "\n"; !strings.Contains(document, rule) {
			t.Errorf("the rules don't say %q", rule)
		}
	}
	schema, err := schematest.ReadSchema("../docs", "wake")
	if err != nil {
		t.Fatal(err)
	}
	examples := regexp.MustCompile(`-m '([^']*)'`).FindAllStringSubmatch(document, -1)
	if len(examples) < 2 {
		t.Fatalf("only %d examples of a payload", len(examples))
	}
	for _, example := range examples {
		if err := schema.Validate([]byte(example[1])); err != nil {
			t.Errorf("%s: %v", example[1], err)
		}
	}
}
