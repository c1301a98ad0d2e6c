package agent

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"time"

	"github.com/ota-agent/ota-agent/verifier"
)

// A refreshed is what came of a refresh: which release is offered to each component, or why there is no answer.
type refreshed struct {
	began   time.Duration // uptime
	paths   map[string]string
	index   map[string]verifier.Floor // the floors that the offers were judged by
	offers  map[string]Offer
	roles   []verifier.RoleInfo
	local   bool     // it needed no network
	topmost bool     // all offers are listed by the top-level targets role, whose expiry each refresh judges
	problem *Problem // of the top-level roles: nothing was looked up
	// unfound are the problems of the searches, by component: a delegated role that has expired, is not to be
	// had or is not what it should be concerns nobody but those whose target it may list.
	unfound map[string]*Problem
	fatal   error // a commit failed: the process must end
	// elsewhere: what was handed over did not verify, and there is a mirror that has not failed yet, or the
	// time that it was judged by turned out to be void.
	elsewhere bool
	// provisional: what was accepted hangs on an anchor that is on trial, and nothing of it was kept.
	provisional bool
	// signedAt is when the timestamp was signed; zero: it does not say.
	signedAt time.Time
}

// answers reports whether old already holds what a search would find: the same trusted files, asked the same. A poll
// that finds nothing new then does not read a large targets file.
func (old *refreshed) answers(now *refreshed) bool {
	return old.topmost && old.problem == nil && len(old.offers) == len(now.paths) && slices.Equal(old.roles, now.roles) &&
		maps.Equal(old.paths, now.paths) && reflect.DeepEqual(old.index, now.index)
}

// refusedBytesMax is how many bytes of metadata a refresh hears before it asks nobody else at once: three of
// the longest targets files, which take six seconds of CPU to refuse. The other mirrors come first at the
// next attempt.
const refusedBytesMax = 64 << 20

// largeBytes is the length from which on, in bytes, a document has to itself the memory that the one before it took.
const largeBytes = 4 << 20

// refresh runs the client workflow, and again at once while another mirror may help against what did not verify. It
// runs in a worker: it touches nothing of the engine but the ledger and the ports.
func (e *engine) refresh(ctx context.Context, paths map[string]string, old *refreshed, onTrial bool) *refreshed {
	out := e.refreshOnce(ctx, paths, old, onTrial)
	for refusals := 1; out.elsewhere && out.fatal == nil && refusals < refusalsMax && ctx.Err() == nil &&
		workerOf(ctx).heard() < refusedBytesMax; refusals++ {
		again := e.refreshOnce(ctx, paths, old, onTrial)
		if out.problem == nil && again.problem != nil && again.fatal == nil {
			break // for one component's sake another mirror was asked, which is of no use: what the others found stands
		}
		out = again
	}
	return out
}

// refreshOnce runs the client workflow once and looks up each component's target path.
func (e *engine) refreshOnce(ctx context.Context, paths map[string]string, old *refreshed, onTrial bool) *refreshed {
	out := &refreshed{began: e.p.System.Uptime(), paths: paths, offers: map[string]Offer{}, unfound: map[string]*Problem{}, topmost: true}
	t := &judgement{learned: e.book.timeFloor().SignedAt}
	t.now, t.source, t.floor = e.effectiveTime()
	began := e.book.floors()
	r, err := verifier.Begin(e.cfg.Anchor, began, t.now, e.cfg.Limits)
	if err == nil && e.cfg.Minimum.RootVersion > 0 {
		err = r.Demand(e.cfg.Minimum)
	}
	if err != nil {
		out.problem, out.local = problemOf(err, t.now), e.p.Repository.Local()
		return out
	}
	keep := e.keeper(ctx, r, began, onTrial)
	out.provisional = keep.nothing
	err = e.drive(ctx, r, keep)
	out.roles, out.signedAt, out.local = r.Trusted(), r.SignedAt(), e.p.Repository.Local()
	if err != nil {
		out.fatal, out.elsewhere = e.book.failure(), e.voided(err, t) || refused(err) && e.metadataRefused(ctx)
		out.problem = e.clockAhead(problemOf(err, t.now), t, out.roles, old.roles)
		return out
	}
	out.index = e.book.floors().Index
	if old.answers(out) {
		out.offers = old.offers
		return out
	}
	e.findAll(ctx, out, r, keep, t)
	return out
}

// metadataRefused lets the mirror rest that handed over last what did not verify. What an abandoned worker
// finds out concerns nobody: another one has been handed something since.
func (e *engine) metadataRefused(ctx context.Context) (elsewhere bool) {
	return !workerOf(ctx).isAbandoned() && e.p.Repository.MetadataRefused()
}

// A judgement is by which time a refresh judges, where that comes from, and what the publisher had signed of it before.
type judgement struct {
	now, floor, learned time.Time
	source              string
}

// findAll looks up each component's target path. None suffers from what another one's search meets; the
// mirror is told of it at the end, so that all are asked of the same one.
func (e *engine) findAll(ctx context.Context, out *refreshed, r *verifier.Refresh, keep *keeper, t *judgement) {
	lied := false
	var searches []*verifier.Search
	for component, path := range out.paths {
		search := r.Find(path)
		searches = append(searches, search)
		offer, topmost, err := e.find(ctx, search, path, component, out.index, keep)
		out.topmost = out.topmost && topmost
		if err == nil {
			out.offers[component] = offer
			continue
		}
		if out.fatal = e.book.failure(); out.fatal != nil {
			return
		}
		if e.voided(err, t) {
			out.elsewhere = true
		} else if refused(err) {
			lied = true
		}
		out.unfound[component] = e.clockAhead(problemOf(err, t.now), t, out.roles, nil)
	}
	out.local = e.p.Repository.Local()
	if lied && e.metadataRefused(ctx) {
		out.elsewhere = true
	}
	e.dropStale(out, searches, keep.commit)
}

// staleMax is how many documents of unvisited roles are kept where a search failed, which may have been
// stopped on the way to them: as many files and receipts as one search may visit.
const staleMax = 64

// dropStale drops what is stored of delegated roles that no search came to: nobody delegates to them any more
// as far as this device's targets go. A vendor with ever new roles would fill the store else, also with
// searches that fail each time.
func (e *engine) dropStale(out *refreshed, searches []*verifier.Search, commit func(verifier.Change) error) {
	var stale []verifier.Key
	for _, k := range e.book.delegated() {
		visited := false
		for _, s := range searches {
			visited = visited || s.Visited(k.Role)
		}
		if !visited {
			stale = append(stale, k)
		}
	}
	if len(stale) == 0 || len(out.unfound) > 0 && len(stale) <= staleMax {
		return
	}
	if err := commit(verifier.Change{Drop: stale}); err != nil {
		out.fatal = e.book.failure()
	}
}

// voided reports that the time by which something had expired has turned out to be void.
func (e *engine) voided(err error, t *judgement) bool {
	return errors.Is(err, verifier.ErrExpired) && e.book.timeFloor().SignedAt.Before(t.learned)
}

// refused reports whether the repository's bytes were refused, not merely not to be had.
func refused(err error) bool {
	for _, c := range classes {
		if errors.Is(err, c.err) && c.reason != ReasonNotListed {
			return true
		}
	}
	return false
}

// find searches for one target path. "Not listed" is an answer: nothing is offered. topmost: the top-level targets role
// lists it, or alone says that nobody does.
func (e *engine) find(ctx context.Context, search *verifier.Search, path, component string, index map[string]verifier.Floor,
	keep *keeper) (o Offer, topmost bool, err error) {
	err = e.drive(ctx, search, keep)
	var found verifier.Found
	if err == nil {
		found, err = search.Found()
	}
	if errors.Is(err, verifier.ErrNotListed) {
		m := missing(search.Unlisted())
		return Offer{Known: true, Missing: m, Problem: &Problem{Reason: ReasonNotListed, Text: m.text()}}, len(m.Roles) == 1, nil
	}
	if err != nil {
		return Offer{}, false, fmt.Errorf("find target %s: %w", path, err)
	}
	floor := indexFloor(search.Holds, index[component], e.cfg.Minimum.Index[component])
	return judge(found, e.cfg.Device, floor), found.Role == verifier.Targets, nil
}

// drive runs a conversation with the verifier. It tells the repository of each file that verified, and names
// the mirror whose file did not, or the absence that it could not do without.
func (e *engine) drive(ctx context.Context, c verifier.Conversation, keep *keeper) error {
	a := &answers{e: e, worker: workerOf(ctx)}
	err := verifier.Drive(c, func(q verifier.Request) verifier.Answer {
		a.accepted() // or it would not ask on
		if b, ok := keep.held(q); ok {
			return verifier.Bytes(b)
		}
		return a.answer(ctx, q)
	}, keep.commit)
	switch source := e.p.Repository.MetadataSource(); {
	case err == nil:
		a.accepted()
	case a.absence != nil && errors.Is(err, verifier.ErrAbsent):
		err = fmt.Errorf("%w: %v", err, a.absence)
	case a.fetched && source != "" && refused(err):
		err = fmt.Errorf("%w; it came from %s", err, source)
	}
	return err
}

// Answers are what one conversation was told.
type answers struct {
	e      *engine
	worker *worker
	// fetched: the last answer was a file of the repository's; absence is why it was none.
	fetched bool
	absence error
}

func (a *answers) accepted() {
	if a.fetched && !a.worker.isAbandoned() {
		a.e.p.Repository.MetadataAccepted()
	}
	a.fetched, a.absence = false, nil
}

// answer answers the verifier's requests from the store and the repository. A failure is never absence.
func (a *answers) answer(ctx context.Context, q verifier.Request) verifier.Answer {
	e, w := a.e, workerOf(ctx)
	var b []byte
	var err error
	if w.isAbandoned() {
		return verifier.Failed(errAbandoned)
	}
	defer w.moved()
	if q.BytesMax > largeBytes {
		w.collect() // what was refused or verified before is garbage, and this may be as long
	}
	defer func() { w.hands(len(b)) }()
	if q.Source == verifier.Stored {
		if b, err = e.p.Store.Document(q.Key); err != nil && !errors.Is(err, ErrAbsent) {
			e.book.unreadable(err, w)
		}
	} else {
		b, err = metered{e.p.Repository, e.account}.Metadata(ctx, q.Name, q.BytesMax)
		a.fetched, a.absence = err == nil, err
		w.hears(len(b))
	}
	switch {
	case errors.Is(err, ErrAbsent):
		return verifier.Absent()
	case err != nil:
		return verifier.Failed(err)
	}
	return verifier.Bytes(b)
}

// commitMetadata commits an accepted document, and in the same transaction the time that the publisher signed: a new
// root also makes void what revoked keys said of it.
func (e *engine) commitMetadata(r *verifier.Refresh, c verifier.Change, by *worker) error {
	if c.Empty() {
		return nil
	}
	change := Change{Metadata: c}
	floor, judged := e.book.timeFloor().judge(r)
	floor, news := floor.learn(r.SignedAt(), r.SignedBy(), e.p.System.BootID(), e.p.System.Uptime())
	if judged || news {
		change.Time = &floor
	}
	return e.book.commit(change, by)
}

// clockAhead tells metadata that has expired from a clock that is ahead of all metadata: if the floor of the
// effective time would still accept it and nothing vouches for the clock, it is the clock.
// Where all roles have expired, it says which of the two is likelier.
func (e *engine) clockAhead(p *Problem, t *judgement, roles, old []verifier.RoleInfo) *Problem {
	_, synchronised := e.p.System.Clock()
	if l, all := latenessOf(t, synchronised, roles, old); all && p.Reason == ReasonExpired {
		late := &Problem{Reason: ReasonExpired, At: p.At, Err: p.Err, Text: p.Text + "; " + l.text()}
		if t.source == sourceClock && !synchronised && !l.certain() {
			late.Reason = ReasonClockAhead
		}
		return late
	}
	if p.Reason != ReasonExpired || t.source != sourceClock || synchronised {
		return p
	}
	return &Problem{Reason: ReasonClockAhead, At: p.At, Err: p.Err, Text: fmt.Sprintf(
		"%s; or the device's clock (%s, not synchronised) is ahead: nothing older than %s is certain; set the clock",
		p.Text, t.now.UTC().Format(time.RFC3339), t.floor.UTC().Format(time.RFC3339))}
}

// classes maps the verifier's classes to reason codes.
var classes = []struct {
	err    error
	reason Reason
}{
	{verifier.ErrUnsigned, ReasonUnsigned}, {verifier.ErrRollback, ReasonRollback}, {verifier.ErrExpired, ReasonExpired},
	{verifier.ErrHashMismatch, ReasonHashMismatch}, {verifier.ErrLengthMismatch, ReasonLengthMismatch},
	{verifier.ErrVersionMismatch, ReasonVersionMismatch}, {verifier.ErrMalformed, ReasonMalformed},
	{verifier.ErrUnsupported, ReasonUnsupported}, {verifier.ErrNotListed, ReasonNotListed},
	{verifier.ErrLimitExceeded, ReasonLimit}, {verifier.ErrAbsent, ReasonHTTP},
}

// problemOf gives any error its reason code. now is the effective time.
func problemOf(err error, now time.Time) *Problem {
	if err == nil {
		return nil
	}
	if p, ok := errors.AsType[*Problem](err); ok {
		out := *p
		out.Text, out.At, out.Err = err.Error(), now, err
		return &out
	}
	for _, c := range classes {
		if errors.Is(err, c.err) {
			return &Problem{Reason: c.reason, Text: err.Error(), At: now, Err: err}
		}
	}
	return &Problem{Reason: ReasonInternal, Text: err.Error(), At: now, Err: err}
}
