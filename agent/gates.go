package agent

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"strconv"
	"time"

	"github.com/ota-agent/ota-agent/release"
)

// rolloutSlack is the part of a rollout's duration by which a timestamp may be older than the time, or after
// the rollout's end than that end: a replayed timestamp can't finish a ramp that was stopped, neither during
// it nor later.
const rolloutSlack = 20

// place is this device's place in [0,1) within a rollout: the same at each check, another for each release.
func place(deviceID, releaseID string) float64 {
	sum := sha256.Sum256([]byte(deviceID + "\x00" + releaseID))
	return float64(binary.BigEndian.Uint64(sum[:8])>>11) / (1 << 53)
}

// turnOf is when a device joins a rollout.
func turnOf(r *release.Rollout, deviceID, releaseID string) time.Time {
	return r.Start.Add(time.Duration(float64(r.Duration) * place(deviceID, releaseID)))
}

// joinEvery is the shortest time between two refreshes that a rollout asks for.
const joinEvery = time.Minute

// joinWait is how long after the last refresh a device whose turn has come asks again for a timestamp that
// lets it join: at first as often as a timestamp must be signed in a rollout, then ever more seldom, since
// the publisher may have stopped it.
func joinWait(r *release.Rollout, since time.Duration) time.Duration {
	return max(joinEvery, r.Duration/rolloutSlack, since/2)
}

// joinAt is the uptime of the refresh that lets a component join the rollout that it waits for, as soon as
// its turn has come; 0: none. A device whose poll comes hours later would not join at its place: joining
// needs a timestamp that was signed a short while ago. After a refresh that failed its own back-off counts.
func (e *engine) joinAt(c *live) time.Duration {
	if c.running != nil || c.waiting == nil || c.waiting.gate != gateRollout || e.lastProblem != nil || c.offer.Release == nil {
		return 0
	}
	r := c.offer.Release.Info().Rollout
	now, _, _ := e.effectiveTime()
	up := e.p.System.Uptime()
	if r == nil {
		return 0
	}
	since := now.Sub(turnOf(r, e.cfg.Device.ID, c.offer.Release.ID()))
	switch {
	case since < 0:
		return 0
	case up-e.askedFrom > since: // it has not been asked since its turn
		return max(1, up)
	}
	return max(1, e.askedAt+joinWait(r, since))
}

// planJoin plans the refresh for the first component that may join a rollout.
func (e *engine) planJoin() {
	e.plan.join = 0
	for _, c := range e.live {
		if at := e.joinAt(c); at > 0 && (e.plan.join == 0 || at < e.plan.join) {
			e.plan.join = at
		}
	}
}

// rolloutGate closes until the device's turn has come, by the effective time and by a timestamp that was signed
// recently enough. A zero signedAt: no timestamp is known to be in force.
func rolloutGate(r *release.Rollout, deviceID, releaseID string, now, signedAt time.Time) *Waiting {
	if r == nil {
		return nil
	}
	turn := turnOf(r, deviceID, releaseID)
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

// signedAt is when the timestamp was signed that names what is offered, by its publisher's word; zero: none
// is known. One that does not say so, as other publishers' do not, counts as signed now while refreshes
// succeed: the rollout then goes by the time alone, and what bounds a replay is that timestamp's expiry.
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
