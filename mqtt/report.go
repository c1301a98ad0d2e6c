package mqtt

import (
	"encoding/json"
	"time"

	"github.com/ota-agent/ota-agent/agent"
)

// Bounds of reporting. A download changes the status several times a second, and each document costs its size
// on a link that may be metered.
const (
	// newsEvery is the least time between two documents that say something new.
	newsEvery = time.Second
	// figuresEvery is the least time between two that differ only in figures that move by themselves.
	figuresEvery = 30 * time.Second
)

// A report keeps what the broker was last told in this session. Its zero value is ready: the first document is
// news.
type report struct {
	sent     []byte    // without the figures
	sentAt   time.Time // zero: nothing was sent yet
	document []byte    // the last one, whole, without its sequence number
}

// due says how long to wait before s is to be published; ok is false where s says nothing that the broker was
// not told.
func (r *report) due(s agent.Status, now time.Time) (wait time.Duration, ok bool, err error) {
	if r.sentAt.IsZero() {
		return 0, true, nil
	}
	still, document, err := still(s)
	if err != nil {
		return 0, false, err
	}
	every := figuresEvery
	switch {
	case string(document) == string(r.document):
		return 0, false, nil
	case string(still) != string(r.sent):
		every = newsEvery
	}
	return max(0, r.sentAt.Add(every).Sub(now)), true, nil
}

// published remembers that the broker acknowledged s.
func (r *report) published(s agent.Status, now time.Time) (err error) {
	r.sent, r.document, err = still(s)
	r.sentAt = now
	return err
}

// still returns s without the figures that move by themselves, and s without only its sequence number and
// the effective time, which move with every look.
func still(s agent.Status) (quiet, document []byte, err error) {
	s.Seq, s.Time.Effective = 0, time.Time{}
	if document, err = json.Marshal(s); err != nil {
		return nil, nil, err
	}
	s.Counters, s.Budget = agent.Counters{}, nil
	s.Repository.NextIn = 0
	components := make([]agent.ComponentStatus, len(s.Components))
	for i, c := range s.Components {
		c.Progress, c.Gates = nil, agent.StillGates(c.Gates)
		if c.Condition != nil {
			condition := *c.Condition
			condition.Left, condition.Elapsed, condition.Percent = 0, 0, nil
			c.Condition = &condition
		}
		if c.Waiting != nil {
			waiting := *c.Waiting
			waiting.Left = 0
			c.Waiting = &waiting
		}
		components[i] = c
	}
	s.Components = components
	quiet, err = json.Marshal(s)
	return quiet, document, err
}
