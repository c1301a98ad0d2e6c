package release

import (
	"bytes"
	"encoding/json"
	"fmt"
	"time"
)

// customJSON and its parts are the wire form, their fields in the order of their names.
type customJSON struct {
	OTA otaJSON `json:"ota"`
}

type otaJSON struct {
	Hardware      []string          `json:"hardware,omitempty"`
	Notes         string            `json:"notes,omitempty"`
	Requires      []requirementJSON `json:"requires,omitempty"`
	RollbackIndex *int64            `json:"rollback_index,omitempty"`
	Rollout       *rolloutJSON      `json:"rollout,omitempty"`
	Urgent        bool              `json:"urgent,omitempty"`
	Version       string            `json:"version,omitempty"`
}

type rolloutJSON struct {
	Duration int64  `json:"duration"`
	Start    string `json:"start"`
}

type requirementJSON struct {
	Component     string `json:"component"`
	RollbackIndex int64  `json:"rollback_index"`
}

// Custom is the custom value that carries i: {"ota": …}, sorted by name and without white space. But for the escaped
// tabs and line feeds in Notes, which JSON demands, it is canonical JSON. It fails where Parse would not read i back
// as it is, and names the field.
func (i Info) Custom() ([]byte, error) {
	o := otaJSON{
		Hardware: i.Hardware, Notes: i.Notes, RollbackIndex: i.RollbackIndex,
		Urgent: i.Urgent, Version: i.Version,
	}
	for _, r := range i.Requires {
		o.Requires = append(o.Requires, requirementJSON(r))
	}
	if i.Rollout != nil {
		if i.Rollout.Duration%time.Second != 0 || i.Rollout.Start.Nanosecond() != 0 {
			return nil, fmt.Errorf("custom.ota: rollout: expected whole seconds, got a start at %s and a duration of %s",
				i.Rollout.Start.Format(time.RFC3339Nano), i.Rollout.Duration)
		}
		o.Rollout = &rolloutJSON{
			Duration: int64(i.Rollout.Duration / time.Second),
			Start:    i.Rollout.Start.UTC().Format(timeLayout),
		}
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(customJSON{o}); err != nil {
		return nil, fmt.Errorf("custom: %w", err)
	}
	custom := bytes.TrimSuffix(b.Bytes(), []byte("\n"))
	// The reader's rules are the writer's: what it would refuse, or read as something else, is not written.
	back, err := Parse(custom)
	if err != nil {
		return nil, err
	}
	if back.Version != i.Version || back.Notes != i.Notes {
		return nil, fmt.Errorf("custom.ota: version or notes are not valid UTF-8")
	}
	return custom, nil
}
