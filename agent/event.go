package agent

import "time"

// An EventKind says what happened to a component. docs/events.md says of each when it comes.
type EventKind string

// Progress. Where there is no room, the oldest of these go first.
const (
	EventTakenUp   EventKind = "taken_up"
	EventStaged    EventKind = "staged"
	EventInstalled EventKind = "installed"
	EventTrial     EventKind = "trial"
	EventGoingBack EventKind = "going_back"
	EventFailed    EventKind = "failed"
	EventRecovered EventKind = "recovered"
	EventUnlisted  EventKind = "not_listed"
	EventRelisted  EventKind = "listed"
)

// Verdicts: how an update ended, and what the bootloader made of it later. None is dropped before it was told.
const (
	EventConfirmed  EventKind = "confirmed"
	EventAdopted    EventKind = "adopted"
	EventRejected   EventKind = "rejected"
	EventWithdrawn  EventKind = "withdrawn"
	EventGivenUp    EventKind = "given_up"
	EventHeld       EventKind = "held"
	EventRolledBack EventKind = "rolled_back"
	EventDegraded   EventKind = "degraded"
	EventRestored   EventKind = "restored"
	EventStateNew   EventKind = "state_new"
	EventIDChanged  EventKind = "id_changed"
)

// progress reports whether the kind may be dropped untold. One that only a newer agent knows may not.
func (k EventKind) progress() bool {
	switch k {
	case EventTakenUp, EventStaged, EventInstalled, EventTrial, EventGoingBack, EventFailed, EventRecovered, EventUnlisted, EventRelisted:
		return true
	}
	return false
}

// An Event is one thing that happened, as it is kept, told to the broker and shown by history. It is committed together
// with what it tells of. Fields are only ever added.
type Event struct {
	Schema int `json:"schema"`
	// Journal and Seq are its identity. Seq rises without going back for as long as the journal lives; a device that lost
	// its database begins a journal with another name.
	Journal string    `json:"journal"`
	Seq     uint64    `json:"seq"`
	At      time.Time `json:"at"` // effective time
	BootID  string    `json:"boot_id,omitempty"`
	// Component is empty for what concerns the whole device.
	Component string         `json:"component,omitempty"`
	Kind      EventKind      `json:"kind"`
	Release   *ReleaseStatus `json:"release,omitempty"`
	Slot      string         `json:"slot,omitempty"`
	Problem   *Problem       `json:"problem,omitempty"` // its text is cut at eventTextMax
	// Count is for how many events of its kind it stands, where there was no room for each, and First is the Seq of
	// the oldest of them; both are 0 where it stands for itself alone.
	Count int    `json:"count,omitempty"`
	First uint64 `json:"first,omitempty"`
}

// EventSchema is the version of the event's form.
const EventSchema = 1

// History is what is kept of the past, oldest first.
type History struct {
	Schema int `json:"schema"`
	// Acknowledged is the Seq up to which the broker has acknowledged events.
	Acknowledged uint64  `json:"acknowledged"`
	Events       []Event `json:"events"`
}

// HistoryOf is the history that a stored state holds.
func HistoryOf(s State) History {
	return History{Schema: EventSchema, Acknowledged: s.Journal.Told, Events: s.Events}
}
