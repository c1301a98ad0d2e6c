package agent

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ota-agent/ota-agent/verifier"
	"github.com/ota-agent/ota-agent/verifier/tuftest"
)

// A vendored is a device with two components: the device maker signs for rootfs, and a vendor for app. Its
// repository has a mirror for each of down, which says whether that one is.
type vendored struct {
	*bareDevice
	repo         *tuftest.Repository
	clock        time.Time
	synchronised bool
	down         []bool
	mirror       int
	gone         string // a file that was not uploaded
	documents    map[verifier.Key][]byte
	commits      int
	loads        int
	committed    func(Change) // nil: nobody looks
}

func newVendored() *vendored {
	v := &vendored{bareDevice: &bareDevice{}, documents: map[verifier.Key][]byte{}, repo: tuftest.New(), clock: tuftest.Start().Add(time.Hour), synchronised: true, down: []bool{false}}
	v.repo.Targets().Add("rootfs", []byte("system"))
	v.repo.Delegate(verifier.Targets, tuftest.Delegation{Name: "vendor", Paths: []string{"app"}}).Add("app", []byte("application"))
	return v
}

func (v *vendored) Load() (State, error) {
	v.loads++
	s, err := v.bareDevice.Load()
	for k := range v.documents {
		if k.Delegated() {
			s.Delegated = append(s.Delegated, k)
		}
	}
	return s, err
}

func (v *vendored) Document(k verifier.Key) ([]byte, error) {
	if b, ok := v.documents[k]; ok {
		return b, nil
	}
	return nil, ErrAbsent
}

func (v *vendored) Commit(c Change) error {
	v.commits++
	if v.committed != nil {
		v.committed(c)
	}
	for _, k := range c.Metadata.Drop {
		delete(v.documents, k)
	}
	for _, d := range c.Metadata.Put {
		v.documents[d.Key] = d.Bytes
	}
	return v.bareDevice.Commit(c)
}

func (v *vendored) Clock() (time.Time, bool) { return v.clock, v.synchronised }
func (v *vendored) Local() bool              { return false }
func (v *vendored) MetadataRefused() bool    { v.mirror++; return v.mirror < len(v.down) }
func (v *vendored) Metadata(_ context.Context, name string, _ int64) ([]byte, error) {
	if v.down[min(v.mirror, len(v.down)-1)] {
		return nil, &Problem{Reason: ReasonUnreachable, Text: "no route"}
	}
	switch {
	case name == v.gone:
		return nil, ErrAbsent
	case name == "timestamp.json":
		return v.repo.TimestampFile(), nil
	case name == verifier.FileName(verifier.Snapshot, v.repo.Snapshot.Version):
		return v.repo.SnapshotFile(), nil
	}
	for role, r := range v.repo.Roles {
		if name == verifier.FileName(role, r.Version) {
			return v.repo.RoleFile(role), nil
		}
	}
	return nil, ErrAbsent
}

func (v *vendored) engine(t *testing.T) *engine {
	t.Helper()
	cfg := Config{Anchor: v.repo.Anchor(), Components: []Component{{Name: "rootfs", Target: "rootfs"}, {Name: "app", Target: "app"}}}
	e, err := newEngine(cfg, Ports{Store: v, Images: v, Repository: v, Installer: v, System: v, Random: func() float64 { return 0.5 }},
		slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func (v *vendored) refresh(t *testing.T, e *engine) *refreshed {
	t.Helper()
	v.mirror = 0
	o := e.newRefresh().run(t.Context())
	if err := e.refreshEnded(o); err != nil {
		t.Fatal(err)
	}
	return o.refreshed
}

// wantOnlyApp asserts that the system's search is not touched by what the application's met.
func wantOnlyApp(t *testing.T, e *engine, reason Reason) {
	t.Helper()
	for _, c := range e.live {
		f := e.facts(c, e.book.record(c.name))
		if app := c.name == "app"; f.Fresh == app || f.Failing != app || f.Reached == app || f.Offer.Known == app {
			t.Errorf("%s: fresh %t, failing %t, reached %t, offer known %t", c.name, f.Fresh, f.Failing, f.Reached, f.Offer.Known)
		}
	}
	s := e.status()
	if p := s.Repository.LastProblem; p == nil || p.Reason != reason || !s.Repository.LastSuccess.IsZero() {
		t.Errorf("the document says %+v of the check, with the last success at %s", p, s.Repository.LastSuccess)
	}
	if system, app := s.Components[0].Problem, s.Components[1].Problem; system != nil || app == nil || app.Reason != reason {
		t.Errorf("the document says %+v of rootfs and %+v of app", system, app)
	}
}

// A search that fails concerns its own component, whatever is wrong with the vendor's role; and whoever asks
// for a check hears of it.
func TestASearchThatFailsIsItsComponentsOwn(t *testing.T) {
	for _, tt := range []struct {
		name   string
		spoil  func(v *vendored)
		reason Reason
	}{
		{"signed by nobody", func(v *vendored) { v.repo.Roles["vendor"].By = []*tuftest.Key{tuftest.Ed25519("thief")} }, ReasonUnsigned},
		{"not there", func(v *vendored) { v.gone = "1.vendor.json" }, ReasonHTTP},
		{"expired", func(v *vendored) { v.repo.Roles["vendor"].Expires = tuftest.Start() }, ReasonExpired},
		{"expired by a clock that nobody vouches for", func(v *vendored) {
			v.repo.Roles["vendor"].Expires, v.synchronised = tuftest.Start(), false
		}, ReasonClockAhead},
		{"refused, and the other mirror is down", func(v *vendored) {
			v.repo.Roles["vendor"].By, v.down = []*tuftest.Key{tuftest.Ed25519("thief")}, []bool{false, true}
		}, ReasonUnsigned},
	} {
		t.Run(tt.name, func(t *testing.T) {
			v := newVendored()
			tt.spoil(v)
			e := v.engine(t)
			v.refresh(t, e)
			wantOnlyApp(t, e, tt.reason)
		})
	}
}

// A vendor's role that is out of order for good must not make the retries after an outage come as late as its own.
func TestAFailedSearchDoesNotSlowDownTheRetries(t *testing.T) {
	v := newVendored()
	v.repo.Roles["vendor"].Expires = tuftest.Start()
	e := v.engine(t)
	for range 20 {
		v.refresh(t, e)
	}
	if wait := e.plan.due - v.Uptime(); wait < time.Hour {
		t.Errorf("after 20 refreshes in which the search failed the next is in %s", wait)
	}
	v.down = []bool{true}
	v.refresh(t, e)
	if wait := e.plan.due - v.Uptime(); wait > time.Minute {
		t.Errorf("after the first failure in an outage the next refresh is in %s", wait)
	}
}

// A strictStore fails to take what one role signed.
type strictStore struct {
	*vendored
	role string
	says error
}

func (s *strictStore) Commit(c Change) error {
	for _, d := range c.Metadata.Put {
		if d.Key.Role == s.role {
			return s.says
		}
	}
	return s.vendored.Commit(c)
}

// What a store refuses it has not written, be it beyond a bound or without room: there is nothing to find
// out, and nobody who can sign such a thing may end the agent at each refresh.
func TestARefusedChangeEndsNoProcess(t *testing.T) {
	for _, reason := range []Reason{ReasonLimit, ReasonDiskFull} {
		v := newVendored()
		v.documents[verifier.Key{Role: "left"}] = []byte("1")
		for i := range staleMax {
			v.documents[verifier.Key{Role: fmt.Sprint("left ", i)}] = []byte("1")
		}
		e := v.engine(t)
		store := &strictStore{v, "vendor", &Problem{Reason: reason, Text: "no", Err: ErrNothingWritten}}
		e.book.store = store
		if out := v.refresh(t, e); out.fatal != nil {
			t.Fatal(out.fatal)
		}
		wantOnlyApp(t, e, reason)
		if got := v.delegated(); len(got) > 0 {
			t.Errorf("%s: it keeps what nobody delegates to any more: %d roles", reason, len(got))
		}
		if err := e.book.setDevice(func(d *DeviceState) { d.Paused = true }, nil); err != nil {
			t.Error(err)
		}
		store.role = ""
		if out := v.refresh(t, e); out.problem != nil || len(out.unfound) > 0 || !out.offers["app"].Known {
			t.Errorf("%s: with room: %+v, %+v", reason, out.problem, out.unfound)
		}
	}
}

// A top-level role without room is every component's problem: nothing of it is taken over, and the refresh is
// done again, later than after an outage.
func TestATopLevelRoleWithoutRoom(t *testing.T) {
	for _, role := range []string{verifier.Timestamp, verifier.Snapshot, verifier.Targets} {
		v := newVendored()
		e := v.engine(t)
		e.book.store = &strictStore{v, role, &Problem{Reason: ReasonDiskFull, Text: "no room", Err: ErrNothingWritten}}
		before := e.book.floors()
		out := v.refresh(t, e)
		if out.fatal != nil || out.problem == nil || out.problem.Reason != ReasonDiskFull || out.elsewhere {
			t.Errorf("%s: %+v, %v, elsewhere %t", role, out.problem, out.fatal, out.elsewhere)
		}
		if now := e.book.floors(); role == verifier.Timestamp && (now.Timestamp.Version != before.Timestamp.Version || len(v.documents) > 0) {
			t.Errorf("%s: floors %+v, and %d documents", role, now, len(v.documents))
		}
		if wait := e.plan.due - v.Uptime(); wait < time.Minute {
			t.Errorf("%s: the next refresh is in %s", role, wait)
		}
	}
}

// Without the store's word that nothing was written, the outcome of a commit is unknown whatever its reason.
func TestAFailedChangeEndsTheProcess(t *testing.T) {
	for _, reason := range []Reason{ReasonLimit, ReasonDiskFull, ReasonStore} {
		v := newVendored()
		e := v.engine(t)
		e.book.store = &strictStore{v, "vendor", &Problem{Reason: reason, Text: "who knows"}}
		if out := e.newRefresh().run(t.Context()); out.refreshed.fatal == nil {
			t.Errorf("%s: the process goes on: %+v", reason, out.refreshed)
		}
		if err := e.book.setDevice(func(d *DeviceState) { d.Paused = true }, nil); err == nil {
			t.Errorf("%s: something was committed after it", reason)
		}
	}
}

// delegated are the roles below the vendor's of which something is stored, in order.
func (v *vendored) delegated() (roles []string) {
	for k := range v.documents {
		if k.Delegated() && !slices.Contains(roles, k.Role) {
			roles = append(roles, k.Role)
		}
	}
	slices.Sort(roles)
	return roles
}

// delegate has the vendor trust these roles, and no others, with its target.
func (v *vendored) delegate(names ...string) {
	v.repo.Roles["vendor"].Targets, v.repo.Roles["vendor"].Delegations = map[string]any{}, nil
	for _, name := range names {
		v.repo.Delegate("vendor", tuftest.Delegation{Name: name, Paths: []string{"app"}}).
			Edit = func(signed tuftest.Object) { signed["filler"] = strings.Repeat("f", 70_000) } // so that it has a receipt
	}
	v.repo.Publish("vendor")
}

// A vendor has its role trust ever new ones. What is stored stays what the last search came to, whether that
// came to its end or fails each time; and where there is nothing to drop nothing is written, also in a
// process that begins with what one before it left.
func TestStoredRolesAreThoseThatASearchComesTo(t *testing.T) {
	v := newVendored()
	e := v.engine(t)
	var names []string
	for round := range 8 {
		names = []string{fmt.Sprintf("a%d", round), fmt.Sprintf("b%d", round)}
		v.delegate(names...)
		v.refresh(t, e)
	}
	want := append(names, "vendor")
	if got := v.delegated(); !slices.Equal(got, want) {
		t.Errorf("stored: %v, expected %v", got, want)
	}
	before := v.commits
	v.refresh(t, e)
	if v.commits != before || v.loads != 1 {
		t.Errorf("a refresh that found nothing new committed %d times; since the start the state was read whole %d times", v.commits-before, v.loads)
	}
	v.documents[verifier.Key{Role: "left"}], v.documents[verifier.Key{Role: "left", Kind: verifier.Receipt}] = []byte("1"), []byte("2")
	v.refresh(t, v.engine(t))
	if got := v.delegated(); !slices.Equal(got, want) || v.commits != before+1 {
		t.Errorf("stored after a start: %v, expected %v, by one commit of %d", got, want, v.commits-before)
	}
	v.repo.Targets().Delegations = nil
	v.repo.Publish(verifier.Targets)
	v.refresh(t, e)
	if got := v.delegated(); len(got) > 0 {
		t.Errorf("stored after the vendor was revoked: %v", got)
	}
}

// A search that a missing file ends keeps what lies behind it, but not without bound: that file may be
// missing on purpose.
func TestAFailedSearchKeepsALittle(t *testing.T) {
	v := newVendored()
	e := v.engine(t)
	v.delegate("a", "b")
	v.refresh(t, e)
	v.repo.Publish("a")
	v.gone = "2.a.json"
	v.refresh(t, e)
	if got, want := v.delegated(), []string{"a", "b", "vendor"}; !slices.Equal(got, want) {
		t.Errorf("stored after a search that ended at the first role: %v, expected %v", got, want)
	}
	for round := range 20 {
		var names []string
		for i := range 10 {
			names = append(names, fmt.Sprintf("r%d-%d", round, i))
		}
		v.delegate(append(names, "a")...)
		v.refresh(t, e)
		if e.component("app").unfound == nil {
			t.Fatal("the search came to an end")
		}
		if n := len(v.documents); n > staleMax+2*len(names)+10 {
			t.Fatalf("%d documents are stored after %d failed searches", n, round+1)
		}
	}
}

// A component that asks for a refresh goes on asking while that one runs. That is no reason for another one after it.
func TestAComponentIsAnsweredByTheRefreshThatItAskedFor(t *testing.T) {
	v := newVendored()
	r := rollable(Idle)
	r.Unreachable = releaseV2.ID() // the machine asks whether the release that is back reaches the repository
	v.slots, v.state.Records = bothGood(), map[string]Record{"rootfs": r}
	e := v.engine(t)
	refreshes := 0
	for range 10 {
		tasks, err := e.advance()
		if err != nil {
			t.Fatal(err)
		}
		if _, err = e.advance(); err != nil { // the loop turns again before they end
			t.Fatal(err)
		}
		for _, x := range tasks {
			if x.of == nil {
				refreshes++
			}
			if err := e.finish(x, x.run(t.Context())); err != nil {
				t.Fatal(err)
			}
		}
	}
	if r := e.book.record("rootfs"); refreshes != 1 || r.Unreachable != "" {
		t.Errorf("%d refreshes, expected one; %+v", refreshes, r.Held)
	}
}
