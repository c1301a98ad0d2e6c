package sim

import (
	"encoding/json"
	"sync"

	"github.com/ota-agent/ota-agent/mqtt/schematest"
)

// schemas are those of docs/schemas. The simulation runs in its own directory.
var schemas = sync.OnceValues(func() (schematest.Schemas, error) { return schematest.ReadSchemas("../../docs") })

// statusPart: one status document in so many is held against its schema, each time the world is at rest. All
// of them would take a third of a campaign's time.
const statusPart = 8

// checkDocument holds what the agent would publish on a topic against its schema.
func (w *World) checkDocument(topic string, document any) {
	s, err := schemas()
	if err != nil {
		w.breach("the schemas can't be read: %v", err)
		return
	}
	text, err := json.Marshal(document)
	if err == nil {
		err = s.Published(topic, text)
	}
	if err != nil {
		w.breach("the agent publishes what is against its schema: %s: %v: %s", topic, err, text)
	}
}
