package sim

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/ota-agent/ota-agent/agent"
	"github.com/ota-agent/ota-agent/verifier"
)

// Bugs of a store, of an image store and of a client. A test plants each and shows that the simulation finds it.
const (
	plantFloorsLate  = "floors raised after the commit"
	plantFloorsLost  = "rollback floor cleared with the database"
	plantNoDirSync   = "no fsync of the directory"
	plantEarlyRename = "rename before verify"
	plantRawTLS      = "certificates judged by the raw clock"
)

// A disk keeps the state and the images. A commit is atomic: its own crash points are storage's business and tested
// there. The floors lie beside it, in a file of their own.
type disk struct {
	w         *World
	state     agent.State // never shared: copied on its way in and out
	documents map[verifier.Key][]byte
	versions  map[string]int64 // of the trusted metadata, by role
	floors    verifier.Floors
	images    *images
	full      bool // no large document finds room
}

// largeBytes is from what size on, in bytes, a document needs room of its own.
const largeBytes = 64 << 10

func newDisk(w *World) *disk {
	d := &disk{w: w, documents: map[verifier.Key][]byte{}, versions: map[string]int64{}, state: agent.State{Records: map[string]agent.Record{}}}
	d.images = newImages(w)
	return d
}

// Load implements agent.Store.
func (d *disk) Load() (agent.State, error) {
	if d.w.dead {
		return agent.State{}, errDead
	}
	s := d.state
	s.Floors = raise(verifier.Floors{}, d.floors)
	s.Recovered, s.Events = slices.Clone(s.Recovered), cloneEvents(s.Events)
	s.Records = map[string]agent.Record{}
	for name, r := range d.state.Records {
		s.Records[name] = cloneRecord(r)
	}
	for k := range d.documents {
		if k.Delegated() {
			s.Delegated = append(s.Delegated, k)
		}
	}
	return s, nil
}

// Document implements agent.Store.
func (d *disk) Document(k verifier.Key) ([]byte, error) {
	if d.w.dead {
		return nil, errDead
	}
	b, ok := d.documents[k]
	if !ok {
		return nil, agent.ErrAbsent
	}
	return slices.Clone(b), nil
}

// Commit implements agent.Store: the floors are one step, the transaction is another.
func (d *disk) Commit(c agent.Change) error {
	for _, doc := range c.Metadata.Put {
		if n := len(doc.Key.Role); n > verifier.RoleNameBytesMax {
			return &agent.Problem{Reason: agent.ReasonLimit, Text: fmt.Sprintf("a role's name has %d bytes", n), Err: agent.ErrNothingWritten}
		}
		if d.full && len(doc.Bytes) > largeBytes {
			return &agent.Problem{Reason: agent.ReasonDiskFull, Text: "no room for the metadata of " + doc.Key.Role, Err: agent.ErrNothingWritten}
		}
	}
	raiseFloors := func() error {
		if c.Metadata.Floors == nil {
			return nil
		}
		raised := raise(d.floors, *c.Metadata.Floors)
		d.w.checkRaise(d.floors, raised)
		return d.w.step("raise the floors", func() error { d.floors = raised; return nil })
	}
	transact := func() error { return d.w.step("commit "+describe(c), func() error { d.apply(c); return nil }) }
	if !d.w.unchecked && !d.w.dead {
		d.w.broker.checkEvents(c)
		d.w.checkTakeUp(c)
		d.w.checkTold(c)
	}
	order := []func() error{raiseFloors, transact}
	if d.w.plant == plantFloorsLate {
		slices.Reverse(order)
	}
	for _, act := range order {
		if err := act(); err != nil {
			return err
		}
	}
	return nil
}

func (d *disk) apply(c agent.Change) {
	for _, k := range c.Metadata.Drop {
		delete(d.documents, k)
		delete(d.versions, k.Role)
	}
	for _, doc := range c.Metadata.Put {
		d.documents[doc.Key] = append([]byte{}, doc.Bytes...)
		if doc.Key.Kind == verifier.Metadata {
			d.versions[doc.Key.Role] = version(doc.Bytes)
		}
	}
	for _, r := range c.Records {
		d.state.Records[r.Component] = cloneRecord(r)
	}
	if c.Time != nil {
		d.state.Time = *c.Time
	}
	if c.Device != nil {
		d.state.Device = *c.Device
	}
	d.applyEvents(c)
}

// loseDatabase is what a store that found its database corrupt does: it begins again with an empty one.
func (d *disk) loseDatabase() {
	clear(d.documents)
	clear(d.versions)
	d.state = agent.State{Records: map[string]agent.Record{}, Recovered: []string{"the database was corrupt and was set aside"}}
	if d.w.plant == plantFloorsLost {
		d.floors = verifier.Floors{}
	}
	d.w.broker.forget()
	d.w.note("%s", DatabaseLost)
	d.w.check()
}

// fromTheFuture has the records say what only a newer agent understands.
func (d *disk) fromTheFuture() {
	for name, r := range d.state.Records {
		if r.Phase != agent.Idle {
			r.Phase, r.Schema = "soaking", agent.RecordSchema+1
			d.state.Records[name] = r
		}
	}
}

// losePower loses what was not synced.
func (d *disk) losePower() { d.images.losePower() }

func describe(c agent.Change) string {
	var parts []string
	for _, r := range c.Records {
		parts = append(parts, fmt.Sprintf("%s %s", r.Component, r.Phase))
	}
	for _, k := range c.Metadata.Drop {
		parts = append(parts, "-"+k.Role)
	}
	for _, doc := range c.Metadata.Put {
		parts = append(parts, "+"+doc.Key.Role)
	}
	if c.Time != nil {
		parts = append(parts, "time")
	}
	if c.Device != nil {
		parts = append(parts, "device")
	}
	for _, e := range c.Events {
		parts = append(parts, "and tell: "+string(e.Kind))
	}
	return strings.Join(parts, " ")
}

// raise is what the floors are after a commit: a floor falls only where its signers change.
func raise(now, next verifier.Floors) verifier.Floors {
	sum := next
	if now.RootVersion > next.RootVersion {
		sum.RootVersion, sum.RootSHA256 = now.RootVersion, now.RootSHA256
	}
	sum.Timestamp, sum.Snapshot = raiseFloor(now.Timestamp, next.Timestamp), raiseFloor(now.Snapshot, next.Snapshot)
	sum.Index = nil
	if len(now.Index)+len(next.Index) > 0 {
		sum.Index = map[string]verifier.Floor{}
		maps.Copy(sum.Index, now.Index)
		for name, f := range next.Index {
			sum.Index[name] = raiseFloor(now.Index[name], f)
		}
	}
	return sum
}

func raiseFloor(now, next verifier.Floor) verifier.Floor {
	order := func(a, b verifier.KeyHash) int { return slices.Compare(a[:], b[:]) }
	next.Signers = slices.Compact(slices.SortedFunc(slices.Values(next.Signers), order))
	if now.Version > next.Version && slices.Equal(now.Signers, next.Signers) {
		return now
	}
	return next
}

// cloneRecord copies what a store keeps of a record.
func cloneRecord(r agent.Record) agent.Record {
	r.Release, r.Confirmed = cloneRelease(r.Release), cloneRelease(r.Confirmed)
	if r.Verdict != nil {
		p := cloneProblem(*r.Verdict)
		r.Verdict = &p
	}
	r.Rejected, r.Held = slices.Clone(r.Rejected), slices.Clone(r.Held)
	for i := range r.Rejected {
		r.Rejected[i].First, r.Rejected[i].Last = cloneProblem(r.Rejected[i].First), cloneProblem(r.Rejected[i].Last)
	}
	return r
}

// cloneProblem drops what is not stored.
func cloneProblem(p agent.Problem) agent.Problem {
	p.Err, p.RetryAfter = nil, 0
	return p
}

func cloneRelease(r *agent.Release) *agent.Release {
	if r == nil {
		return nil
	}
	c := *r
	c.Target.SHA256, c.Target.SHA512 = slices.Clone(r.Target.SHA256), slices.Clone(r.Target.SHA512)
	c.Target.Custom, c.Signers = slices.Clone(r.Target.Custom), slices.Clone(r.Signers)
	return &c
}
