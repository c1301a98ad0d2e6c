package verifier

import "errors"

// A wanted targets role is one that somebody trusted delegates to, at the version that the snapshot says.
type wanted struct {
	role    string
	signers signers // of the delegator that leads to the role in this search
	meta    meta
}

// want looks a targets role up in the snapshot (A17).
func (r *Refresh) want(role string, s signers) (wanted, *MetadataError) {
	m, ok := r.snapshot.meta[role+".json"]
	if !ok {
		return wanted{}, refuse(ErrMalformed, "5.6", "an entry "+excerpt(role+".json")+" in the snapshot",
			"none").of(role, 0)
	}
	return wanted{role: role, signers: s, meta: m}, nil
}

// check is TUF 5.6.2 to 5.6.5, alike for the top-level role and delegated ones, for received and for stored bytes.
func (r *Refresh) check(w wanted, raw []byte) (*targetsRole, *MetadataError) {
	if refusal := w.meta.matches(raw, "5.6.2"); refusal != nil {
		return nil, refusal.of(w.role, w.meta.version)
	}
	t, refusal := readTargets(w.role, raw, r.limits)
	if refusal != nil {
		return nil, refusal
	}
	if t.by, refusal = t.verify(w.signers, "5.6.3"); refusal != nil {
		return nil, refusal
	}
	if refusal := sameVersion(t.version, w.meta.version, "5.6.4").in(t.document); refusal != nil {
		return nil, refusal
	}
	return t, t.expiry(r.now, "5.6.5")
}

// beginTargets ends the refresh with the stored targets file if that is still the right one. A large one is not
// even read: its receipt stands in.
func (r *Refresh) beginTargets() error {
	w, refusal := r.want(Targets, r.root.grants[Targets])
	if refusal != nil {
		return refusal
	}
	l := &loader{conversation: &r.conversation, refresh: r, wanted: w, done: r.endTargets}
	l.ask(storedRequest(receiptKey(), receiptBytesMax), l.takeReceipt)
	return nil
}

func receiptKey() Key { return Key{Role: Targets, Kind: Receipt} }

func (r *Refresh) endTargets(t *targetsRole) error {
	r.targets = t
	return nil
}

// A loader brings one targets role into a conversation: from the store, or else from the repository.
type loader struct {
	*conversation
	refresh   *Refresh
	wanted    wanted
	done      func(*targetsRole) error
	receipted bool // whether the store may have a receipt of the file
}

func (l *loader) takeReceipt(a Answer) (Change, error) {
	raw, ok, err := l.stored(a)
	if err != nil {
		return Change{}, err
	}
	l.receipted = ok
	if !ok {
		l.begin()
		return Change{}, nil
	}
	note, damaged := readReceipt(raw)
	switch {
	case damaged != nil:
		l.begin()
		return Change{Drop: []Key{receiptKey()}}, nil
	case note.standsFor(l.wanted.meta, l.wanted.signers, l.refresh.now):
		l.refresh.receipt = note
		return Change{}, nil
	case note.version != l.wanted.meta.version:
		return Change{}, l.askRemote() // the stored file is outdated: there is no use in reading it
	}
	l.begin()
	return Change{}, nil
}

func (l *loader) begin() {
	l.ask(storedRequest(Key{Role: l.wanted.role}, l.refresh.storedBytesMax()), l.takeStored)
}

// takeStored uses the local copy only if it is what the snapshot means and verifies under the delegator at hand.
func (l *loader) takeStored(a Answer) (Change, error) {
	raw, ok, err := l.stored(a)
	if err != nil {
		return Change{}, err
	}
	var change Change
	if ok {
		t, refusal := l.refresh.check(l.wanted, raw)
		if refusal == nil {
			return Change{}, l.done(t)
		}
		if errors.Is(refusal, ErrMalformed) {
			change.Drop = []Key{{Role: l.wanted.role}}
		}
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
	l.ask(Request{Remote, Key{Role: w.role}, name, bytesMax}, l.takeRemote)
	return nil
}

func (l *loader) takeRemote(a Answer) (Change, error) {
	raw, err := l.required(a, "5.6.1")
	if err != nil {
		return Change{}, err
	}
	t, refusal := l.refresh.check(l.wanted, raw)
	if refusal != nil {
		return Change{}, refusal.of(l.wanted.role, l.wanted.meta.version)
	}
	return l.keep(t), l.done(t)
}

// keep stores the file, and a receipt beside it if it is the top-level role's and large.
func (l *loader) keep(t *targetsRole) Change {
	change := Change{Put: []Document{{Key: Key{Role: t.role}, Bytes: t.raw}}}
	if t.role != Targets {
		return change
	}
	if int64(len(t.raw)) < l.refresh.limits.ReceiptBytes {
		if l.receipted {
			change.Drop = []Key{receiptKey()}
		}
		return change
	}
	change.Put = append(change.Put, Document{Key: receiptKey(), Bytes: newReceipt(t, l.wanted.meta).encode()})
	return change
}
