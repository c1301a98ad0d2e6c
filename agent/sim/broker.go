package sim

import (
	"cmp"
	"reflect"
	"slices"

	"github.com/ota-agent/ota-agent/agent"
)

// An identity is what tells a duplicate from news.
type identity struct {
	journal string
	seq     uint64
}

func identityOf(e agent.Event) identity { return identity{e.Journal, e.Seq} }

// A broker is told events while the network is there. In the chaos it loses messages and acknowledgements, says things
// twice and acknowledges what it was never told.
type broker struct {
	w      *World
	got    map[identity]agent.Event
	newest map[string]uint64 // the highest Seq that arrived, by journal
	owed   []agent.Event     // verdicts that were committed
}

func newBroker(w *World) *broker {
	return &broker{w: w, got: map[identity]agent.Event{}, newest: map[string]uint64{}}
}

// exchange has the agent tell what it has to tell. Each message is a step: a fault before its effect loses the message,
// one after it the acknowledgement.
func (b *broker) exchange(a *agent.Agent) {
	for range agent.EventProgressMax + agent.EventVerdictsMax + 1 {
		e, ok := a.NextEvent()
		if !ok || b.w.dead || b.w.rebooting || (mirror{b.w}).unreachable() {
			return
		}
		luck := 1.0
		if !b.w.calm() {
			luck = b.w.random.Float64()
		}
		if luck < 0.2 {
			return // the message was lost, and the session with it
		}
		if b.w.step("tell of "+string(e.Kind), func() error { b.receive(e); return nil }) != nil {
			return
		}
		a.Acknowledge(e.Seq + 1000) // nobody was told that
		if luck < 0.4 {
			return // the acknowledgement was lost
		}
		a.Acknowledge(e.Seq)
		if luck < 0.6 {
			a.Acknowledge(e.Seq)
			a.Acknowledge(0)
		}
	}
	b.w.breach("the agent tells of more events than it may keep")
}

// receive: nothing is told that is not durable, and what is new comes in order.
func (b *broker) receive(e agent.Event) {
	id := identityOf(e)
	at := slices.IndexFunc(b.w.disk.state.Events, func(x agent.Event) bool { return identityOf(x) == id })
	if at < 0 || !reflect.DeepEqual(b.w.disk.state.Events[at], e) {
		b.w.breach("event %d (%s) is told and not durable", e.Seq, e.Kind)
	}
	if _, again := b.got[id]; !again && e.Seq < b.newest[e.Journal] {
		b.w.breach("event %d (%s) is told after event %d", e.Seq, e.Kind, b.newest[e.Journal])
	}
	b.w.checkDocument("event", e)
	b.got[id] = e
	b.newest[e.Journal] = max(b.newest[e.Journal], e.Seq)
}

// isProgress lists what may be dropped; the agent's own list is not asked.
func isProgress(k agent.EventKind) bool {
	return slices.Contains([]agent.EventKind{agent.EventTakenUp, agent.EventStaged, agent.EventInstalled, agent.EventTrial,
		agent.EventGoingBack, agent.EventFailed, agent.EventRecovered}, k)
}

// covers reports whether e tells of a verdict, by itself or since that one is counted in it.
func covers(e, verdict agent.Event) bool {
	return e.Journal == verdict.Journal && (e.Seq == verdict.Seq || e.Kind == verdict.Kind && e.First > 0 && e.First <= verdict.Seq && verdict.Seq < e.Seq)
}

// checkEvents: a change and the event that tells of it are in the same commit, both or none; no number comes twice; no
// verdict is dropped that nobody was told.
func (b *broker) checkEvents(c agent.Change) {
	d := b.w.disk
	var fresh []agent.Event
	for _, e := range c.Events {
		if e.Seq > d.state.Journal.Last {
			fresh = append(fresh, e)
		}
	}
	for _, e := range fresh {
		if e.Component != "" && !slices.ContainsFunc(c.Records, func(r agent.Record) bool { return r.Component == e.Component }) {
			b.w.breach("%s: the event %s is committed, and no change of the record", e.Component, e.Kind)
		}
	}
	for _, r := range c.Records {
		b.checkTells(d.state.Records[r.Component], r, fresh)
	}
	kept := slices.DeleteFunc(slices.Clone(d.state.Events), func(e agent.Event) bool { return slices.Contains(c.DropEvents, e.Seq) })
	kept = append(kept, c.Events...)
	for _, e := range b.owed {
		known := func(x agent.Event) bool { return covers(x, e) }
		if !slices.ContainsFunc(kept, known) && !b.knows(e) {
			b.w.breach("%s: the verdict %s, event %d, is dropped, and nobody was told", e.Component, e.Kind, e.Seq)
		}
	}
}

// checkTells: each verdict in a record has its event, of its kind.
func (b *broker) checkTells(from, to agent.Record, events []agent.Event) {
	want := func(kinds ...agent.EventKind) {
		if !slices.ContainsFunc(events, func(e agent.Event) bool { return e.Component == to.Component && slices.Contains(kinds, e.Kind) }) {
			b.w.breach("%s: its record changes from %s to %s, and no event of %v is committed with it", to.Component, from.Phase, to.Phase, kinds)
		}
	}
	if to.Confirmed != nil && (from.Confirmed == nil || from.Confirmed.ID() != to.Confirmed.ID()) {
		want(agent.EventConfirmed, agent.EventAdopted, agent.EventRolledBack)
	}
	if from.Release != nil && to.Release == nil {
		want(agent.EventConfirmed, agent.EventRejected, agent.EventWithdrawn, agent.EventGivenUp, agent.EventRolledBack)
	}
	if rejections(to) > rejections(from) {
		want(agent.EventRejected)
	}
	for _, h := range to.Held {
		if !h.Until.IsZero() && !slices.Contains(from.Held, h) {
			want(agent.EventHeld)
		}
	}
	if to.Doubted && !from.Doubted {
		want(agent.EventStateNew)
	}
	if to.Degraded && !from.Degraded {
		want(agent.EventDegraded)
	}
}

func rejections(r agent.Record) (n int) {
	for _, x := range r.Rejected {
		n += x.Count
	}
	return n
}

// committed notes the verdicts that must arrive.
func (b *broker) committed(events []agent.Event) {
	for _, e := range events {
		known := slices.ContainsFunc(b.owed, func(x agent.Event) bool { return identityOf(x) == identityOf(e) })
		if !isProgress(e.Kind) && !known && !b.w.unchecked {
			b.owed = append(b.owed, e)
		}
	}
}

// forget lets go of what was lost with the database.
func (b *broker) forget() { b.owed = nil }

// knows reports whether a verdict has arrived.
func (b *broker) knows(verdict agent.Event) bool {
	for _, e := range b.got {
		if covers(e, verdict) {
			return true
		}
	}
	return false
}

// settled has the agent tell the rest, and reports whether there is none left. Every verdict has arrived then.
func (b *broker) settled(a *agent.Agent) bool {
	b.exchange(a)
	if _, more := a.NextEvent(); more || b.w.dead || len(b.w.broken) > 0 {
		return false
	}
	for _, e := range b.owed {
		if !b.knows(e) {
			b.w.breach("%s: the verdict %s, event %d, never arrived", e.Component, e.Kind, e.Seq)
		}
	}
	return len(b.w.broken) == 0
}

// applyEvents is what a commit does to the journal.
func (d *disk) applyEvents(c agent.Change) {
	kept := slices.DeleteFunc(slices.Clone(d.state.Events), func(e agent.Event) bool {
		return slices.Contains(c.DropEvents, e.Seq) || slices.ContainsFunc(c.Events, func(x agent.Event) bool { return x.Seq == e.Seq })
	})
	if c.Journal != nil {
		d.state.Journal = *c.Journal
	}
	for _, e := range c.Events {
		kept = append(kept, cloneEvent(e))
		d.state.Journal.Last = max(d.state.Journal.Last, e.Seq)
	}
	slices.SortFunc(kept, func(a, b agent.Event) int { return cmp.Compare(a.Seq, b.Seq) })
	d.state.Events = kept
	d.w.broker.committed(c.Events)
}

func cloneEvent(e agent.Event) agent.Event {
	if e.Release != nil {
		r := *e.Release
		e.Release = &r
	}
	if e.Problem != nil {
		p := cloneProblem(*e.Problem)
		e.Problem = &p
	}
	return e
}

func cloneEvents(events []agent.Event) (copied []agent.Event) {
	for _, e := range events {
		copied = append(copied, cloneEvent(e))
	}
	return copied
}
