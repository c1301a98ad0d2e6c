package agent

import (
	"errors"
	"fmt"
)

// A Throttle holds downloads back.
type Throttle interface {
	// SetBandwidth caps all downloads together, those under way too, in bytes per second; 0 lifts the cap. What it
	// refuses changes nothing.
	SetBandwidth(bytesPerSecond int64) error
}

// setBandwidth is the operator's cap, until the agent starts again: who forgets to lift it has no slow device for ever.
// nil is the config's.
func (e *engine) setBandwidth(bytesPerSecond *int64) error {
	if e.p.Throttle == nil {
		return errors.New("bandwidth: this agent has no cap")
	}
	want := e.cfg.BandwidthMax
	if bytesPerSecond != nil {
		want = *bytesPerSecond
	}
	if err := e.p.Throttle.SetBandwidth(want); err != nil {
		return fmt.Errorf("set the bandwidth: %w", err)
	}
	e.bandwidth = want
	return nil
}
