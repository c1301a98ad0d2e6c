package agent

import (
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"sync"
	"time"

	"github.com/ota-agent/ota-agent/verifier"
)

// A ledger is what is durable, as this process knows it, and the only place that commits. A refresh commits from
// its worker while the loop commits records: the lock keeps either from undoing the other's floors.
type ledger struct {
	store Store

	mu     sync.Mutex
	state  State
	outbox outbox
	done   bool   // a Commit of this process succeeded
	id     string // the device's; a commit makes it durable
	failed error  // of a Commit: its outcome is unknown, so nothing may be committed after it
}

func openLedger(store Store) (*ledger, error) {
	state, err := store.Load()
	if err != nil {
		return nil, fmt.Errorf("load the state: %w", err)
	}
	if state.Records == nil {
		state.Records = map[string]Record{}
	}
	return &ledger{store: store, state: state, outbox: openOutbox(state)}, nil
}

// commit makes c durable and then takes it over. Floors of components always are the ledger's own. by is the
// worker that commits; nil: the engine.
func (l *ledger) commit(c Change, by *worker) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.refusal(by); err != nil {
		return err
	}
	if f := c.Metadata.Floors; f != nil {
		merged := *f
		merged.Index = l.state.Floors.Index
		c.Metadata.Floors = &merged
	}
	return l.commitLocked(c)
}

func (l *ledger) commitLocked(c Change) error {
	c = l.identified(c)
	events := l.outbox.into(&c)
	if err := l.store.Commit(c); err != nil {
		if errors.Is(err, ErrNothingWritten) {
			return fmt.Errorf("commit: %w", err) // so there is nothing to find out
		}
		l.failed = fmt.Errorf("commit (its outcome is unknown, so the agent starts again): %w", err)
		return l.failed
	}
	l.outbox.committed(events)
	l.done = true
	if c.Metadata.Floors != nil {
		l.state.Floors = *c.Metadata.Floors
	}
	if c.Time != nil {
		l.state.Time = *c.Time
	}
	if c.Device != nil {
		l.state.Device = *c.Device
	}
	for _, r := range c.Records {
		l.state.Records[r.Component] = r
	}
	l.list(c.Metadata)
	return nil
}

// identified adds the device's ID to a change, where the state does not hold it. It is no reason for a commit
// of its own.
func (l *ledger) identified(c Change) Change {
	if l.id == "" || l.state.Device.ID == l.id || reflect.ValueOf(c).IsZero() {
		return c
	}
	d := l.state.Device
	if c.Device != nil {
		d = *c.Device
	}
	d.ID = l.id
	c.Device = &d
	return c
}

// list keeps the list of delegated roles' documents up to date. It is replaced rather than changed: a worker
// may be reading it.
func (l *ledger) list(c verifier.Change) {
	listed := filter(l.state.Delegated, func(k verifier.Key) bool { return !slices.Contains(c.Drop, k) })
	for _, d := range c.Put {
		if d.Key.Delegated() && !slices.Contains(listed, d.Key) {
			listed = append(listed, d.Key)
		}
	}
	l.state.Delegated = listed
}

func (l *ledger) delegated() []verifier.Key {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.state.Delegated
}

// refusal is why nothing may be committed, or nothing any more by that worker; nil: it may.
func (l *ledger) refusal(by *worker) error {
	if l.failed == nil && by.isAbandoned() {
		return errAbandoned
	}
	return l.failed
}

// abandon lets nothing of a worker count from now on: when it returns, the worker has committed what it ever will.
func (l *ledger) abandon(w *worker) {
	l.mu.Lock()
	defer l.mu.Unlock()
	w.abandon()
}

// put commits a record, with raise the rollback_index floor of what it has just confirmed, and the events
// that tell of the change. p is what failed, or why a release was dropped, or nil.
func (l *ledger) put(r Record, raise bool, p *Problem) error {
	now, boot := l.outbox.now()
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.failed != nil {
		return l.failed
	}
	c := Change{}
	if old := l.recordLocked(r.Component); !reflect.DeepEqual(old, r) {
		r.Schema = RecordSchema // whoever wrote it before: what this agent does not know is not in it any more
		c.Records, c.Events = []Record{r}, stamp(tell(old, r, p), now, boot)
	}
	if raise && r.Confirmed != nil {
		if floors, ok := raiseIndex(l.state.Floors, r.Component, r.Confirmed); ok {
			c.Metadata.Floors = &floors
		}
	}
	if c.Records == nil && c.Metadata.Floors == nil {
		return nil
	}
	return l.commitLocked(c)
}

// record returns the component's record; a component without one is idle.
func (l *ledger) record(component string) Record {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.recordLocked(component)
}

func (l *ledger) recordLocked(component string) Record {
	if r, ok := l.state.Records[component]; ok {
		return r
	}
	return Record{Schema: RecordSchema, Component: component, Phase: Idle}
}

func (l *ledger) records() map[string]Record {
	l.mu.Lock()
	defer l.mu.Unlock()
	return maps.Clone(l.state.Records)
}

func (l *ledger) floors() verifier.Floors {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.state.Floors
}

func (l *ledger) timeFloor() TimeFloor {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.state.Time
}

func (l *ledger) paused() bool { return l.device().Paused }

func (l *ledger) device() DeviceState {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.state.Device
}

// setDevice commits a change of the device's state, whose other parts stay. by is as for commit.
func (l *ledger) setDevice(change func(*DeviceState), by *worker) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.refusal(by); err != nil {
		return err
	}
	d := l.state.Device
	change(&d)
	return l.commitLocked(Change{Device: &d})
}

// committed reports whether anything was made durable in this process.
func (l *ledger) committed() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.done
}

// unreadable notes that the store failed to read, which is no absence: nothing can be built on it any more,
// and the next start finds out what is left. Without that an idle agent, which commits nothing, would ask in
// vain for ever.
func (l *ledger) unreadable(err error, by *worker) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.failed == nil && !by.isAbandoned() {
		l.failed = fmt.Errorf("read the store (the agent starts again): %w", err)
	}
}

// failure is the error that ends the process, of a failed Commit or of a read, or nil.
func (l *ledger) failure() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.failed
}

// began reports whether the state began where nothing was.
func (l *ledger) began() bool { return l.state.New }

func (l *ledger) recovered() []string { return l.state.Recovered }

// effectiveTime reads the clock and the floor.
func (e *engine) effectiveTime() (now time.Time, source string, floor time.Time) {
	return e.cfg.effectiveTime(e.book.timeFloor(), e.p.System)
}
