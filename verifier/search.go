package verifier

import (
	"bytes"
	"fmt"
	"slices"
	"time"

	"github.com/ota-agent/ota-agent/verifier/strict"
)

// A Search looks one target path up, in the top-level targets role and then in the roles it delegates to, pre-order
// and depth first (TUF 5.6.7). It is a conversation like a Refresh; the loaded roles are verified for it alone.
type Search struct {
	conversation
	refresh *Refresh
	path    string
	match   *pathMatch
	waiting []step // roles yet to visit, the next one last
	visited map[string]bool
	order   []string // the visited roles, in their order
	near    near     // paths of delegated roles that are like the one that is searched for
	left    int64    // bytes of delegated roles that the search may still take, below 0 once it took more
	found   *Found
	voters  voters // of the role that lists the target, as its delegator names them
}

// A step leads from a delegator to a role. It keeps nothing of the delegator's file alive.
type step struct {
	role    string
	signers signers
	expires time.Time // when the first of the files that lead here does
}

// Found is the outcome of a search.
type Found struct {
	Target Target
	// Role lists the target; Signers are the keys that signed it, sorted, at most FloorSignersMax: what a floor of
	// the target's index is bound to.
	Role    string
	Signers []KeyHash
	// Expires is when the first of the files expires that say this: the top-level roles and each role on the way.
	// Who uses the target later than that must refresh before (G10).
	Expires time.Time
}

// Find starts a search for a target path in a finished refresh (TUF 5.6.7). Searches of one refresh are independent;
// run one after the other. Before the refresh has finished well, the search fails with ErrUnfinished.
func (r *Refresh) Find(path string) *Search {
	s := &Search{refresh: r, path: path, match: newPathMatch(path), visited: map[string]bool{}, left: r.limits.SearchBytes}
	if !r.finished() {
		s.err = ErrUnfinished
		return s
	}
	expires := earliest(r.root.expires, r.timestamp.expires, r.snapshot.expires)
	if r.targets != nil {
		s.err = s.visit(r.targets, r.root.grants[Targets], expires)
		return s
	}
	w, refusal := r.want(Targets, r.root.grants[Targets])
	if refusal != nil {
		s.err = refusal
		return s
	}
	s.load(w, expires)
	return s
}

// Next is the request the search waits on; ok is false when it is finished.
func (s *Search) Next() (Request, bool) { return s.next() }

// Supply answers the request; see Refresh.Supply.
func (s *Search) Supply(a Answer) (Change, error) {
	change, err := s.supply(a)
	if err != nil {
		s.waiting = nil
	}
	return change, err
}

// Found yields the target, or an error of class NotListed. Call it when Next says false and no error came.
func (s *Search) Found() (Found, error) {
	switch {
	case s.err != nil:
		return Found{}, s.err
	case s.then != nil:
		return Found{}, ErrUnfinished
	case s.found == nil:
		roles := countText(len(s.visited), "delegated role", "delegated roles")
		e := refuse(ErrNotListed, "5.7.2", "an entry in targets or a role it delegates the path to", "none in targets and "+roles)
		e.Path = s.path
		return Found{}, e
	}
	return *s.found, nil
}

// Visited reports whether the search has come to a delegated role, be it in vain. What no search comes to any
// more need not be kept: the snapshot is the memory against its rollback.
func (s *Search) Visited(role string) bool { return s.visited[role] }

// Holds reports whether a floor's signers still meet the threshold of the role that lists the found target:
// if not, the floor is void (fast-forward recovery).
func (s *Search) Holds(f Floor) bool {
	return s.found != nil && s.voters.met(f.Signers)
}

// load brings a role in and visits it.
func (s *Search) load(w wanted, expires time.Time) {
	l := &loader{conversation: &s.conversation, refresh: s.refresh, wanted: w}
	if w.role == Targets {
		l.note, l.noteAsked, l.noteStored = s.refresh.receipt, true, true
		if s.refresh.dropped != nil {
			l.note = s.refresh.dropped
		}
	}
	l.done = func(t *targetsRole) error {
		if w.role == Targets {
			s.refresh.targets = t // read once for all searches of this refresh, unless it has to make room
		} else if s.left -= int64(len(t.raw)); s.left < 0 {
			return s.tooLong(w)
		}
		return s.visit(t, w.signers, expires)
	}
	l.begin()
}

// visit looks the path up in a verified role, and if it isn't there notes whom the role delegates it to.
func (s *Search) visit(t *targetsRole, by signers, expires time.Time) error {
	expires = earliest(expires, t.expires)
	if entry, ok := t.targets.Lookup(s.path); ok {
		target, err := s.read(entry)
		if err != nil {
			refusal := malformed("4.5", err).of(t.role, t.version)
			refusal.Path = s.path
			return refusal
		}
		s.found = &Found{Target: target, Role: t.role, Signers: floorSigners(t.by), Expires: expires}
		s.voters, s.waiting = by.voters(), nil // who keeps the search shall not keep the keys of roles that it never came to
		return nil
	}
	if t.role != Targets {
		s.near.look(s.path, t)
	}
	roles, err := t.delegations.rolesFor(s.match, s.refresh.limits.SearchRoles, s.refresh.limits)
	if err != nil {
		refusal := malformed("4.5", err).of(t.role, t.version)
		refusal.Path = s.path
		return refusal
	}
	ring := keyRing{}
	for _, role := range roles {
		ring.name(role.grant)
	}
	if s.refresh.parsed += ring.read(t.delegations.keys); s.refresh.parsed > KeysParsedMax {
		refusal := refuse(ErrLimitExceeded, "5.6.7.1", fmt.Sprintf("at most %d keys to parse in one refresh", KeysParsedMax), "more").of(t.role, t.version)
		refusal.Path = s.path
		return refusal
	}
	var steps []step
	for _, role := range roles {
		steps = append(steps, step{role: role.name, signers: ring.signers(role.grant), expires: expires})
		if role.terminating {
			s.waiting = nil // only what this role leads to is searched any more (TUF 5.6.7.2.1)
		}
	}
	slices.Reverse(steps)
	s.waiting = s.trim(append(s.waiting, steps...))
	return s.advance()
}

// trim keeps of the roles that are yet to visit those that the search can still come to, and one more: the
// limit. A role that waits twice is visited where it comes first.
func (s *Search) trim(waiting []step) []step {
	var kept []step
	seen := map[string]bool{}
	for i := len(waiting) - 1; i >= 0 && len(kept) <= s.refresh.limits.SearchRoles-len(s.visited); i-- {
		if name := waiting[i].role; !seen[name] && !s.visited[name] {
			seen[name] = true
			kept = append(kept, waiting[i])
		}
	}
	slices.Reverse(kept)
	return kept
}

// advance goes on to the next role that was not visited yet. A role met again, in a cycle or a diamond, is skipped
// by its name (TUF 5.6.7.1).
func (s *Search) advance() error {
	for len(s.waiting) > 0 {
		next := s.waiting[len(s.waiting)-1]
		s.waiting = s.waiting[:len(s.waiting)-1]
		if s.visited[next.role] {
			continue
		}
		if most := s.refresh.limits.SearchRoles; len(s.visited) >= most {
			e := refuse(ErrLimitExceeded, "5.6.7.1", fmt.Sprintf("the target within %d delegated roles", most), "more roles to search")
			e.Path = s.path
			return e
		}
		s.visited[next.role] = true
		s.order = append(s.order, next.role)
		w, refusal := s.refresh.want(next.role, next.signers)
		if refusal != nil {
			return refusal
		}
		if max(w.meta.length, 1) > s.left { // no file is empty, whatever length is stated
			return s.tooLong(w)
		}
		w.bytesMax = s.left
		s.refresh.makeRoom(w)
		s.load(w, next.expires)
		return nil
	}
	return nil
}

// tooLong refuses a role whose file is longer than what is left to the search.
func (s *Search) tooLong(w wanted) error {
	want := fmt.Sprintf("the target within %d bytes of delegated roles", s.refresh.limits.SearchBytes)
	e := refuse(ErrLimitExceeded, "5.6.7.1", want, "more bytes to search").of(w.role, w.meta.version)
	e.Path = s.path
	return e
}

// read reads a target's entry (TUF 4.5, TARGETS).
func (s *Search) read(entry strict.Value) (Target, error) {
	t := Target{Path: s.path, Length: -1}
	var h hashes
	err := entry.Object(func(name []byte, v strict.Value) (err error) {
		switch string(name) {
		case "length":
			t.Length, err = readLength(v)
		case "hashes":
			h, err = readHashes(v)
		case "custom":
			if len(v.Raw()) > CustomBytesMax {
				return refuse(ErrLimitExceeded, "4.5", fmt.Sprintf("custom of at most %d bytes", CustomBytesMax), fmt.Sprint(len(v.Raw())))
			}
			t.Custom = bytes.Clone(v.Raw())
		}
		return err
	})
	switch {
	case err != nil:
		return t, err
	case t.Length < 0:
		return t, missing("length")
	case !h.listed:
		return t, missing("hashes")
	}
	if refusal := h.known("5.7.3"); refusal != nil {
		return t, refusal
	}
	t.SHA256, t.SHA512, t.Name = h.sha256, h.sha512, s.path
	if s.refresh.root.consistent && !s.refresh.limits.PlainTargetNames {
		t.Name = hashedName(t)
	}
	return t, nil
}

func earliest(first time.Time, others ...time.Time) time.Time {
	for _, t := range others {
		if t.Before(first) {
			first = t
		}
	}
	return first
}
