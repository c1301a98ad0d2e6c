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
	local   bool // it needed no network
	topmost bool // all offers are listed by the top-level targets role, whose expiry each refresh judges
	problem *Problem
	fatal   error // a commit failed: the process must end
	// elsewhere: what was handed over did not verify, and there is a mirror that has not failed yet, or the time that it was
	// judged by turned out to be void.
	elsewhere bool
	// provisional: what was accepted hangs on an anchor that is on trial, and nothing of it was kept.
	provisional bool
	// signedAt is when the timestamp was signed; zero: it does not say.
	signedAt time.Time
}

// answers reports whether old already holds what a search would find: the same trusted files, asked the same. A poll
// that finds nothing new then does not read a large targets file.
func (old refreshed) answers(now refreshed) bool {
	return old.topmost && old.problem == nil && len(old.offers) == len(now.paths) && slices.Equal(old.roles, now.roles) &&
		maps.Equal(old.paths, now.paths) && reflect.DeepEqual(old.index, now.index)
}

// refresh runs the client workflow, and again at once while another mirror may help against what did not verify. It
// runs in a worker: it touches nothing of the engine but the ledger and the ports.
func (e *engine) refresh(ctx context.Context, paths map[string]string, old refreshed, onTrial bool) refreshed {
	out := e.refreshOnce(ctx, paths, old, onTrial)
	for refusals := 1; out.elsewhere && out.fatal == nil && refusals < refusalsMax && ctx.Err() == nil; refusals++ {
		out = e.refreshOnce(ctx, paths, old, onTrial)
	}
	out.local = e.p.Repository.Local()
	return out
}

// refreshOnce runs the client workflow once and looks up each component's target path.
func (e *engine) refreshOnce(ctx context.Context, paths map[string]string, old refreshed, onTrial bool) refreshed {
	out := refreshed{began: e.p.System.Uptime(), paths: paths, offers: map[string]Offer{}, topmost: true}
	now, source, floor := e.effectiveTime()
	learned, began := e.book.timeFloor().SignedAt, e.book.floors()
	r, err := verifier.Begin(e.cfg.Anchor, began, now, e.cfg.Limits)
	if err == nil && e.cfg.Minimum.RootVersion > 0 {
		err = r.Demand(e.cfg.Minimum)
	}
	if err != nil {
		out.problem = problemOf(err, now)
		return out
	}
	keep := e.keeper(r, began, onTrial)
	out.provisional = keep.nothing
	err = verifier.Drive(r, e.answer(ctx), keep.commit)
	out.roles, out.signedAt = r.Trusted(), r.SignedAt()
	if err != nil {
		void := errors.Is(err, verifier.ErrExpired) && e.book.timeFloor().SignedAt.Before(learned)
		out.fatal, out.elsewhere = e.book.failure(), void || e.blame(err)
		out.problem = e.clockAhead(problemOf(err, now), source, floor, now)
		return out
	}
	floors := e.book.floors()
	out.index = floors.Index
	if old.answers(out) {
		out.offers = old.offers
		return out
	}
	for component, path := range paths {
		offer, topmost, err := e.find(ctx, r, path, component, floors, keep.commit)
		out.topmost = out.topmost && topmost
		if err != nil {
			out.fatal, out.elsewhere = e.book.failure(), e.blame(err)
			out.problem = problemOf(err, now)
			if out.elsewhere {
				return out
			}
			continue
		}
		out.offers[component] = offer
	}
	return out
}

// blame tells the repository when its bytes were refused, not merely not to be had. It returns whether another mirror
// may help.
func (e *engine) blame(err error) (elsewhere bool) {
	for _, c := range classes {
		if errors.Is(err, c.err) && c.reason != ReasonNotListed {
			return e.p.Repository.MetadataRefused()
		}
	}
	return false
}

// find searches for one target path. "Not listed" is an answer: nothing is offered. topmost: the top-level targets role
// lists it.
func (e *engine) find(ctx context.Context, r *verifier.Refresh, path, component string, floors verifier.Floors,
	commit func(verifier.Change) error) (o Offer, topmost bool, err error) {
	search := r.Find(path)
	err = verifier.Drive(search, e.answer(ctx), commit)
	var found verifier.Found
	if err == nil {
		found, err = search.Found()
	}
	if errors.Is(err, verifier.ErrNotListed) {
		return Offer{Known: true, Problem: &Problem{Reason: ReasonNotListed, Text: "the repository lists no target " + path}}, false, nil
	}
	if err != nil {
		return Offer{}, false, fmt.Errorf("find target %s: %w", path, err)
	}
	floor := indexFloor(search.Holds, floors.Index[component], e.cfg.Minimum.Index[component])
	return judge(found, e.cfg.Device, floor), found.Role == verifier.Targets, nil
}

// answer answers the verifier's requests from the store and the repository. A failure is never absence.
func (e *engine) answer(ctx context.Context) func(verifier.Request) verifier.Answer {
	return func(q verifier.Request) verifier.Answer {
		var b []byte
		var err error
		if q.Source == verifier.Stored {
			b, err = e.p.Store.Document(q.Key)
		} else {
			b, err = metered{e.p.Repository, e.account}.Metadata(ctx, q.Name, q.BytesMax)
		}
		switch {
		case errors.Is(err, ErrAbsent):
			return verifier.Absent()
		case err != nil:
			return verifier.Failed(err)
		}
		return verifier.Bytes(b)
	}
}

// commitMetadata commits an accepted document, and in the same transaction the time that the publisher signed: a new
// root also makes void what revoked keys said of it.
func (e *engine) commitMetadata(r *verifier.Refresh, c verifier.Change) error {
	if c.Empty() {
		return nil
	}
	change := Change{Metadata: c}
	floor, judged := e.book.timeFloor().judge(r)
	floor, news := floor.learn(r.SignedAt(), r.SignedBy(), e.p.System.BootID(), e.p.System.Uptime())
	if judged || news {
		change.Time = &floor
	}
	return e.book.commit(change)
}

// clockAhead tells metadata that has expired from a clock that is ahead of all metadata: if the floor of the
// effective time would still accept it and nothing vouches for the clock, it is the clock.
func (e *engine) clockAhead(p *Problem, source string, floor, now time.Time) *Problem {
	_, synchronised := e.p.System.Clock()
	if p.Reason != ReasonExpired || source != sourceClock || synchronised {
		return p
	}
	return &Problem{Reason: ReasonClockAhead, At: p.At, Err: p.Err, Text: fmt.Sprintf(
		"%s; or the device's clock (%s, not synchronised) is ahead: nothing older than %s is certain; set the clock",
		p.Text, now.UTC().Format(time.RFC3339), floor.UTC().Format(time.RFC3339))}
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
