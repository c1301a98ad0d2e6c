package sim

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"time"

	"github.com/ota-agent/ota-agent/agent"
	"github.com/ota-agent/ota-agent/verifier"
)

// check looks at the world after each step. What it finds ends the run.
func (w *World) check() {
	if w.unchecked {
		return
	}
	for _, b := range w.boards {
		w.checkSlots(b)
		w.checkRecord(w.disk.state.Records[b.component])
	}
	w.checkTrust()
	w.checkMinimum()
	w.checkTime()
	w.checkImages()
}

// checkSlots: whatever may boot next is a whole image of the publisher's, and one good slot is always there.
func (w *World) checkSlots(b *board) {
	for _, name := range []string{b.primary, b.try} {
		if name != "" && w.repo.hashOf(b.slots[name].image) == "" {
			w.breach("%s: slot %s may boot next and holds no release of the publisher", b.component, name)
		}
	}
	primary := b.slots[b.primary]
	if !primary.good && b.confirmed {
		w.breach("%s: the primary slot %s is not good", b.component, b.primary)
	}
	if !bytes.HasPrefix(primary.image, []byte(fine)) {
		w.breach("%s: slot %s is primary and holds a bad release: %.20q", b.component, b.primary, primary.image)
	}
}

// checkRecord: nothing that was not the release's fault is held against a good one.
func (w *World) checkRecord(r agent.Record) {
	if r.Phase != agent.Rejecting {
		delete(w.rejects, r.Component)
	}
	for _, x := range r.Rejected {
		early := x.Last.Reason == agent.ReasonNeverBooted && w.earlyCuts >= agent.LostBootsMax
		byOperator := x.Last.Reason == agent.ReasonOperator || x.Last.Reason == agent.ReasonCancelled && w.cancelled
		how := w.repo.behaviour(x.ID)
		if strings.HasPrefix(how, fine) && how != fineOnce && !early && !byOperator {
			w.breach("%s: the good release %.8s is rejected: %s", r.Component, x.ID, x.Last.Text)
		}
	}
	if r.Confirmed != nil && !strings.HasPrefix(w.repo.behaviour(r.Confirmed.ID()), fine) {
		w.breach("%s: the bad release %.8s is confirmed", r.Component, r.Confirmed.ID())
	}
}

// checkTakeUp: an idle component takes up what the config names, and nothing else.
func (w *World) checkTakeUp(c agent.Change) {
	for _, r := range c.Records {
		if old := w.disk.state.Records[r.Component]; r.Phase != agent.Fetching || old.Release != nil {
			continue
		}
		named := slices.ContainsFunc(w.settings.Components, func(x agent.Component) bool {
			return x.Name == r.Component && x.TargetPath(w.settings.Device) == r.Release.Target.Path
		})
		if !named {
			w.breach("%s: release %.8s of %s is taken up, and the config names another target", r.Component, r.Release.ID(), r.Release.Target.Path)
		}
	}
}

// checkTold: whoever hears that an update did not stay hears why.
func (w *World) checkTold(c agent.Change) {
	for _, e := range c.Events {
		switch e.Kind {
		case agent.EventGoingBack, agent.EventWithdrawn, agent.EventRejected, agent.EventGivenUp, agent.EventHeld, agent.EventFailed:
			if e.Problem == nil || e.Problem.Text == "" {
				w.breach("%s: event %s does not say why", e.Component, e.Kind)
			}
		}
	}
}

// checkImages: what lies under a final name is what its name says (but for rot, which the agent must notice), and what
// a record calls staged is there, also after a power cut.
func (w *World) checkImages() {
	m := w.disk.images
	for name, f := range m.seen {
		if id, final := strings.CutPrefix(name, "images/"); final && w.repo.hashOf(f.data) != id && !m.rotten {
			w.breach("image %.8s lies under its final name and its bytes are others", id)
		}
	}
	for _, r := range w.disk.state.Records {
		if r.Phase == agent.Staged || r.Phase == agent.Writing {
			if m.seen[finalName(r.Release.Target)] == nil {
				w.breach("%s is %s and its image is not there", r.Component, r.Phase)
			}
		}
	}
}

// checkTrust: floors never fall, and the database never claims more than they hold; but for what a stolen key
// had signed, which the root that revokes it makes void.
func (w *World) checkTrust() {
	now, before := w.disk.floors, w.highest
	fell := func(what string, now, then int64) {
		if now < then {
			w.breach("the %s floor fell from %d to %d", what, then, now)
		}
	}
	fell("root", now.RootVersion, before.RootVersion)
	if !w.stolenTime || now.RootVersion == before.RootVersion {
		fell("timestamp", now.Timestamp.Version, before.Timestamp.Version)
		fell("snapshot", now.Snapshot.Version, before.Snapshot.Version)
	}
	for name, floor := range before.Index {
		fell(name+" rollback_index", now.Index[name].Version, floor.Version)
	}
	w.highest = now
	for role, floor := range map[string]int64{verifier.Timestamp: now.Timestamp.Version, verifier.Snapshot: now.Snapshot.Version} {
		if v := w.disk.versions[role]; v > floor && !(w.stolenTime && floor == 0) {
			w.breach("%s %d is trusted and its floor is %d", role, v, floor)
		}
	}
	for name, r := range w.disk.state.Records {
		if r.Confirmed != nil && r.Confirmed.Info().RollbackIndex != nil && *r.Confirmed.Info().RollbackIndex > now.Index[name].Version {
			w.breach("%s: index %d is confirmed and its floor is %d", name, *r.Confirmed.Info().RollbackIndex, now.Index[name].Version)
		}
	}
}

// checkMinimum: nothing is trusted or taken up that lies below what the running image ships.
func (w *World) checkMinimum() {
	m := w.minimum(w)
	if w.onTrial() {
		return // what was accepted under the image before stays, and what is accepted now is not kept
	}
	for role, floor := range map[string]int64{verifier.Timestamp: m.Timestamp.Version, verifier.Snapshot: m.Snapshot.Version} {
		if v, trusted := w.disk.versions[role]; trusted && v < floor {
			w.breach("%s %d is trusted and the image demands %d", role, v, floor)
		}
	}
	for name, floor := range m.Index {
		if r := w.disk.state.Records[name].Release; r != nil && *r.Info().RollbackIndex < floor.Version {
			w.breach("%s takes up index %d and the image demands %d", name, *r.Info().RollbackIndex, floor.Version)
		}
	}
}

// onTrial: what runs may be given up again, and its demands with it.
func (w *World) onTrial() bool { b := w.boards[rootfs]; return b.booted != b.primary }

// checkRaise: a component's index floor rises only once its boot environment shows the release as kept.
func (w *World) checkRaise(from, to verifier.Floors) {
	for name, floor := range to.Index {
		if w.unchecked || floor.Version <= from.Index[name].Version {
			continue
		}
		b := w.boards[name]
		if s := b.slots[b.booted]; b.booted != b.primary || !s.good || w.repo.index(s.image) != floor.Version {
			w.breach("%s: the index floor rises to %d, but slot %s is booted, %s is primary, and good is %t",
				name, floor.Version, b.booted, b.primary, s.good)
		}
	}
}

// checkTime: the floor of the effective time is never ahead of the true time, whatever the clock says.
func (w *World) checkTime() {
	t := w.disk.state.Time
	for _, floor := range []time.Time{t.SignedAt.Add(t.Accrued), t.Built.Add(t.Ran)} {
		if floor.After(w.now()) && !w.stolenTime {
			w.breach("the time's floor is %s and it is only %s", floor, w.now())
		}
	}
}

// checkEffectiveTime: what the agent takes for the time is never before anything that it has seen signed, but
// for what a thief of a key signed in the future. Its floor does not go back within a life, whatever is
// learned.
func (w *World) checkEffectiveTime(now, floor time.Time) {
	if floor.Before(w.floor) && !w.stolenTime {
		w.breach("the time's floor goes back from %s to %s", w.floor, floor)
	}
	w.floor = floor
	signed := w.disk.state.Time.SignedAt
	if !signed.After(w.now()) && now.Before(signed) || now.Before(w.config(w).BuildTime) {
		w.breach("the effective time is %s, and metadata signed at %s is trusted", now, signed)
	}
}

// checkOrder: a verb runs only while the durable record orders it, with the hook that the record names, and no other
// component is being changed, but for one whose reject fails ever again.
func (w *World) checkOrder(j agent.Job, phase agent.Phase) {
	r := w.disk.state.Records[j.Component]
	if r.Phase != phase || r.TargetSlot != j.Slot || r.Hook != j.Hook {
		w.breach("%s: a verb of %s on slot %s by %s runs, and the record says %s on slot %s by %s",
			j.Component, phase, j.Slot, j.Hook, r.Phase, r.TargetSlot, r.Hook)
	}
	for name, x := range w.disk.state.Records {
		switch x.Phase {
		case agent.Writing, agent.Switched, agent.Trial, agent.Confirming, agent.Rejecting:
			if name != j.Component && w.rejects[name] < agent.RejectFailuresMax && w.rejects[j.Component] < agent.RejectFailuresMax {
				w.breach("%s and %s are changed at the same time", name, j.Component)
			}
		}
	}
}

// checkTry: the repository was asked a short while ago, and what the release requires runs, for good.
func (w *World) checkTry(j agent.Job) {
	w.checkOrder(j, agent.Switched)
	r := w.disk.state.Records[j.Component]
	if ago := w.ran - w.asked; ago > agent.FreshMax && !r.Back {
		w.breach("%s is tried, and the repository was last asked %s ago", j.Component, ago)
	}
	for _, q := range j.Release.Info().Requires {
		b := w.boards[q.Component]
		if runs := w.repo.index(b.slots[b.booted].image); runs < q.RollbackIndex || b.booted != b.primary {
			w.breach("%s, which requires %s %d, is tried on %d", j.Component, q.Component, q.RollbackIndex, runs)
		}
	}
}

// checkConfirm: nothing is confirmed that did not prove itself in this very boot.
func (w *World) checkConfirm(b *board, j agent.Job) {
	w.checkOrder(j, agent.Confirming)
	if b.booted != j.Slot || b.provenIn != w.boots {
		w.breach("%s: slot %s is confirmed in boot %d, slot %s is booted, and health was last proven in boot %d",
			b.component, j.Slot, w.boots, b.booted, b.provenIn)
	}
}

// What wears the device is not done again and again at full speed: after the first times, a verb runs no more
// often than the shortest back-off allows, and the agent orders no more reboots than one an hour.
const (
	attemptsFree = 20
	attemptEvery = 30 * time.Second
	rebootsFree  = 50
	rebootEvery  = time.Hour
)

// checkEffort counts a verb that changes something.
func (w *World) checkEffort(what string) {
	if w.dead {
		return
	}
	w.attempts[what]++
	if n, in := w.attempts[what], w.uptime-w.began; n > attemptsFree+int(in/attemptEvery) {
		w.breach("%s ran %d times in %s", what, n, in)
	}
}

// checkReboots judges the reboots that were ordered.
func (w *World) checkReboots() {
	if w.ordered > rebootsFree+int(w.ran/rebootEvery) {
		w.breach("%d reboots were ordered in %s", w.ordered, w.ran)
	}
}

// version is the version that a metadata file states, or 0.
func version(b []byte) int64 {
	var doc struct {
		Signed struct {
			Version int64 `json:"version"`
		} `json:"signed"`
	}
	_ = json.Unmarshal(b, &doc) // no document, no version
	return doc.Signed.Version
}
