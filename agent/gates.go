package agent

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"strconv"
	"time"

	"github.com/ota-agent/ota-agent/release"
)

// rolloutSlack is the part of a rollout's duration by which a timestamp may be older than the time, or after the rollout's
// end than that end: a replayed timestamp can't finish a ramp that was stopped, neither during it nor later.
const rolloutSlack = 20

// place is this device's place in [0,1) within a rollout: the same at each check, another for each release.
func place(deviceID, releaseID string) float64 {
	sum := sha256.Sum256([]byte(deviceID + "\x00" + releaseID))
	return float64(binary.BigEndian.Uint64(sum[:8])>>11) / (1 << 53)
}

// rolloutGate closes until the device's turn has come, by the effective time and by a timestamp that was signed
// recently enough. A zero signedAt: no timestamp is known to be in force.
func rolloutGate(r *release.Rollout, deviceID, releaseID string, now, signedAt time.Time) *Waiting {
	if r == nil {
		return nil
	}
	turn := r.Start.Add(time.Duration(float64(r.Duration) * place(deviceID, releaseID)))
	if now.Before(turn) {
		return &Waiting{Reason: ReasonRollout, Left: SecondsOf(turn.Sub(now)),
			Text: "this device joins the rollout at " + turn.UTC().Format(time.RFC3339)}
	}
	oldest := now
	if end := r.Start.Add(r.Duration); end.Before(now) {
		oldest = end
	}
	oldest = oldest.Add(-r.Duration / rolloutSlack)
	switch {
	case r.Duration <= 0 || !signedAt.Before(oldest):
		return nil
	case signedAt.IsZero():
		return &Waiting{Reason: ReasonRollout, Text: "joining the rollout needs a refresh that succeeds"}
	}
	return &Waiting{Reason: ReasonRollout, Text: fmt.Sprintf(
		"joining the rollout needs a timestamp signed after %s; the newest one was signed at %s",
		oldest.UTC().Format(time.RFC3339), signedAt.UTC().Format(time.RFC3339))}
}

// signedAt is when the timestamp was signed that names what is offered, by its publisher's word; zero: none is known. One that
// does not say so, as other publishers' do not, counts as signed now while refreshes succeed: the rollout then goes by the time
// alone, and what bounds a replay is that timestamp's expiry.
func (e *engine) signedAt(now time.Time) time.Time {
	if at := e.last.signedAt; !at.IsZero() || e.lastBegan < 0 || e.lastProblem != nil {
		return at
	}
	return now
}

// pauseGate closes while the operator has paused updates.
func pauseGate(paused bool) *Waiting {
	if !paused {
		return nil
	}
	return &Waiting{Reason: ReasonPaused, Text: "updates are paused; `ota-agent resume` ends this"}
}

// requiresGate closes until the components that a release requires run what has their index.
func requiresGate(requires []release.Requirement, records map[string]Record) *Waiting {
	for _, q := range requires {
		if index := confirmedIndex(records[q.Component]); index < q.RollbackIndex {
			runs := "none that is known"
			if index >= 0 {
				runs = strconv.FormatInt(index, 10)
			}
			return &Waiting{Reason: ReasonRequires, Text: fmt.Sprintf(
				"requires component %s at rollback_index %d; it runs %s", q.Component, q.RollbackIndex, runs)}
		}
	}
	return nil
}

// unmet reports whether a component waits for what its release requires.
func (w *Waiting) unmet() bool {
	return w != nil && (w.Reason == ReasonRequires || w.Reason == ReasonRequiresCycle)
}

// confirmedIndex is the rollback_index of what the component has confirmed, or -1.
func confirmedIndex(r Record) int64 {
	if r.Confirmed == nil {
		return -1
	}
	if index := r.Confirmed.Info().RollbackIndex; index != nil {
		return *index
	}
	return -1
}

// firstClosed is the first gate that is closed, or nil.
func firstClosed(gates ...*Waiting) *Waiting {
	for _, g := range gates {
		if g != nil {
			return g
		}
	}
	return nil
}
