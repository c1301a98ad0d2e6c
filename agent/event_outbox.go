package agent

import (
	"fmt"
	"slices"
	"time"
)

// An outbox is the journal as this process knows it: what is durable, how far the broker has come, and what is still to
// be told with the next commit. The ledger's lock guards it.
type outbox struct {
	journal
	told   uint64  // acknowledged, in this process or before; durable with the next commit
	handed uint64  // the highest Seq that was handed out: only that much can be acknowledged
	ahead  []Event // what happened outside of any commit
	// now and random are the effective time with the boot ID, and numbers in [0,1).
	now    func() (time.Time, string)
	random func() float64
}

func openOutbox(s State) outbox {
	return outbox{journal: journal{s.Journal, s.Events}, told: s.Journal.Told}
}

// into makes the events of c part of the journal, and completes c with all that it has to change there: what
// happened, what made room, and how far the broker has come. It returns the journal as it is once c is
// durable. An acknowledgement is no reason for a commit of its own: until one comes, a restart tells again
// what was told.
func (o *outbox) into(c *Change) journal {
	told := slices.Concat(o.ahead, c.Events)
	now := o.journal
	now.mark.Told = o.told
	if now.mark.ID == "" && len(told) > 0 {
		now.mark.ID = newJournalID(o.random())
	}
	next := now.with(told)
	c.Events, c.DropEvents = o.journal.change(next)
	if next.mark != o.journal.mark {
		c.Journal = &next.mark
	}
	return next
}

// committed takes over what into returned.
func (o *outbox) committed(j journal) { o.journal, o.ahead = j, nil }

// tellRecovered notes what the store had to repair at start; the next commit tells of it.
func (o *outbox) tellRecovered(sentences []string) {
	if len(sentences) == 0 {
		return
	}
	text := sentences[0]
	if n := len(sentences) - 1; n > 0 {
		text = fmt.Sprintf("%d repairs, the first of them: %s", n+1, text)
	}
	o.tellAhead(EventRecovered, ReasonStore, text)
}

// tellAhead notes what was found at start and concerns the whole device.
func (o *outbox) tellAhead(k EventKind, reason Reason, text string) {
	now, boot := o.now()
	o.ahead = append(o.ahead, stamp([]Event{{Kind: k, Problem: &Problem{Reason: reason, Text: text, At: now}}}, now, boot)...)
}

// lastEvent is the Seq of the newest event; 0: there was none.
func (l *ledger) lastEvent() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.outbox.mark.Last
}

// journalID is the journal's name; empty: there was no event.
func (l *ledger) journalID() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.outbox.mark.ID
}

// NextEvent is the oldest durable event that the broker has not acknowledged; false: there is none.
func (a *Agent) NextEvent() (Event, bool) {
	l := a.engine.book
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, e := range l.outbox.events {
		if e.Seq > l.outbox.told {
			l.outbox.handed = max(l.outbox.handed, e.Seq)
			return e, true
		}
	}
	return Event{}, false
}

// Acknowledge says that the broker has this event of NextEvent's and all before it. It writes nothing: what
// the broker said becomes durable with the next commit, and only costs a few duplicates where that does not
// come. A Seq that was not handed out changes nothing.
func (a *Agent) Acknowledge(seq uint64) {
	l := a.engine.book
	l.mu.Lock()
	defer l.mu.Unlock()
	if seq <= l.outbox.handed {
		l.outbox.told = max(l.outbox.told, seq)
	}
}

// History is what is kept of the past.
func (a *Agent) History() History {
	l := a.engine.book
	l.mu.Lock()
	defer l.mu.Unlock()
	return History{Schema: EventSchema, Acknowledged: l.outbox.told, Events: slices.Clone(l.outbox.events)}
}
