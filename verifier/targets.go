package verifier

import (
	"errors"
	"fmt"
	"math"
)

// A wanted targets role is one that somebody trusted delegates to, at the version that the snapshot says.
type wanted struct {
	role    string
	signers signers // of the delegator that leads to the role in this search
	meta    meta
	// bytesMax is the longest file to ask the repository for, in bytes, whatever length is stated and accepted.
	bytesMax int64
}

// want looks a targets role up in the snapshot (A17).
func (r *Refresh) want(role string, s signers) (wanted, *MetadataError) {
	m, ok := r.snapshot.meta.get(role + ".json")
	if !ok {
		return wanted{}, refuse(ErrMalformed, "5.6", "an entry "+excerpt(role+".json")+" in the snapshot",
			"none").of(role, 0)
	}
	return wanted{role: role, signers: s, meta: m, bytesMax: math.MaxInt64}, nil
}

// check is TUF 5.6.2 to 5.6.5, alike for the top-level role and delegated ones, for received and for stored bytes. A
// receipt, where there is one, can spare 5.6.3.
func (r *Refresh) check(w wanted, raw []byte, note *receipt) (*targetsRole, *MetadataError) {
	if refusal := w.meta.matches(raw, "5.6.2"); refusal != nil {
		return nil, refusal.of(w.role, w.meta.version)
	}
	t, refusal := r.believe(w, raw, note)
	if refusal != nil {
		return nil, refusal
	}
	if refusal := sameVersion(t.version, w.meta.version, "5.6.4").in(t.document); refusal != nil {
		return nil, refusal
	}
	return t, t.expiry(r.now, "5.6.5")
}

// believe reads bytes that match the snapshot's entry, and is TUF 5.6.3. What a receipt vouches for was
// checked before; if the two disagree in anything, everything is checked.
func (r *Refresh) believe(w wanted, raw []byte, note *receipt) (*targetsRole, *MetadataError) {
	if note.vouchesFor(w.meta, w.signers) || note != nil && note == r.dropped && note.isOfBytes(raw) {
		if t, refusal := reopenTargets(w.role, raw, r.limits); refusal == nil && note.describes(t.document) {
			t.by = note.signers
			return t, nil
		}
	}
	if w.role != Targets {
		if r.checked += int64(len(raw)); r.checked > r.limits.CheckedBytes {
			want := fmt.Sprintf("at most %d bytes of delegated roles to check in one refresh", r.limits.CheckedBytes)
			return nil, refuse(ErrLimitExceeded, "5.6.7.1", want, "more").of(w.role, w.meta.version)
		}
	}
	t, refusal := readTargets(w.role, raw, r.limits)
	if refusal != nil {
		return nil, refusal
	}
	if r.checks >= r.limits.Checks {
		want := fmt.Sprintf("at most %d signatures to check in one refresh", r.limits.Checks)
		return nil, refuse(ErrLimitExceeded, "5.6.7.1", want, "more").of(w.role, w.meta.version)
	}
	t.by, refusal = t.verify(w.signers, "5.6.3")
	r.checks += t.checks
	t.message = message{} // it may be as long as the file, which is kept
	return t, refusal
}

// makeRoom lets the top-level targets file go where a delegated role's may be so long that both, and the
// canonical form of the second, would take more than the longest file and its own canonical form. The next
// search reads it again; its signatures are not checked a second time, since what was verified here is
// remembered.
func (r *Refresh) makeRoom(w wanted) {
	next := w.meta.length
	if next < 0 {
		next = r.limits.TargetsBytes
	}
	t := r.targets
	if t == nil || int64(len(t.raw))+2*min(next, w.bytesMax) <= 2*r.limits.StatedBytes {
		return
	}
	if r.dropped == nil {
		own, refusal := r.want(Targets, r.root.grants[Targets])
		if refusal != nil {
			return
		}
		r.dropped = newReceipt(t, own.meta, own.signers)
	}
	r.targets = nil
}

// beginTargets ends the refresh with the stored targets file if that is still the right one. A large one is not
// even read: its receipt stands in.
func (r *Refresh) beginTargets() error {
	w, refusal := r.want(Targets, r.root.grants[Targets])
	if refusal != nil {
		return refusal
	}
	l := &loader{conversation: &r.conversation, refresh: r, wanted: w, done: r.endTargets}
	l.ask(storedRequest(l.receiptKey(), receiptBytesMax), l.takeReceipt)
	return nil
}

func (r *Refresh) endTargets(t *targetsRole) error {
	r.targets = t
	return nil
}

// A loader brings one targets role into a conversation: from the store, or else from the repository.
type loader struct {
	*conversation
	refresh    *Refresh
	wanted     wanted
	done       func(*targetsRole) error
	noteAsked  bool     // whether the store was asked for the file's receipt
	noteStored bool     // whether it has one, damaged or not
	note       *receipt // the one it has, if it can be read
	local      []byte   // the stored file, while its receipt is asked for
}

func (l *loader) receiptKey() Key { return Key{Role: l.wanted.role, Kind: Receipt} }

// takeReceipt is for the refresh, which asks for the receipt first: it may spare reading the file.
func (l *loader) takeReceipt(a Answer) (Change, error) {
	err := l.readNote(a)
	switch {
	case err != nil:
		return Change{}, err
	case l.note != nil && l.note.standsFor(l.wanted.meta, l.wanted.signers, l.refresh.now):
		l.refresh.receipt = l.note
		return Change{}, nil
	case l.note != nil && l.note.version != l.wanted.meta.version:
		return Change{}, l.askRemote() // the stored file is outdated: there is no use in reading it
	}
	l.begin()
	return Change{}, nil
}

// readNote reads the store's receipt. A damaged one spares nothing, and is replaced with the next.
func (l *loader) readNote(a Answer) error {
	raw, ok, err := l.stored(a)
	l.noteAsked, l.noteStored = true, ok
	if err != nil || !ok {
		return err
	}
	if note, damaged := readReceipt(raw); damaged == nil {
		l.note = note
	}
	return nil
}

// begin asks the store. A stored file of another length than the snapshot states is not the right one: it is
// not even read.
func (l *loader) begin() {
	bytesMax := max(l.refresh.limits.StatedBytes, l.refresh.limits.TargetsBytes)
	if stated := l.wanted.meta.length; stated >= 0 {
		bytesMax = min(bytesMax, stated)
	}
	l.ask(storedRequest(Key{Role: l.wanted.role}, bytesMax), l.takeStored)
}

// takeStored asks for the receipt of a large file. One of a small file would cost more than it spares.
func (l *loader) takeStored(a Answer) (Change, error) {
	raw, ok, err := l.stored(a)
	switch {
	case err != nil:
		return Change{}, err
	case !ok:
		return Change{}, l.askRemote()
	case l.noteAsked || !l.isLarge(raw):
		return l.useStored(raw)
	}
	l.local = raw
	l.ask(storedRequest(l.receiptKey(), receiptBytesMax), func(a Answer) (Change, error) {
		raw := l.local
		l.local = nil // if it is of no use, another file comes, and there is room for one
		if err := l.readNote(a); err != nil {
			return Change{}, err
		}
		return l.useStored(raw)
	})
	return Change{}, nil
}

// useStored uses the local copy only if it is what the snapshot means and verifies under the delegator at hand.
func (l *loader) useStored(raw []byte) (Change, error) {
	t, refusal := l.refresh.check(l.wanted, raw, l.note)
	if refusal == nil {
		var change Change
		if l.note == nil || !l.note.isOf(l.wanted.meta, l.wanted.signers) {
			change = l.receipt(t) // what was verified now need not be verified again
		}
		return change, l.done(t)
	}
	var change Change
	if errors.Is(refusal, ErrMalformed) {
		change.Drop = []Key{{Role: l.wanted.role}}
	}
	return change, l.askRemote()
}

func (l *loader) askRemote() error {
	w := l.wanted
	bytesMax, refusal := w.meta.bytesMax(l.refresh.limits.TargetsBytes, l.refresh.limits.StatedBytes, "5.6.1")
	if refusal != nil {
		return refusal.of(w.role, w.meta.version)
	}
	name := FileName(w.role, l.refresh.root.fileVersion(w.meta.version))
	l.ask(Request{Remote, Key{Role: w.role}, name, min(bytesMax, w.bytesMax)}, l.takeRemote)
	return nil
}

func (l *loader) takeRemote(a Answer) (Change, error) {
	raw, err := l.required(a, "5.6.1", l.wanted.meta.version)
	if err != nil {
		return Change{}, err
	}
	t, refusal := l.refresh.check(l.wanted, raw, nil)
	if refusal != nil {
		return Change{}, refusal.of(l.wanted.role, l.wanted.meta.version)
	}
	return l.keep(t), l.done(t)
}

// keep stores the file and its receipt.
func (l *loader) keep(t *targetsRole) Change {
	change := l.receipt(t)
	change.Put = append([]Document{{Key: Key{Role: t.role}, Bytes: t.raw}}, change.Put...)
	return change
}

// receipt stores a receipt of a verified file if it is large, and forgets the one of a large file before it if not.
func (l *loader) receipt(t *targetsRole) Change {
	switch {
	case l.isLarge(t.raw):
		note := newReceipt(t, l.wanted.meta, l.wanted.signers)
		return Change{Put: []Document{{Key: l.receiptKey(), Bytes: note.encode()}}}
	case l.noteStored:
		return Change{Drop: []Key{l.receiptKey()}}
	}
	return Change{}
}

func (l *loader) isLarge(raw []byte) bool { return int64(len(raw)) >= l.refresh.limits.ReceiptBytes }
